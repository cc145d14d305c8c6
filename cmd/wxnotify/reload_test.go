package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

const (
	reloadA = "wxaaaaaaaaaaaaaaaa"
	reloadB = "wxbbbbbbbbbbbbbbbb"
	// reloadHead is what the configuration files of these tests begin with.
	reloadHead = "rate: 200\nops_login: boss:first-password\n"
)

// reloading is a server with a configuration file, on a platform with two accounts.
type reloading struct {
	platform *wechattest.Platform
	rdb      redis.UniversalClient
	file     string
	secrets  map[string]string // files of AppSecrets by appid
	ops      string
	hangUp   chan os.Signal
	log      *logBuffer
	ended    chan int
	reloaded int
}

// newReloading runs the command until the test ends.
func newReloading(t *testing.T, command, text string) *reloading {
	t.Helper()
	server := redistest.Start(t)
	w := &reloading{
		platform: wechattest.New(wechattest.Config{AnyTemplate: true, Accounts: []wechattest.AccountConfig{
			{AppID: reloadA, AppSecret: wechat.NewSecret("secret-a")}, {AppID: reloadB, AppSecret: wechat.NewSecret("secret-b")},
		}}),
		rdb: server.Client(t), file: filepath.Join(t.TempDir(), "wxnotify.yaml"), hangUp: make(chan os.Signal, 1),
		log: new(logBuffer), ended: make(chan int, 1), ops: testutil.FreeAddr(t),
	}
	t.Cleanup(w.platform.Close)
	weixin := httptest.NewServer(w.platform)
	t.Cleanup(weixin.Close)
	w.secrets = map[string]string{reloadA: testutil.File(t, "a", "secret-a"), reloadB: testutil.File(t, "b", "secret-b")}
	w.write(t, text)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	go func() {
		w.ended <- run(ctx, []string{command}, environment{Stdin: strings.NewReader(""), Stdout: w.log, Stderr: w.log, HangUp: w.hangUp, Env: map[string]string{
			"WXNOTIFY_CONFIG": w.file, "WXNOTIFY_REDIS_URL": server.URL(), "WXNOTIFY_WECHAT_BASE_URL": weixin.URL, "WXNOTIFY_OPS_ADDR": w.ops, "WXNOTIFY_API_ADDR": testutil.FreeAddr(t), "WXNOTIFY_PUBLIC_ADDR": testutil.FreeAddr(t),
		}})
	}()
	t.Cleanup(func() {
		stop()
		if code := <-w.ended; code != exitDone {
			t.Errorf("exit code %d:\n%s", code, w.log)
		}
	})
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(w.log)
		}
	})
	w.says(t, "started", 1)
	return w
}

// write writes the file. {appid} stands for the entry of that account.
func (w *reloading) write(t *testing.T, text string) {
	t.Helper()
	for appid, file := range w.secrets {
		text = strings.ReplaceAll(text, "{"+appid+"}", fmt.Sprintf("  - appid: %s\n    appsecret_file: %s\n", appid, file))
	}
	check(t, os.WriteFile(w.file, []byte(text), 0o600))
}

// says waits until the log has the text n times.
func (w *reloading) says(t *testing.T, text string, n int) {
	t.Helper()
	testutil.Until(t, fmt.Sprintf("the log has %q %d times", text, n), func() bool { return strings.Count(w.log.String(), text) >= n })
}

// reload writes the file, and waits until it is in force.
func (w *reloading) reload(t *testing.T, text string) {
	t.Helper()
	w.write(t, text)
	w.hangUp <- syscall.SIGHUP
	w.reloaded++
	w.says(t, `"configuration reloaded"`, w.reloaded)
}

func (w *reloading) producer(t *testing.T, appid string) *producer.Producer {
	t.Helper()
	p, err := producer.New(w.rdb, producer.Config{Account: appid})
	check(t, err)
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func send(t *testing.T, p *producer.Producer, id string) error {
	t.Helper()
	_, err := p.Enqueue(t.Context(), id, &wechat.TemplateMessage{ToUser: "o-" + id, TemplateID: "t1", Data: map[string]wechat.Field{"thing1": {Value: "x"}}})
	return err
}

// flow enqueues a message each 5 ms until stop is called, which returns their ids.
func flow(t *testing.T, p *producer.Producer) (stop func() []string) {
	t.Helper()
	var ids []string
	var err error
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		pace := time.NewTicker(5 * time.Millisecond)
		defer pace.Stop()
		for err == nil {
			select {
			case <-done:
				return
			case <-pace.C:
				ids = append(ids, fmt.Sprintf("flow-%d", len(ids)))
				err = send(t, p, ids[len(ids)-1])
			}
		}
	}()
	return func() []string {
		close(done)
		<-stopped
		check(t, err)
		return ids
	}
}

