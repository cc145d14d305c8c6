package main

import (
	"encoding/json"
	"strings"
	"testing"
)

const canarySecret = "canary0secret0canary0secret0cana"

func env(pairs ...string) func(string) string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return func(k string) string { return m[k] }
}

func TestConfigLayers(t *testing.T) {
	t.Parallel()
	file := write(t, "wxnotify.yaml", "rate: 10\nconcurrency: 7\nquota_utc_offset: \"+09:00\"\nappid: wxfile\n")
	c, err := loadConfig(file, env("WXNOTIFY_RATE", "20", "WXNOTIFY_APPID", "wxenv"), map[string]string{"rate": "30"})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"rate": "30", "concurrency": "7", "appid": "wxenv", "quota_utc_offset": "+09:00",
		"daily_quota": "100000", "reserve_critical": "0.02", "ops_addr": "127.0.0.1:9090",
	} {
		if got := c.text(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{"rate": "flag", "concurrency": "file", "appid": "environment", "keep": "default"} {
		if got := c.sources[name]; got != want {
			t.Errorf("%s came from %q, want %q", name, got, want)
		}
	}
}

func TestConfigSecretsByReference(t *testing.T) {
	t.Parallel()
	secret := write(t, "secret", canarySecret+"\n")
	for name, c := range map[string]struct {
		file string
		env  []string
	}{
		"environment":       {env: []string{"WXNOTIFY_APPSECRET", canarySecret}},
		"environment file":  {env: []string{"WXNOTIFY_APPSECRET_FILE", secret}},
		"file by path":      {file: "appsecret_file: " + secret},
		"file by reference": {file: "appsecret: file:" + secret},
		"file by variable":  {file: "appsecret: env:MY_SECRET", env: []string{"MY_SECRET", canarySecret}},
		"beats the file's":  {file: "appsecret_file: /nowhere", env: []string{"WXNOTIFY_APPSECRET", canarySecret}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := ""
			if c.file != "" {
				path = write(t, "c.yaml", c.file+"\n")
			}
			got, err := loadConfig(path, env(append(c.env, "WXNOTIFY_APPID", "wxa")...), nil)
			if err != nil {
				t.Fatal(err)
			}
			if got.accounts[0]["appsecret"] != canarySecret {
				t.Errorf("appsecret = %q", got.accounts[0]["appsecret"])
			}
		})
	}
}

func TestConfigAccounts(t *testing.T) {
	t.Parallel()
	file := write(t, "c.yaml", `
rate: 40
accounts:
  - appid: wxone
    appsecret: env:ONE
  - appid: wxtwo
    appsecret: env:TWO
    rate: 80
    daily_quota: 500000
`)
	c, err := loadConfig(file, env("ONE", "s1", "TWO", "s2"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.accounts) != 2 || c.accounts[0]["rate"] != "40" || c.accounts[1]["rate"] != "80" ||
		c.accounts[1]["daily_quota"] != "500000" || c.accounts[0]["appsecret"] != "s1" {
		t.Errorf("accounts = %v", c.accounts)
	}
	if _, err := c.pick(""); err == nil || !strings.Contains(err.Error(), "--account") {
		t.Errorf("pick without a name: %v, want one that names --account", err)
	}
}

// TestConfigFaultsAllAtOnce: each wrong value is named, with its remedy, in one go.
func TestConfigFaultsAllAtOnce(t *testing.T) {
	t.Parallel()
	file := write(t, "c.yaml", "raet: 5\naccounts:\n  - rate: fast\n  - appid: wxa\n  - appid: wxa\n")
	_, err := loadConfig(file, env(
		"WXNOTIFY_RATE", "-1", "WXNOTIFY_CONCURRENCY", "0", "WXNOTIFY_RESERVE_CRITICAL", "1.5",
		"WXNOTIFY_QUOTA_UTC_OFFSET", "Beijing", "WXNOTIFY_OPS_ADDR", "9090", "WXNOTIFY_WECHAT_BASE_URL", "api.weixin.qq.com",
		"WXNOTIFY_ENROLL_KEY", canarySecret[:10], "WXNOTIFY_OPS_LOGIN", canarySecret, "WXNOTIFY_APPSECRET_FILE", "/no/such/file"), nil)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`"raet"`, "rate (WXNOTIFY_RATE", "concurrency", "reserve_critical", "+08:00", "ops_addr", "wechat_base_url",
		"enroll_key", "ops_login", "appsecret", "accounts[0]: appid is missing", "wxa is listed twice", "accounts[0]: rate",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), canarySecret[:10]) {
		t.Errorf("the error shows a secret:\n%v", err)
	}
}

func TestConfigCommandRedacts(t *testing.T) {
	t.Parallel()
	vars := map[string]string{
		"WXNOTIFY_APPID": "wxa", "WXNOTIFY_APPSECRET": canarySecret,
		"WXNOTIFY_REDIS_URL": "redis://user:" + canarySecret + "@127.0.0.1:6379/0", "WXNOTIFY_OPS_LOGIN": "admin:" + canarySecret,
	}
	for _, args := range [][]string{{"config"}, {"config", "--output", "json"}} {
		r := inProcess(t, vars, args...)
		if r.code != 0 {
			t.Fatalf("%v: exit %d: %s", args, r.code, r.stderr)
		}
		if strings.Contains(r.stdout+r.stderr, canarySecret) {
			t.Errorf("%v prints the secret:\n%s", args, r.stdout)
		}
		if !strings.Contains(r.stdout, "wxa") || !strings.Contains(r.stdout, "WXNOTIFY_DAILY_QUOTA") {
			t.Errorf("%v does not print the configuration:\n%s", args, r.stdout)
		}
	}
	r := inProcess(t, vars, "config", "-o", "json")
	var parsed struct {
		Settings []shownSetting `json:"settings"`
	}
	if err := json.Unmarshal([]byte(r.stdout), &parsed); err != nil || len(parsed.Settings) != len(settings()) {
		t.Errorf("json: %v, %d settings of %d", err, len(parsed.Settings), len(settings()))
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
		"WXNOTIFY_API_KEYS": "", "WXNOTIFY_ENROLL_KEY": "",
	}
	for _, s := range settings() {
		want, ok := law[s.env()]
		delete(law, s.env())
		if ok && s.Default != want {
			t.Errorf("%s defaults to %q, want %q", s.env(), s.Default, want)
		}
	}
	for name := range law {
		t.Errorf("%s is missing", name)
	}
}
