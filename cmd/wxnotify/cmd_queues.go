package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxnotify/wxnotify/internal/heartbeat"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/mask"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/usage"
	"github.com/wxnotify/wxnotify/internal/wiring"
)

func (a *app) queuesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "queues",
		Short: "Show each class's queue, the workers, and what stops them",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			blank := a.blankBetween()
			a.redisFaults = true
			return a.eachAccount(cmd, func(ctx context.Context, acct *wiring.Account, _ bool) error {
				blank()
				return a.showQueues(ctx, acct)
			})
		},
	}
	var reason string
	pause := a.pauseCommand("pause CLASS", "Stop sending a class until `queues resume`", func(ctx context.Context, acct *wiring.Account, class job.Class) error {
		return queue.NewInspector(acct.Redis).Pause(ctx, acct.AppID, class, operator(), mask.Text(reason))
	})
	audited(pause, "paused")
	pause.Flags().StringVar(&reason, "reason", "no reason given", "shown to colleagues by `queues`")
	resume := a.pauseCommand("resume CLASS", "Send a paused class again", func(ctx context.Context, acct *wiring.Account, class job.Class) error {
		return queue.NewInspector(acct.Redis).Resume(ctx, acct.AppID, class)
	})
	audited(resume, "resumed")
	looks(cmd)
	cmd.AddCommand(pause, resume)
	return a.ofAccounts(cmd, settings.Connecting|settings.Sending)
}

func (a *app) pauseCommand(use, short string, act func(context.Context, *wiring.Account, job.Class) error) *cobra.Command {
	cmd := a.accountCommand(use, short, cobra.ExactArgs(1), func(ctx context.Context, acct *wiring.Account, args []string) error {
		if err := act(ctx, acct, job.Class(args[0])); err != nil {
			return err
		}
		paused := strings.HasPrefix(use, "pause")
		done := a.say("resumed", "已恢复")
		if paused {
			done = a.say("paused", "已暂停")
		}
		return a.print(map[string]any{"account": acct.AppID, "class": args[0], "paused": paused}, "%s: %s", args[0], done)
	})
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if _, err := job.ParseClass(args[0]); err != nil {
			return usage.Wrap(err)
		}
		a.change.detail = "sending " + args[0]
		if reason, err := cmd.Flags().GetString("reason"); err == nil {
			a.change.detail += ": " + reason
		}
		return nil
	}
	cmd.ValidArgs = job.ClassNames()
	return cmd
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

// queuesView is one account of `queues --output json`. WorkersSeen is when any worker of
// the account reported last; absent: none did within the last 90 days.
type queuesView struct {
	Account     string             `json:"account"`
	Queues      []queueView        `json:"queues"`
	Closed      []closedView       `json:"closed"`
	Used        int64              `json:"used"`
	Cap         int64              `json:"cap"`
	ResetsAt    time.Time          `json:"resets_at"`
	Workers     []heartbeat.Worker `json:"workers"`
	WorkersSeen time.Time          `json:"workers_seen,omitzero"`
}

func (a *app) showQueues(ctx context.Context, acct *wiring.Account) error {
	states, err := queue.NewInspector(acct.Redis).Queues(ctx, acct.AppID)
	if err != nil {
		return err
	}
	s, err := acct.Gate.State(ctx)
	if err != nil {
		return err
	}
	workers, seen, err := heartbeat.List(ctx, acct.Redis, acct.AppID)
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
		return a.printJSON(queuesView{acct.AppID, rows, closures(s), s.Used, s.Cap, s.ResetsAt, append([]heartbeat.Worker{}, workers...), seen})
	}
	_, _ = fmt.Fprintf(a.Stdout, a.say("account %s: gate %s; %d of %s used today\n", "账号 %s：闸门%s；今日已用 %d / %s\n"),
		acct.AppID, a.gateText(s), s.Used, a.capText(s.Cap))
	w := newTable(a.Stdout)
	for _, one := range workers {
		_, _ = fmt.Fprintf(w, "worker\t%s\n", a.workerText(one))
	}
	if text := a.noWorker(acct.AppID, workers, seen); text != "" {
		_, _ = fmt.Fprintln(w, text)
	}
	_ = w.Flush()
	for _, text := range a.heldTexts(workers) {
		_, _ = fmt.Fprintln(a.Stdout, text)
	}
	_, _ = fmt.Fprintln(a.Stdout)
	_, _ = fmt.Fprintln(w, a.say("class\tpending\tactive\tscheduled\tretry\tarchived\twaiting\tpaused", "类别\t待发\t发送中\t定时\t重试\t归档\t已等待\t暂停"))
	for _, q := range states {
		_, _ = fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\n",
			q.Class, q.Pending, q.Active, q.Scheduled, q.Retry, q.Archived, q.Latency.Round(time.Second), a.pauseText(q))
	}
	return w.Flush()
}

func (a *app) pauseText(q queue.State) string {
	switch {
	case !q.Paused:
		return a.say("no", "否")
	case q.Pause == nil:
		return fmt.Sprintf(a.say("by another tool; `wxnotify queues resume %s` resumes it", "由其他工具暂停；用 `wxnotify queues resume %s` 恢复"), q.Class)
	}
	return fmt.Sprintf(a.say("by %s since %s: %s", "由 %s 于 %s 暂停：%s"), q.Pause.Owner, timeText(q.Pause.Since), q.Pause.Reason)
}