// get asks the operators' listener.
func (w *reloading) get(t *testing.T, path, password string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+w.ops+path, http.NoBody)
	check(t, err)
	if password != "" {
		req.SetBasicAuth("boss", password)
	}
	resp, err := http.DefaultClient.Do(req)
	check(t, err)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	check(t, err)
	return resp.StatusCode, string(text)
}

// Accounts come and go, the rate, the quota and a secret change, while messages flow:
// each is sent exactly once, and those of an account that is not served wait.
func TestReloadSendsEachMessageOnce(t *testing.T) {
	t.Parallel()
	w := newReloading(t, "worker", reloadHead+"accounts:\n{"+reloadA+"}")
	a, b := w.producer(t, reloadA), w.producer(t, reloadB)
	stop := flow(t, a)
	sent := func(id string) func() bool { return func() bool { return w.platform.SeenCount(id) > 0 } }
	check(t, send(t, b, "before-b-is-served"))
	w.reload(t, reloadHead+"accounts:\n{"+reloadA+"}{"+reloadB+"}")
	testutil.Until(t, "the added account sends", sent("before-b-is-served"))

	w.reload(t, "rate: 400\ndaily_quota: 77777\nops_login: boss:second-password\naccounts:\n{"+reloadA+"}{"+reloadB+"}")
	for _, want := range []string{`wxnotify_rate_limit{account="` + reloadA + `"} 400`, `wxnotify_quota_cap{account="` + reloadA + `"} 77777`} {
		testutil.Until(t, want+" in the metrics", func() bool { // those of an account are left out where Redis is slow
			_, metrics := w.get(t, "/metrics", "second-password")
			return strings.Contains(metrics, want)
		})
	}
	check(t, os.WriteFile(w.secrets[reloadB], []byte("secret-c"), 0o600))
	w.platform.Account(reloadB).SetSecret(wechat.NewSecret("secret-c"))
	w.reload(t, reloadHead+"accounts:\n{"+reloadA+"}{"+reloadB+"}")
	check(t, send(t, b, "with-the-new-secret"))
	testutil.Until(t, "the account sends with its new secret", sent("with-the-new-secret"))

	w.reload(t, reloadHead+"accounts:\n{"+reloadA+"}")
	check(t, send(t, b, "while-b-is-removed"))
	if _, metrics := w.get(t, "/metrics", "first-password"); strings.Contains(metrics, `wxnotify_token_expires_timestamp_seconds{account="`+reloadB) {
		t.Error("an account that was removed still has a gauge of its token")
	}
	ids := stop()
	for _, id := range ids {
		testutil.Until(t, id+" is sent", sent(id))
	}
	if sent("while-b-is-removed")() {
		t.Error("an account that was removed sends")
	}
	w.reload(t, reloadHead+"accounts:\n{"+reloadA+"}{"+reloadB+"}")
	ids = append(ids, "before-b-is-served", "with-the-new-secret", "while-b-is-removed")
	for _, id := range ids {
		testutil.Until(t, id+" is sent", sent(id))
		if n := w.platform.SeenCount(id); n != 1 {
			t.Errorf("%s is seen %d times", id, n)
		}
	}
	if ok := w.platform.Calls(wechattest.SendPath).OK; ok != len(ids) {
		t.Errorf("%d messages and %d calls that WeChat accepted", len(ids), ok)
	}
	for _, want := range []string{
		"account " + reloadB + ": added", "account " + reloadB + ": removed",
		"account " + reloadA + ": WXNOTIFY_RATE", "account " + reloadA + ": WXNOTIFY_DAILY_QUOTA", "account " + reloadB + ": WXNOTIFY_APPSECRET", "WXNOTIFY_OPS_LOGIN",
	} {
		if !strings.Contains(w.log.String(), want) {
			t.Errorf("the log does not name %q", want)
		}
	}
	for _, secret := range []string{"secret-", "-password"} {
		if strings.Contains(w.log.String(), secret) {
			t.Errorf("the log shows %q:\n%s", secret, w.log)
		}
	}
}

