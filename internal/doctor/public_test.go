package doctor_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/internal/doctor"
	"github.com/wxnotify/wxnotify/internal/redisconn"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

const appID = "wx0123456789abcdef"

func callback(t *testing.T) *wechat.Callback {
	t.Helper()
	c, err := wechat.NewCallback(wechat.CallbackConfig{
		AppID: appID, Mode: wechat.CallbackSecure, Tokens: []wechat.RotatingSecret{{Value: wechat.NewSecret("CanaryTokenCanary")}},
		AESKeys: []wechat.RotatingSecret{{Value: wechat.NewSecret("CanaryAESKeyx0123456789abcdefghijklmnopqrst")}},
	})
	must(t, err)
	return c
}

// answering is what stands at the public address: it is well but for one path.
func answering(path string, status int, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == path:
			w.Header().Set("Location", "https://elsewhere.example.com/")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		case r.URL.Path == "/healthz":
			_, _ = io.WriteString(w, "ok")
		case strings.HasPrefix(r.URL.Path, "/callback/"):
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, "refused: appid")
		case strings.HasPrefix(r.URL.Path, "/MP_verify_"):
			_, _ = io.WriteString(w, "abc")
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
}

// outside runs the checks of the public address.
func outside(t *testing.T, base string) doctor.Report {
	t.Helper()
	checks, _ := doctor.Checks(doctor.Installation{
		Outside: base, VerifyFiles: map[string][]byte{"MP_verify_a.txt": []byte("abc")}, ErrorText: error.Error,
		Accounts: []doctor.Account{{AppID: appID, Callback: callback(t), CallbackMode: wechat.CallbackSecure}},
	})
	checks = slices.DeleteFunc(checks, func(c doctor.Check) bool { return c.Name != "public" })
	report := doctor.Run(t.Context(), checks, wechat.English)
	for _, f := range report.Findings {
		if strings.Contains(f.What+f.Why+f.Remedy, "Canary") || strings.Contains(f.What, "signature=") {
			t.Errorf("shows a secret or a signed query: %+v", f)
		}
	}
	return report
}

// TestPublicAddressThatAnswersOtherwise: each answer has a finding, and the checks that
// need the address are skipped when it does not answer as ours.
func TestPublicAddressThatAnswersOtherwise(t *testing.T) {
	t.Parallel()
	const path = "/callback/" + appID
	for name, c := range map[string]struct {
		handler http.Handler
		code    doctor.Code // empty: none
		says    string
	}{
		"well":               {answering("", 0, ""), "", ""},
		"another program":    {answering("/healthz", 200, "<html>"), "public-other", "HTTP 200"},
		"redirect":           {answering("/healthz", 301, ""), "public-other", "HTTP 301"},
		"without Redis":      {answering("/healthz", 503, "Redis does not answer"), "public-no-redis", "Redis"},
		"operators":          {answering("/readyz", 503, "redis: failed\nnot ready"), "public-shows-operators", "/readyz"},
		"file":               {answering("/MP_verify_a.txt", 404, ""), "verify-file", "HTTP 404"},
		"another file":       {answering("/MP_verify_a.txt", 200, "abd"), "verify-file", "HTTP 200"},
		"Token":              {answering(path, 403, "refused: signature"), "callback-token", path},
		"key":                {answering(path, 403, "refused: encryption"), "callback-aes-key", path},
		"mode":               {answering(path, 403, "refused: mode"), "callback-mode", "secure"},
		"clock":              {answering(path, 403, "refused: stale"), "callback-stale", path},
		"no such account":    {answering(path, 404, "no callback"), "callback-unknown", path},
		"proxy":              {answering(path, 403, "Forbidden by oSECRET_Qk4pLmNb0TzYw8dEf0a1\nx"), "callback-other", `"Forbidden by …"`},
		"long answer":        {answering(path, 200, strings.Repeat("y", 9000)), "callback-other", "HTTP 200"},
		"refused otherwise":  {answering(path, 403, "refused: forwarded"), "callback-other", "HTTP 403"},
		"appid but accepted": {answering(path, 200, "refused: appid"), "callback-other", "HTTP 200"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(c.handler)
			t.Cleanup(server.Close)
			report := outside(t, server.URL)
			if c.code == "" {
				if len(report.Findings) > 0 || strings.Contains(outcomes(report), "skipped") {
					t.Errorf("%+v", report)
				}
				return
			}
			if got := codes(report); !slices.Equal(got, []doctor.Code{c.code}) {
				t.Fatalf("%v, want %s", got, c.code)
			}
			if what := report.Findings[0].What; !strings.Contains(what, c.says) && name != "proxy" || len(what) > 400 || strings.Contains(what, "oSECRET") {
				t.Errorf("says %s", what)
			}
		})
	}
}

