package ledger_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/wechat"
)

// transitions says what each verb does to a record in each state. The records of
// the rows were written by delivery 10 of their message, where one has begun; the
// verbs of an attempt come from an older delivery (5), the same, and a newer (11).
//
// A cell is the answer, if the verb has one, and "→" and the state afterwards; "·"
// alone or no arrow: not one field of the record has changed. "?" behind a state: the
// outcome of an attempt is not known.
const transitions = `
state       | Begin 5       Begin 10      Begin 11       | Accepted 5 Accepted 10 Accepted 11 | Failed 5  Failed 10  Failed 11  Ends 10    | Undo 5  Undo 10  Undo 11    | Cancel        Revive         Receipt    Match      Erase
missing     | send→sending? send→sending? send→sending?  | →accepted  →accepted   →accepted   | →retrying →retrying  →retrying  →rejected  | ·       ·        ·          | ·             not-dead       ·          ·          ·
redelivered | ended→unknown ended→unknown ended→unknown  | →accepted  →accepted   →accepted   | →retrying →retrying  →retrying  →rejected  | ·       ·        ·          | ·             not-dead       ·          ·          ·
queued      | send→sending? send→sending? send→sending?  | →accepted  →accepted   →accepted   | →retrying →retrying  →retrying  →rejected  | →queued →queued  →queued    | yes→cancelled not-dead       ·          ·          →cancelled
scheduled   | send→sending? send→sending? send→sending?  | →accepted  →accepted   →accepted   | →retrying →retrying  →retrying  →rejected  | →queued →queued  →queued    | yes→cancelled not-dead       ·          ·          →cancelled
sending     | superseded    send          send→sending?  | →accepted  →accepted   →accepted   | void      →retrying  →retrying? →rejected  | ·       →queued  →queued?   | ·             not-dead       ·          ·          →sending?
replaying   | superseded    send          send→sending?  | →accepted  →accepted   →accepted   | void      →retrying? →retrying? →rejected? | ·       →queued? →queued?   | ·             not-dead       ·          ·          →sending?
retrying    | superseded    superseded    send→sending?  | →accepted  →accepted   →accepted   | void      ·          →retrying  void       | ·       ·        →retrying  | yes→cancelled not-dead       ·          ·          →cancelled
retrying?   | superseded    superseded    send→sending?  | →accepted  →accepted   →accepted   | void      ·          →retrying? void       | ·       ·        →retrying? | ·             not-dead       ·          →delivered →unknown?
undone      | superseded    superseded    send→sending?  | →accepted  →accepted   →accepted   | void      ·          →retrying  void       | ·       ·        →queued    | yes→cancelled not-dead       ·          ·          →cancelled
resend      | superseded    superseded    not-yet        | again      again       →accepted   | void      ·          →retrying  void       | ·       ·        →retrying  | yes→cancelled not-dead       resend     ·          →cancelled
accepted    | ended         ended         ended          | recorded   recorded    recorded    | ·         ·          ·          ·          | ·       ·        ·          | ·             not-dead       →delivered ·          →accepted
delivered   | ended         ended         ended          | recorded   recorded    recorded    | ·         ·          ·          ·          | ·       ·        ·          | ·             not-dead       ·          ·          →delivered
rejected    | ended         ended         ended          | →accepted  →accepted   →accepted   | ·         ·          ·          ·          | ·       ·        ·          | ·             not-dead       ·          ·          →rejected
expired     | ended         ended         ended          | →accepted  →accepted   →accepted   | ·         ·          ·          ·          | ·       ·        ·          | ·             not-dead       ·          ·          →expired
cancelled   | ended         ended         ended          | →accepted  →accepted   →accepted   | ·         ·          ·          ·          | ·       ·        ·          | yes           not-dead       ·          ·          →cancelled
unknown     | ended         ended         ended          | →accepted  →accepted   →accepted   | ·         ·          ·          ·          | ·       ·        ·          | ·             not-dead       ·          →delivered →unknown?
dead        | ended         ended         ended          | →accepted  →accepted   →accepted   | ·         ·          ·          ·          | ·       ·        ·          | ·             payload→queued ·          ·          →dead
revived     | superseded    superseded    send→sending?  | again      again       →accepted   | void      ·          →retrying  void       | ·       ·        →queued    | yes→cancelled payload        ·          ·          →cancelled
erased      | superseded    send          ended→unknown? | →accepted  →accepted   →accepted   | void      →cancelled →unknown?  →rejected  | ·       →queued  →queued?   | ·             not-dead       ·          ·          ·
foreign     | foreign       foreign       foreign        | →accepted  →accepted   →accepted   | ·         ·          ·          ·          | →queued →queued  →queued    | yes→cancelled not-dead       ·          ·          →cancelled
`

