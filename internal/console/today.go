package console

import (
	"cmp"
	"context"
	"html/template"
	"slices"
	"time"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/mask"
	"github.com/wxnotify/wxnotify/wechat"
)

// today is the history of an account's day, in China's time.
type today struct {
	hours  []ledger.Bucket // up to now
	day    ledger.Bucket
	recent float64 // attempts a second over the latest whole minutes, speedWindow in all
}

func readToday(ctx context.Context, l *ledger.Ledger, now time.Time) (t today, err error) {
	start := ledger.Day.Truncate(now)
	if t.hours, err = l.History(ctx, ledger.Hour, start, now); err != nil {
		return t, err
	}
	days, err := l.History(ctx, ledger.Day, start, now)
	if err != nil {
		return t, err
	}
	t.day = ledger.Total(days)
	minutes, err := l.History(ctx, ledger.Minute, now.Add(-speedWindow), now.Add(-time.Minute))
	if err != nil {
		return t, err
	}
	counts := ledger.Total(minutes).Counts
	t.recent = float64(counts[ledger.Accepted]+counts[ledger.Retrying]) / (time.Duration(len(minutes)) * time.Minute).Seconds()
	return t, nil
}

// todayView is the part of the overview that the history gives.
type todayView struct {
	Curve, Funnel template.HTML
	Hours         []hourView
	Steps         []bar
	Failures      []failureView
	Failed        int64 // ended without arriving
}

type hourView struct {
	From                                   string
	Enqueued, Accepted, Delivered, Missing int64
}

// failureView is how many messages did not arrive for one cause.
type failureView struct {
	State   string
	Errcode wechat.Code
	Reason  string
	Count   int64
	Remedy  string
}

// missing are the ends of messages that did not arrive, or may not have. Cancelled
// messages were not to arrive.
func missing() []ledger.State {
	return []ledger.State{ledger.Rejected, ledger.Expired, ledger.Unknown, ledger.Dead}
}

func missed(b *ledger.Bucket) (n int64) {
	for _, s := range missing() {
		n += b.Counts[s]
	}
	return n
}

// todayOf shows the day. runsOut is when the quota does; zero: not before the reset.
func todayOf(r *request, t *today, runsOut time.Time) todayView {
	v := todayView{Failed: missed(&t.day), Failures: failuresOf(r, &t.day)}
	arrived, failed := series{class: "c-good", values: make([]int64, 24)}, series{class: "c-bad", values: make([]int64, 24)}
	for i := range t.hours {
		h := &t.hours[i]
		view := hourView{clock(h.At), h.Counts[ledger.Queued], h.Counts[ledger.Accepted], h.Counts[ledger.Delivered], missed(h)}
		if hour := int(h.At.Sub(t.day.At).Hours()); hour < 24 {
			arrived.values[hour], failed.values[hour] = view.Accepted, view.Missing
		}
		if len(h.Counts) > 0 {
			v.Hours = append(v.Hours, view)
		}
	}
	ticks := map[int]string{0: "00", 6: "06", 12: "12", 18: "18"}
	var line *mark
	if at := runsOut.Sub(t.day.At).Hours(); !runsOut.IsZero() && at >= 0 && at <= 24 {
		line = &mark{at, r.text("quota used up at %s", clock(runsOut))}
	}
	v.Curve = columns(r.text("Accepted and failed messages by the hour of today"), []series{arrived, failed}, ticks, line)
	blocked := int64(0)
	for i := range t.day.Causes {
		if c := &t.day.Causes[i]; c.Blocked() && slices.Contains(missing(), c.State) {
			blocked += c.Count
		}
	}
	v.Steps = []bar{
		{"c-plain", r.text("enqueued"), t.day.Counts[ledger.Queued]},
		{"c-plain", r.text("accepted"), t.day.Counts[ledger.Accepted]},
		{"c-good", r.text("delivered"), t.day.Counts[ledger.Delivered]},
		{"c-warn", r.text("blocked"), blocked},
		{"c-bad", r.text("failed"), v.Failed - blocked},
	}
	v.Funnel = bars(r.text("From the queue to the follower, today"), v.Steps)
	return v
}

// clock is a time of day in China.
func clock(t time.Time) string { return ledger.InChina(t).Format("15:04") }

// failuresOf are the causes of messages that did not arrive, the most frequent first. What
// has no cause of its own is counted by its state.
func failuresOf(r *request, day *ledger.Bucket) []failureView {
	var out []failureView
	rest := map[ledger.State]int64{}
	for _, s := range missing() {
		rest[s] = day.Counts[s]
	}
	for _, c := range day.Causes {
		if !slices.Contains(missing(), c.State) {
			continue
		}
		rest[c.State] -= c.Count
		out = append(out, failureOf(r, &c))
	}
	for _, s := range missing() {
		if rest[s] > 0 {
			out = append(out, failureView{State: s.In(r.lang), Count: rest[s]})
		}
	}
	slices.SortStableFunc(out, func(a, b failureView) int { return cmp.Compare(b.Count, a.Count) })
	return out
}

func failureOf(r *request, c *ledger.Cause) failureView {
	f := failureView{State: c.State.In(r.lang), Errcode: c.Errcode, Reason: mask.Text(ledger.ReasonText(c.Reason, r.lang)), Count: c.Count}
	if c.Errcode != 0 {
		f.Reason, f.Remedy = c.Errcode.Name(), c.Errcode.RemedyIn(r.lang)
	}
	return f
}
