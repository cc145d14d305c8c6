package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/logging"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/usage"
	"github.com/wxnotify/wxnotify/internal/wiring"
	"github.com/wxnotify/wxnotify/wechat"
)

func (a *app) statsCommand() *cobra.Command {
	var by, since string
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "What became of messages, by the minute, the hour or the day",
		Long: `stats shows how many messages were enqueued, were accepted by WeChat, waited for another
attempt, and ended in each state. Minutes are kept for two days, hours for 90 days, days
of China for two years. On a terminal it draws a curve for each; piped it prints a table.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			span := ledger.Span(by)
			if !slices.Contains(ledger.Spans(), span) {
				return usage.Errorf("--by: %s is not one of minute, hour, day", usage.Quote(by))
			}
			now := time.Now()
			from, err := statsSince(since, span, now)
			if err != nil {
				return err
			}
			blank := a.blankBetween()
			return a.eachAccount(cmd, func(ctx context.Context, acct *wiring.Account, _ bool) error {
				blank()
				return a.showStats(ctx, acct, span, from, now)
			})
		},
	}
	looks(cmd)
	cmd.Flags().StringVar(&by, "by", "hour", "minute, hour or day")
	cmd.Flags().StringVar(&since, "since", "", "a time (RFC 3339) or how long ago (90m, 12h, 30d); one hour of minutes, one day of hours, 30 days")
	return a.ofAccounts(cmd, settings.Connecting)
}

// statsSince reads --since. Without one it is an hour of minutes, a day of hours or 30 days.
func statsSince(text string, span ledger.Span, now time.Time) (time.Time, error) {
	if text == "" {
		ago := map[ledger.Span]time.Duration{ledger.Minute: time.Hour, ledger.Hour: 24 * time.Hour, ledger.Day: 30 * 24 * time.Hour}[span]
		return now.Add(span.Length() - ago), nil
	}
	at, err := momentOrAgo("--since", text)
	if err == nil && !at.Before(now) {
		err = usage.Errorf("--since: is not in the past: there are no counts since then")
	}
	return at, err
}

// statsView is one account of `stats --output json`. The counts of a bucket have every
// state that is counted: queued are messages that were enqueued, retrying are attempts
// after which another one was due.
type statsView struct {
	Account string       `json:"account"`
	By      ledger.Span  `json:"by"`
	Buckets []bucketView `json:"buckets"`
	Total   bucketView   `json:"total"`
}

// bucketView is what happened in one span. Causes say why messages did not arrive; days
// alone have them.
type bucketView struct {
	At     time.Time              `json:"at"`
	Counts map[ledger.State]int64 `json:"counts"`
	Causes []causeView            `json:"causes,omitempty"`
}

type causeView struct {
	State   ledger.State `json:"state"`
	Errcode wechat.Code  `json:"errcode,omitempty"`
	Reason  string       `json:"reason,omitempty"`
	Count   int64        `json:"count"`
}

func bucketViewOf(b *ledger.Bucket) bucketView {
	v := bucketView{At: ledger.InChina(b.At), Counts: map[ledger.State]int64{}}
	for _, s := range ledger.Counted() {
		v.Counts[s] = b.Counts[s]
	}
	for _, c := range b.Causes {
		v.Causes = append(v.Causes, causeView(c))
	}
	return v
}

func (a *app) showStats(ctx context.Context, acct *wiring.Account, span ledger.Span, from, to time.Time) error {
	buckets, err := acct.Ledger.History(ctx, span, from, to)
	if err != nil {
		return err
	}
	total := ledger.Total(buckets)
	if a.output == "json" {
		v := statsView{Account: acct.AppID, By: span, Buckets: []bucketView{}, Total: bucketViewOf(&total)}
		for i := range buckets {
			v.Buckets = append(v.Buckets, bucketViewOf(&buckets[i]))
		}
		return a.printJSON(v)
	}
	_, _ = fmt.Fprintf(a.Stdout, a.say("account %s\n", "账号 %s\n"), acct.AppID)
	if logging.IsTerminal(a.Stdout) {
		a.drawStats(a.Stdout, span, buckets, &total)
	} else {
		err = a.tabulateStats(a.Stdout, span, buckets, &total)
	}
	for _, cause := range total.Causes {
		_, _ = fmt.Fprintf(a.Stdout, "%9d  %s\n", cause.Count, a.causeText(&cause))
	}
	return err
}

func (a *app) causeText(c *ledger.Cause) string {
	if c.Errcode != 0 {
		return fmt.Sprintf("%s: %d %s. %s", c.State.In(a.lang), int(c.Errcode), c.Errcode.Name(), c.Errcode.RemedyIn(a.lang))
	}
	return c.State.In(a.lang) + ": " + ledger.ReasonText(c.Reason, a.lang)
}

// countText names a state that is counted.
func (a *app) countText(s ledger.State) string {
	switch s {
	case ledger.Queued:
		return a.say("enqueued", "enqueued 入队")
	case ledger.Retrying:
		return a.say("to be retried", "retrying 需要重试")
	case ledger.Scheduled, ledger.Sending, ledger.Accepted, ledger.Delivered, ledger.Rejected, ledger.Expired, ledger.Cancelled, ledger.Unknown, ledger.Dead:
	}
	return s.In(a.lang)
}

// spanText is a bucket's start.
func spanText(span ledger.Span, at time.Time) string {
	return ledger.InChina(at).Format(map[ledger.Span]string{
		ledger.Minute: "2006-01-02 15:04 -07:00", ledger.Hour: "2006-01-02 15:04 -07:00", ledger.Day: "2006-01-02",
	}[span])
}

// curveWidth leaves room for two numbers and a name in a terminal of 80 columns.
const curveWidth = 40

// drawStats draws a curve for each state that occurs. Each has a scale of its own.
func (a *app) drawStats(w io.Writer, span ledger.Span, buckets []ledger.Bucket, total *ledger.Bucket) {
	if len(total.Counts) == 0 {
		_, _ = fmt.Fprintln(w, a.say("no messages in this time", "此期间没有消息"))
		return
	}
	per := (len(buckets) + curveWidth - 1) / curveWidth
	width := (len(buckets) + per - 1) / per
	_, _ = fmt.Fprintf(w, "%s %s\n", strings.Repeat(" ", width), a.say("    total      peak", "     合计      峰值"))
	for _, s := range ledger.Counted() {
		if total.Counts[s] == 0 {
			continue
		}
		values := make([]int64, width)
		for i := range buckets {
			values[i/per] += buckets[i].Counts[s]
		}
		_, _ = fmt.Fprintf(w, "%s %9d %9d %s\n", curve(values), total.Counts[s], slices.Max(values), a.countText(s))
	}
	_, _ = fmt.Fprintf(w, a.say("%s to %s, a column is %d %s\n", "%s 至 %s，每列 %d %s\n"),
		spanText(span, buckets[0].At), spanText(span, buckets[len(buckets)-1].At), per, a.unitText(span))
}

// unitText is the unit of a span.
func (a *app) unitText(span ledger.Span) string {
	switch span {
	case ledger.Minute:
		return a.say("min", "分钟")
	case ledger.Hour:
		return a.say("h", "小时")
	case ledger.Day:
	}
	return a.say("d", "天")
}

// curve draws values from 0 to the largest of them.
func curve(values []int64) string {
	blocks := []rune("▁▂▃▄▅▆▇█")
	top := max(slices.Max(values), 1)
	out := make([]rune, len(values))
	for i, v := range values {
		out[i] = ' '
		if v > 0 {
			out[i] = blocks[(v*int64(len(blocks))-1)/top]
		}
	}
	return string(out)
}

// tabulateStats prints a line for each bucket in which something happened.
func (a *app) tabulateStats(out io.Writer, span ledger.Span, buckets []ledger.Bucket, total *ledger.Bucket) error {
	w := newTable(out)
	line := func(name string, counts map[ledger.State]int64) {
		_, _ = io.WriteString(w, name)
		for _, s := range ledger.Counted() {
			_, _ = fmt.Fprintf(w, "\t%d", counts[s])
		}
		_, _ = fmt.Fprintln(w)
	}
	_, _ = io.WriteString(w, a.say("from", "起始"))
	for _, s := range ledger.Counted() {
		_, _ = io.WriteString(w, "\t"+a.countText(s))
	}
	_, _ = fmt.Fprintln(w)
	for i := range buckets {
		if len(buckets[i].Counts) > 0 {
			line(spanText(span, buckets[i].At), buckets[i].Counts)
		}
	}
	line(a.say("total", "合计"), total.Counts)
	return w.Flush()
}
