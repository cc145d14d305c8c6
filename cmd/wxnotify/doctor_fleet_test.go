package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/internal/doctor"
	"github.com/wxnotify/wxnotify/internal/heartbeat"
	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// lateClock is the address of a proxy before a real Redis, whose clock it shows as an
// hour behind.
func lateClock(t *testing.T, addr string) string {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				redis, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
				if err != nil {
					return
				}
				defer func() { _ = redis.Close() }()
				go func() { _, _ = io.Copy(redis, conn) }()
				buffer := make([]byte, 64<<10)
				for {
					n, err := redis.Read(buffer)
					if err != nil {
						return
					}
					_, _ = conn.Write(hourEarlier(buffer[:n]))
				}
			}()
		}
	}()
	return ln.Addr().String()
}

// hourEarlier changes the answer of TIME.
func hourEarlier(answer []byte) []byte {
	form := regexp.MustCompile(`^\*2\r\n\$10\r\n(\d{10})\r\n`)
	found := form.FindSubmatch(answer)
	if found == nil {
		return answer
	}
	seconds, _ := strconv.ParseInt(string(found[1]), 10, 64)
	return bytes.Replace(answer, found[1], strconv.AppendInt(nil, seconds-3600, 10), 1)
}

// inWar refuses fresh tokens of classic mode, as when another program fetches some.
func inWar(c *clinic) {
	c.set("WXNOTIFY_TOKEN_MODE", "classic")
	fetcher, err := wechat.NewTokenFetcher(wechat.Config{
		AppID: wechattest.AppID, AppSecret: wechat.NewSecret(wechattest.AppSecret), BaseURL: c.env["WXNOTIFY_WECHAT_BASE_URL"],
	})
	if err != nil {
		c.t.Fatal(err)
	}
	store, err := tokenstore.New(c.rdb, fetcher, tokenstore.Config{AppID: wechattest.AppID, Mode: tokenstore.Classic, RefusedGap: time.Millisecond})
	if err != nil {
		c.t.Fatal(err)
	}
	for range 5 {
		var token wechat.Token
		testutil.Until(c.t, "a token", func() bool {
			token, err = store.Token(c.t.Context())
			return err == nil
		})
		if err := store.Invalidate(c.t.Context(), token); err != nil {
			c.t.Fatal(err)
		}
	}
}

// TestDoctorNamesABrokenFleet: what the processes of the account left in Redis.
func TestDoctorNamesABrokenFleet(t *testing.T) {
	t.Parallel()
	suspension := &heartbeat.Suspension{Since: time.Now(), Errcode: 40164, Address: "203.0.113.9"}
	workers := "wxn:{" + wechattest.AppID + "}:workers"
	noWorker := func(c *clinic) {
		c.command(sendArgs("waits")...)
		if err := c.rdb.HDel(c.t.Context(), workers, "w-false").Err(); err != nil {
			c.t.Fatal(err)
		}
	}
	closed := func(p ratelimit.Pause) func(*clinic) {
		return func(c *clinic) { c.gate(p) }
	}
	for name, b := range map[string]breakage{
		"no worker":       {noWorker, "worker-none", "messages that wait: 1"},
		"never a worker":  {func(c *clinic) { c.rdb.Del(c.t.Context(), workers) }, "worker-never", "wxnotify serve"},
		"one suspended":   {func(c *clinic) { c.worker(wechattest.AppID, suspension) }, "worker-suspended", "203.0.113.9"},
		"all suspended":   {func(c *clinic) { noWorker(c); c.worker(wechattest.AppID, suspension) }, "worker-all-suspended", "203.0.113.9"},
		"another version": {func(c *clinic) { beat(c, 0, "v2") }, "worker-versions", "v1, v2"},
		"clock":           {func(c *clinic) { beat(c, -time.Minute, "v1") }, "worker-clock", "1m0s behind"},
		"token war":       {inWar, "token-war", "WXNOTIFY_TOKEN_MODE=stable"},
		"classic":         {variableIs("WXNOTIFY_TOKEN_MODE", "classic"), "token-classic", "WXNOTIFY_TOKEN_MODE=stable"},
		"token": {func(c *clinic) {
			c.wechat.Accounts()[0].FreezeTokens(50007)
			if r := inProcess(c.t, c.env, "token", "refresh"); r.code == 0 {
				c.t.Fatal("a token of a frozen account")
			}
		}, "token-fails", "50007"},
		"paused class": {func(c *clinic) { c.command("queues", "pause", "bulk", "--reason", "stocktaking") }, "class-paused", "stocktaking"},
		"lost data": {func(c *clinic) {
			c.command(sendArgs("lost")...)
			c.rdb.Del(c.t.Context(), "asynq:{"+wechattest.AppID+":default}:t:lost")
		}, "tasks-without-data", wechattest.AppID + ":default"},
		"closed by an admin":   {closed(ratelimit.Pause{Reason: ratelimit.ReasonManual, Detail: "holiday"}), "gate-manual", "holiday"},
		"account refused":      {closed(ratelimit.Pause{Reason: ratelimit.ReasonAccount, Detail: "errcode 50005"}), "gate-account", "errcode 50005"},
		"no token":             {closed(ratelimit.Pause{Reason: ratelimit.ReasonToken, Detail: "errcode 40125"}), "gate-token", "token refresh"},
		"addresses refused":    {closed(ratelimit.Pause{Reason: ratelimit.ReasonAddress, Detail: "203.0.113.9"}), "gate-address", "203.0.113.9"},
		"WeChat is down":       {closed(ratelimit.Pause{Reason: ratelimit.ReasonBreaker, Detail: "HTTP 502"}), "gate-closed", "HTTP 502"},
		"WeChat counts higher": {closed(ratelimit.Pause{Reason: ratelimit.ReasonRefused, Until: time.Now().Add(time.Hour)}), "gate-quota", "quota --ask"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b.run(t)
		})
	}
}

