package settings_test

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/internal/usage"
)

// outcome is what is said of settings.
type outcome struct {
	accepted bool
	text     string // the warnings, and what is wrong
}

// checked reads a complete account with these variables, as `config check` does.
func checked(t *testing.T, vars map[string]string) outcome {
	t.Helper()
	env := map[string]string{"WXNOTIFY_APPID": "wx0123456789abcdef", "WXNOTIFY_APPSECRET": canarySecret}
	maps.Copy(env, vars)
	return readAll(t, env)
}

func readAll(t *testing.T, env map[string]string) (o outcome) {
	t.Helper()
	c, err := settings.Load("", env, nil, settings.Everything)
	if err == nil {
		err = settings.SecretsMissing(c.All())
	}
	if err != nil && !usage.Is(err) {
		t.Errorf("exit code 1: %v", err)
	}
	for _, w := range c.Warnings {
		o.text += "warning: " + w + "\n"
	}
	if o.accepted = err == nil; err != nil {
		o.text += err.Error()
	}
	return o
}

// TestSecretsAreCheckedBeforeTheyAreUsed: what editors, shells and env files
// leave around a secret is named. WeChat would answer 40125, whose remedy is to
// reset an AppSecret that is right.
func TestSecretsAreCheckedBeforeTheyAreUsed(t *testing.T) {
	t.Parallel()
	const bom = "\ufeff"
	for name, c := range map[string]struct{ variable, value, want string }{
		"AppSecret, blank behind":      {"WXNOTIFY_APPSECRET", canarySecret + " ", "ends with a blank"},
		"AppSecret, blank before":      {"WXNOTIFY_APPSECRET", "\t" + canarySecret, "starts with a blank"},
		"AppSecret, wide blank":        {"WXNOTIFY_APPSECRET", canarySecret + "\u3000", "ends with a blank"},
		"AppSecret, blank of no width": {"WXNOTIFY_APPSECRET", canarySecret + "\u200b", "ends with a blank"},
		"AppSecret, BOM":               {"WXNOTIFY_APPSECRET", bom + canarySecret, "byte order mark"},
		"AppSecret, quotes":            {"WXNOTIFY_APPSECRET", `"` + canarySecret + `"`, "quote"},
		"AppSecret, one quote":         {"WXNOTIFY_APPSECRET", canarySecret + `'`, "quote"},
		"AppSecret, quotes of a text":  {"WXNOTIFY_APPSECRET", "“" + canarySecret + "”", "quote"},
		"AppSecret, CR":                {"WXNOTIFY_APPSECRET", canarySecret + "\r", "carriage return"},
		"AppSecret, line break":        {"WXNOTIFY_APPSECRET", canarySecret + "\n", "ends with a line break"},
		"AppSecret, two lines":         {"WXNOTIFY_APPSECRET", canarySecret + "\n" + canarySecret, "more than one line"},
		"AppSecret, all at once":       {"WXNOTIFY_APPSECRET", bom + canarySecret + " \r", "without one; it holds a carriage return (CR): the file has the line ends of Windows; it ends with a blank"},
		"AppSecret, cut":               {"WXNOTIFY_APPSECRET", canarySecret[:31], "32 hexadecimal digits"},
		"AppSecret, another letter":    {"WXNOTIFY_APPSECRET", canarySecret[:31] + "g", "32 hexadecimal digits"},
		"Token, one letter":            {"WXNOTIFY_CALLBACK_TOKEN", "c", "3 to 32 letters or digits"},
		"Token, two letters":           {"WXNOTIFY_CALLBACK_TOKEN", "ca", "3 to 32 letters or digits"},
		"Token, 33 letters":            {"WXNOTIFY_CALLBACK_TOKEN", canarySecret + "c", "3 to 32 letters or digits"},
		"Token, a dash":                {"WXNOTIFY_CALLBACK_TOKEN", "canary-canary-canary", "3 to 32 letters or digits"},
		"Token, a blank":               {"WXNOTIFY_CALLBACK_TOKEN", "canaryTokenCanary ", "ends with a blank"},
		"previous Token":               {"WXNOTIFY_CALLBACK_TOKEN_PREVIOUS", "c", "3 to 32 letters or digits"},
		"AES key, cut":                 {"WXNOTIFY_ENCODING_AES_KEY", canaryAESKey[:42], "43 letters or digits"},
		"AES key, padded":              {"WXNOTIFY_ENCODING_AES_KEY", canaryAESKey[:42] + "=", "43 letters or digits"},
		"AES key, quoted":              {"WXNOTIFY_ENCODING_AES_KEY", "'" + canaryAESKey + "'", "quote"},
		"enrolment key, 31 bytes":      {"WXNOTIFY_ENROLL_KEY", canarySecret[:31], "32 bytes or more"},
		"enrolment key, a NUL":         {"WXNOTIFY_ENROLL_KEY", canarySecret + "\x00", "holds a control character"},
		"login, an escape":             {"WXNOTIFY_OPS_LOGIN", "admin:\x1b[31mcanary-canary", "holds a control character"},
		"enrolment key, blank":         {"WXNOTIFY_ENROLL_KEY", " " + canarySecret, "starts with a blank"},
		"login without password":       {"WXNOTIFY_OPS_LOGIN", "canarycanary", "user:password"},
		"redis, quotes":                {"WXNOTIFY_REDIS_URL", `"redis://:` + canarySecret + `@h/0"`, "quote"},
		"appid, quotes":                {"WXNOTIFY_APPID", `"wx0123456789abcdef"`, "quote"},
		"number, comment":              {"WXNOTIFY_RATE", "50 # per second", "a comment behind a value is read as part of it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := checked(t, map[string]string{c.variable: c.value})
			if r.accepted || !strings.Contains(r.text, c.variable+": ") || !strings.Contains(r.text, c.want) {
				t.Errorf("accepted %t, want false and %s: …%s:\n%s", r.accepted, c.variable, c.want, r.text)
			}
			if strings.Contains(r.text, canarySecret[:8]) || strings.Contains(r.text, "canary") {
				t.Errorf("the error shows the secret:\n%s", r.text)
			}
		})
	}
}

