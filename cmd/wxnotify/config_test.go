package main

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/wechat"
)

const (
	canarySecret = "c0ffee0decade0c0ffee0decade0beef"            // has the form of an AppSecret
	canaryAESKey = "canary0Jd8sLq0ZpW7xVt2Nb5Mc9RfYh1Gu6TaEoQiS" // 43 letters and digits
)

func TestConfigLayersFileThenEnvironmentThenFlag(t *testing.T) {
	t.Parallel()
	file := write(t, "wxnotify.yaml", "rate: 10\nconcurrency: 7\nquota_utc_offset: \"+09:00\"\nappid: wxfile\n")
	c, err := loadConfig(file, map[string]string{"WXNOTIFY_RATE": "20", "WXNOTIFY_APPID": "wxenv"}, map[string]string{"rate": "30"}, everyGroup)
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
		if got := c.label(name); got != want {
			t.Errorf("%s came from %q, want %q", name, got, want)
		}
	}
	if !c.isDefault("keep") || c.isDefault("rate") {
		t.Error("isDefault does not tell the default from a flag")
	}
}

// TestConfigFillsEveryField: each row of the table has a rule, a default that
// the rule accepts, and reaches its field.
func TestConfigFillsEveryField(t *testing.T) {
	t.Parallel()
	texts := map[string]string{
		"redis_url": "redis://h:1/0", "keep": "2h", "seal_keys": newerSeal, "seal_name_keys": newerNames, "webhook_private": "true", "appid": "wxa", "appsecret": canarySecret, "token_mode": "classic",
		"wechat_base_url": "http://sim/api", "wechat_authorize_url": "http://sim/oauth", "daily_quota": "7", "reserve_critical": "0.5",
		"rate": "1.5", "quota_utc_offset": "-03:30", "resend": "bulk, default", "callback_token": "canaryTokenCanary", "encoding_aes_key": canaryAESKey,
		"callback_mode": "compat", "callback_token_previous": "canaryBefore", "encoding_aes_key_previous": canaryAESKey,
		"callback_previous_until": "2026-12-01T00:00:00+08:00", "forward_url": "https://own/x?y=1", "account_name": "Clinic #1",
		"erase_unsubscribed": "true", "bind": "first", "concurrency": "3", "drain_timeout": "20s",
		"public_url": "https://notify", "public_addr": ":1", "enroll_key": canarySecret, "enroll_key_previous": canarySecret, "return_urls": "https://a/?x=1, https://b",
		"verify_files": "/srv", "trusted_proxies": "10.0.0.0/8,::1", "ops_addr": "-", "ops_login": "u:p",
		"ops_hosts": "ops.example.com,b:81", "ops_users_file": "/users", "ops_prefix": "/wx", "audit_file": "/audit", "ops_two_persons": "true", "ops_oidc_issuer": "https://sso", "ops_oidc_client_id": "id", "ops_oidc_client_secret": canarySecret, "ops_oidc_redirect_url": "https://ops/oidc/callback", "ops_oidc_role_claim": "role", "ops_link_key": canarySecret, "api_addr": ":2", "api_keys": "k:" + strings.Repeat("5f", 16), "gateway": "true",
		"log_level": "debug", "log_format": "console",
		"redis_ca_file": "/ca", "redis_cert_file": "/crt", "redis_key_file": "/key", "redis_server_name": "redis.test",
		"wechat_proxy": "http://u:canary@proxy:3128",
	}
	env := map[string]string{}
	for _, s := range settings() {
		if rule, _, _ := strings.Cut(s.Rule, " "); rules()[rule] == nil {
			t.Errorf("%s has an unknown rule %q", s.Name, s.Rule)
			continue
		}
		if _, err := s.parse(s.Default); err != nil {
			t.Errorf("%s refuses its default: %v", s.Name, err)
		}
		if s.Group == 0 || s.Usage == "" {
			t.Errorf("%s has no group or no usage", s.Name)
		}
		env[s.env()] = texts[s.Name]
	}
	c, err := loadConfig("", env, nil, everyGroup)
	if err != nil {
		t.Fatal(err)
	}
	for _, area := range []any{c.Redis, c.Accounts[0], c.Worker, c.Public, c.Ops, c.API, c.Log} {
		v := reflect.ValueOf(area)
		for i := range v.NumField() {
			if v.Field(i).IsZero() {
				t.Errorf("%s.%s was not filled", v.Type(), v.Type().Field(i).Name)
			}
		}
	}
	a := c.Accounts[0]
	if a.AppSecret != wechat.NewSecret(canarySecret) || !slices.Equal(a.Resend, []job.Class{job.Bulk, job.Default}) ||
		a.UTCOffset != -(3*time.Hour+30*time.Minute) || !a.PreviousUntil.Equal(time.Date(2026, 11, 30, 16, 0, 0, 0, time.UTC)) {
		t.Errorf("account = %+v", a)
	}
	if p := c.Public.TrustedProxies; len(p) != 2 || p[0].String() != "10.0.0.0/8" || p[1].String() != "::1/128" {
		t.Errorf("trusted_proxies = %v", p)
	}
	if !slices.Equal(c.Public.ReturnURLs, []string{"https://a/?x=1", "https://b"}) {
		t.Errorf("return_urls = %v", c.Public.ReturnURLs)
	}
}

