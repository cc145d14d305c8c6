package ledger_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/wechat"
)

// urgent is a message of the class that is sent again.
func urgent(id string) job.Envelope {
	e := envelope(id)
	e.Class = job.Critical
	return e
}

// accept begins e and records WeChat's yes, as a worker does.
func accept(tb testing.TB, l *ledger.Ledger, e job.Envelope, msgid wechat.MessageID) {
	tb.Helper()
	if s := begin(tb, l, e); s.Decision != ledger.Send {
		tb.Fatalf("begin of %s: %+v", e.ID, s)
	}
	yes(tb, l, e, msgid)
}

func yes(tb testing.TB, l *ledger.Ledger, e job.Envelope, msgid wechat.MessageID) {
	tb.Helper()
	payload, err := job.Encode(e)
	must(tb, err)
	accepted(tb, l, e.ID, ledger.Acceptance{To: e.To, MsgID: msgid, Class: e.Class, Payload: payload})
}

func failing(msgid wechat.MessageID, status string) ledger.Receipt {
	return ledger.Receipt{MsgID: msgid, OpenID: follower, Status: status, At: time.Now()}
}

// rcp-06: WeChat could not deliver it: the message of a class that is sent again
// is, after WeChat's ten minutes are over.
func TestRcp06SystemFailedIsSentAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		l := open(t, rdb)
		e := urgent("m")
		accept(t, l, e, 1)
		firstDelivery := delivery(l, e.ID)
		first := receipt(t, l, failing(1, "failed: system failed"))
		due := time.Now().Add(11 * time.Minute)
		if first.State != ledger.Retrying || first.Reason != "system-failed" || first.MsgID != 0 || first.Resends != 1 ||
			!first.ResendAt.Equal(due) || !first.SentAt.IsZero() || first.Attempts != 0 || first.Receipt != "" {
			t.Fatalf("got %+v", first.Record)
		}
		again := first.Resend
		if again == nil || !again.After.Equal(due) {
			t.Fatalf("got %+v", again)
		}
		next, err := job.Parse(again.Payload)
		if err != nil || next.ID != e.ID || next.Hash() != e.Hash() || next.Class != e.Class {
			t.Fatalf("got %+v, %v", next, err)
		}
		time.Sleep(time.Minute)
		yes(t, l, e, 1) // the answer told once more: it is not a second acceptance
		if diff := cmp.Diff(first, receipt(t, l, failing(1, "failed: system failed"))); diff != "" {
			t.Errorf("the receipt handled again (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(first, match(t, l, failing(1, "failed: system failed"))); diff != "" {
			t.Errorf("matched (-want +got):\n%s", diff)
		}
		if s := begin(t, l, e); s.Decision != ledger.NotYet || !s.After.Equal(due) {
			t.Errorf("the first task taken again: %+v", s)
		}
		void(t, l.Failed(t.Context(), e.ID, firstDelivery, ledger.Outcome{To: e.To, State: ledger.Rejected})) // a late worker
		state(t, l, e.ID, ledger.Retrying)

		time.Sleep(time.Until(due))
		accept(t, l, next, 2)
		if s := receipt(t, l, failing(1, "failed: system failed")); s == nil || s.Resend != nil || s.State != ledger.Accepted {
			t.Errorf("the old receipt touches the new attempt: %+v", s)
		}
		s := receipt(t, l, failing(2, "success"))
		if s.State != ledger.Delivered || s.Attempts != 1 || s.Resends != 1 || s.Resend != nil || s.PossibleDuplicate {
			t.Errorf("got %+v", s)
		}
		if n := rdb.Exists(t.Context(), key("p:m")).Val(); n != 0 {
			t.Error("the payload is kept after the end")
		}
	})
}

// Each reason has its own patience, and none goes past the message's last moment.
func TestResendsEndByReasonAndNotAfter(t *testing.T) {
	t.Parallel()
	const system, freq = "failed: system failed", "failed:freq limit"
	for name, tc := range map[string]struct {
		receipts []string
		waits    []time.Duration // of the resends
		notAfter time.Duration
	}{
		"system failed once":  {[]string{system, system}, []time.Duration{11 * time.Minute}, 0},
		"freq limit twice":    {[]string{freq, freq, freq}, []time.Duration{time.Hour, 3 * time.Hour}, 0},
		"one after the other": {[]string{system, freq, freq}, []time.Duration{11 * time.Minute, 3 * time.Hour}, 0},
		"user block":          {[]string{"failed:user block"}, nil, 0},
		"WeChat's own words":  {[]string{"failed:moon phase"}, nil, 0},
		"too late":            {[]string{system}, nil, 11 * time.Minute},
		"too late the second": {[]string{freq, freq}, []time.Duration{time.Hour}, 2 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				_, rdb := redistest.Mini(t)
				l := open(t, rdb)
				e := urgent("m")
				if tc.notAfter > 0 {
					e.NotAfter = e.QueuedAt.Add(tc.notAfter)
				}
				create(t, rdb, record(e))
				for i, status := range tc.receipts {
					accept(t, l, e, wechat.MessageID(1+i))
					s := receipt(t, l, failing(wechat.MessageID(1+i), status))
					if i >= len(tc.waits) {
						if s.State != ledger.Rejected || s.Resend != nil || s.EndedAt.IsZero() {
							t.Fatalf("receipt %d: %+v, want the end", i, s)
						}
						return
					}
					if s.State != ledger.Retrying || s.Resend == nil || !s.Resend.After.Equal(time.Now().Add(tc.waits[i])) {
						t.Fatalf("receipt %d: %+v, want another attempt after %s", i, s, tc.waits[i])
					}
					time.Sleep(tc.waits[i])
				}
			})
		})
	}
}