// TestAddressesThatWeChatDoesNotTakeAreWarnedOf: WeChat's consoles refuse them on the first
// day, in other words.
func TestAddressesThatWeChatDoesNotTakeAreWarnedOf(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"https://203.0.113.7": "has an IP address in place of a name", "https://[2001:db8::7]/wx": "has an IP address in place of a name",
		"https://notify.example.com:8443": "has the port 8443", "https://notify.example.com:80": "has the port 80",
		"https://notify.example.com": "", "https://notify.example.com:443": "", "http://127.0.0.1:8080": "", "http://localhost:8080": "",
	} {
		r := checked(t, map[string]string{"WXNOTIFY_PUBLIC_URL": value})
		if !r.accepted || want == "" && strings.Contains(r.text, "PUBLIC_URL") || !strings.Contains(r.text, want) {
			t.Errorf("%s: accepted %t, want %q:\n%s", value, r.accepted, want, r.text)
		}
		if r := checked(t, map[string]string{"WXNOTIFY_PUBLIC_URL": value, "WXNOTIFY_WECHAT_BASE_URL": "http://127.0.0.1:1"}); strings.Contains(r.text, "has ") {
			t.Errorf("%s with a simulator:\n%s", value, r.text)
		}
	}
	for value, warned := range map[string]bool{"0.0.0.0/0": true, "10.0.0.0/8,::/0": true, "10.0.0.0/8,127.0.0.1": false} {
		if r := checked(t, map[string]string{"WXNOTIFY_TRUSTED_PROXIES": value}); !r.accepted || strings.Contains(r.text, "trusts every address") != warned {
			t.Errorf("%s: %s", value, r.text)
		}
	}
}

