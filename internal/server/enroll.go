package server

import (
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/gateway"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/usage"
	"github.com/wxnotify/wxnotify/internal/wiring"
	"github.com/wxnotify/wxnotify/wechat"
)

var (
	_ enroll.OAuth    = (*wechat.OAuth)(nil)
	_ enroll.Platform = (*wechat.Client)(nil)
)

// newEnroll builds the public service of these accounts. What is not configured
// is left out with a warning; nothing to serve at all is an error.
func newEnroll(c *settings.Config, accounts []*wiring.Account, watch *observer) (*enroll.Service, error) {
	cfg := enroll.Config{
		PublicURL: c.Public.URL, Key: c.Public.EnrollKey, PreviousKey: c.Public.PreviousEnrollKey, ReturnURLs: c.Public.ReturnURLs,
		Logger: watch.log, OnEvent: watch.enrolled, TrustedProxies: c.Public.TrustedProxies,
		OnChange: rosterChanged(accounts),
	}
	if folder := c.Public.VerifyFiles; folder != "" {
		var err error
		if cfg.VerifyFiles, err = enroll.ReadVerifyFiles(folder); err != nil {
			return nil, usage.Errorf("%s: %w", c.Label("verify_files"), err)
		}
	}
	missing := c.LinksMissing()
	if missing != nil {
		watch.log.Warn("followers cannot enrol", zap.NamedError("cause", missing))
	}
	pushes := false
	for _, a := range accounts {
		acct, err := enrollAccount(a, c)
		if err != nil {
			return nil, usage.Errorf("account %s: %w", a.AppID, err)
		}
		if acct.Callback == nil {
			watch.log.Warn("WeChat's pushes are refused: set WXNOTIFY_CALLBACK_TOKEN, and WXNOTIFY_ENCODING_AES_KEY for secure mode",
				zap.String("account", a.AppID))
		}
		pushes = pushes || acct.Callback != nil
		cfg.Accounts = append(cfg.Accounts, acct)
	}
	if missing != nil && !pushes {
		return nil, usage.Errorf("enroll has nothing to do: set WXNOTIFY_PUBLIC_URL and WXNOTIFY_ENROLL_KEY so that followers can enrol, " +
			"WXNOTIFY_CALLBACK_TOKEN so that WeChat's pushes are accepted")
	}
	s, err := enroll.New(cfg)
	if err != nil {
		return nil, usage.Wrap(err)
	}
	return s, nil
}

func enrollAccount(a *wiring.Account, c *settings.Config) (out enroll.Account, err error) {
	out = enroll.Account{Roster: a.Roster, Name: a.Name, Platform: a.Client, AuthorizeURL: a.AuthorizeURL}
	oauth, err := wechat.NewOAuth(a.WeChat)
	if err != nil {
		return out, err
	}
	out.OAuth = oauth
	if a.CallbackToken.IsZero() {
		return out, nil
	}
	if out.Callback, err = wiring.NewCallback(a.Account); err != nil || a.ForwardURL == "" {
		return out, err
	}
	if c.API.Gateway {
		out.ReceiptMsgID = func(id string) wechat.MessageID { return gateway.MsgID(a.AppID, id) }
	}
	out.Forward, err = enroll.NewHTTPForwarder(a.ForwardURL, out.Callback, nil)
	return out, err
}
