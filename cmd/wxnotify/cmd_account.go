package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/mask"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/usage"
	"github.com/wxnotify/wxnotify/internal/wiring"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
)

func (a *app) quotaCommand() *cobra.Command {
	var ask bool
	cmd := &cobra.Command{
		Use:   "quota",
		Short: "The day's quota: used, left, reserved, and what closes the gate",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !ask {
				readOnly(cmd, settings.Connecting|settings.Sending)
			}
			blank := a.blankBetween()
			return a.eachAccount(cmd, func(ctx context.Context, acct *wiring.Account, _ bool) error {
				blank()
				return a.showQuota(ctx, acct, ask)
			})
		},
	}
	looks(cmd)
	cmd.Flags().BoolVar(&ask, "ask", false, "ask WeChat too (openapi/quota/get), and correct our count by its answer; needs the AppSecret")
	return a.ofAccounts(cmd, settings.Connecting|settings.Calling|settings.Sending)
}

// quotaView is `quota --output json`.
type quotaView struct {
	Account  string        `json:"account"`
	Day      string        `json:"day"`
	Used     int64         `json:"used"`
	Cap      int64         `json:"cap"`
	Reserve  int64         `json:"reserve"`
	ResetsAt time.Time     `json:"resets_at"`
	Rate     float64       `json:"rate"`
	Closed   []closedView  `json:"closed"`
	WeChat   *wechat.Quota `json:"wechat,omitempty"`
}

type closedView struct {
	Reason ratelimit.Reason `json:"reason"`
	Detail string           `json:"detail,omitempty"`
	Until  time.Time        `json:"until,omitzero"`
	Owner  string           `json:"owner,omitempty"`
}

func (a *app) showQuota(ctx context.Context, acct *wiring.Account, ask bool) error {
	view := quotaView{Account: acct.AppID}
	if ask {
		question, err := acct.Gate.AskQuota(ctx)
		if err != nil {
			return err
		}
		q, err := acct.Client.Quota(ctx, wechat.SendPath)
		if err != nil {
			return fmt.Errorf("ask WeChat: %w", err)
		}
		view.WeChat = &q
		if err := acct.Gate.Reconcile(ctx, question, q.DailyLimit, q.Used); err != nil && !errors.Is(err, ratelimit.ErrStale) {
			return err
		}
	}
	s, err := acct.Gate.State(ctx)
	if err != nil {
		return err
	}
	view.Day, view.Used, view.Cap, view.Reserve = s.Day, s.Used, s.Cap, s.Reserve
	view.ResetsAt, view.Rate, view.Closed = s.ResetsAt, s.Rate, closures(s)
	answered := ""
	if q := view.WeChat; q != nil {
		answered = fmt.Sprintf(a.say("%d of %d used, %d left", "已用 %d / %d，剩余 %d"), q.Used, q.DailyLimit, q.Remain)
	}
	return a.printRows(view,
		[2]string{a.say("account", "账号"), acct.AppID},
		[2]string{a.say("day", "日期"), s.Day},
		[2]string{a.say("used", "已用"), fmt.Sprintf(a.say("%d of %s", "%d / %s"), s.Used, a.capText(s.Cap))},
		[2]string{a.say("reserve", "保留"), fmt.Sprintf(a.say("%d for class critical", "%d，仅供 critical"), s.Reserve)},
		[2]string{a.say("resets at", "重置于"), timeText(s.ResetsAt)},
		[2]string{a.say("rate", "速率"), fmt.Sprintf(a.say("%g a second", "每秒 %g"), s.Rate)},
		[2]string{a.say("WeChat says", "微信答复"), answered},
		[2]string{a.say("gate", "闸门"), a.gateText(s)})
}

// blankBetween prints a blank line between the texts of accounts.
func (a *app) blankBetween() func() {
	first := true
	return func() {
		if !first && a.output != "json" {
			_, _ = fmt.Fprintln(a.Stdout)
		}
		first = false
	}
}

func (a *app) capText(n int64) string {
	if n == 0 {
		return a.say("what WeChat says (not asked yet)", "微信答复的数目（尚未询问）")
	}
	return strconv.FormatInt(n, 10)
}

func closures(s ratelimit.State) []closedView {
	out := []closedView{}
	for _, p := range s.Closures() {
		out = append(out, closedView{p.Reason, p.Detail, p.Until, p.Owner})
	}
	return out
}

