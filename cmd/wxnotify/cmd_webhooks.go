package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxnotify/wxnotify/internal/auditlog"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/usage"
	"github.com/wxnotify/wxnotify/internal/webhook"
	"github.com/wxnotify/wxnotify/internal/wiring"
)

func (a *app) webhooksCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "webhooks",
		Short: "Addresses that get events by HTTP: add, list, test, rotate, enable, recover, remove",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	list := a.accountCommand("list", "List them, with their latest attempts", cobra.NoArgs, a.listWebhooks)
	test := a.accountCommand("test ID", "Send a test event at once", cobra.ExactArgs(1), a.testWebhook)
	looks(list, test)
	cmd.AddCommand(a.addWebhookCommand(), a.rotateWebhookCommand(), a.recoverWebhookCommand(),
		list, test,
		a.accountCommand("enable ID", "Enable one that was disabled; `recover` sends what it missed", cobra.ExactArgs(1),
			func(ctx context.Context, acct *wiring.Account, args []string) error {
				if _, err := acct.Webhooks.Update(ctx, args[0], func(w *webhook.Webhook) { w.Disabled = time.Time{} }); err != nil {
					return err
				}
				return a.webhookDone("enabled", args[0])
			}),
		a.accountCommand("remove ID", "Remove one, with what waits to be sent to it", cobra.ExactArgs(1),
			func(ctx context.Context, acct *wiring.Account, args []string) error {
				if err := acct.Webhooks.Remove(ctx, args[0]); err != nil {
					return err
				}
				return a.webhookDone("removed", args[0])
			}),
	)
	for _, c := range cmd.Commands() {
		if c != list && c != test {
			audited(c, c.Name()+" webhook")
		}
	}
	return cmd
}

// webhookDone says what was done to a webhook.
func (a *app) webhookDone(did, id string) error {
	words := map[string]string{"enabled": a.say("enabled", "已启用"), "removed": a.say("removed", "已删除"), "recovered": a.say("sent again from then on", "从该时间起重新发送")}
	return a.print(map[string]string{"id": id}, "%s\t%s", id, words[did])
}

func (a *app) addWebhookCommand() *cobra.Command {
	var w webhook.Webhook
	var classes []string
	cmd := a.accountCommand("add URL", "Add one; its secret is printed once", cobra.ExactArgs(1), func(ctx context.Context, acct *wiring.Account, args []string) error {
		w.URL = args[0]
		for _, c := range classes {
			w.Classes = append(w.Classes, job.Class(c))
		}
		made, err := acct.Webhooks.Add(ctx, w)
		if err != nil {
			return usage.Wrap(err)
		}
		return a.showWebhookSecret(made)
	})
	cmd.PreRun = func(_ *cobra.Command, args []string) { a.change.detail = auditlog.Host(args[0]) }
	cmd.Example = `  wxnotify webhooks add https://shop.example/wechat-events --types message.*
  wxnotify webhooks add https://shop.example/alarms --types message.dead,account.*,quota.*`
	cmd.Flags().StringSliceVar(&w.Types, "types", nil, "only these types of events, such as message.dead,quota.* [all]")
	cmd.Flags().StringSliceVar(&classes, "classes", nil, "only messages of these classes [all]")
	cmd.Flags().StringSliceVar(&w.Keys, "keys", nil, "only messages of the API keys of these IDs [all messages]")
	cmd.Flags().BoolVar(&w.OpenIDs, "openids", false, "send whole openids [masked]")
	return cmd
}

func (a *app) rotateWebhookCommand() *cobra.Command {
	var overlap time.Duration
	cmd := a.accountCommand("rotate ID", "Give one a new secret; both sign for a while", cobra.ExactArgs(1), func(ctx context.Context, acct *wiring.Account, args []string) error {
		w, err := acct.Webhooks.Rotate(ctx, args[0], overlap)
		if err != nil {
			return err
		}
		return a.showWebhookSecret(w)
	})
	cmd.Flags().DurationVar(&overlap, "overlap", 24*time.Hour, "how long the secret before signs, too; 0s ends it at once")
	return cmd
}

func (a *app) recoverWebhookCommand() *cobra.Command {
	var since string
	cmd := a.accountCommand("recover ID", "Send the events since a time again, as far as they are kept", cobra.ExactArgs(1),
		func(ctx context.Context, acct *wiring.Account, args []string) error {
			at, err := momentOrAgo("--since", since)
			if err != nil {
				return err
			}
			if err := acct.Webhooks.Recover(ctx, args[0], at); err != nil {
				return err
			}
			return a.webhookDone("recovered", args[0])
		})
	cmd.Flags().StringVar(&since, "since", "24h", "a time (RFC 3339) or how long ago (90m, 12h, 30d)")
	return cmd
}

// showWebhookSecret prints the newest secret, which nothing shows again.
func (a *app) showWebhookSecret(w webhook.Webhook) error {
	secret := w.Secrets[0].Value
	view := struct {
		webhook.Webhook
		Secret string `json:"secret"`
	}{w, secret}
	return a.print(view, "%s\t%s\n%s", w.ID, w.URL, secret)
}

func (a *app) listWebhooks(ctx context.Context, acct *wiring.Account, _ []string) error {
	list, err := acct.Webhooks.List(ctx)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		a.none(a.say("no webhooks: add one with `wxnotify webhooks add URL`", "没有 Webhook：用 `wxnotify webhooks add URL` 添加"))
		return err
	}
	for _, w := range list {
		attempts, err := acct.Webhooks.Attempts(ctx, w.ID)
		if err != nil {
			return err
		}
		if a.output == "json" {
			if err := a.printJSON(struct {
				webhook.Webhook
				Attempts []webhook.Attempt `json:"attempts"`
			}{w, attempts}); err != nil {
				return err
			}
			continue
		}
		state := a.say("enabled", "已启用")
		if !w.Disabled.IsZero() {
			state = a.say("disabled: ", "已停用：") + w.Reason
		}
		types := strings.Join(w.Types, ",")
		if types == "" {
			types = "*"
		}
		_, err = fmt.Fprintf(a.Stdout, "%s\t%s\t%s\t%s\n", w.ID, w.URL, types, state)
		for _, t := range attempts[:min(len(attempts), 3)] {
			if err == nil {
				_, err = fmt.Fprintf(a.Stdout, "\t%s\t%s\t%d\t%s\n", timeText(t.At), t.Type, t.Status, t.Error)
			}
		}
		if err != nil {
			return fmt.Errorf("print a webhook: %w", err)
		}
	}
	return nil
}

func (a *app) testWebhook(ctx context.Context, acct *wiring.Account, args []string) error {
	t, err := webhook.NewService(acct.Webhooks, acct.Events(), nil).Test(ctx, args[0])
	if err == nil {
		_, err = fmt.Fprintf(a.Stdout, a.say("%d in %d ms\n", "%d，%d 毫秒\n"), t.Status, t.Millis)
	}
	return err
}
