package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxnotify/wxnotify/internal/mask"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/templates"
	"github.com/wxnotify/wxnotify/internal/usage"
	"github.com/wxnotify/wxnotify/internal/wiring"
)

func (a *app) ridCommand() *cobra.Command {
	var whole bool
	cmd := &cobra.Command{
		Use:   "rid RID",
		Short: "What WeChat recorded of a call, by the rid of its answer",
		Long: `rid asks WeChat (openapi/rid/get) for its record of a call: when it came, from which
address, with which body, and what was answered. The rid is in the log and in
` + "`status`" + ` of a message that WeChat refused; WeChat knows it for seven days.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			rid := strings.TrimSpace(args[0])
			if rid == "" || len(rid) > 128 {
				return usage.Errorf("the rid is empty or longer than 128 bytes: copy it from the log or from `wxnotify status`")
			}
			return a.withAccount(cmd, func(ctx context.Context, acct *wiring.Account) error { return a.showRequest(ctx, acct, rid, whole) })
		},
	}
	looks(cmd)
	cmd.Flags().BoolVar(&whole, "unmasked", false, "print openids and the message's values whole")
	return a.ofAccount(cmd, settings.Connecting|settings.Calling)
}

// ridView is `rid --output json`.
type ridView struct {
	RID       string        `json:"rid"`
	Account   string        `json:"account"`
	InvokedAt time.Time     `json:"invoked_at,omitzero"`
	Cost      time.Duration `json:"cost_ns"`
	URL       string        `json:"url"`
	ClientIP  string        `json:"client_ip"`
	Request   string        `json:"request"`
	Response  string        `json:"response"`
}

func (a *app) showRequest(ctx context.Context, acct *wiring.Account, rid string, whole bool) error {
	r, err := acct.Client.RequestByRID(ctx, rid)
	if err != nil {
		return fmt.Errorf("ask WeChat: %w", err)
	}
	view := ridView{RID: rid, Account: acct.AppID, InvokedAt: r.InvokedAt, Cost: r.Cost, URL: r.URL, ClientIP: r.ClientIP, Request: r.RequestBody, Response: r.ResponseBody}
	if !whole {
		view.URL, view.Request, view.Response = mask.Text(view.URL), maskBody(view.Request), maskBody(view.Response)
	}
	return a.printRows(view,
		[2]string{"rid", view.RID},
		[2]string{a.say("account", "账号"), view.Account},
		[2]string{a.say("called", "调用时间"), timeText(r.InvokedAt)},
		[2]string{a.say("took", "耗时"), view.Cost.String()},
		[2]string{a.say("from", "来源地址"), view.ClientIP},
		[2]string{"url", view.URL},
		[2]string{a.say("request", "请求"), view.Request},
		[2]string{a.say("answer", "返回"), view.Response})
}

// maskBody shows a JSON body with masked openids and values; of another text the length.
func maskBody(body string) string {
	if body == "" {
		return ""
	}
	shown, err := mask.JSON([]byte(body), maskField)
	if err != nil {
		return fmt.Sprintf("(%d bytes, not JSON; --unmasked shows them)", len(body))
	}
	return string(shown)
}

// maskField masks every string but those of fields that hold nothing personal.
func maskField(field string, v any) any {
	text, isText := v.(string)
	if !isText {
		if number := fmt.Sprint(v); mask.Numbers(number) != number {
			return mask.Numbers(number)
		}
		return v
	}
	switch field {
	case "template_id", "appid", "color", "cgi_path", "rid", "action_name":
		return text
	case "client_msg_id", "errmsg":
		return mask.Text(text)
	case "touser", "openid", "unionid":
		return mask.Name(text)
	}
	return mask.Value(text)
}

func (a *app) templatesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "templates",
		Short: "List the account's templates with their keys, as WeChat tells them",
		Long: `templates asks WeChat (get_all_private_template), which allows few of these calls a day
and may leave category templates (类目模板) out.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.withAccount(cmd, a.listTemplates) },
	}
	looks(cmd)
	return a.ofAccount(cmd, settings.Connecting|settings.Calling)
}

func (a *app) listTemplates(ctx context.Context, acct *wiring.Account) error {
	list, err := acct.Client.Templates(ctx)
	if err != nil {
		return fmt.Errorf("ask WeChat: %w", err)
	}
	views := templates.Of(list)
	if a.output == "json" {
		return a.printJSON(map[string]any{"account": acct.AppID, "templates": views})
	}
	w := newTable(a.Stdout)
	_, _ = fmt.Fprintln(w, a.say("template\ttitle\tkeys", "模板\t标题\t字段"))
	for _, v := range views {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", v.ID, v.Title, strings.Join(v.Keys, " "))
	}
	return w.Flush()
}