// TestPathsThatAreNoFilesAreNamed: a wrong path of a secret or of the configuration does
// not block the start, and is named under its setting.
func TestPathsThatAreNoFilesAreNamed(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{pipe: "is a pipe that no program writes to", "/dev/zero": "has more than 4 MB", t.TempDir(): "is a directory"} {
		r := readAll(t, map[string]string{"WXNOTIFY_APPID": "wx0123456789abcdef", "WXNOTIFY_APPSECRET_FILE": path})
		if r.accepted || !strings.Contains(r.text, "WXNOTIFY_APPSECRET_FILE: ") || !strings.Contains(r.text, want) {
			t.Errorf("%s as a secret: accepted %t, want %q:\n%s", path, r.accepted, want, r.text)
		}
		if _, err := settings.Load(path, nil, nil, settings.Everything); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s as the configuration: %v, want %q", path, err, want)
		}
	}
}

// TestSecretFilesAreChecked: the same for files, where the line end of the last
// line is no part of the secret.
func TestSecretFilesAreChecked(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{
		canarySecret: "", canarySecret + "\n": "", canarySecret + "\r\n": "",
		canarySecret + " \n": "ends with a blank", "\ufeff" + canarySecret + "\r\n": "byte order mark",
		`"` + canarySecret + "\"\n": "quote", canarySecret + "\r\n" + canarySecret + "\r\n": "more than one line", "\n": "missing",
	} {
		env := map[string]string{"WXNOTIFY_APPID": "wx0123456789abcdef", "WXNOTIFY_APPSECRET_FILE": testutil.File(t, "secret", content)}
		r := readAll(t, env)
		if want == "" && r.accepted {
			continue
		}
		if want == "" || r.accepted || !strings.Contains(r.text, "WXNOTIFY_APPSECRET_FILE") || !strings.Contains(r.text, want) {
			t.Errorf("%q: accepted %t, want %q:\n%s", content, r.accepted, want, r.text)
		}
		if strings.Contains(r.text, canarySecret[:8]) {
			t.Errorf("the error shows the secret:\n%s", r.text)
		}
	}
}

// TestSecretsOfSimulatorsAreFree: only WeChat's own AppSecrets have a known form.
func TestSecretsOfSimulatorsAreFree(t *testing.T) {
	t.Parallel()
	r := checked(t, map[string]string{
		"WXNOTIFY_WECHAT_BASE_URL": "http://127.0.0.1:8090", "WXNOTIFY_APPSECRET": "secret-of-one", "WXNOTIFY_APPID": "wxa",
		"WXNOTIFY_WECHAT_AUTHORIZE_URL": "http://127.0.0.1:8090/connect/oauth2/authorize",
	})
	if !r.accepted || r.text != "" {
		t.Errorf("accepted %t:\n%s", r.accepted, r.text)
	}
}

func TestValueAndFileOfASecretAreRefusedTogether(t *testing.T) {
	t.Parallel()
	for _, s := range settings.Table() {
		if !s.Secret() {
			continue
		}
		r := checked(t, map[string]string{s.Env(): canarySecret, s.Env() + "_FILE": testutil.File(t, "secret", canarySecret)})
		if want := s.Env() + " and " + s.Env() + "_FILE are both set"; r.accepted || !strings.Contains(r.text, want) {
			t.Errorf("accepted %t, want %q:\n%s", r.accepted, want, r.text)
		}
	}
}

