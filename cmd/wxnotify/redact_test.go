package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// TestConfigHidesRedisPasswords: in whatever part of the address they stand.
func TestConfigHidesRedisPasswords(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"redis://:canary-1@127.0.0.1:6379/0",
		"rediss://worker:canary-2@127.0.0.1:6379/0",
		"redis://canary-3@127.0.0.1:6379/0", // the password where the user belongs
		"redis-sentinel://:canary-4@one,two/0?master=main&sentinel_username=s&sentinel_password=canary-5",
		"redis-sentinel://:canary-6@one:26379,two:26379/0?master=main&sentinel_password=canary-7",
		"redis-cluster://:canary-8@one:6379,two:6379?password=canary-9",
		"redis://:canary-10/with-a-slash@127.0.0.1:6379",
		"redis://127.0.0.1:6379/0#canary-11",
		"unix://me:canary-13@/run/redis.sock?db=1",
		"unix://me:canary/14@/run/redis.sock",
		"redis://127.0.0.1:6379/0?canary-12",
	} {
		for _, form := range []string{"text", "json"} {
			r := inProcess(t, map[string]string{"WXNOTIFY_REDIS_URL": address, "WXNOTIFY_APPID": "wxa"}, "config", "--output", form)
			if strings.Contains(r.stdout+r.stderr, "canary") {
				t.Errorf("%s of %s shows the password:\n%s%s", form, address, r.stdout, r.stderr)
			}
		}
	}
	r := inProcess(t, map[string]string{
		"WXNOTIFY_REDIS_URL": "redis-sentinel://:pw@one:26379,two:26379/3?master=main&sentinel_password=x",
	}, "config")
	if want := "redis-sentinel://[redacted]@one:26379,two:26379/3?master=main&sentinel_password=[redacted]"; !strings.Contains(r.stdout, want) {
		t.Errorf("the rest of the address is lost, want %s:\n%s", want, r.stdout)
	}
	r = inProcess(t, map[string]string{"WXNOTIFY_REDIS_URL": "unix://me:pw@/run/redis.sock?db=3"}, "config")
	if want := "unix://[redacted]@/run/redis.sock?db=3"; !strings.Contains(r.stdout, want) {
		t.Errorf("the rest of the address is lost, want %s:\n%s", want, r.stdout)
	}
}

// TestPasswordCutByADelimiterIsShownNowhere: neither used as a host nor shown, in any
// address that may hold one.
func TestPasswordCutByADelimiterIsShownNowhere(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"%s://canary#tail@host.invalid:1", "%s://u:canary/tail@host.invalid:1", "%s://canary?tail@host.invalid:1/x"} {
		for variable, scheme := range map[string]string{
			"WXNOTIFY_REDIS_URL": "redis", "WXNOTIFY_WECHAT_PROXY": "http", "WXNOTIFY_WECHAT_BASE_URL": "https",
			"WXNOTIFY_WECHAT_AUTHORIZE_URL": "https", "WXNOTIFY_PUBLIC_URL": "https", "WXNOTIFY_FORWARD_URL": "https",
			"HTTPS_PROXY": "http", "http_proxy": "http",
		} {
			env := map[string]string{
				"WXNOTIFY_APPID": wechattest.AppID, "WXNOTIFY_APPSECRET": wechattest.AppSecret, "WXNOTIFY_WECHAT_BASE_URL": "http://127.0.0.1:1",
				variable: fmt.Sprintf(address, scheme),
			}
			r := inProcess(t, env, "config", "check")
			if r.code != exitUsage || !strings.Contains(r.stderr, variable+": ") || !strings.Contains(r.stderr, "@") {
				t.Errorf("%s=%s: code %d, want a fault that names the variable and the @:\n%s", variable, env[variable], r.code, r.stderr)
			}
			r2 := inProcess(t, env, "config")
			if out := r.stdout + r.stderr + r2.stdout + r2.stderr; strings.Contains(out, "canary") || strings.Contains(out, "tail") {
				t.Errorf("%s=%s: shown:\n%s", variable, env[variable], out)
			}
		}
	}
}

func TestProxyIsASecret(t *testing.T) {
	t.Parallel()
	env := map[string]string{"WXNOTIFY_APPID": "wxa", "WXNOTIFY_WECHAT_PROXY_FILE": testutil.File(t, "proxy", "http://u:canary@proxy.invalid:3128\n")}
	r := inProcess(t, env, "config")
	if r.code != exitDone || !strings.Contains(r.stdout, "wechat_proxy") || strings.Contains(r.stdout+r.stderr, "canary") {
		t.Errorf("code %d:\n%s%s", r.code, r.stdout, r.stderr)
	}
	env["WXNOTIFY_WECHAT_PROXY_FILE"] = testutil.File(t, "proxy", "ftp://u:canary@proxy.invalid:3128")
	if r = inProcess(t, env, "config"); r.code != exitUsage || !strings.Contains(r.stderr, "socks5") || strings.Contains(r.stderr, "canary") {
		t.Errorf("code %d: %s", r.code, r.stderr)
	}
}

// TestRedisFilesAreTheirOwnSettings: not the files of secrets named redis_ca and so on.
func TestRedisFilesAreTheirOwnSettings(t *testing.T) {
	t.Parallel()
	file := testutil.File(t, "wxnotify.yaml", "redis_url: rediss://127.0.0.1:1\nredis_ca_file: /nowhere.pem\n")
	r := inProcess(t, map[string]string{"WXNOTIFY_APPID": "wxa", "WXNOTIFY_CONFIG": file}, "queues")
	if r.code != exitUsage || !strings.Contains(r.stderr, "WXNOTIFY_REDIS_CA_FILE cannot be read: open /nowhere.pem") {
		t.Errorf("code %d: %s", r.code, r.stderr)
	}
	r = inProcess(t, map[string]string{"WXNOTIFY_APPID": "wxa", "WXNOTIFY_REDIS_KEY_FILE": "/key"}, "queues")
	if r.code != exitUsage || !strings.Contains(r.stderr, "has no TLS") {
		t.Errorf("code %d: %s", r.code, r.stderr)
	}
}

// TestEachAccountHasItsProxy: a refused connection names the proxy of the account, and no
// password.
func TestEachAccountHasItsProxy(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	file := testutil.File(t, "wxnotify.yaml", "redis_url: "+server.URL()+`
wechat_base_url: http://127.0.0.1:1
appsecret: `+wechattest.AppSecret+`
wechat_proxy: http://u:canary-common@127.0.0.1:2
accounts:
  - appid: wxone
  - appid: wxtwo
    wechat_proxy_file: `+testutil.File(t, "proxy", "http://u:canary-own@127.0.0.1:3\n")+`
`)
	env := map[string]string{"WXNOTIFY_CONFIG": file}
	for account, proxy := range map[string]string{"wxone": "127.0.0.1:2", "wxtwo": "127.0.0.1:3"} {
		r := inProcess(t, env, "token", "refresh", "--account", account)
		if r.code == exitDone || !strings.Contains(r.stderr, proxy) || strings.Contains(r.stdout+r.stderr, "canary") {
			t.Errorf("%s: code %d, want a refused connection to %s:\n%s%s", account, r.code, proxy, r.stdout, r.stderr)
		}
	}
}