// Only what the class says is sent again, and only by a receipt that names it.
func TestResendIsByClassAndSure(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		system := func(l *ledger.Ledger, e job.Envelope, msgid wechat.MessageID) *ledger.Settled {
			t.Helper()
			accept(t, l, e, msgid)
			return receipt(t, l, failing(msgid, "failed: system failed"))
		}
		usual, err := ledger.New(rdb, account, nil, ledger.Config{})
		must(t, err)
		defer usual.Close()
		none, err := ledger.New(rdb, account, nil, ledger.Config{Resend: []job.Class{}})
		must(t, err)
		defer none.Close()
		bulk, err := ledger.New(rdb, account, nil, ledger.Config{Resend: []job.Class{job.Bulk}})
		must(t, err)
		defer bulk.Close()
		if s := system(usual, envelope("default"), 1); s.State != ledger.Rejected || s.Resend != nil {
			t.Errorf("default: %+v", s)
		}
		if s := system(none, urgent("none"), 2); s.State != ledger.Rejected || s.Resend != nil {
			t.Errorf("none: %+v", s)
		}
		e := envelope("bulk")
		e.Class = job.Bulk
		if s := system(bulk, e, 3); s.State != ledger.Retrying || s.Resend == nil || s.Class != job.Bulk {
			t.Errorf("bulk: %+v", s)
		}
		accept(t, usual, urgent("guessed"), 4)
		zero := failing(0, "failed: system failed")
		if s := receipt(t, usual, zero); s == nil || s.ID != "guessed" || s.State != ledger.Rejected || s.Resend != nil {
			t.Errorf("another message may have failed, and ours be there: %+v", s)
		}
	})
}

// rcp-03: the failed receipt comes before the answer is stored.
func TestRcp03FailedReceiptBeforeTheAnswerAsksForAResend(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		e := urgent("m")
		begin(t, l, e)
		r := failing(9, "failed:freq limit")
		if s := receipt(t, l, r); s != nil {
			t.Fatalf("got %+v", s)
		}
		yes(t, l, e, 9)
		state(t, l, e.ID, ledger.Accepted)
		s := match(t, l, r)
		if s == nil || s.State != ledger.Retrying || s.Resend == nil {
			t.Fatalf("got %+v, want another attempt", s)
		}
		cancelled, _, err := l.Cancel(t.Context(), e.ID)
		if err != nil || !cancelled {
			t.Fatalf("what surely did not arrive can be cancelled: %v, %v", cancelled, err)
		}
		if s := match(t, l, r); s == nil || s.State != ledger.Cancelled || s.Resend != nil {
			t.Errorf("got %+v", s)
		}
		if s := begin(t, l, e); s.Decision != ledger.Ended {
			t.Errorf("a cancelled message begins: %+v", s)
		}
	})
}

// P5: a worker that remembers WeChat's yes to the first attempt, or an older one, is told that
// another attempt is due: it must not complete the task. Nothing is written.
func TestAcceptedOfAnEarlierLifeAsksForTheNextAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		l := open(t, rdb)
		e := urgent("m")
		begin(t, l, e)
		older := delivery(l, e.ID)
		accept(t, l, e, 1)
		n := delivery(l, e.ID)
		due := time.Now().Add(11 * time.Minute)
		receipt(t, l, failing(1, "failed: system failed"))
		before := get(t, l, e.ID)
		for delivery, msgid := range map[int64]wechat.MessageID{n: 1, older: 2} {
			got, err := l.Accepted(t.Context(), e.ID, delivery, ledger.Acceptance{To: e.To, MsgID: msgid, Class: e.Class})
			if err != nil || !got.Again || !got.Due.Equal(due) {
				t.Errorf("delivery %d: got %+v, %v, want another attempt at %s", delivery, got, err, due)
			}
		}
		if diff := cmp.Diff(before, get(t, l, e.ID)); diff != "" {
			t.Errorf("the record changed (-want +got):\n%s", diff)
		}
		time.Sleep(11 * time.Minute)
		accept(t, l, e, 3)
		if got, err := l.Accepted(t.Context(), e.ID, n, ledger.Acceptance{To: e.To, MsgID: 1}); err != nil || got.Again {
			t.Errorf("after the next acceptance: %+v, %v", got, err)
		}
		if r := state(t, l, e.ID, ledger.Accepted); r.MsgID != 3 || r.PossibleDuplicate || !r.ResendAt.IsZero() {
			t.Errorf("got %+v", r)
		}
		if s := receipt(t, l, failing(3, "success")); s.State != ledger.Delivered {
			t.Errorf("got %+v", s)
		}
	})
}
