package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"github.com/wxnotify/wxnotify/internal/deadletter"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/producer"
)

func (a *app) deadCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "dead", Short: "Messages that were given up: list, retry, drop", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	list := &cobra.Command{
		Use: "list", Short: "List them, newest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withLetters(cmd, a.listDead)
		},
	}
	retry := &cobra.Command{
		Use: "retry ID...", Short: "Send them again, with a fresh budget of attempts", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, ids []string) error {
			return a.withRedis(cmd, func(ctx context.Context, c *config, entry *accountConfig, rdb redis.UniversalClient) error {
				records, err := newLedger(rdb, c, entry)
				if err != nil {
					return err
				}
				defer func() { _ = records.Close() }()
				return a.each(ids, func(id string) error { return a.retryDead(ctx, rdb, records, entry.AppID, id) })
			})
		},
	}
	drop := &cobra.Command{
		Use: "drop ID...", Short: "Forget their payloads; the records stay", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, ids []string) error {
			return a.withAccount(cmd, func(ctx context.Context, acct *account) error { return acct.ledger.Drop(ctx, ids...) })
		},
	}
	for _, c := range []*cobra.Command{list, retry, drop} {
		a.addAccount(c)
		a.addSettings(c, connecting)
	}
	cmd.AddCommand(list, retry, drop)
	return cmd
}

// withLetters opens the dead letters of the account.
func (a *app) withLetters(cmd *cobra.Command, do func(context.Context, *ledger.Ledger, *producer.Producer) error) error {
	return a.withRedis(cmd, func(ctx context.Context, c *config, entry *accountConfig, rdb redis.UniversalClient) error {
		records, err := newLedger(rdb, c, entry)
		if err != nil {
			return err
		}
		defer func() { _ = records.Close() }()
		p, err := newProducer(rdb, c, entry)
		if err != nil {
			return err
		}
		defer func() { _ = p.Close() }()
		return do(ctx, records, p)
	})
}

// listDead prints the statuses: the JSON of a message is the same everywhere.
func (a *app) listDead(ctx context.Context, records *ledger.Ledger, p *producer.Producer) error {
	const page = 500
	for offset := 0; ; offset += page {
		letters, total, err := records.Dead(ctx, offset, page)
		if err != nil {
			return err
		}
		ids := make([]string, len(letters))
		for i, r := range letters {
			ids[i] = r.ID
		}
		statuses, err := p.StatusMany(ctx, ids, producer.In(a.lang))
		if err != nil {
			return err
		}
		for _, s := range statuses {
			if s == nil || s.State != producer.Dead {
				continue // revived since
			}
			if err := a.printDead(s); err != nil {
				return err
			}
		}
		if total == 0 {
			_, _ = fmt.Fprintln(a.Stderr, a.say("no dead letters", "没有死信"))
		}
		if offset+page >= total {
			return nil
		}
	}
}

func (a *app) printDead(s *producer.Status) error {
	if a.output == "json" {
		return a.printJSON(s)
	}
	_, err := fmt.Fprintf(a.Stdout, a.say("%s\t%s\t%s\t%d attempts\t%s\n", "%s\t%s\t%s\t尝试 %d 次\t%s\n"),
		s.ID, s.Class, s.EndedAt.Local().Format(time.RFC3339), s.Attempts, s.Reason)
	return err
}

// retryDead sends a dead letter again.
func (a *app) retryDead(ctx context.Context, rdb redis.UniversalClient, records *ledger.Ledger, appid, id string) error {
	err := deadletter.Retry(ctx, rdb, records, appid, id)
	switch {
	case errors.Is(err, ledger.ErrNotDead):
		return errors.New(a.say("is not dead; `wxnotify status` says what it is", "不是死信；用 `wxnotify status` 查看其状态"))
	case errors.Is(err, ledger.ErrNoPayload):
		return errors.New(a.say("its payload was dropped: enqueue the message under a new ID", "内容已被丢弃：请用新的 ID 再次入队"))
	}
	return err
}

// each does one thing to many IDs and fails when one failed.
func (a *app) each(ids []string, do func(id string) error) error {
	failed := false
	for _, id := range ids {
		if err := do(id); err != nil {
			failed = true
			a.printError(errorView{ID: id, Message: err.Error()})
		}
	}
	if failed {
		return errSilent
	}
	return nil
}
