package settings_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/wechat"
)

func TestConfigLayersFileThenEnvironmentThenFlag(t *testing.T) {
	t.Parallel()
	file := testutil.File(t, "wxnotify.yaml", "rate: 10\nconcurrency: 7\nquota_utc_offset: \"+09:00\"\nappid: wxfile\n")
	c, err := settings.Load(file, map[string]string{"WXNOTIFY_RATE": "20", "WXNOTIFY_APPID": "wxenv"}, map[string]string{"rate": "30"}, settings.Everything)
	if err != nil {
		t.Fatal(err)
	}
	if a := c.Accounts[0]; a.Rate != 30 || a.AppID != "wxenv" || a.UTCOffset != 9*time.Hour || a.DailyQuota != 100000 || a.Reserve != 0.02 {
		t.Errorf("account = %+v", a)
	}
	if c.Worker.Concurrency != 7 || c.Ops.Addr != "127.0.0.1:9090" || c.Redis.Keep != 72*time.Hour {
		t.Errorf("config = %+v", c)
	}
	for name, want := range map[string]string{
		"rate": "--rate", "concurrency": file + ": concurrency", "appid": "WXNOTIFY_APPID", "keep": "WXNOTIFY_KEEP",
	} {
		if got := c.Label(name); got != want {
			t.Errorf("%s came from %q, want %q", name, got, want)
		}
	}
	if !c.IsDefault("keep") || c.IsDefault("rate") {
		t.Error("isDefault does not tell the default from a flag")
	}
}

func TestConfigResendOffIsNotTheDefault(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"-": 0, "": 1, "bulk": 1} {
		c, err := settings.Load("", map[string]string{"WXNOTIFY_APPID": "wxa", "WXNOTIFY_RESEND": text}, nil, settings.Sending)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Accounts[0].Resend; got == nil || len(got) != want {
			t.Errorf("%q: resend = %#v, want %d classes and not nil, which the ledger takes for its default", text, got, want)
		}
	}
}

func TestConfigSecretsByReference(t *testing.T) {
	t.Parallel()
	secret := testutil.File(t, "secret", canarySecret+"\n")
	windows := testutil.File(t, "windows", canarySecret+"\r\n")
	for name, c := range map[string]struct {
		file string
		env  []string
	}{
		"environment":       {env: []string{"WXNOTIFY_APPSECRET", canarySecret}},
		"environment file":  {env: []string{"WXNOTIFY_APPSECRET_FILE", secret}},
		"line end of CRLF":  {env: []string{"WXNOTIFY_APPSECRET_FILE", windows}},
		"file by path":      {file: "appsecret_file: " + secret},
		"file by reference": {file: "appsecret: file:" + secret},
		"file by variable":  {file: "appsecret: env:MY_SECRET", env: []string{"MY_SECRET", canarySecret}},
		"beats the file's":  {file: "appsecret_file: /nowhere", env: []string{"WXNOTIFY_APPSECRET", canarySecret}},
		"beats the value":   {file: "appsecret: " + strings.Repeat("a", 32), env: []string{"WXNOTIFY_APPSECRET_FILE", secret}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := ""
			if c.file != "" {
				path = testutil.File(t, "c.yaml", c.file+"\n")
			}
			got, err := settings.Load(path, environ(append(c.env, "WXNOTIFY_APPID", "wxa")...), nil, settings.Calling)
			if err != nil {
				t.Fatal(err)
			}
			if got.Accounts[0].AppSecret != wechat.NewSecret(canarySecret) {
				t.Errorf("appsecret = %q", got.Accounts[0].AppSecret.Reveal())
			}
		})
	}
}

func TestConfigAccountsInheritCommonValues(t *testing.T) {
	t.Parallel()
	file := testutil.File(t, "c.yaml", `
rate: 40
resend: [critical, default]
wechat_base_url: http://sim
accounts:
  - appid: wxone
    appsecret: env:ONE
  - appid: wxtwo
    appsecret: env:TWO
    rate: 80
    daily_quota: 500000
    resend: bulk
    callback_token_previous: beforeToken
    callback_previous_until: 2026-12-01T00:00:00+08:00
`)
	c, err := settings.Load(file, environ("ONE", "s1", "TWO", "s2"), nil, settings.Everything)
	if err != nil {
		t.Fatal(err)
	}
	one, two := c.Accounts[0], c.Accounts[1]
	if one.Rate != 40 || two.Rate != 80 || two.DailyQuota != 500000 || one.AppSecret.Reveal() != "s1" || two.AppSecret.Reveal() != "s2" {
		t.Errorf("accounts = %+v", c.Accounts)
	}
	if !slices.Equal(one.Resend, []job.Class{job.Critical, job.Default}) || !slices.Equal(two.Resend, []job.Class{job.Bulk}) {
		t.Errorf("resend = %v and %v", one.Resend, two.Resend)
	}
	if two.PreviousUntil.IsZero() {
		t.Error("a time without quotes was lost")
	}
	if _, err := c.Pick(""); err == nil || !strings.Contains(err.Error(), "--account") {
		t.Errorf("pick without a name: %v, want one that names --account", err)
	}
	if a, err := c.Pick("wxtwo"); err != nil || a.AppID != "wxtwo" {
		t.Errorf("pick = %v, %v", a, err)
	}
}

