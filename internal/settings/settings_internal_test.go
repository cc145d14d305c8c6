package settings

import (
	"math/rand/v2"
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
	sealKey      = "c84e2b7f90a1d36e5528fb47091cde6a3b7f80e2941d5ac6f0739be81d24a65f"
	nameKey      = "9e21b7cf80a4d36e1728fb4705ecd96a3b7f82e0941d5ac6f0736be8d124a65c"
)

// TestConfigFillsEveryField: each row of the table has a rule, a default that
// the rule accepts, and reaches its field.
func TestConfigFillsEveryField(t *testing.T) {
	t.Parallel()
	texts := map[string]string{
		"redis_url": "redis://h:1/0", "keep": "2h", "seal_keys": sealKey, "seal_name_keys": nameKey, "webhook_private": "true", "appid": "wxa", "appsecret": canarySecret, "token_mode": "classic",
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
	for _, s := range Table() {
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
		env[s.Env()] = texts[s.Name]
	}
	c, err := Load("", env, nil, Everything)
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

// TestRandomSecretsAreNoPlaceholders: what openssl and WeChat's console make is
// taken.
func TestRandomSecretsAreNoPlaceholders(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("one goroutine: nothing for the race detector, and go test runs it whole")
	}
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test's
	for range 20_000 {
		for _, kind := range []struct {
			letters string
			length  int
		}{
			{"0123456789abcdef", 32},
			{"0123456789abcdef", 64},
			{"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", 16},
			{"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", 43},
		} {
			secret := make([]byte, kind.length)
			for i := range secret {
				secret[i] = kind.letters[random.IntN(len(kind.letters))]
			}
			if s := wechat.NewSecret(string(secret)); isPlaceholder(s) || isReference(s) || isRow(s) || isRepetition(s) {
				t.Fatalf("%s is refused", secret)
			}
		}
	}
	for _, s := range []string{canarySecret, canaryAESKey, "", "admin:correct horse battery staple", "canaryTokenCanary"} {
		if isPlaceholder(wechat.NewSecret(s)) {
			t.Errorf("%s is refused", s)
		}
	}
}
