package main

import (
	"context"
	"fmt"
	"os/user"
	"text/tabwriter"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/queue"
)

func (a *app) queuesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "queues",
		Short: "Show each class's queue, and what stops it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withRedis(cmd, func(ctx context.Context, _ *config, entry *accountConfig, rdb redis.UniversalClient) error {
				return a.showQueues(ctx, entry, rdb)
			})
		},
	}
	var reason string
	pause := a.pauseCommand("pause CLASS", "Stop sending a class until `queues resume`", func(ctx context.Context, i *queue.Inspector, appid string, class job.Class) error {
		return i.Pause(ctx, appid, class, operator(), reason)
	})
	pause.Flags().StringVar(&reason, "reason", "no reason given", "shown to colleagues by `queues`")
	resume := a.pauseCommand("resume CLASS", "Send a paused class again", func(ctx context.Context, i *queue.Inspector, appid string, class job.Class) error {
		return i.Resume(ctx, appid, class)
	})
	for _, c := range []*cobra.Command{cmd, pause, resume} {
		a.addAccount(c)
		a.addSettings(c, connecting)
	}
	a.addSettings(cmd, sending)
	cmd.AddCommand(pause, resume)
	return cmd
}

func (a *app) pauseCommand(use, short string, act func(context.Context, *queue.Inspector, string, job.Class) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1), ValidArgs: classNames(),
		RunE: func(cmd *cobra.Command, args []string) error {
			class, err := job.ParseClass(args[0])
			if err != nil {
				return &usageError{err}
			}
			return a.withRedis(cmd, func(ctx context.Context, _ *config, entry *accountConfig, rdb redis.UniversalClient) error {
				if err := act(ctx, queue.NewInspector(rdb), entry.AppID, class); err != nil {
					return err
				}
				_, _ = fmt.Fprintf(a.Stderr, "%s: %sd\n", class, cmd.Name())
				return nil
			})
		},
	}
}

// operator names the person who runs the command.
func operator() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username + " (command line)"
	}
	return "command line"
}

// queueView is one row of `queues --output json`. The Today counters start at
// 00:00 UTC.
type queueView struct {
	Class          job.Class     `json:"class"`
	Pending        int64         `json:"pending"`
	Active         int64         `json:"active"`
	Scheduled      int64         `json:"scheduled"`
	Retry          int64         `json:"retry"`
	Archived       int64         `json:"archived"`
	ProcessedToday int64         `json:"processed_today"`
	FailedToday    int64         `json:"failed_today"`
	Waiting        time.Duration `json:"waiting_ns"`
	Paused         bool          `json:"paused"`
	Pause          *queue.Pause  `json:"pause,omitempty"`
}

func (a *app) showQueues(ctx context.Context, entry *accountConfig, rdb redis.UniversalClient) error {
	states, err := queue.NewInspector(rdb).Queues(ctx, entry.AppID)
	if err != nil {
		return err
	}
	gate, err := newGate(rdb, entry)
	if err != nil {
		return err
	}
	s, err := gate.State(ctx)
	if err != nil {
		return err
	}
	if a.output == "json" {
		var rows []queueView
		for _, q := range states {
			rows = append(rows, queueView{
				q.Class, q.Pending, q.Active, q.Scheduled, q.Retry, q.Archived, q.ProcessedToday, q.FailedToday, q.Latency, q.Paused, q.Pause,
			})
		}
		return a.printJSON(map[string]any{
			"account": entry.AppID, "queues": rows, "closed": closures(s), "used": s.Used, "cap": s.Cap, "resets_at": s.ResetsAt,
		})
	}
	_, _ = fmt.Fprintf(a.Stdout, "account %s: gate %s; %d of %s used today\n\n", entry.AppID, a.gateText(s), s.Used, capText(s.Cap))
	w := tabwriter.NewWriter(a.Stdout, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "class\tpending\tactive\tscheduled\tretry\tarchived\twaiting\tpaused")
	for _, q := range states {
		_, _ = fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\n",
			q.Class, q.Pending, q.Active, q.Scheduled, q.Retry, q.Archived, q.Latency.Round(time.Second), pauseText(q))
	}
	return w.Flush()
}

func pauseText(q queue.State) string {
	switch {
	case !q.Paused:
		return "no"
	case q.Pause == nil:
		return "by another tool; `wxnotify queues resume " + string(q.Class) + "` resumes it"
	}
	return "by " + q.Pause.Owner + " since " + q.Pause.Since.Local().Format(time.RFC3339) + ": " + q.Pause.Reason
}
