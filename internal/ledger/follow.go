package ledger

import (
	"context"
	"fmt"

	"github.com/wxnotify/wxnotify/wechat"
)

// unsubscribed is the reason of a follower who left.
const unsubscribed = "unsubscribed"

// recipientReasons are those of suppressions that WeChat's answers, receipts and
// events ask for. Any other reason is an admin's own words.
func recipientReasons() []any {
	reasons := []any{unsubscribed, userBlock}
	for _, code := range wechat.Codes() {
		if kind := code.Kind(); kind == wechat.KindRecipient || kind == wechat.KindRefused {
			reasons = append(reasons, code.Name())
		}
	}
	return reasons
}

// Subscribed lifts what a follow proves wrong: the suppression of openid that
// WeChat's answers and events asked for. An admin's own stays, and so do those of
// single templates. It reports whether there was one.
func (l *Ledger) Subscribed(ctx context.Context, openid string) (bool, error) {
	o := &op{
		script: l.scripts.follow, keys: []string{l.suppressionsKey(), l.suppressionEndsKey()},
		args: append([]any{openid}, l.reasons...),
	}
	if err := l.batch.do(ctx, o); err != nil {
		return false, fmt.Errorf("ledger: lift the suppression of a new follower: %w", err)
	}
	n, _ := o.cmd.Val().(int64)
	return n > 0, nil
}

// Unsubscribed suppresses openid until it follows again, or until lifted.
func (l *Ledger) Unsubscribed(ctx context.Context, openid string) error {
	return l.Suppress(ctx, Suppression{OpenID: openid, Reason: unsubscribed})
}