func TestConfigResendOffIsNotTheDefault(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"-": 0, "": 1, "bulk": 1} {
		c, err := loadConfig("", map[string]string{"WXNOTIFY_APPID": "wxa", "WXNOTIFY_RESEND": text}, nil, sending)
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
	secret := write(t, "secret", canarySecret+"\n")
	windows := write(t, "windows", canarySecret+"\r\n")
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
				path = write(t, "c.yaml", c.file+"\n")
			}
			got, err := loadConfig(path, environ(append(c.env, "WXNOTIFY_APPID", "wxa")...), nil, calling)
			if err != nil {
				t.Fatal(err)
			}
			if got.Accounts[0].AppSecret != wechat.NewSecret(canarySecret) {
				t.Errorf("appsecret = %q", got.Accounts[0].AppSecret.Reveal())
			}
		})
	}
}

// environ makes an environment of names and values.
func environ(pairs ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return m
}

func TestConfigAccountsInheritCommonValues(t *testing.T) {
	t.Parallel()
	file := write(t, "c.yaml", `
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
	c, err := loadConfig(file, environ("ONE", "s1", "TWO", "s2"), nil, everyGroup)
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
	if _, err := c.pick(""); err == nil || !strings.Contains(err.Error(), "--account") {
		t.Errorf("pick without a name: %v, want one that names --account", err)
	}
	if a, err := c.pick("wxtwo"); err != nil || a.AppID != "wxtwo" {
		t.Errorf("pick = %v, %v", a, err)
	}
}

// TestConfigFaultsAllAtOnce: each wrong value is named as it was written, with
// its remedy, in one go.
func TestConfigFaultsAllAtOnce(t *testing.T) {
	t.Parallel()
	file := write(t, "c.yaml", "raet: 5\nkeep: [a]\naccounts:\n  - rate: fast\n  - appid: wxa\n  - appid: wxa\n    aPPid: x\n")
	_, err := loadConfig(file, environ(
		"WXNOTIFY_RATE", "-1", "WXNOTIFY_RESERVE_CRITICAL", "1.5",
		"WXNOTIFY_QUOTA_UTC_OFFSET", "Beijing", "WXNOTIFY_OPS_ADDR", "9090", "WXNOTIFY_WECHAT_BASE_URL", "api.weixin.qq.com",
		"WXNOTIFY_ENROLL_KEY", canarySecret[:10], "WXNOTIFY_OPS_LOGIN", canarySecret, "WXNOTIFY_APPSECRET_FILE", "/no/such/file",
		"WXNOTIFY_APPID", canarySecret+"!", "WXNOTIFY_CALLBACK_MODE", "safe", "WXNOTIFY_RESEND", "urgent", "WXNOTIFY_TRUSTED_PROXIES", "nginx",
		"WXNOTIFY_OPS_PREFIX", "wx/", "WXNOTIFY_OPS_HOSTS", "http://x", "WXNOTIFY_CALLBACK_PREVIOUS_UNTIL", "soon"),
		map[string]string{"concurrency": "many", "drain_timeout": "5s"}, everyGroup)
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

func TestConfigCommandRedacts(t *testing.T) {
	t.Parallel()
	vars := map[string]string{
		"WXNOTIFY_APPID": "wxa", "WXNOTIFY_APPSECRET": canarySecret, "WXNOTIFY_ENCODING_AES_KEY": canaryAESKey,
		"WXNOTIFY_CALLBACK_TOKEN": "canaryTokenCanary", "WXNOTIFY_ENROLL_KEY": canarySecret, "WXNOTIFY_API_KEYS": "canary:" + canarySecret + canarySecret,
		"WXNOTIFY_REDIS_URL": "redis://user:" + canarySecret + "@127.0.0.1:6379/0", "WXNOTIFY_OPS_LOGIN": "admin:" + canarySecret,
	}
	for want, args := range map[string][]string{
		"WXNOTIFY_DAILY_QUOTA": {"config"}, `"WXNOTIFY_DAILY_QUOTA"`: {"config", "--output", "json"}, "wxa": {"config", "check"},
	} {
		r := inProcess(t, vars, args...)
		if r.code != 0 {
			t.Fatalf("%v: exit %d: %s", args, r.code, r.stderr)
		}
		for _, secret := range []string{canarySecret, canaryAESKey, "canaryToken"} {
			if strings.Contains(r.stdout+r.stderr, secret) {
				t.Errorf("%v prints a secret:\n%s", args, r.stdout)
			}
		}
		if !strings.Contains(r.stdout, want) {
			t.Errorf("%v does not print %s:\n%s", args, want, r.stdout)
		}
	}
	r := inProcess(t, vars, "config", "-o", "json")
	var parsed struct {
		Settings []shownSetting `json:"settings"`
		Accounts []shownAccount `json:"accounts"`
	}
	if err := json.Unmarshal([]byte(r.stdout), &parsed); err != nil || len(parsed.Settings) != len(settings()) {
		t.Errorf("json: %v, %d settings of %d", err, len(parsed.Settings), len(settings()))
	}
	if len(parsed.Accounts) != 0 {
		t.Errorf("accounts = %v, want none without the file's list", parsed.Accounts)
	}
	if text := inProcess(t, vars, "config").stdout; strings.Contains(text, "\naccount ") {
		t.Errorf("a block for the only account repeats the table:\n%s", text)
	}
}

func TestConfigCommandShowsWhatAnAccountSetsItself(t *testing.T) {
	t.Parallel()
	file := write(t, "c.yaml", "rate: 40\naccounts:\n  - {appid: wxone, rate: 80, appsecret: "+canarySecret+"}\n  - {appid: wxtwo}\n")
	text := inProcess(t, nil, "config", "--config", file)
	fields := strings.Join(strings.Fields(text.stdout), " ")
	for _, want := range []string{"rate 40 file WXNOTIFY_RATE", "account wxone", "rate 80 file", "account wxtwo"} {
		if !strings.Contains(fields, want) {
			t.Errorf("does not print %q:\n%s%s", want, text.stdout, text.stderr)
		}
	}
	var parsed struct {
		Accounts []shownAccount `json:"accounts"`
	}
	r := inProcess(t, nil, "config", "--config", file, "-o", "json")
	if err := json.Unmarshal([]byte(r.stdout), &parsed); err != nil {
		t.Fatal(err)
	}
	if a := parsed.Accounts; len(a) != 2 || a[0].AppID != "wxone" || len(a[0].Settings) != 3 || a[1].AppID != "wxtwo" || len(a[1].Settings) != 1 {
		t.Errorf("accounts = %v", a)
	}
	if strings.Contains(text.stdout+r.stdout, canarySecret) {
		t.Error("the AppSecret of an account is printed")
	}
}

// TestConfigCheckReadsTheRedisAddress without connecting.
func TestConfigCheckReadsTheRedisAddress(t *testing.T) {
	t.Parallel()
	vars := environ("WXNOTIFY_APPID", "wxa", "WXNOTIFY_APPSECRET", canarySecret, "WXNOTIFY_REDIS_URL", "mysql://x")
	if r := inProcess(t, vars, "config", "check"); r.code != exitUsage || !strings.Contains(r.stderr, "WXNOTIFY_REDIS_URL") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
	vars["WXNOTIFY_REDIS_URL"] = "redis://127.0.0.1:1/0" // nothing listens there
	if r := inProcess(t, vars, "config", "check"); r.code != exitDone || !strings.Contains(r.stdout, "valid") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
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
	for _, s := range settings() {
		want, ok := law[s.env()]
		delete(law, s.env())
		if ok && s.Default != want {
			t.Errorf("%s defaults to %q, want %q", s.env(), s.Default, want)
		}
		if slices.Contains(mayBeFiles, s.env()) && !s.secret() {
			t.Errorf("%s_FILE is not read", s.env())
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
			_, err := loadConfig(write(t, "c.yaml", c.text), nil, nil, everyGroup)
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
	c, err := loadConfig(write(t, "c.yaml", "\ufeffappid: wxsim0000000000001\r\nrate: 20\r\nforward_url:\r\n"), nil, nil, everyGroup)
	if err != nil {
		t.Fatal(err)
	}
	if a := c.Accounts[0]; a.AppID != "wxsim0000000000001" || a.Rate != 20 || a.ForwardURL != "" {
		t.Errorf("account = %+v", a)
	}
}

// The list of processes shows a command line to every user of the machine: a password
// does not stand there, wherever the URL holds it. The error does not repeat it.
func TestPasswordInTheFlagOfRedisIsRefused(t *testing.T) {
	t.Parallel()
	const password = "canary-r3dis"
	for _, url := range []string{
		"redis://:" + password + "@h/0", "redis://user:" + password + "@h:6379/0", "rediss://user:" + password + "/x@y@h/0", ":" + password + "@h",
		"redis://user:" + password + "?#/@h", "redis-cluster://u:" + password + "@h1,h2", "redis-sentinel://h1,h2/?master=m&sentinel_password=" + password,
		"redis-sentinel://h1,h2/?master=m&Sentinel_Password=" + password, "redis://h/0?password=" + password,
	} {
		r := inProcess(t, map[string]string{"WXNOTIFY_APPID": "wx1"}, "queues", "--redis-url", url)
		if r.code != exitUsage || !strings.Contains(r.stderr, "--redis-url-file") || !strings.Contains(r.stderr, "WXNOTIFY_REDIS_URL") || strings.Contains(r.stderr, password) {
			t.Errorf("%s: %d %s", url, r.code, r.stderr)
		}
	}
	for _, url := range []string{"redis://127.0.0.1:1/0", "redis://user@127.0.0.1:1/0", "redis-cluster://127.0.0.1:1,127.0.0.1:2", "rediss://[::1]:1/0?skip_verify=false"} {
		if r := inProcess(t, map[string]string{"WXNOTIFY_APPID": "wx1"}, "config", "--redis-url", url); strings.Contains(r.stderr, "holds a password") {
			t.Errorf("%s: %s", url, r.stderr)
		}
	}
	file := write(t, "redis", "redis://:"+password+"@127.0.0.1:1/0")
	for name, r := range map[string]result{
		"flag":     inProcess(t, map[string]string{"WXNOTIFY_APPID": "wx1"}, "queues", "--redis-url-file", file),
		"file":     inProcess(t, map[string]string{"WXNOTIFY_APPID": "wx1", "WXNOTIFY_REDIS_URL_FILE": file}, "queues"),
		"variable": inProcess(t, map[string]string{"WXNOTIFY_APPID": "wx1", "WXNOTIFY_REDIS_URL": "redis://:" + password + "@127.0.0.1:1/0"}, "queues"),
	} {
		if strings.Contains(r.stderr, "holds a password") || strings.Contains(r.stderr, password) || r.code == exitDone {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// A secret that was put into a setting which is none is not repeated in the error.
func TestSecretInTheWrongSettingIsNotShown(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("one goroutine: nothing for the race detector, and go test runs it whole")
	}
	for _, secret := range []string{canarySecret, "hunter22", "Tok3nOfTheAccount", "r3disPassw0rd", "admin:S3cret-pass"} {
		for _, s := range settings() {
			if s.secret() || s.Rule == "" {
				continue
			}
			r := inProcess(t, environ("WXNOTIFY_APPID", "wx0123456789abcdef", s.env(), secret), "config", "check")
			if strings.Contains(r.stdout+r.stderr, secret) {
				t.Errorf("%s: %s%s", s.env(), r.stdout, r.stderr)
			}
		}
	}
}
