package wiring_test

import (
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/usage"
	"github.com/wxnotify/wxnotify/internal/wiring"
)

// load reads settings of a simulated account and these.
func load(t *testing.T, pairs ...string) *settings.Config {
	t.Helper()
	env := map[string]string{
		"WXNOTIFY_APPID": "wxa", "WXNOTIFY_WECHAT_BASE_URL": "http://sim", "WXNOTIFY_WECHAT_AUTHORIZE_URL": "http://sim/oauth",
	}
	for i := 0; i < len(pairs); i += 2 {
		env[pairs[i]] = pairs[i+1]
	}
	c, err := settings.Load("", env, nil, settings.Everything)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAnAccountWithoutASecretGetsNoToken(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	c := load(t)
	a, err := wiring.Open(server.Client(t), c, &c.Accounts[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close() }()
	if a.AppID != "wxa" || a.Templates != nil {
		t.Errorf("appid %s, templates %v", a.AppID, a.Templates)
	}
	if token, err := a.Tokens.Token(t.Context()); err == nil {
		t.Errorf("a token without a secret: %v", token)
	}
}

func TestWhatAPackageRefusesIsWrongConfiguration(t *testing.T) {
	t.Parallel()
	c := load(t, "WXNOTIFY_WECHAT_BASE_URL", "http://sim/#x", "WXNOTIFY_APPSECRET", "secret")
	if _, err := wiring.Open(nil, c, &c.Accounts[0], nil); !usage.Is(err) || !strings.HasPrefix(err.Error(), "account wxa: ") {
		t.Errorf("a base URL with a fragment: %v", err)
	}
	for _, address := range []string{"mysql://x", "redis://127.0.0.1:1/0"} { // no address of Redis; nothing listens
		c := load(t, "WXNOTIFY_REDIS_URL", address)
		if _, _, err := wiring.Connect(t.Context(), c); !usage.Is(err) || !strings.HasPrefix(err.Error(), "WXNOTIFY_REDIS_URL: ") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestOpenidsThatAreSealedOtherwiseAreRefused(t *testing.T) {
	t.Parallel()
	const key = "9e21b7cf80a4d36e1728fb4705ecd96a3b7f82e0941d5ac6f0736be8d124a65c"
	server := redistest.Start(t)
	sealed := load(t, "WXNOTIFY_REDIS_URL", server.URL(), "WXNOTIFY_SEAL_KEYS", key, "WXNOTIFY_SEAL_NAME_KEYS", key)
	rdb, _, err := wiring.Connect(t.Context(), sealed)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rdb.Close() }()
	if err := wiring.CheckNames(t.Context(), rdb, sealed, "wxa"); err != nil { // a new account: this seals it
		t.Fatal(err)
	}
	if err := wiring.CheckNames(t.Context(), rdb, load(t), "wxa"); !usage.Is(err) {
		t.Errorf("a process without the key: %v", err)
	}
}

func TestThePreviousTokenIsAcceptedUntilItsEnd(t *testing.T) {
	t.Parallel()
	before := load(t, "WXNOTIFY_CALLBACK_TOKEN", "tokenOfYesterday0000", "WXNOTIFY_CALLBACK_MODE", "plain")
	yesterday, err := wiring.NewCallback(&before.Accounts[0])
	if err != nil {
		t.Fatal(err)
	}
	for until, accepted := range map[string]bool{"2099-01-01T00:00:00Z": true, "2020-01-01T00:00:00Z": false} {
		c := load(t, "WXNOTIFY_CALLBACK_TOKEN", "tokenOfToday00000000", "WXNOTIFY_CALLBACK_TOKEN_PREVIOUS", "tokenOfYesterday0000",
			"WXNOTIFY_CALLBACK_PREVIOUS_UNTIL", until, "WXNOTIFY_CALLBACK_MODE", "plain")
		callback, err := wiring.NewCallback(&c.Accounts[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := callback.CheckQuery(yesterday.Sign("oFollower", time.Now())); (err == nil) != accepted {
			t.Errorf("the previous Token, good until %s: %v", until, err)
		}
	}
}
