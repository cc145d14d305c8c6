package settings_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/wechat"
)

func TestASettingHasOneNameInEachPlace(t *testing.T) {
	t.Parallel()
	s := settings.Lookup("daily_quota")
	if s.Env() != "WXNOTIFY_DAILY_QUOTA" || s.Flag() != "daily-quota" || s.Default != "100000" || s.Secret() || s.Group&settings.Sending == 0 {
		t.Errorf("daily_quota = %+v", s)
	}
	if !settings.Lookup("appsecret").Secret() || settings.Lookup("daily-quota").Name != "" {
		t.Error("settings are not found by their key alone")
	}
	for flag, key := range map[string]string{"daily-quota": "daily_quota", "appsecret-file": "appsecret_file", "redis-ca-file": "redis_ca_file"} {
		if got, ok := settings.FlagKey(flag); !ok || got != key {
			t.Errorf("--%s sets %q, %t", flag, got, ok)
		}
	}
	for _, flag := range []string{"output", "daily-quota-file", "", "accounts"} {
		if key, ok := settings.FlagKey(flag); ok {
			t.Errorf("--%s sets %q", flag, key)
		}
	}
}

func TestOneTextIsCheckedByTheRuleOfItsSetting(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		right      bool
	}{
		{"appid", "wx0123456789abcdef", true},
		{"appid", "wx 1", false},
		{"public_url", "https://notify.example.com", true},
		{"public_url", "https://notify.example.com?x=1", false},
		{"public_url", "", true},
		{"rate", "fast", false},
	} {
		if err := settings.Lookup(c.name).Check(c.text); (err == nil) != c.right {
			t.Errorf("%s=%q: %v", c.name, c.text, err)
		}
	}
	if err := settings.CheckURL("http://127.0.0.1:9090/readyz?verbose"); err != nil {
		t.Error(err)
	}
	if err := settings.CheckURL("http://user:pw@127.0.0.1"); err == nil || strings.Contains(err.Error(), "pw") {
		t.Errorf("an address with a password: %v", err)
	}
	if !settings.IsAppID("wx0123456789abcdef") || settings.IsAppID("wx0123456789abcdeg") || settings.IsAppID("gh_0123456789ab") {
		t.Error("IsAppID")
	}
	account := settings.Account{AppID: "foo", AppSecret: wechat.NewSecret("canary"), BaseURL: "https://api.weixin.qq.com"}
	warnings, faults := account.Check()
	if len(warnings) != 1 || !strings.HasPrefix(warnings[0], "appid: ") || len(faults) != 1 || !strings.HasPrefix(faults[0].Error(), "appsecret: ") {
		t.Errorf("an account without the form of WeChat's: %v, %v", warnings, faults)
	}
}

func TestAReloadKeepsWhatCannotChangeAndNamesTheRest(t *testing.T) {
	t.Parallel()
	load := func(text string) *settings.Config {
		t.Helper()
		c, err := settings.Load(testutil.File(t, "c.yaml", text), nil, nil, settings.Everything)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	const simulated = "wechat_base_url: http://sim\nwechat_authorize_url: http://sim/oauth\n"
	before := load(simulated + "ops_addr: 127.0.0.1:9090\nkeep: 72h\naccounts:\n  - {appid: wxa, rate: 5, appsecret: one}\n  - {appid: wxb}\n")
	now := load(simulated + "ops_addr: 127.0.0.1:9191\nkeep: 73h\naccounts:\n  - {appid: wxa, rate: 6, appsecret: two}\n  - {appid: wxc}\n")
	fixed, changed := now.Replace(before)
	if !slices.Equal(fixed, []string{"WXNOTIFY_OPS_ADDR"}) || now.Ops.Addr != "127.0.0.1:9090" {
		t.Errorf("fixed = %v, ops_addr = %s", fixed, now.Ops.Addr)
	}
	if want := []string{
		"WXNOTIFY_KEEP", "account wxa: WXNOTIFY_APPSECRET", "account wxa: WXNOTIFY_RATE", "account wxc: added", "account wxb: removed",
	}; !slices.Equal(changed, want) {
		t.Errorf("changed = %v, want %v", changed, want)
	}
	if fixed, changed := now.Replace(now); fixed != nil || changed == nil || len(changed) > 0 {
		t.Errorf("of itself: %v, %v", fixed, changed)
	}
}

func TestErrorsNameSettingsForGoFields(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"wechat: CallbackConfig.AESKeys[0] is not 43":         "wechat: WXNOTIFY_ENCODING_AES_KEY or WXNOTIFY_ENCODING_AES_KEY_PREVIOUS is not 43",
		"producer: Enrollment.PublicURL is not an address":    "producer: WXNOTIFY_PUBLIC_URL is not an address",
		"operators' listener: config.Logins[0]: the password": "operators' listener: WXNOTIFY_OPS_LOGIN: the password",
		"worker: Config.Concurrency must be from 1 to 1000":   "worker: WXNOTIFY_CONCURRENCY must be from 1 to 1000",
		"enroll: Config.Accounts[1].AppID is required":        "enroll: accounts is required",
		"a sentence about Config.":                            "a sentence about Config.",
	} {
		if got := settings.WithNames(text); got != want {
			t.Errorf("%q reads %q, want %q", text, got, want)
		}
	}
}
