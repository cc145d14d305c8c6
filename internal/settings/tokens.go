package settings

import (
	"fmt"
	"slices"

	"github.com/wxnotify/wxnotify/wechat"
)

// sharedTokens refuses an account in plain mode whose Token another account has, too: a
// signature for the other one is good for it, with any body.
func (c *Config) sharedTokens() (faults []error) {
	for i := range c.Accounts {
		a := &c.Accounts[i]
		if a.Mode() != wechat.CallbackPlain || a.Simulated() {
			continue
		}
		for j := range c.Accounts {
			if b := &c.Accounts[j]; i != j && slices.ContainsFunc(a.tokens(), func(s wechat.Secret) bool { return slices.Contains(b.tokens(), s) }) {
				faults = append(faults, fmt.Errorf("accounts: %s has the callback_token of %s, and callback_mode plain, so that what is pushed for one can be replayed to the other: give it a Token of its own, here and in 消息推送配置, or choose secure mode", a.AppID, b.AppID))
				break
			}
		}
	}
	return faults
}

// tokens that sign pushes.
func (a *Account) tokens() (out []wechat.Secret) {
	for _, s := range []wechat.Secret{a.CallbackToken, a.PreviousToken} {
		if !s.IsZero() {
			out = append(out, s)
		}
	}
	return out
}
