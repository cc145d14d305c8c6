package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/wxnotify/wxnotify/internal/deadletter"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/mask"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/wiring"
	"github.com/wxnotify/wxnotify/producer"
)

func (a *app) deadCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "dead", Short: "Messages that were given up: list (also without a subcommand), retry, drop", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.listDead(cmd) },
	}
	list := &cobra.Command{Use: "list", Short: "List them, newest first", Args: cobra.NoArgs, RunE: cmd.RunE}
	looks(cmd, list)
	each := func(did string, do func(context.Context, *wiring.Account, string) error) func(context.Context, *wiring.Account, []string) error {
		return func(ctx context.Context, acct *wiring.Account, ids []string) error {
			return a.each(did, ids, func(id string) error { return do(ctx, acct, id) })
		}
	}
	cmd.AddCommand(a.ofAccounts(list, settings.Connecting),
		audited(a.changeMessages("retry", "Send them again, with a fresh budget of attempts", each("retried", a.retryDead)), "retry"),
		audited(a.changeMessages("drop", "Forget their payloads; the records stay", each("dropped", a.dropDead)), "drop"))
	return a.ofAccounts(cmd, settings.Connecting)
}

func (a *app) listDead(cmd *cobra.Command) error {
	return a.list(cmd, a.say("no dead letters", "没有死信"), a.listDeadOf)
}

// listDeadOf prints the statuses: the JSON of a message is the same everywhere.
func (a *app) listDeadOf(ctx context.Context, acct *wiring.Account, several bool) (printed int, err error) {
	const page = 500
	for offset := 0; ; offset += page {
		letters, total, err := acct.Ledger.Dead(ctx, offset, page)
		if err != nil {
			return printed, err
		}
		ids := make([]string, len(letters))
		for i, r := range letters {
			ids[i] = r.ID
		}
		statuses, err := acct.Producer.StatusMany(ctx, ids, producer.In(a.lang))
		if err != nil {
			return printed, err
		}
		for _, s := range statuses {
			if s == nil || s.State != producer.Dead {
				continue // revived since
			}
			if err := a.printDead(s, several); err != nil {
				return printed, err
			}
			printed++
		}
		if offset+page >= total {
			return printed, nil
		}
	}
}

func (a *app) printDead(s *producer.Status, several bool) error {
	return a.print(s, a.say("%s%s\t%s\t%s\t%d attempts\t%s", "%s%s\t%s\t%s\t尝试 %d 次\t%s"),
		column(s.Account, several), s.ID, s.Class, timeText(s.EndedAt), s.Attempts, s.Reason)
}

// retryDead sends a dead letter again.
func (a *app) retryDead(ctx context.Context, acct *wiring.Account, id string) error {
	err := deadletter.Retry(ctx, acct.Redis, acct.Ledger, acct.AppID, id)
	switch {
	case errors.Is(err, ledger.ErrNotDead):
		return a.notDead(id)
	case errors.Is(err, ledger.ErrNoPayload):
		return errors.New(a.say("its payload was dropped: enqueue the message under a new ID", "内容已被丢弃：请用新的 ID 再次入队"))
	}
	return err
}

// dropDead forgets the payload of a dead letter.
func (a *app) dropDead(ctx context.Context, acct *wiring.Account, id string) error {
	found, err := acct.Ledger.Get(ctx, id)
	if err != nil {
		return err
	}
	if found[0] == nil || found[0].State != ledger.Dead {
		return a.notDead(id)
	}
	return acct.Ledger.Drop(ctx, id)
}

func (a *app) notDead(id string) error {
	if mask.Masked(id) {
		return errors.New(a.say("is a masked ID, by which no message is found: `wxnotify dead list` prints whole IDs", "是打码后的 ID，无法据此找到消息：`wxnotify dead list` 打印完整的 ID"))
	}
	return errors.New(a.say("is not dead; `wxnotify status` says what it is", "不是死信；用 `wxnotify status` 查看其状态"))
}

// each does one thing to many IDs, prints how many were done, and fails when one failed.
// did is the past of what is done: a field in JSON.
func (a *app) each(did string, ids []string, do func(id string) error) error {
	failed := 0
	for _, id := range ids {
		if err := do(id); err != nil {
			failed++
			a.printError(errorView{ID: id, Message: err.Error()})
		}
	}
	words := map[string]string{"retried": a.say("queued again", "已重新入队"), "dropped": a.say("dropped", "已丢弃")}
	done := len(ids) - failed
	if err := a.print(map[string]int{"done": done, "failed": failed}, a.say("%s: %d, failed: %d", "%s：%d，失败：%d"), words[did], done, failed); err != nil {
		return err
	}
	if failed > 0 {
		return errSilent
	}
	return nil
}