// TestWarningsDoNotStop: what is probably a mistake is named, on stderr.
func TestWarningsDoNotStop(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		vars map[string]string
		want string
	}{
		"short Token":      {map[string]string{"WXNOTIFY_CALLBACK_TOKEN": "canary123456789"}, "WXNOTIFY_CALLBACK_TOKEN: has 15 characters"},
		"plain mode":       {map[string]string{"WXNOTIFY_CALLBACK_TOKEN": "canaryTokenCanary"}, "WXNOTIFY_CALLBACK_MODE: is plain"},
		"typing error":     {map[string]string{"WXNOTIFY_RAET": "5"}, "WXNOTIFY_RAET: has no effect, it is no setting; the nearest is WXNOTIFY_RATE"},
		"one underscore":   {map[string]string{"WXNOTIFY_APP_SECRET": "x"}, "the nearest is WXNOTIFY_APPSECRET"},
		"file of a number": {map[string]string{"WXNOTIFY_RATE_FILE": "x"}, "WXNOTIFY_RATE_FILE: has no effect, only secrets are read from a file: set WXNOTIFY_RATE"},
		"a row for a key":  {map[string]string{"WXNOTIFY_ENROLL_KEY": "0123456789abcdef0123456789abcdef"}, "WXNOTIFY_ENROLL_KEY: is a row of characters"},
		"one character":    {map[string]string{"WXNOTIFY_ENROLL_KEY": strings.Repeat("k", 32)}, "WXNOTIFY_ENROLL_KEY: is a row of characters"},
		"strange appid":    {map[string]string{"WXNOTIFY_APPID": "foo"}, "WXNOTIFY_APPID: is no appid of WeChat's"},
		"real OAuth":       {map[string]string{"WXNOTIFY_WECHAT_BASE_URL": "http://sim"}, "WXNOTIFY_WECHAT_AUTHORIZE_URL: is WeChat's own"},
		"placeholder": {
			map[string]string{"WXNOTIFY_WECHAT_BASE_URL": "http://sim", "WXNOTIFY_ENROLL_KEY": strings.Repeat("change-me-", 4)},
			"WXNOTIFY_ENROLL_KEY: is a placeholder",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := checked(t, c.vars)
			if !r.accepted || !strings.Contains(r.text, "warning: ") || !strings.Contains(r.text, c.want) {
				t.Errorf("accepted %t, want true and a warning %q:\n%s", r.accepted, c.want, r.text)
			}
			if strings.Contains(r.text, "canary") {
				t.Errorf("the warning shows the Token:\n%s", r.text)
			}
		})
	}
}

func TestNoWarningWithoutAMistake(t *testing.T) {
	t.Parallel()
	r := checked(t, map[string]string{
		"WXNOTIFY_CALLBACK_TOKEN": "canaryTokenCanar", "WXNOTIFY_ENCODING_AES_KEY": canaryAESKey, "WXNOTIFY_ENROLL_KEY": canarySecret,
		// what Kubernetes sets for Services named wxnotify and wxnotify-enroll
		"WXNOTIFY_SERVICE_HOST": "10.0.0.1", "WXNOTIFY_SERVICE_PORT": "8080", "WXNOTIFY_PORT": "tcp://10.0.0.1:8080",
		"WXNOTIFY_PORT_8080_TCP": "tcp://10.0.0.1:8080", "WXNOTIFY_PORT_8080_TCP_ADDR": "10.0.0.1", "WXNOTIFY_ENROLL_SERVICE_PORT_HTTP": "8080",
		"PATH": "/bin", "WXNOTIFYX": "1",
	})
	if !r.accepted || r.text != "" {
		t.Errorf("accepted %t:\n%s", r.accepted, r.text)
	}
	file := testutil.File(t, "c.yaml", "appid: wx0123456789abcdef\nappsecret: env:WXNOTIFY_MY_SECRET\n")
	for _, uses := range []settings.Group{settings.Everything, settings.Connecting} {
		c, err := settings.Load(file, environ("WXNOTIFY_MY_SECRET", canarySecret), nil, uses)
		if err != nil || len(c.Warnings) > 0 {
			t.Errorf("a variable that the file refers to: %v, %v", c.Warnings, err)
		}
	}
}

