package console

import (
	"strconv"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/locale"
	"github.com/wxnotify/wxnotify/internal/mask"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/ratelimit"
)

// whyOf says why a message has not been sent yet, the strongest cause first, and when it
// moves. It is empty for a message that has ended or was accepted.
func whyOf(r *request, m *ledger.Record, task *queue.Waiting, d *reading) []string {
	now := time.Now()
	if !m.EndedAt.IsZero() {
		return nil
	}
	switch m.State {
	case ledger.Accepted:
		return []string{r.text("WeChat accepted it at %s; its receipt is awaited for 24 hours.", moment(m.SentAt))}
	case ledger.Sending:
		return []string{r.text("A worker is sending it now. If that worker is killed, another one takes over within a minute.")}
	case ledger.Queued, ledger.Scheduled, ledger.Retrying:
	case ledger.Delivered, ledger.Rejected, ledger.Expired, ledger.Cancelled, ledger.Unknown, ledger.Dead:
		return nil
	}
	out := ownCauses(r, m, task, d, now)
	out = append(out, stops(r, m.Class, d)...)
	if len(out) > 0 {
		return out
	}
	return []string{inLine(r, m.Class, d)}
}

// ownCauses are those of the message itself.
func ownCauses(r *request, m *ledger.Record, task *queue.Waiting, d *reading, now time.Time) []string {
	var out []string
	held := heldOf(r, m.Template, task, d)
	switch {
	case m.NotBefore.After(now):
		out = append(out, r.text("It is not to be sent before %s.", moment(m.NotBefore)))
	case m.ResendAt.After(now):
		out = append(out, r.text("WeChat could not deliver it; it is sent again at %s.", moment(m.ResendAt)))
	case held != "":
		out = append(out, held)
	case task != nil && task.Due.After(now):
		out = append(out, r.text("The last attempt failed; the next one is at %s.", moment(task.Due)))
	case task == nil:
		out = append(out, r.text("It has no task on its queue. Running workers repair that within minutes; enqueueing it again with the same ID does so at once."))
	}
	return out
}

// heldOf says that a worker holds the message back; empty: none does.
func heldOf(r *request, template string, task *queue.Waiting, d *reading) string {
	key := ""
	if task != nil {
		key = job.SealedWith(task.Payload)
	}
	for i := range d.workers {
		for _, h := range d.workers[i].Held {
			switch {
			case h.SealKey != "" && h.SealKey == key:
				return r.text("It is sealed with the key %s, which the worker on %s does not have: add it to WXNOTIFY_SEAL_KEYS there.", key, mask.Text(d.workers[i].Host))
			case h.Template != "" && h.Template == template:
				return heldText(r, h)
			}
		}
	}
	return ""
}

// stops are what keeps a class of the account from being sent.
func stops(r *request, class job.Class, d *reading) []string {
	var out []string
	for i := range d.queues {
		if q := &d.queues[i]; q.Class == class && q.Paused {
			out = append(out, r.text("The class %s is paused %s", string(class), queueViewOf(r, q).Paused))
		}
	}
	for _, p := range d.gate.Closures() {
		if p.Reason == ratelimit.ReasonQuota && class == job.Critical && d.gate.Used < d.gate.Cap {
			continue // the reserve is left
		}
		text := r.text("Sending is stopped: %s", locale.GateReason(p.Reason, r.lang))
		if p.Detail != "" {
			text += " (" + mask.Text(p.Detail) + ")"
		}
		if !p.Until.IsZero() {
			text += " " + r.text("until %s", moment(p.Until))
		}
		out = append(out, text)
	}
	if d.errs["workers"] != nil {
		return out
	}
	able := 0
	for i := range d.workers {
		if w := &d.workers[i]; w.Suspended == nil && w.ClockAhead.Abs() <= redisx.ClockLimit {
			able++
		}
	}
	switch {
	case len(d.workers) == 0:
		out = append(out, r.text("No worker of this account runs: nothing is sent. Start one: wxnotify worker."))
	case able == 0:
		out = append(out, r.text("No worker may send: WeChat refuses their addresses, or their clocks are wrong; see the overview."))
	}
	return out
}

// inLine is for a message that nothing stops.
func inLine(r *request, class job.Class, d *reading) string {
	ahead := int64(0)
	for i := range d.queues {
		if d.queues[i].Class == class {
			ahead = d.queues[i].Pending
		}
	}
	text := r.text("Nothing stops it: it waits for its turn. Waiting messages of its class: %s", grouped(strconv.FormatInt(ahead, 10)))
	if d.gate.Rate > 0 && ahead > 0 {
		longest := time.Duration(float64(ahead) / d.gate.Rate * float64(time.Second)).Round(time.Second)
		text += " " + r.text("At %s a second that takes at most %s.", decimal(d.gate.Rate), max(longest, time.Second))
	}
	return text
}