// gateText says open, or closed with reason and hour.
func (a *app) gateText(s ratelimit.State) string {
	var held []string
	for _, p := range s.Closures() {
		text := a.closureName(p.Reason)
		if p.Detail != "" {
			text += " (" + a.closureDetail(p.Detail) + ")"
		}
		if !p.Until.IsZero() {
			text += a.say(" until ", "，直到 ") + timeText(p.Until)
		}
		held = append(held, text)
	}
	if len(held) == 0 {
		return a.say("open", "开放")
	}
	return a.say("closed: ", "关闭：") + strings.Join(held, a.say("; ", "；"))
}

func (a *app) tokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "The fleet's access token: its age and state, never its text",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			readOnly(cmd, settings.Connecting)
			blank := a.blankBetween()
			return a.eachAccount(cmd, func(ctx context.Context, acct *wiring.Account, _ bool) error {
				blank()
				return a.showToken(ctx, acct)
			})
		},
	}
	refresh := &cobra.Command{
		Use:   "refresh",
		Short: "Fetch a token now, after something was mended, and go on sending",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withAccount(cmd, func(ctx context.Context, acct *wiring.Account) error {
				if _, err := acct.Tokens.Refresh(ctx); err != nil {
					return err
				}
				// What waited for a token need not wait for its next probe.
				if err := acct.Gate.Open(ctx, ratelimit.ReasonToken); err != nil {
					return err
				}
				return a.showToken(ctx, acct)
			})
		},
	}
	looks(cmd)
	cmd.AddCommand(a.ofAccount(audited(refresh, "refresh token"), settings.Connecting|settings.Calling), a.tokenRevokeCommand())
	return a.ofAccounts(cmd, settings.Connecting|settings.Calling)
}

func (a *app) showToken(ctx context.Context, acct *wiring.Account) error {
	s, err := acct.Tokens.State(ctx)
	if err != nil {
		return err
	}
	token, expires := a.say("none; a worker, or `wxnotify token refresh`, fetches one", "无；由 worker 或 `wxnotify token refresh` 获取"), ""
	if s.Fingerprint != "" {
		token = fmt.Sprintf(a.say("%s (fingerprint), generation %d, %s old", "%s（指纹），第 %d 代，已用 %s"), s.Fingerprint, s.Generation, s.Age.Round(time.Second))
		expires = timeText(s.ExpiresAt)
	}
	view := struct {
		Account string `json:"account"`
		tokenstore.State
	}{acct.AppID, s}
	return a.printRows(view,
		[2]string{a.say("account", "账号"), acct.AppID},
		[2]string{a.say("mode", "方式"), s.Mode},
		[2]string{"token", token},
		[2]string{a.say("expires", "失效于"), expires},
		[2]string{a.say("fetches today", "今日获取"), fmt.Sprintf(a.say("%d, forced %d", "%d 次，其中强制 %d 次"), s.FetchesToday, s.ForcedToday)},
		[2]string{a.say("error", "错误"), s.Error},
		[2]string{a.say("remedy", "处理办法"), s.Remedy},
		[2]string{a.say("war", "争抢"), s.WarRemedy})
}