// TestPlaceholdersOfExamplesAreRefused: those of docker-compose.yml are published.
func TestPlaceholdersOfExamplesAreRefused(t *testing.T) {
	t.Parallel()
	for variable, value := range map[string]string{
		"WXNOTIFY_ENROLL_KEY": "change-me-change-me-change-me-change-me", "WXNOTIFY_CALLBACK_TOKEN": "changeme",
		"WXNOTIFY_OPS_LOGIN": "admin:change-me", "WXNOTIFY_APPSECRET": "change-me",
	} {
		if r := checked(t, map[string]string{variable: value}); r.accepted || !strings.Contains(r.text, variable+": is a placeholder") {
			t.Errorf("%s: accepted %t:\n%s", variable, r.accepted, r.text)
		}
	}
	const ascending = "0123456789abcdef0123456789abcdef"
	for _, c := range []struct{ variable, value string }{
		{"WXNOTIFY_APPSECRET", ascending},
		{"WXNOTIFY_ENROLL_KEY", "CHANGE_ME CHANGE_ME CHANGE_ME CHANGE_ME"},
		{"WXNOTIFY_ENROLL_KEY", "*your-own-key*your-own-key*your-own-key*"},
		{"WXNOTIFY_ENROLL_KEY", "replace.this.with.32.random.bytes.please"},
		{"WXNOTIFY_CALLBACK_TOKEN", "ChangeIt"},
		{"WXNOTIFY_CALLBACK_TOKEN", "token"},
		{"WXNOTIFY_CALLBACK_TOKEN", "weixin123"},
		{"WXNOTIFY_CALLBACK_TOKEN", "simulatorOnlyToken"},
		{"WXNOTIFY_CALLBACK_TOKEN", "yourTokenHere"},
		{"WXNOTIFY_CALLBACK_TOKEN_PREVIOUS", "changeme"},
		{"WXNOTIFY_ENCODING_AES_KEY", "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"},
		{"WXNOTIFY_ENCODING_AES_KEY_PREVIOUS", strings.Repeat("A", 43)},
		{"WXNOTIFY_OPS_LOGIN", "admin:admin"},
		{"WXNOTIFY_OPS_LOGIN", "ops:password1"},
		{"WXNOTIFY_OPS_LOGIN", "ops:secret"},
		{"WXNOTIFY_OPS_LOGIN", "li:li"},
		{"WXNOTIFY_OPS_LOGIN", "admin:123456"},
		{"WXNOTIFY_OPS_LOGIN", "admin:P@ssw0rd"},
		{"WXNOTIFY_OPS_LOGIN", "admin:88888888"},
		{"WXNOTIFY_CALLBACK_TOKEN", "spamtest"},
		{"WXNOTIFY_CALLBACK_TOKEN", "tokentoken1"},
		{"WXNOTIFY_APPSECRET", "fedcba9876543210fedcba9876543210"},
		{"WXNOTIFY_ENROLL_KEY", strings.Repeat("secret", 6)},
		{"WXNOTIFY_ENROLL_KEY", "openssl rand -hex 32, openssl rand -hex 32"},
		{"WXNOTIFY_ENROLL_KEY", "32-bytes-or-more-32-bytes-or-more"},
	} {
		if r := checked(t, map[string]string{c.variable: c.value}); r.accepted || !strings.Contains(r.text, c.variable+": is a placeholder") {
			t.Errorf("%s=%s: accepted %t:\n%s", c.variable, c.value, r.accepted, r.text)
		}
	}
}

// TestReferencesThatWereNotReplacedAreRefused: the text is in the file that was to be
// filled in, which may be published. Simulators do not take it either.
func TestReferencesThatWereNotReplacedAreRefused(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"https://api.weixin.qq.com", "http://127.0.0.1:8090"} {
		for _, value := range []string{
			"${WXNOTIFY_ENROLL_KEY:?make one with openssl}", "$WXNOTIFY_ENROLL_KEY_OF_PRODUCTION", "$(cat /run/secrets/enroll_key_of_wxnotify)",
			"{{ .Values.wxnotify.enrollKey | quote }}", "%WXNOTIFY_ENROLL_KEY_OF_PRODUCTION%", "<32 random bytes of this installation>",
		} {
			for variable, value := range map[string]string{"WXNOTIFY_ENROLL_KEY": value, "WXNOTIFY_OPS_LOGIN": "admin:" + value} {
				r := checked(t, map[string]string{variable: value, "WXNOTIFY_WECHAT_BASE_URL": base})
				if r.accepted || !strings.Contains(r.text, variable+": is a reference") || strings.Contains(r.text, value) {
					t.Errorf("%s=%s: accepted %t:\n%s", variable, value, r.accepted, r.text)
				}
			}
		}
	}
}

