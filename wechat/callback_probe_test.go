package wechat_test

import (
	"errors"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// TestProbeTellsWhatDiffers and is never taken for a push.
func TestProbeTellsWhatDiffers(t *testing.T) {
	t.Parallel()
	const token, otherToken = "probeTokenProbeToken", "otherTokenOtherToken"
	const key, otherKey = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", "GFEDCBA9876543210zyxwvutsrqponmlkjihgfedcba"
	open := func(mode wechat.CallbackMode, token, key string) *wechat.Callback {
		t.Helper()
		c, err := wechat.NewCallback(wechat.CallbackConfig{
			AppID: "wx0123456789abcdef", Mode: mode,
			Tokens: []wechat.RotatingSecret{{Value: wechat.NewSecret(token)}}, AESKeys: []wechat.RotatingSecret{{Value: wechat.NewSecret(key)}},
		})
		must(t, err)
		return c
	}
	plain, compat, secure := wechat.CallbackPlain, wechat.CallbackCompat, wechat.CallbackSecure
	for name, c := range map[string]struct {
		ours, theirs *wechat.Callback
		fault        wechat.CallbackFault // empty: a query that Forwarded knows
	}{
		"secure":               {open(secure, token, key), open(secure, token, key), wechat.CallbackFaultAppID},
		"compat":               {open(compat, token, key), open(compat, token, key), wechat.CallbackFaultAppID},
		"plain":                {open(plain, token, key), open(plain, token, key), ""},
		"another Token":        {open(secure, token, key), open(secure, otherToken, key), wechat.CallbackFaultSignature},
		"another Token, plain": {open(plain, token, key), open(plain, otherToken, key), wechat.CallbackFaultSignature},
		"another key":          {open(secure, token, key), open(secure, token, otherKey), wechat.CallbackFaultEncryption},
		"secure at plain":      {open(secure, token, key), open(plain, token, key), wechat.CallbackFaultMode},
		"plain at secure":      {open(plain, token, key), open(secure, token, key), wechat.CallbackFaultMode},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			query, body, err := c.ours.Probe(time.Now())
			must(t, err)
			if c.fault == "" {
				if err := c.theirs.CheckQuery(query); err != nil || !wechat.Forwarded(query) {
					t.Errorf("%v, forwarded %v: want a query that is known as forwarded", err, wechat.Forwarded(query))
				}
				return
			}
			_, err = c.theirs.Open(query, body)
			var refused *wechat.CallbackError
			if !errors.As(err, &refused) || refused.Fault != c.fault || refused.Push() != nil {
				t.Errorf("%v, want a refusal for %s without a push", err, c.fault)
			}
		})
	}
}