func (a *app) suppressCommand() *cobra.Command {
	var whole bool
	cmd := &cobra.Command{
		Use: "suppress", Short: "Who must not be written to: list (also without a subcommand), add, lift", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.listSuppressed(cmd, whole) },
	}
	list := &cobra.Command{Use: "list", Short: "List the suppressed recipients", Args: cobra.NoArgs, RunE: cmd.RunE}
	var template, reason string
	var keep time.Duration
	add := audited(a.accountCommand("add OPENID", "Suppress a recipient; - reads the openid from stdin", cobra.ExactArgs(1),
		func(ctx context.Context, acct *wiring.Account, _ []string) error {
			s := ledger.Suppression{OpenID: a.change.openid, Template: template, Reason: mask.Text(reason), ByAdmin: true, Since: time.Now().UTC().Truncate(time.Millisecond)}
			if keep > 0 {
				s.Until = s.Since.Add(keep)
			}
			if err := acct.Ledger.Suppress(ctx, s); err != nil {
				return err
			}
			s.OpenID = wechat.MaskOpenID(s.OpenID)
			return a.printSuppressed(acct.AppID, s, false)
		}), "suppress")
	add.PreRunE = func(cmd *cobra.Command, args []string) (err error) {
		if len(reason) > ledger.MaxSuppressionReason {
			return usage.Errorf("--reason: has %d bytes, at most %d are kept: shorten it", len(reason), ledger.MaxSuppressionReason)
		}
		a.change.detail = template // not the reason: words about a person, which an erasure does not find there
		if keep > 0 {
			a.change.detail = strings.TrimSpace(template + " for " + keep.String())
		}
		if a.change.openid, err = a.fromStdin(cmd.Context(), args[0]); err != nil {
			return err
		}
		return a.checkNames(a.change.openid, "", template)
	}
	add.Flags().StringVar(&reason, "reason", "by-admin", "why: `status` of its messages shows it; no personal data")
	add.Flags().DurationVar(&keep, "for", 0, "how long; 0 is until lifted")
	lift := audited(a.accountCommand("lift OPENID", "Write to a recipient again; - reads the openid from stdin", cobra.ExactArgs(1),
		func(ctx context.Context, acct *wiring.Account, _ []string) error {
			was, err := acct.Ledger.Lift(ctx, a.change.openid, template)
			if err == nil && !was {
				err = errors.New(a.say("this openid was not suppressed", "此 openid 没有被禁止发送"))
			}
			if err != nil {
				return err
			}
			view := suppressionView{Account: acct.AppID, OpenID: wechat.MaskOpenID(a.change.openid), TemplateID: template}
			return a.print(view, a.say("%s is written to again", "%s 可以再次接收消息"), view.OpenID)
		}), "lift")
	lift.PreRunE = func(cmd *cobra.Command, args []string) (err error) {
		a.change.detail = strings.TrimSpace("suppression " + template)
		if a.change.openid, err = a.fromStdin(cmd.Context(), args[0]); err != nil {
			return err
		}
		return a.checkNames(a.change.openid, "", template)
	}
	looks(cmd, list)
	for _, c := range []*cobra.Command{cmd, list} {
		c.Flags().BoolVar(&whole, "unmasked", false, "print whole openids")
		a.ofAccounts(c, settings.Connecting)
	}
	for _, c := range []*cobra.Command{add, lift} {
		c.Flags().StringVar(&template, "template", "", "only messages of this template id")
	}
	cmd.AddCommand(list, add, lift)
	return cmd
}

func (a *app) listSuppressed(cmd *cobra.Command, whole bool) error {
	none := a.say("no recipient is suppressed", "没有被禁止发送的收件人")
	return a.list(cmd, none, func(ctx context.Context, acct *wiring.Account, several bool) (printed int, err error) {
		for cursor := uint64(0); ; {
			page, next, err := acct.Ledger.Suppressions(ctx, cursor)
			if err != nil {
				return printed, err
			}
			for _, s := range page {
				if !whole {
					s.OpenID = wechat.MaskOpenID(s.OpenID)
				}
				if err := a.printSuppressed(acct.AppID, s, several); err != nil {
					return printed, err
				}
				printed++
			}
			if cursor = next; next == 0 {
				return printed, nil
			}
		}
	})
}

// suppressionView is a row of `suppress list --output json`.
type suppressionView struct {
	Account    string    `json:"account"`
	OpenID     string    `json:"openid"` // masked unless asked
	TemplateID string    `json:"template_id,omitempty"`
	Reason     string    `json:"reason,omitempty"` // a code, or an operator's words
	ByOperator bool      `json:"by_operator"`
	Since      time.Time `json:"since,omitzero"`
	Until      time.Time `json:"until,omitzero"`
}

func (a *app) printSuppressed(appid string, s ledger.Suppression, several bool) error {
	reason := s.Reason
	if text := ledger.ReasonText(reason, a.lang); !s.ByAdmin && text != reason {
		reason += " " + text
	} else if s.ByAdmin {
		reason = a.say("by an operator: ", "由管理员设置：") + reason
	}
	since := ""
	if !s.Since.IsZero() {
		since = a.say("since ", "自 ") + timeText(s.Since)
	}
	until := a.say("until lifted", "直到解除")
	if !s.Until.IsZero() {
		until = a.say("until ", "直到 ") + timeText(s.Until)
	}
	return a.print(suppressionView{appid, s.OpenID, s.Template, s.Reason, s.ByAdmin, s.Since, s.Until},
		"%s%s\t%s\t%s\t%s\t%s", column(appid, several), s.OpenID, orDash(s.Template), reason, orDash(since), until)
}