// bench leads a message into the state of a row, by delivery 10.
type bench struct {
	*testing.T

	l   *ledger.Ledger
	rdb *redis.Client
	e   job.Envelope
}

func (b bench) begin(n int64) {
	b.Helper()
	if s, err := b.l.Begin(b.Context(), b.e, ledger.Delivery{N: n}); err != nil || s.Decision != ledger.Send {
		b.Fatalf("%+v, %v", s, err)
	}
}

func (b bench) fail(n int64, state ledger.State, ambiguous bool) error {
	b.Helper()
	err := b.l.Failed(b.Context(), b.e.ID, n, ledger.Outcome{
		To: b.e.To, Class: b.e.Class, State: state, Attempt: true, Ambiguous: ambiguous, Reason: "r", Payload: []byte("payload"),
	})
	mayBeVoid(b, err)
	return err
}

func (b bench) accept(n int64) ledger.Recorded {
	b.Helper()
	r, err := b.l.Accepted(b.Context(), b.e.ID, n, ledger.Acceptance{
		To: b.e.To, MsgID: b.msgid(), Class: b.e.Class, Payload: []byte("payload"),
	})
	must(b, err)
	return r
}

// msgid is one of its own for each message.
func (b bench) msgid() wechat.MessageID {
	h := wechat.MessageID(0)
	for _, c := range b.e.ID {
		h = h*31 + wechat.MessageID(c)
	}
	return h&(1<<62-1) | 1
}

func (b bench) receipt(status string) *ledger.Settled {
	b.Helper()
	return receipt(b.T, b.l, ledger.Receipt{MsgID: b.msgid(), OpenID: b.e.To, Status: status})
}

func (b bench) reach(state string) {
	b.Helper()
	r := record(b.e)
	if state == "scheduled" {
		r.State = ledger.Scheduled
	}
	if state != "missing" && state != "redelivered" {
		create(b, b.rdb, r)
	}
	switch state {
	case "sending", "retrying", "retrying?", "undone", "resend", "accepted", "delivered", "rejected", "expired", "unknown", "dead", "revived", "erased":
		b.begin(10)
	case "replaying":
		b.begin(7)
		b.begin(10)
	case "foreign":
		must(b, b.rdb.HSet(b.Context(), key("m:"+b.e.ID), "c", "b").Err())
	}
	switch state {
	case "retrying":
		must(b, b.fail(10, ledger.Retrying, false))
	case "retrying?":
		must(b, b.fail(10, ledger.Retrying, true))
	case "rejected":
		must(b, b.fail(10, ledger.Rejected, false))
	case "expired":
		must(b, b.fail(10, ledger.Expired, false))
	case "unknown":
		must(b, b.fail(10, ledger.Unknown, true))
	case "dead", "revived":
		must(b, b.fail(10, ledger.Dead, false))
	case "undone":
		must(b, b.l.Undo(b.Context(), b.e.ID, 10))
	case "resend", "accepted", "delivered":
		b.accept(10)
	case "erased":
		erase(b, b.l, ledger.Erasure{OpenIDs: []string{b.e.To}})
	case "cancelled":
		_, _, err := b.l.Cancel(b.Context(), b.e.ID)
		must(b, err)
	}
	switch state {
	case "resend":
		b.receipt("failed:system failed")
	case "delivered":
		b.receipt("success")
	case "revived":
		_, _, err := b.l.Revive(b.Context(), b.e.ID)
		must(b, err)
	}
}