// TestPublicAddressThatIsNotReached: nothing listens, or its certificate is not known.
func TestPublicAddressThatIsNotReached(t *testing.T) {
	t.Parallel()
	own := httptest.NewUnstartedServer(answering("", 0, ""))
	own.Config.ErrorLog = log.New(io.Discard, "", 0)
	own.StartTLS()
	t.Cleanup(own.Close)
	for base, says := range map[string]string{"http://127.0.0.1:1": "refused", own.URL: "certificate", "http://no-such-host.invalid": "no-such-host"} {
		report := outside(t, base)
		if got := codes(report); !slices.Equal(got, []doctor.Code{"public-unreachable"}) || !strings.Contains(report.Findings[0].What, says) {
			t.Errorf("%s: %+v", base, report.Findings)
		}
		if !strings.Contains(outcomes(report), "callback-outside "+appID+"=skipped") {
			t.Errorf("%s: %s", base, outcomes(report))
		}
	}
}

// TestServersThatDoNotAnswer are named within the time of a check.
func TestServersThatDoNotAnswer(t *testing.T) {
	t.Parallel()
	end := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-end }))
	t.Cleanup(func() {
		close(end)
		silent.Close()
	})
	checks, _ := doctor.Checks(doctor.Installation{Outside: silent.URL, ErrorText: error.Error, Accounts: []doctor.Account{{
		AppID: appID, WeChat: wechat.Config{AppID: appID, AppSecret: wechat.NewSecret("s"), BaseURL: silent.URL},
	}}})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	report := doctor.Run(ctx, checks, wechat.Chinese)
	for _, code := range []doctor.Code{"wechat-unreachable", "public-unreachable"} {
		i := slices.IndexFunc(report.Findings, func(f doctor.Finding) bool { return f.Code == code })
		if i < 0 || !strings.Contains(report.Findings[i].What, "3 秒内没有回应") {
			t.Errorf("%s: %+v", code, report.Findings)
		}
	}
}

// TestClusterIsRead: of a cluster each primary is asked.
func TestClusterIsRead(t *testing.T) {
	t.Parallel()
	cluster := redistest.Cluster(t)
	must(t, cluster.ConfigSet(t.Context(), "maxmemory-policy", "volatile-ttl").Err())
	server, err := redisconn.Parse(redisconn.Config{URL: "redis-cluster://" + cluster.Options().Addrs[0]})
	must(t, err)
	wx := wechattest.New(wechattest.Config{})
	t.Cleanup(wx.Close)
	checks, rdb := doctor.Checks(doctor.Installation{Redis: server, ErrorText: error.Error, Accounts: []doctor.Account{{
		AppID: wechattest.AppID, CallbackFault: errors.New("a wrong key"),
		WeChat: wechat.Config{AppID: wechattest.AppID, AppSecret: wechat.NewSecret(wechattest.AppSecret), BaseURL: wx.BaseURL(), HTTPClient: wx.Client()},
	}}})
	t.Cleanup(func() { _ = rdb.Close() })
	report := doctor.Run(t.Context(), checks, wechat.English)
	want := []doctor.Code{"redis-forgets", "redis-evicts", "worker-never", "callback-fault"}
	if got := codes(report); !slices.Equal(got, want) {
		t.Errorf("%v, want %v: %+v", got, want, report)
	}
	if !strings.Contains(outcomes(report), "gate "+wechattest.AppID+"=skipped") {
		t.Errorf("a gate without settings was asked: %s", outcomes(report))
	}
}

// TestRedisThatCannotSaveOrIsOpen to other machines, which is not set up here for real.
func TestRedisThatCannotSaveOrIsOpen(t *testing.T) {
	t.Parallel()
	report := doctor.Run(t.Context(), []doctor.Check{{Name: "redis", Run: func(_ context.Context, n *doctor.Notes) {
		doctor.NoteRedis(n, redisconn.Report{NoPassword: true}, "# Persistence\r\naof_last_write_status:err\r\nrdb_last_bgsave_status:ok\r\nmaxmemory_policy:noeviction\r\n")
	}}}, wechat.English)
	if got := codes(report); !slices.Equal(got, []doctor.Code{"redis-no-password", "redis-not-saved"}) || !strings.Contains(report.Findings[1].What, "aof_last_write_status:err") {
		t.Errorf("%+v", report.Findings)
	}
}

// TestEveryCodeIsFoundByACheck and named by a test of a broken installation.
func TestEveryCodeIsFoundByACheck(t *testing.T) {
	t.Parallel()
	read := func(pattern string, tests bool) string {
		var text strings.Builder
		files, err := filepath.Glob(pattern)
		must(t, err)
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") != tests || strings.HasSuffix(file, "catalogue.go") {
				continue
			}
			content, err := os.ReadFile(file)
			must(t, err)
			text.Write(content)
		}
		return text.String()
	}
	command := filepath.Join("..", "..", "cmd", "wxnotify")
	sources := read("*.go", false) + read(filepath.Join(command, "cmd_doctor.go"), false)
	tests := read("*.go", true) + read(filepath.Join(command, "doctor*.go"), true)
	for _, code := range doctor.Codes() {
		if quoted := `"` + string(code) + `"`; !strings.Contains(sources, quoted) || !strings.Contains(tests, quoted) {
			t.Errorf("%s: found by a check %v, named by a test %v", code, strings.Contains(sources, quoted), strings.Contains(tests, quoted))
		}
	}
}