// TestConfigFaultsAllAtOnce: each wrong value is named as it was written, with
// its remedy, in one go.
func TestConfigFaultsAllAtOnce(t *testing.T) {
	t.Parallel()
	file := testutil.File(t, "c.yaml", "raet: 5\nkeep: [a]\naccounts:\n  - rate: fast\n  - appid: wxa\n  - appid: wxa\n    aPPid: x\n")
	_, err := settings.Load(file, environ(
		"WXNOTIFY_RATE", "-1", "WXNOTIFY_RESERVE_CRITICAL", "1.5",
		"WXNOTIFY_QUOTA_UTC_OFFSET", "Beijing", "WXNOTIFY_OPS_ADDR", "9090", "WXNOTIFY_WECHAT_BASE_URL", "api.weixin.qq.com",
		"WXNOTIFY_ENROLL_KEY", canarySecret[:10], "WXNOTIFY_OPS_LOGIN", canarySecret, "WXNOTIFY_APPSECRET_FILE", "/no/such/file",
		"WXNOTIFY_APPID", canarySecret+"!", "WXNOTIFY_CALLBACK_MODE", "safe", "WXNOTIFY_RESEND", "urgent", "WXNOTIFY_TRUSTED_PROXIES", "nginx",
		"WXNOTIFY_OPS_PREFIX", "wx/", "WXNOTIFY_OPS_HOSTS", "http://x", "WXNOTIFY_CALLBACK_PREVIOUS_UNTIL", "soon"),
		map[string]string{"concurrency": "many", "drain_timeout": "5s"}, settings.Everything)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		file + ": raet: no such setting here, the nearest is rate", file + ": keep: must be one value", `WXNOTIFY_RATE: "-1" is not a number above 0`,
		"WXNOTIFY_RESERVE_CRITICAL: ", `"Beijing" is not a UTC offset such as +08:00`, "WXNOTIFY_OPS_ADDR: ",
		"WXNOTIFY_WECHAT_BASE_URL: is not an http:// or https:// address", "WXNOTIFY_ENROLL_KEY: is not 32 bytes or more but a text of 10 bytes", "WXNOTIFY_OPS_LOGIN: is not user:password but",
		"WXNOTIFY_APPSECRET_FILE: open /no/such/file", "WXNOTIFY_APPID: is not letters, digits, - and _", `"safe" is not one of plain, compat, secure`,
		"WXNOTIFY_RESEND: ", "WXNOTIFY_TRUSTED_PROXIES: ", "WXNOTIFY_OPS_PREFIX: ", "WXNOTIFY_OPS_HOSTS: ", "WXNOTIFY_CALLBACK_PREVIOUS_UNTIL: ",
		"--concurrency: ", "--drain-timeout: \"5s\" is too short: at least 11s",
		file + ": accounts[0].appid is missing", file + `: accounts[0].rate: "fast"`, "accounts: wxa is listed twice", file + ": accounts[2].aPPid: no such setting here",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), canarySecret[:10]) {
		t.Errorf("the error shows a secret:\n%v", err)
	}
	for _, goName := range []string{"strconv", "Config.", "main.", "interface", "parsing"} {
		if strings.Contains(err.Error(), goName) {
			t.Errorf("the error shows %q of Go:\n%v", goName, err)
		}
	}
}