// TestShortPasswordsAreWarnedOf, those of ops_login.
func TestShortPasswordsAreWarnedOf(t *testing.T) {
	t.Parallel()
	for login, warned := range map[string]bool{"li:q7": true, "li:q7Zk29s": true, "li:q7Zk29sL": false, "li:$2a$10$abcdefghijklmnopqrstuv": false} {
		r := checked(t, map[string]string{"WXNOTIFY_OPS_LOGIN": login})
		if !r.accepted || strings.Contains(r.text, "WXNOTIFY_OPS_LOGIN: has a password of") != warned {
			t.Errorf("%s: accepted %t:\n%s", login, r.accepted, r.text)
		}
	}
}

// TestPlaceholdersAreForSimulatorsOnly: where WeChat is called through a proxy the
// secrets are real ones.
func TestPlaceholdersAreForSimulatorsOnly(t *testing.T) {
	t.Parallel()
	for base, simulated := range map[string]bool{
		"http://127.0.0.1:8090": true, "http://localhost:8090": true, "http://[::1]:8090": true, "http://simulate:8090": true, "http://sim": true,
		"https://api.weixin.qq.com": false, "https://api2.weixin.qq.com": false, "http://proxy:8090": false, "http://10.0.0.5": false,
		"http://api.weixin.qq.com": false, "https://127.0.0.1": false, "http://127.0.0.1.example.com": false,
		"http://sim-2.test": true, "http://wechat-simulator:8090": true, "http://simmons.example.com": false, "http://similar-proxy:8090": false,
	} {
		r := checked(t, map[string]string{
			"WXNOTIFY_WECHAT_BASE_URL": base, "WXNOTIFY_CALLBACK_TOKEN": "changeme", "WXNOTIFY_ENROLL_KEY": strings.Repeat("change-me-", 4),
			"WXNOTIFY_OPS_LOGIN": "admin:change-me", "WXNOTIFY_WECHAT_AUTHORIZE_URL": "http://127.0.0.1/",
		})
		if r.accepted != simulated || strings.Count(r.text, "is a placeholder") != 3 {
			t.Errorf("%s: accepted %t:\n%s", base, r.accepted, r.text)
		}
	}
}

func TestClearTextAddressesAreWarnedOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		variable, value string
		warned          bool
	}{
		{"WXNOTIFY_PUBLIC_URL", "http://notify.example.com", true},
		{"WXNOTIFY_PUBLIC_URL", "https://notify.example.com", false},
		{"WXNOTIFY_PUBLIC_URL", "http://127.0.0.1:8080", false},
		{"WXNOTIFY_PUBLIC_URL", "http://localhost", false},
		{"WXNOTIFY_WECHAT_BASE_URL", "http://proxy:8090", true},
		{"WXNOTIFY_WECHAT_BASE_URL", "http://127.0.0.1:8090", false},
		{"WXNOTIFY_WECHAT_AUTHORIZE_URL", "http://open.weixin.qq.com/connect", true},
	} {
		r := checked(t, map[string]string{c.variable: c.value})
		if !r.accepted || strings.Contains(r.text, c.variable+": is http://") != c.warned {
			t.Errorf("%s=%s: accepted %t:\n%s", c.variable, c.value, r.accepted, r.text)
		}
	}
}

