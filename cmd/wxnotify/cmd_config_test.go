package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/testutil"
)

const (
	canarySecret = "c0ffee0decade0c0ffee0decade0beef"            // has the form of an AppSecret
	canaryAESKey = "canary0Jd8sLq0ZpW7xVt2Nb5Mc9RfYh1Gu6TaEoQiS" // 43 letters and digits
)

// environ makes an environment of names and values.
func environ(pairs ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return m
}

// What calls WeChat without an AppSecret is refused before it tries: a failed fetch of a
// token is kept in Redis, and holds up the workers of the account.
func TestACommandThatCallsWeChatNamesAMissingAppSecret(t *testing.T) {
	t.Parallel()
	env := map[string]string{"WXNOTIFY_REDIS_URL": redistest.Start(t).URL(), "WXNOTIFY_APPID": "wxa"}
	for _, args := range [][]string{
		{"token", "refresh"},
		{"token", "revoke", "--yes"},
		{"quota", "--ask"},
		{"templates"},
		{"rid", "5f8f7f5d-1d2e3f4a-0b0c0d0e"},
		{"enroll", "sync"},
		{"enroll", "migrate", "--from", "wx0123456789abcdef"},
		{"enroll", "import", "--check", testutil.File(t, "users.csv", "user,openid\nu,oABCDEFGHIJKLMNOPQRSTUVWXYZ1\n")},
	} {
		inProcess(t, env, args...).has(t, exitUsage, "account wxa: the AppSecret is missing", "WXNOTIFY_APPSECRET_FILE")
	}
	inProcess(t, env, "enroll", "import", testutil.File(t, "users.csv", "user,openid\nu,oABCDEFGHIJKLMNOPQRSTUVWXYZ1\n")).has(t, exitDone)
	inProcess(t, env, "token").hasNot(t, "error", "fetches today 1")
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
		Settings []settings.Row         `json:"settings"`
		Accounts []settings.AccountRows `json:"accounts"`
	}
	if err := json.Unmarshal([]byte(r.stdout), &parsed); err != nil || len(parsed.Settings) != len(settings.Table()) {
		t.Errorf("json: %v, %d settings of %d", err, len(parsed.Settings), len(settings.Table()))
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
	file := testutil.File(t, "c.yaml", "rate: 40\naccounts:\n  - {appid: wxone, rate: 80, appsecret: "+canarySecret+"}\n  - {appid: wxtwo}\n")
	text := inProcess(t, nil, "config", "--config", file)
	fields := strings.Join(strings.Fields(text.stdout), " ")
	for _, want := range []string{"rate 40 file WXNOTIFY_RATE", "account wxone", "rate 80 file", "account wxtwo"} {
		if !strings.Contains(fields, want) {
			t.Errorf("does not print %q:\n%s%s", want, text.stdout, text.stderr)
		}
	}
	var parsed struct {
		Accounts []settings.AccountRows `json:"accounts"`
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

// What passes the check starts: files that settings name are read, and settings that need
// others are seen.
func TestConfigCheckRefusesWhatTheStartRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ variable, value, want string }{
		"list of logins, missing":     {"WXNOTIFY_OPS_USERS_FILE", "/nonexistent", "WXNOTIFY_OPS_USERS_FILE: "},
		"list of logins, wrong":       {"WXNOTIFY_OPS_USERS_FILE", testutil.File(t, "users", "li:boss:x\n"), "WXNOTIFY_OPS_USERS_FILE: line 1: the role is not one of"},
		"two persons, no login":       {"WXNOTIFY_OPS_TWO_PERSONS", "true", "WXNOTIFY_OPS_TWO_PERSONS: needs two logins"},
		"OIDC, in part":               {"WXNOTIFY_OPS_OIDC_ISSUER", "https://sso.example.com", "required together"},
		"audit file, a folder":        {"WXNOTIFY_AUDIT_FILE", t.TempDir(), "WXNOTIFY_AUDIT_FILE: "},
		"files of domains, missing":   {"WXNOTIFY_VERIFY_FILES", "/nonexistent", "WXNOTIFY_VERIFY_FILES: "},
		"authority of Redis, no file": {"WXNOTIFY_REDIS_CA_FILE", "/nonexistent", "WXNOTIFY_REDIS_CA_FILE"},
		"a port above 65535":          {"WXNOTIFY_PUBLIC_ADDR", ":70000", "WXNOTIFY_PUBLIC_ADDR: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			vars := environ("WXNOTIFY_APPID", "wx0000000000000001", "WXNOTIFY_APPSECRET", canarySecret, "WXNOTIFY_REDIS_URL", "rediss://127.0.0.1:1/0", c.variable, c.value)
			inProcess(t, vars, "config", "check").has(t, exitUsage, c.want)
			inProcess(t, vars, "doctor").has(t, exitFailed, c.want)
		})
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
	file := testutil.File(t, "redis", "redis://:"+password+"@127.0.0.1:1/0")
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

// TestCommandsReadOnlyTheSecretsThatTheyUse: the help desk's `status` needs no
// AppSecret.
func TestCommandsReadOnlyTheSecretsThatTheyUse(t *testing.T) {
	t.Parallel()
	env := environ("WXNOTIFY_APPID", "wxa", "WXNOTIFY_APPSECRET_FILE", "/run/secrets/not-mine", "WXNOTIFY_ENROLL_KEY", "x")
	c, err := settings.Load("", env, nil, settings.Connecting)
	if err != nil {
		t.Fatal(err)
	}
	if !c.Accounts[0].AppSecret.IsZero() {
		t.Error("the AppSecret was read")
	}
	root := (&app{}).command()
	for name, uses := range map[string]settings.Group{
		"status": settings.Connecting, "send": settings.Connecting, "worker": settings.Connecting | settings.Calling | settings.Sending | settings.Operating | settings.Logging,
		"queues": settings.Connecting | settings.Sending, "config": settings.Everything,
	} {
		cmd, _, err := root.Find([]string{name})
		if err != nil || groupsOf(cmd) != uses {
			t.Errorf("%s reads %b, want %b (%v)", name, groupsOf(cmd), uses, err)
		}
	}
	if r := inProcess(t, env, "worker"); r.code != exitUsage || !strings.Contains(r.stderr, "/run/secrets/not-mine") {
		t.Errorf("worker: exit %d:\n%s", r.code, r.stderr)
	}
}

func TestLogFormatIsASetting(t *testing.T) {
	t.Parallel()
	vars := environ("WXNOTIFY_APPID", "wxa", "WXNOTIFY_APPSECRET", canarySecret, "WXNOTIFY_LOG_FORMAT", "xml")
	if r := inProcess(t, vars, "worker"); r.code != exitUsage || !strings.Contains(r.stderr, `WXNOTIFY_LOG_FORMAT: "xml" is not one of json, console`) {
		t.Errorf("exit %d:\n%s", r.code, r.stderr)
	}
	vars["WXNOTIFY_LOG_FORMAT"], vars["WXNOTIFY_REDIS_URL"] = "json", "redis://127.0.0.1:1/0"
	if r := inProcess(t, vars, "worker", "--log-format", "console"); !strings.Contains(r.stderr, "WARN") && !strings.Contains(r.stderr, "warn\t") {
		t.Errorf("a flag does not beat the environment:\n%s", r.stderr)
	}
}