// A file with faults changes nothing, and each fault is named.
func TestReloadOfAFaultyFileChangesNothing(t *testing.T) {
	t.Parallel()
	w := newReloading(t, "serve", reloadHead+"callback_token: abcdefghijklmnopqrstuvwxyz\ncallback_mode: plain\naccounts:\n{"+reloadA+"}")
	for _, faulty := range []struct {
		text string
		want []string
	}{
		{"rate: -1\nreserve_critical: 7\nno_such: 1\naccounts:\n{" + reloadA + "}", []string{": rate: ", ": reserve_critical: ", "no_such: no such setting here"}},
		{"rate: [", []string{"is not YAML"}},
		{"accounts: []", []string{"no account"}},
		{reloadHead + "callback_mode: secure\ncallback_token: abcdefghijklmnopqrstuvwxyz\naccounts:\n{" + reloadA + "}", []string{"WXNOTIFY_ENCODING_AES_KEY"}},
		{reloadHead + "accounts:\n  - appid: " + reloadA + "\n", []string{"AppSecret is missing"}},
		{reloadHead + "callback_token: abcdefghijklmnopqrstuvwxyz\ncallback_mode: plain\nops_users_file: /does/not/exist\naccounts:\n{" + reloadA + "}", []string{"ops_users_file"}},
		{reloadHead + "accounts:\n{" + reloadA + "}", []string{"enroll has nothing to do"}},
	} {
		w.write(t, faulty.text)
		before := strings.Count(w.log.String(), "configuration not reloaded")
		w.hangUp <- syscall.SIGHUP
		w.says(t, "configuration not reloaded", before+len(faulty.want))
		for _, want := range faulty.want {
			if !slices.ContainsFunc(lines(w.log.String()), func(line string) bool {
				return strings.Contains(line, "configuration not reloaded") && strings.Contains(line, want)
			}) {
				t.Errorf("no line about %q:\n%s", want, w.log)
			}
		}
		testutil.Until(t, "the metric tells of the fault", func() bool {
			_, body := w.get(t, "/metrics", "first-password")
			return strings.Contains(body, "wxnotify_config_last_reload_successful 0")
		})
		if status, _ := w.get(t, "/", "first-password"); status != http.StatusOK {
			t.Errorf("the operators' listener answers %d after the fault %v", status, faulty.want)
		}
	}
	check(t, send(t, w.producer(t, reloadA), "after"))
	testutil.Until(t, "the message is sent", func() bool { return w.platform.SeenCount("after") == 1 })
}

// What is opened once stays as it was, and is named; the rest changes.
func TestReloadNamesWhatNeedsARestart(t *testing.T) {
	t.Parallel()
	w := newReloading(t, "worker", reloadHead+"log_level: info\naccounts:\n{"+reloadA+"}")
	w.reload(t, "rate: 200\nops_login: boss:second-password\nlog_level: debug\nredis_server_name: elsewhere\naccounts:\n{"+reloadA+"}")
	for _, name := range []string{"WXNOTIFY_LOG_LEVEL", "WXNOTIFY_REDIS_SERVER_NAME"} {
		if !strings.Contains(w.log.String(), fmt.Sprintf(`"setting":%q`, name)) {
			t.Errorf("%s is not named:\n%s", name, w.log)
		}
	}
	for password, want := range map[string]int{"first-password": http.StatusUnauthorized, "second-password": http.StatusOK} {
		if status, _ := w.get(t, "/", password); status != want {
			t.Errorf("%s: %d, want %d", password, status, want)
		}
	}
	if !strings.Contains(w.log.String(), `"changed":["WXNOTIFY_OPS_LOGIN"]`) {
		t.Errorf("the log does not say what changed:\n%s", w.log)
	}
}

// Signals that come while a reload runs lead to one more, with the last file.
func TestReloadTwiceTakesTheLastFile(t *testing.T) {
	t.Parallel()
	w := newReloading(t, "api", reloadHead+"accounts:\n{"+reloadA+"}")
	for i := range 5 {
		w.write(t, fmt.Sprintf("rate: %d\nops_login: boss:password-%d\naccounts:\n{%s}", 10+i, i, reloadA))
		select {
		case w.hangUp <- syscall.SIGHUP:
		default: // as os/signal does: one is waiting already
		}
	}
	testutil.Until(t, "the last file is in force", func() bool {
		status, _ := w.get(t, "/", "password-4")
		return status == http.StatusOK
	})
}

// mul-03: what a reload replaces is gone: no goroutine of it stays. They are counted in a
// process of its own.
func TestMul03ReloadLeaksNothing(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("go-redis ends the goroutines of a closed subscription within a minute")
	}
	const alone = "TEST_ALONE"
	if os.Getenv(alone) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v") //nolint:gosec // the test itself
		cmd.Env = append(os.Environ(), alone+"=1")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
			t.Errorf("alone: %v\n%s", err, out)
		}
		return
	}
	text := reloadHead + "gateway: true\ncallback_token: abcdefghijklmnopqrstuvwxyz\ncallback_mode: plain\naccounts:\n{" + reloadA + "}{" + reloadB + "}"
	w := newReloading(t, "serve", text)
	w.reload(t, text)
	before, unchanged := runtime.NumGoroutine(), 0
	testutil.Until(t, "the number of goroutines stays the same for a second", func() bool {
		if n := runtime.NumGoroutine(); n != before {
			before, unchanged = n, 0
		}
		unchanged++
		return unchanged > 10
	})
	const reloads = 4
	for range reloads {
		w.reload(t, text)
	}
	testutil.Until(t, "the goroutines of the services before have ended", func() bool {
		return runtime.NumGoroutine() < before+reloads // a leak is one or more each
	})
}