func TestSettingsThatNeedOneAnother(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		vars map[string]string
		want string
	}{
		"secure without a key":       {map[string]string{"WXNOTIFY_CALLBACK_MODE": "secure", "WXNOTIFY_CALLBACK_TOKEN": "canaryTokenCanary"}, "WXNOTIFY_ENCODING_AES_KEY: is missing"},
		"previous without an end":    {map[string]string{"WXNOTIFY_CALLBACK_TOKEN_PREVIOUS": "canaryBefore"}, "WXNOTIFY_CALLBACK_PREVIOUS_UNTIL: is missing"},
		"operators without a login":  {map[string]string{"WXNOTIFY_OPS_ADDR": "0.0.0.0:9090"}, "WXNOTIFY_OPS_LOGIN: is missing"},
		"operators on all addresses": {map[string]string{"WXNOTIFY_OPS_ADDR": ":9090"}, "WXNOTIFY_OPS_LOGIN: is missing"},
		"keep of a minute":           {map[string]string{"WXNOTIFY_KEEP": "1m"}, `WXNOTIFY_KEEP: "1m" is too short: at least 1h, since a record that ends before its task comes back lets the message go out twice`},
		"keep of 59 minutes":         {map[string]string{"WXNOTIFY_KEEP": "59m59s"}, "at least 1h"},
	} {
		if r := checked(t, c.vars); r.accepted || !strings.Contains(r.text, c.want) {
			t.Errorf("%s: accepted %t, want %q:\n%s", name, r.accepted, c.want, r.text)
		}
	}
	for _, vars := range []map[string]string{
		{"WXNOTIFY_KEEP": "1h"},
		{"WXNOTIFY_OPS_ADDR": "-"},
		{"WXNOTIFY_OPS_ADDR": "localhost:1"},
		{"WXNOTIFY_OPS_ADDR": "[::1]:1"},
		{"WXNOTIFY_OPS_ADDR": ":9090", "WXNOTIFY_OPS_LOGIN": "admin:a b#c"},
	} {
		if r := checked(t, vars); !r.accepted {
			t.Errorf("%v: accepted %t:\n%s", vars, r.accepted, r.text)
		}
	}
}

// TestEnvFileAsUsersWriteIt: docker run --env-file keeps quotes and comments.
func TestEnvFileAsUsersWriteIt(t *testing.T) {
	t.Parallel()
	f, err := os.Open("testdata/user.env")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	env := map[string]string{}
	for s := bufio.NewScanner(f); s.Scan(); {
		if name, value, ok := strings.Cut(s.Text(), "="); ok && !strings.HasPrefix(s.Text(), "#") {
			env[name] = value
		}
	}
	r := readAll(t, env)
	for _, want := range []string{
		"WXNOTIFY_APPID: has a quote", "WXNOTIFY_APP_SECRET: has no effect, it is no setting; the nearest is WXNOTIFY_APPSECRET",
		`WXNOTIFY_RATE: "50 # per second" is not a number above 0; a comment behind a value`,
	} {
		if r.accepted || !strings.Contains(r.text, want) {
			t.Errorf("accepted %t, want %q:\n%s", r.accepted, want, r.text)
		}
	}
	if strings.Contains(r.text, "hunter2") || strings.Contains(r.text, "0123456789abcdef") {
		t.Errorf("the error shows a secret:\n%s", r.text)
	}
}

// FuzzSecretsAreNeverShown: whatever surrounds a secret, no error, no warning and
// no row of `config` shows it.
func FuzzSecretsAreNeverShown(f *testing.F) {
	f.Add("", "")
	f.Add("\ufeff\"", " # comment\r\n")
	f.Add("admin:", "")
	f.Add("env:", "file:")
	f.Fuzz(func(t *testing.T, before, after string) {
		for _, s := range settings.Table() {
			if !s.Secret() || s.Name == "redis_url" || strings.HasPrefix(before, "file:") || strings.HasPrefix(before, "env:") {
				continue // redis_url may show a host; a reference names its file or variable
			}
			c, err := settings.Load("", environ("WXNOTIFY_APPID", "wxa", s.Env(), before+canarySecret+after), nil, settings.Everything)
			if text := fmt.Sprint(err, c.Warnings, c.Rows); strings.Contains(text, canarySecret[:12]) {
				t.Errorf("%s: %s", s.Env(), text)
			}
		}
	})
}
