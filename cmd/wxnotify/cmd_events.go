package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxnotify/wxnotify/internal/events"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/usage"
	"github.com/wxnotify/wxnotify/internal/wiring"
)

func (a *app) eventsCommand() *cobra.Command {
	var q events.Query
	var follow bool
	cmd := &cobra.Command{
		Use:   "events",
		Short: "What became of messages, followers, pauses and the quota, one JSON object a line",
		Long: `events prints the account's events as newline-delimited JSON, the oldest first. Each
has an id: --after that id continues behind it. --follow waits for more.

Types are message.accepted, message.delivered, message.rejected, message.expired,
message.cancelled, message.unknown, message.dead, user.bound, user.unbound,
user.followed, user.unfollowed, user.erased, account.paused, account.resumed,
quota.low, quota.gone, webhook.disabled and webhook.test; message.* is all of messages.`,
		Example: `  wxnotify events --types message.rejected,message.dead
  wxnotify events --follow --after now
  wxnotify events --follow --after 1764147600000-0.0 | your-program`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withAccount(cmd, func(ctx context.Context, acct *wiring.Account) error {
				return a.printEvents(ctx, acct.Events(), q, follow)
			})
		},
	}
	looks(cmd)
	fs := cmd.Flags()
	fs.StringVar(&q.After, "after", "", "id of an event, or now: only what comes after it [the oldest that is kept]")
	fs.StringSliceVar(&q.Types, "types", nil, "only these types, such as message.dead,quota.* [all]")
	fs.IntVar(&q.Limit, "limit", 0, "how many at most; with --follow it is not used [all]")
	fs.BoolVar(&q.OpenIDs, "openids", false, "print whole openids: for programs")
	fs.BoolVar(&follow, "follow", false, "wait for more events until interrupted")
	return a.ofAccount(cmd, settings.Connecting)
}

func (a *app) printEvents(ctx context.Context, r *events.Reader, q events.Query, follow bool) error {
	if q.Limit < 0 {
		return usage.Errorf("--limit: %d is not a number of events", q.Limit)
	}
	left := q.Limit
	if q.After == "now" {
		var err error
		if q.After, err = r.Latest(ctx); err != nil {
			return err
		}
	}
	if follow {
		q.Wait, q.Limit, left = 20*time.Second, 0, 0
	}
	for ctx.Err() == nil {
		list, next, err := r.Read(ctx, q)
		switch {
		case follow && ctx.Err() != nil:
			return nil //nolint:nilerr // the reader was stopped
		case errors.Is(err, events.ErrCursor):
			return usage.Errorf("--after: %q is not the id of an event, and not now", q.After)
		case events.CheckTypes(q.Types) != nil:
			return usage.Errorf("--types: %v", events.CheckTypes(q.Types))
		case err != nil:
			return err
		}
		for i := range list {
			if err := printLine(a.Stdout, list[i]); err != nil {
				return fmt.Errorf("print an event: %w", err)
			}
		}
		done := len(list) == 0 || (left > 0 && len(list) >= left)
		if !follow && done {
			return nil
		}
		if left > 0 {
			left -= len(list)
			q.Limit = left
		}
		q.After = next
	}
	return nil
}