// call runs the verb and returns its answer.
func (b bench) call(verb string, redelivered bool) string {
	b.Helper()
	var n int64
	name, number, _ := strings.Cut(verb, " ")
	_, _ = fmt.Sscan(number, &n)
	switch name {
	case "Begin":
		s, err := b.l.Begin(b.Context(), b.e, ledger.Delivery{N: n, Redelivered: redelivered})
		must(b, err)
		return string(s.Decision)
	case "Accepted":
		if b.accept(n).Again {
			return "again"
		}
		return "recorded"
	case "Failed", "Ends":
		state := map[string]ledger.State{"Failed": ledger.Retrying, "Ends": ledger.Rejected}[name]
		if err := b.fail(n, state, false); errors.Is(err, ledger.ErrSuperseded) {
			return "void"
		}
	case "Undo":
		must(b, b.l.Undo(b.Context(), b.e.ID, n))
	case "Cancel":
		ok, _, err := b.l.Cancel(b.Context(), b.e.ID)
		must(b, err)
		if ok {
			return "yes"
		}
	case "Revive":
		payload, _, err := b.l.Revive(b.Context(), b.e.ID)
		switch {
		case errors.Is(err, ledger.ErrNotDead):
			return "not-dead"
		case errors.Is(err, ledger.ErrNoPayload):
			return "no-payload"
		}
		must(b, err)
		return string(payload)
	case "Receipt":
		status := "success"
		if r := get(b, b.l, b.e.ID); r != nil && !r.ResendAt.IsZero() {
			status = "failed:system failed" // the one that asked for the resend
		}
		if s := b.receipt(status); s != nil && s.Resend != nil {
			return "resend"
		}
	case "Match":
		match(b.T, b.l, ledger.Receipt{MsgID: b.msgid() + 1, OpenID: b.e.To, Status: "success", At: time.Now()})
	case "Erase":
		erase(b, b.l, ledger.Erasure{OpenIDs: []string{b.e.To}})
	default:
		b.Fatalf("no verb %q", verb)
	}
	return ""
}

func (b bench) stored() map[string]string {
	return b.rdb.HGetAll(b.Context(), key("m:"+b.e.ID)).Val()
}

// cell runs a verb on a message of its own and says what it did; a repetition of the
// call must change nothing and answer the same.
func (b bench) cell(state, verb string) string {
	b.Helper()
	b.reach(state)
	before := b.stored()
	answer := b.call(verb, state == "redelivered")
	after := b.stored()
	out := answer
	if !cmp.Equal(before, after) {
		r := get(b, b.l, b.e.ID)
		out = answer + "→" + string(r.State)
		if !r.OpenSince.IsZero() {
			out += "?"
		}
		out = strings.TrimPrefix(out, "recorded") // what else
	}
	again := b.call(verb, state == "redelivered")
	if diff := cmp.Diff(after, b.stored()); diff != "" {
		b.Errorf("%s of %s, repeated, changes the record:\n%s", verb, state, diff)
	}
	if again != answer && verb != "Erase" {
		b.Errorf("%s of %s answers %q, repeated %q", verb, state, answer, again)
	}
	if out == "" {
		return "·"
	}
	return out
}

func TestTransitions(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l, err := ledger.New(rdb, account, nil, ledger.Config{Resend: job.Classes()})
		must(t, err)
		t.Cleanup(func() { _ = l.Close() })
		rows := strings.Split(strings.TrimSpace(transitions), "\n")
		head := strings.Fields(strings.ReplaceAll(rows[0], "|", ""))
		var verbs []string
		for i := 1; i < len(head); i++ {
			verb := head[i]
			if i+1 < len(head) && strings.Trim(head[i+1], "0123456789") == "" {
				verb += " " + head[i+1]
				i++
			}
			verbs = append(verbs, verb)
		}
		for i, row := range rows[1:] {
			cells := strings.Fields(strings.ReplaceAll(row, "|", ""))
			if len(cells) != 1+len(verbs) {
				t.Fatalf("%s: %d cells, want %d", cells[0], len(cells)-1, len(verbs))
			}
			for j, verb := range verbs {
				e := envelope(fmt.Sprintf("t-%d-%d", i, j))
				e.To = fmt.Sprintf("o-%d-%d", i, j)
				got := bench{t, l, rdb, e}.cell(cells[0], verb)
				if got != cells[1+j] {
					t.Errorf("%s of %s: %s, want %s", verb, cells[0], got, cells[1+j])
				}
			}
		}
	})
}
