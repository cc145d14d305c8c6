package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/usage"
	"github.com/wxnotify/wxnotify/internal/wiring"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
)

func (a *app) tokenRevokeCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "revoke",
		Short: "End a leaked access token by two forced refreshes",
		Long: `revoke ends the account's current access token, for one that leaked: WeChat keeps the
token before a forced refresh alive for a while, and a second one, 31 s later, ends it.
It takes 31 s and uses two of the 20 forced refreshes that WeChat allows a day.

All workers of this Redis go on with the new token. Another system that uses
stable_token of this account is refused (40001) until it fetches a token again. A token
that another system fetched by /cgi-bin/token is not revoked: reset the AppSecret for
that.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !yes {
				if err := a.confirmRevoke(cmd); err != nil {
					return err
				}
			}
			return a.withAccount(cmd, func(ctx context.Context, acct *wiring.Account) error {
				if err := a.revokeToken(ctx, acct.AppID, acct.Tokens); err != nil {
					return err
				}
				// What waited for a token need not wait for its next probe.
				return acct.Gate.Open(ctx, ratelimit.ReasonToken)
			})
		},
	}
	audited(cmd, "revoke token")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return a.ofAccount(cmd, settings.Connecting|settings.Calling)
}

// confirmRevoke asks on stdin.
func (a *app) confirmRevoke(cmd *cobra.Command) error {
	c, err := a.read(cmd)
	if err != nil {
		return err
	}
	acct, err := c.Pick(a.account)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(a.Stderr, a.say("This ends the access token of %s. Other systems that use stable_token of this account are refused\n"+
		"until they fetch again. Type yes to go on: ",
		"这会作废 %s 的 access token。其他使用该账号 stable_token 的系统在重新获取之前会被拒绝。\n输入 yes 继续："), acct.AppID)
	answer, err := bufio.NewReader(untilDone(cmd.Context(), a.Stdin)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	_, _ = fmt.Fprintln(a.Stderr)
	if strings.TrimSpace(answer) != "yes" {
		return usage.Errorf("not confirmed, nothing was done: type yes, or use --yes")
	}
	return nil
}

// revokeView is `token revoke --output json`.
type revokeView struct {
	Account     string    `json:"account"`
	Fingerprint string    `json:"fingerprint"` // of the new token
	ExpiresAt   time.Time `json:"expires_at"`
	ForcedToday int       `json:"forced_today"`
	ForcedLimit int       `json:"forced_limit"`
}

// revoker is *tokenstore.Store.
type revoker interface {
	Revoke(ctx context.Context, step func(tokenstore.RevokeStep)) error
}

// revokeToken prints the steps to stderr, and the outcome to stdout.
func (a *app) revokeToken(ctx context.Context, appid string, tokens revoker) error {
	view := revokeView{Account: appid}
	err := tokens.Revoke(ctx, func(s tokenstore.RevokeStep) {
		if s.Wait > 0 {
			_, _ = fmt.Fprintf(a.Stderr, a.say("forced refresh %d of %d: waiting %s, WeChat wants 30 s between two\n", "强制刷新 %d / %d：等待 %s，微信要求两次间隔 30 秒\n"), s.Refresh, s.Of, s.Wait.Round(time.Second))
			return
		}
		_, _ = fmt.Fprintf(a.Stderr, a.say("forced refresh %d of %d: done, token %s (fingerprint); %d of %d forced refreshes today\n",
			"强制刷新 %d / %d：完成，token %s（指纹）；今日强制刷新 %d / %d 次\n"),
			s.Refresh, s.Of, s.Fingerprint, s.ForcedToday, s.ForcedLimit)
		view.Fingerprint, view.ExpiresAt, view.ForcedToday, view.ForcedLimit = s.Fingerprint, s.ExpiresAt, s.ForcedToday, s.ForcedLimit
	})
	switch {
	case errors.Is(err, tokenstore.ErrClassic):
		return usage.Errorf("%w: WXNOTIFY_TOKEN_MODE is classic, where each fetch ends the token before it within 5 minutes: "+
			"`wxnotify token refresh` does that; to end it at once, reset the AppSecret in WeChat's console", err)
	case errors.Is(err, tokenstore.ErrForcedRefreshes):
		return fmt.Errorf("%w: WeChat's count starts again at 00:00 UTC+8; to end the token before, reset the AppSecret in WeChat's console", err)
	case err != nil && view.Fingerprint != "":
		return fmt.Errorf("only one of two forced refreshes was made, the leaked token may still work, run it again: %w", err)
	case err != nil:
		return err
	}
	return a.print(view, a.say("revoked: the account's tokens before %s (fingerprint) are void; %d of %d forced refreshes today",
		"已作废：该账号在 %s（指纹）之前的 token 均已失效；今日强制刷新 %d / %d 次"), view.Fingerprint, view.ForcedToday, view.ForcedLimit)
}