// beat stores the report of a second worker whose clock is ahead.
func beat(c *clinic, ahead time.Duration, version string) {
	c.t.Helper()
	entry := fmt.Sprintf(`%d %d {"id":"w2","host":"second-host","version":%q,"started":"2026-11-26T08:00:00Z","concurrency":1}`,
		time.Now().UnixMilli(), ahead.Milliseconds(), version)
	if err := c.rdb.HSet(c.t.Context(), "wxn:{"+wechattest.AppID+"}:workers", "w2", entry).Err(); err != nil {
		c.t.Fatal(err)
	}
}

// TestDoctorAsksFromOutside: one enroll process, and configurations of doctor that do
// not fit it.
func TestDoctorAsksFromOutside(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	files := filepath.Dir(testutil.File(t, "MP_verify_abc123.txt", "abc123"))
	public, ops := testutil.FreeAddr(t), testutil.FreeAddr(t)
	base := "http://" + public
	c.set("WXNOTIFY_PUBLIC_URL", base)
	c.set("WXNOTIFY_PUBLIC_ADDR", public)
	c.set("WXNOTIFY_OPS_ADDR", ops)
	c.set("WXNOTIFY_VERIFY_FILES", files)
	p := start(t, c.env, "enroll")
	p.says(t, "enroll started")
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>welcome</html>")) }))
	t.Cleanup(other.Close)

	with := func(public string, pairs ...string) *clinic {
		copied := *c
		copied.env = maps.Clone(c.env)
		for i := 0; i < len(pairs); i += 2 {
			copied.env[pairs[i]] = pairs[i+1]
		}
		copied.args = []string{"--public", public}
		return &copied
	}
	if report := with(base + "/").examine(); len(report.Findings) > 0 {
		t.Errorf("equal settings: %+v", report.Findings)
	}
	for code, broken := range map[doctor.Code]*clinic{
		"callback-token":         with(base, "WXNOTIFY_CALLBACK_TOKEN", "otherTokenOtherToken7"),
		"callback-aes-key":       with(base, "WXNOTIFY_ENCODING_AES_KEY", "otherAESKeyOtherKey0123456789abcdefghijklmn"),
		"callback-mode":          with(base, "WXNOTIFY_CALLBACK_MODE", "plain"),
		"callback-unknown":       with(base, "WXNOTIFY_APPID", "wx00000000000000ff"),
		"public-unreachable":     with("http://127.0.0.1:1"),
		"public-other":           with(other.URL),
		"public-differs":         with(base, "WXNOTIFY_PUBLIC_URL", "http://127.0.0.1:1"),
		"public-shows-operators": with("http://" + ops),
		"verify-file":            with("http://" + ops),
	} {
		report := broken.examine()
		found := false
		for _, f := range report.Findings {
			found = found || f.Code == code
		}
		if !found {
			t.Errorf("%s is not found: %+v", code, report.Findings)
		}
	}
	if pushes := c.rdb.XLen(t.Context(), "wxn:{"+wechattest.AppID+"}:inbox").Val(); pushes != 0 {
		t.Errorf("doctor left %d pushes", pushes)
	}
	if strings.Contains(p.stderr.String(), "WeChat verified the server configuration") {
		t.Errorf("a question of doctor counts as WeChat's:\n%s", p.stderr)
	}
	c.server.Kill()
	report := with(base).examine()
	if len(report.Findings) < 2 || report.Findings[len(report.Findings)-1].Code != "public-no-redis" {
		t.Errorf("enroll without its Redis: %+v", report.Findings)
	}
}

// TestDoctorOfAPlainCallback finds out the same without encryption.
func TestDoctorOfAPlainCallback(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	public := testutil.FreeAddr(t)
	delete(c.env, "WXNOTIFY_ENCODING_AES_KEY")
	c.set("WXNOTIFY_PUBLIC_URL", "http://"+public)
	c.set("WXNOTIFY_PUBLIC_ADDR", public)
	c.set("WXNOTIFY_OPS_ADDR", "-")
	start(t, c.env, "enroll").says(t, "enroll started")
	c.args = []string{"--public", "http://" + public}
	if report := c.examine(); len(report.Findings) > 0 {
		t.Errorf("equal settings: %+v", report.Findings)
	}
	c.set("WXNOTIFY_ENCODING_AES_KEY", doctorAESKey)
	if report := c.examine(); len(report.Findings) != 1 || report.Findings[0].Code != "callback-mode" {
		t.Errorf("secure here and plain there: %+v", report.Findings)
	}
}
