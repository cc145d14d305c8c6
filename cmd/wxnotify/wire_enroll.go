package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/broker"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/wechat"
)

var (
	_ enroll.OAuth     = (*wechat.OAuth)(nil)
	_ enroll.Platform  = (*wechat.Client)(nil)
	_ enroll.Receipts  = (*ledger.Ledger)(nil)
	_ enroll.Followers = (*ledger.Ledger)(nil)
	_ enroll.Records   = (*ledger.Ledger)(nil)
	_ enroll.Tasks     = (*broker.Inspector)(nil)
)

// newEnroll builds the public service over the accounts of this process. What is
// not configured is left out and said; nothing at all is a fault.
func newEnroll(rdb redis.UniversalClient, c *config, accts []*account, watch *observer) (*enroll.Service, error) {
	cfg := enroll.Config{
		Redis: rdb, PublicURL: c.text("public_url"), Key: wechat.NewSecret(c.text("enroll_key")),
		ReturnURLs: splitList(c.text("return_urls")), ConsumerID: owner(), Logger: watch.log, OnEvent: watch.heard,
	}
	links := cfg.PublicURL != "" && !cfg.Key.IsZero()
	if !links {
		watch.log.Warn("followers cannot enrol: set WXNOTIFY_PUBLIC_URL and WXNOTIFY_ENROLL_KEY (or WXNOTIFY_ENROLL_KEY_FILE)")
	}
	calls := false
	for _, a := range accts {
		acct, err := enrollAccount(rdb, a)
		if err != nil {
			return nil, &usageError{fmt.Errorf("account %s: %w", a.appid, err)}
		}
		if acct.Callback == nil {
			watch.log.Warn("WeChat's pushes are not taken: set WXNOTIFY_CALLBACK_TOKEN, and WXNOTIFY_ENCODING_AES_KEY for secure mode",
				zap.String("account", a.appid))
		}
		calls = calls || acct.Callback != nil
		cfg.Accounts = append(cfg.Accounts, acct)
	}
	if !links && !calls {
		return nil, &usageError{errors.New("enroll has nothing to do: set WXNOTIFY_PUBLIC_URL and WXNOTIFY_ENROLL_KEY so that followers can enrol, " +
			"WXNOTIFY_CALLBACK_TOKEN so that WeChat's pushes are taken")}
	}
	s, err := enroll.New(cfg)
	if err != nil {
		return nil, &usageError{err}
	}
	return s, nil
}

func enrollAccount(rdb redis.UniversalClient, a *account) (enroll.Account, error) {
	out := enroll.Account{
		AppID: a.appid, Name: a.entry["account_name"], Platform: a.client, AuthorizeURL: a.entry["wechat_authorize_url"],
		EraseUnsubscribed: a.entry["erase_unsubscribed"] == "true",
		Receipts:          a.ledger, Followers: a.ledger, Resender: resender{a.appid, broker.NewEnqueuer(rdb)},
	}
	oauth, err := wechat.NewOAuth(a.wechat)
	if err != nil {
		return out, err
	}
	out.OAuth = oauth
	roster, err := enroll.NewRoster(rdb, a.appid)
	if err != nil {
		return out, err
	}
	out.Eraser = enroll.NewEraser(roster, a.ledger, broker.NewInspector(rdb))
	if a.entry["callback_token"] == "" {
		return out, nil
	}
	if out.Callback, err = newCallback(a.entry); err != nil {
		return out, err
	}
	if target := a.entry["forward_url"]; target != "" {
		if out.Forward, err = enroll.NewHTTPForwarder(target, out.Callback, nil); err != nil {
			return out, err
		}
	}
	return out, nil
}

// newCallback reads an account's half of the server configuration.
func newCallback(a map[string]string) (*wechat.Callback, error) {
	until, _ := time.Parse(time.RFC3339, a["callback_previous_until"]) // was checked; zero when there is none
	rotating := func(current, previous string) []wechat.RotatingSecret {
		var out []wechat.RotatingSecret
		if current != "" {
			out = append(out, wechat.RotatingSecret{Value: wechat.NewSecret(current)})
		}
		if previous != "" {
			out = append(out, wechat.RotatingSecret{Value: wechat.NewSecret(previous), Until: until})
		}
		return out
	}
	mode := wechat.CallbackMode(a["callback_mode"])
	if mode == "" {
		mode = wechat.CallbackPlain
		if a["encoding_aes_key"] != "" {
			mode = wechat.CallbackSecure
		}
	}
	return wechat.NewCallback(wechat.CallbackConfig{
		AppID: a["appid"], Mode: mode,
		Tokens:  rotating(a["callback_token"], a["callback_token_previous"]),
		AESKeys: rotating(a["encoding_aes_key"], a["encoding_aes_key_previous"]),
	})
}

// resender puts what WeChat failed to deliver on its queue again.
type resender struct {
	appid string
	queue *broker.Enqueuer
}

// Resend is done, too, when the task is there already.
func (r resender) Resend(ctx context.Context, s *ledger.Settled) error {
	return r.queue.Again(ctx, broker.Item{
		Account: r.appid, Class: s.Class, ID: s.ID, Payload: s.Resend.Payload, ProcessAt: s.Resend.After,
	})
}