// TestContractVariables: the environment of the design is law.
func TestContractVariables(t *testing.T) {
	t.Parallel()
	law := map[string]string{
		"WXNOTIFY_REDIS_URL": "redis://127.0.0.1:6379/0", "WXNOTIFY_APPID": "", "WXNOTIFY_APPSECRET": "",
		"WXNOTIFY_WECHAT_BASE_URL":      "https://api.weixin.qq.com",
		"WXNOTIFY_WECHAT_AUTHORIZE_URL": "https://open.weixin.qq.com/connect/oauth2/authorize",
		"WXNOTIFY_DAILY_QUOTA":          "100000", "WXNOTIFY_RESERVE_CRITICAL": "0.02", "WXNOTIFY_RATE": "50",
		"WXNOTIFY_CONCURRENCY": "64", "WXNOTIFY_QUOTA_UTC_OFFSET": "+08:00", "WXNOTIFY_CALLBACK_TOKEN": "",
		"WXNOTIFY_ENCODING_AES_KEY": "", "WXNOTIFY_CALLBACK_MODE": "", "WXNOTIFY_PUBLIC_URL": "",
		"WXNOTIFY_PUBLIC_ADDR": ":8080", "WXNOTIFY_OPS_ADDR": "127.0.0.1:9090", "WXNOTIFY_API_ADDR": "127.0.0.1:8081",
		"WXNOTIFY_API_KEYS": "", "WXNOTIFY_ENROLL_KEY": "", "WXNOTIFY_BIND": "latest", "WXNOTIFY_VERIFY_FILES": "",
		"WXNOTIFY_TRUSTED_PROXIES": "", "WXNOTIFY_OPS_HOSTS": "", "WXNOTIFY_OPS_PREFIX": "", "WXNOTIFY_GATEWAY": "false",
		"WXNOTIFY_LOG_FORMAT": "",
	}
	mayBeFiles := []string{"WXNOTIFY_APPSECRET", "WXNOTIFY_API_KEYS", "WXNOTIFY_ENROLL_KEY"}
	for _, s := range settings.Table() {
		want, ok := law[s.Env()]
		delete(law, s.Env())
		if ok && s.Default != want {
			t.Errorf("%s defaults to %q, want %q", s.Env(), s.Default, want)
		}
		if slices.Contains(mayBeFiles, s.Env()) && !s.Secret() {
			t.Errorf("%s_FILE is not read", s.Env())
		}
	}
	for name := range law {
		t.Errorf("%s is missing", name)
	}
}

func TestConfigFileThatIsNoConfiguration(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"tab":          {"accounts:\n\t- appid: wxa\n", "tab"},
		"GBK":          {"account_name: \xd6\xd0\xce\xc4\n", "is not UTF-8: save it as UTF-8"},
		"a secret":     {canarySecret + "\n", "must hold settings"},
		"text":         {"accounts: here\n", "accounts: must be a list"},
		"entry":        {"accounts: [wxa]\n", "accounts[0]: must hold settings"},
		"number":       {"appid: wxa\ncallback_token: 0123\n", "callback_token: must be text: put it in quotes"},
		"twice":        {"rate: 1\nrate: 2\n", "already defined"},
		"table":        {"rate: {a: b}\n", "rate: must be one value"},
		"both":         {"appsecret: a\nappsecret_file: b\n", "c.yaml: appsecret and "},
		"account both": {"accounts:\n  - {appid: wxa, appsecret: a, appsecret_file: b}\n", "accounts[0].appsecret and "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := settings.Load(testutil.File(t, "c.yaml", c.text), nil, nil, settings.Everything)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "c.yaml") {
				t.Fatalf("%v, want one that says %q", err, c.want)
			}
			if strings.Contains(err.Error(), canarySecret[:6]) || strings.Contains(err.Error(), "interface") {
				t.Errorf("the error shows the text or a type of Go: %v", err)
			}
		})
	}
}

func TestConfigFileOfWindows(t *testing.T) {
	t.Parallel()
	c, err := settings.Load(testutil.File(t, "c.yaml", "\ufeffappid: wxsim0000000000001\r\nrate: 20\r\nforward_url:\r\n"), nil, nil, settings.Everything)
	if err != nil {
		t.Fatal(err)
	}
	if a := c.Accounts[0]; a.AppID != "wxsim0000000000001" || a.Rate != 20 || a.ForwardURL != "" {
		t.Errorf("account = %+v", a)
	}
}

// A secret that was put into a setting which is none is not repeated in the error.
func TestSecretInTheWrongSettingIsNotShown(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("one goroutine: nothing for the race detector, and go test runs it whole")
	}
	for _, secret := range []string{canarySecret, "hunter22", "Tok3nOfTheAccount", "r3disPassw0rd", "admin:S3cret-pass"} {
		for _, s := range settings.Table() {
			if s.Secret() || s.Rule == "" {
				continue
			}
			r := readAll(t, environ("WXNOTIFY_APPID", "wx0123456789abcdef", s.Env(), secret))
			if strings.Contains(r.text, secret) {
				t.Errorf("%s: %s", s.Env(), r.text)
			}
		}
	}
}
