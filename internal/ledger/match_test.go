package ledger_test

import (
	"fmt"
	"sync"
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

var follower = envelope("").To

// send leads a message to WeChat's yes.
func send(tb testing.TB, l *ledger.Ledger, id string, msgid wechat.MessageID) {
	tb.Helper()
	e := envelope(id)
	begin(tb, l, e)
	accepted(tb, l, id, ledger.Acceptance{To: e.To, MsgID: msgid, Class: e.Class})
}

// lose sends a message whose answer is lost.
func lose(tb testing.TB, l *ledger.Ledger, id string, end ledger.State) {
	tb.Helper()
	begin(tb, l, envelope(id))
	failed(tb, l, id, ledger.Outcome{To: follower, State: end, Attempt: true, Ambiguous: true, Reason: "lost"})
}

func receipt(tb testing.TB, l *ledger.Ledger, r ledger.Receipt) *ledger.Settled {
	tb.Helper()
	s, err := l.Receipt(tb.Context(), r)
	must(tb, err)
	return s
}

func match(tb testing.TB, l *ledger.Ledger, r ledger.Receipt) *ledger.Settled {
	tb.Helper()
	s, err := l.Match(tb.Context(), r)
	must(tb, err)
	return s
}

// rcp-01 with MsgID 0: the receipts of two messages to one follower end the
// older first, and WeChat's repetition ends nothing more.
func TestRcp01ReceiptWithoutMsgIDEndsTheOldestMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		l := open(t, rdb)
		send(t, l, "one", 11)
		time.Sleep(time.Second)
		send(t, l, "two", 12)
		zero := ledger.Receipt{OpenID: follower, Status: "success", At: time.Now().Truncate(time.Second)}
		for range 3 {
			if s := receipt(t, l, zero); s == nil || s.ID != "one" || s.State != ledger.Delivered {
				t.Fatalf("got %+v, want the older message", s)
			}
			state(t, l, "two", ledger.Accepted)
		}
		if s := match(t, l, zero); s == nil || s.ID != "one" {
			t.Errorf("Match of a receipt that was taken: %+v", s)
		}
		time.Sleep(time.Second)
		zero.At = time.Now()
		zero.Status = "failed:user block"
		if s := receipt(t, l, zero); s == nil || s.ID != "two" || s.State != ledger.Rejected || s.Reason != "user-block" {
			t.Errorf("got %+v, want the other message", s)
		}
		zero.At = zero.At.Add(time.Second)
		if s := receipt(t, l, zero); s != nil {
			t.Errorf("a third receipt ended %+v", s)
		}
		if n := rdb.ZCard(t.Context(), key("await")).Val(); n != 0 {
			t.Errorf("%d receipts are still awaited", n)
		}
	})
}

// Two of our processes handle one event with MsgID 0: one message ends.
func TestRcp01ReceiptWithoutMsgIDHandledTwiceEndsOneMessage(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		for i := range 5 {
			send(t, l, fmt.Sprint("m", i), wechat.MessageID(100+i))
		}
		var all sync.WaitGroup
		at := time.Now()
		for range 10 {
			all.Go(func() {
				s, err := l.Receipt(t.Context(), ledger.Receipt{OpenID: follower, Status: "success", At: at})
				if err != nil || s == nil || s.State != ledger.Delivered {
					t.Errorf("got %+v, %v", s, err)
				}
			})
		}
		all.Wait()
		ended := 0
		for i := range 5 {
			if get(t, l, fmt.Sprint("m", i)).State == ledger.Delivered {
				ended++
			}
		}
		if ended != 1 {
			t.Errorf("%d were ended by one event", ended)
		}
	})
}

// rcp-03: the receipt with MsgID 0 comes before the answer is stored.
func TestRcp03ReceiptWithoutMsgIDBeforeTheAnswerIsMatchedLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		l := open(t, rdb)
		e := envelope("m")
		begin(t, l, e)
		time.Sleep(300 * time.Millisecond)
		zero := ledger.Receipt{OpenID: follower, Status: "success", At: time.Now().Truncate(time.Second)}
		if s := receipt(t, l, zero); s != nil {
			t.Fatalf("ended %+v, which WeChat has not accepted yet", s)
		}
		time.Sleep(6 * time.Second)
		accepted(t, l, e.ID, ledger.Acceptance{To: e.To, MsgID: 5})
		time.Sleep(time.Minute)
		if s := match(t, l, zero); s == nil || s.State != ledger.Delivered || s.EndedAt.Before(s.SentAt) {
			t.Errorf("got %+v", s)
		}
	})
}

// A receipt outside the window of a message is not its own.
func TestReceiptOutsideTheWindow(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		after time.Duration // of the event, from the begin of the attempt
		mine  bool
	}{
		"long before": {-time.Minute, false}, "cut to the second": {-900 * time.Millisecond, true},
		"ten minutes": {10 * time.Minute, true}, "after ten minutes": {10*time.Minute + time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				_, rdb := redistest.Mini(t)
				l := open(t, rdb)
				at := time.Now().Add(tc.after)
				send(t, l, "sure", 0)
				time.Sleep(12 * time.Minute)
				if s := match(t, l, ledger.Receipt{MsgID: 99, OpenID: follower, Status: "success", At: at}); (s != nil) != tc.mine {
					t.Errorf("unknown msgid: %+v", s)
				}
				if !tc.mine {
					if s := receipt(t, l, ledger.Receipt{OpenID: follower, Status: "success", At: at}); s != nil {
						t.Errorf("MsgID 0: %+v", s)
					}
				}
				if s := receipt(t, l, ledger.Receipt{OpenID: "oSOMEBODYELSE", Status: "success", At: at}); s != nil {
					t.Errorf("another follower's: %+v", s)
				}
			})
		})
	}
}

// rcp-03: the answer was lost, so that the receipt names a msgid that is not
// known. Here the message has ended as unknown already.
func TestRcp03ReceiptEndsTheMessageWhoseAnswerWasLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		l := open(t, rdb)
		lose(t, l, "m", ledger.Retrying)
		begun := get(t, l, "m").OpenSince
		at := time.Now().Add(time.Second)
		time.Sleep(7 * time.Minute)
		lose(t, l, "m", ledger.Unknown)
		time.Sleep(time.Minute)
		r := ledger.Receipt{MsgID: 99, OpenID: follower, Status: "success", At: at}
		if s := receipt(t, l, r); s != nil {
			t.Fatalf("an unknown msgid ended %+v at once", s)
		}
		state(t, l, "m", ledger.Unknown)
		time.Sleep(time.Minute)
		s := match(t, l, r)
		if s == nil || s.ID != "m" || s.State != ledger.Delivered || s.MsgID != 99 || s.Receipt != "success" || s.Resend != nil {
			t.Fatalf("got %+v", s)
		}
		if !s.SentAt.Equal(at) || s.EndedAt.Before(s.SentAt) || s.SentAt.Before(begun) || !s.OpenSince.IsZero() || s.Reason != "" {
			t.Errorf("sent %s, ended %s: %+v", s.SentAt, s.EndedAt, s)
		}
		if !s.Now {
			t.Error("the end is not told")
		}
		s.Now = false
		for range 2 { // repeated, before and after the mark of the first one ends
			if again := match(t, l, r); cmp.Diff(s, again) != "" {
				t.Errorf("a repeated Match: %+v", again)
			}
			if again := receipt(t, l, r); cmp.Diff(s, again) != "" {
				t.Errorf("a repeated Receipt: %+v", again)
			}
		}
	})
}

// A message that is still tried is not sent again after a receipt ended it.
func TestMatchEndsTheRetries(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		lose(t, l, "m", ledger.Retrying)
		s := match(t, l, ledger.Receipt{MsgID: 99, OpenID: follower, Status: "failed:user block", At: time.Now()})
		if s == nil || s.State != ledger.Rejected || s.Reason != "user-block" || s.SentAt.IsZero() {
			t.Fatalf("got %+v", s)
		}
		if again := begin(t, l, envelope("m")); again.Decision != ledger.Ended || again.State != ledger.Rejected {
			t.Errorf("sent again: %+v", again)
		}
		failed(t, l, "m", ledger.Outcome{To: follower, State: ledger.Unknown, Ambiguous: true})
		accepted(t, l, "m", ledger.Acceptance{To: follower, MsgID: 99}) // an answer that was on its way
		if r := state(t, l, "m", ledger.Rejected); r.PossibleDuplicate {
			t.Errorf("got %+v", r)
		}
		if n := rdb.ZCard(t.Context(), key("await")).Val(); n != 0 {
			t.Errorf("%d receipts are still awaited", n)
		}
	})
}

// What may be of two messages, or is surely of none, ends nothing.
func TestMatchIsSureOrDoesNothing(t *testing.T) {
	t.Parallel()
	foreign := ledger.Receipt{MsgID: 99, OpenID: follower, Status: "success"}
	for name, tc := range map[string]struct {
		before func(t *testing.T, l *ledger.Ledger)
		want   string // the message ended
	}{
		"two lost answers": {func(t *testing.T, l *ledger.Ledger) {
			lose(t, l, "a", ledger.Retrying)
			lose(t, l, "b", ledger.Unknown)
		}, ""},
		"one lost, one without msgid":  {func(t *testing.T, l *ledger.Ledger) { lose(t, l, "a", ledger.Retrying); send(t, l, "b", 0) }, ""},
		"its msgid is known":           {func(t *testing.T, l *ledger.Ledger) { send(t, l, "a", 7) }, ""},
		"surely not arrived":           {func(t *testing.T, l *ledger.Ledger) { fail(t, l, "a", ledger.Retrying) }, ""},
		"refused":                      {func(t *testing.T, l *ledger.Ledger) { fail(t, l, "a", ledger.Rejected) }, ""},
		"one lost, one with its msgid": {func(t *testing.T, l *ledger.Ledger) { send(t, l, "a", 7); lose(t, l, "b", ledger.Retrying) }, "b"},
		"lost, then clearly refused": {func(t *testing.T, l *ledger.Ledger) {
			lose(t, l, "a", ledger.Retrying)
			begin(t, l, envelope("a"))
			failed(t, l, "a", ledger.Outcome{To: follower, State: ledger.Unknown, Errcode: 43004})
		}, "a"},
		"accepted without a msgid": {func(t *testing.T, l *ledger.Ledger) { send(t, l, "a", 0) }, "a"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			everywhere(t, func(t *testing.T, rdb *redis.Client) {
				l := open(t, rdb)
				tc.before(t, l)
				r := foreign
				r.At = time.Now()
				if s := receipt(t, l, r); s != nil {
					t.Fatalf("Receipt ended %+v", s)
				}
				s := match(t, l, r)
				switch {
				case tc.want == "" && s != nil:
					t.Errorf("ended %+v", s)
				case tc.want != "" && (s == nil || s.ID != tc.want || s.State != ledger.Delivered):
					t.Errorf("got %+v, want %s", s, tc.want)
				}
			})
		})
	}
}

// fail records an attempt that surely did not arrive.
func fail(tb testing.TB, l *ledger.Ledger, id string, end ledger.State) {
	tb.Helper()
	begin(tb, l, envelope(id))
	failed(tb, l, id, ledger.Outcome{To: follower, State: end, Errcode: 43004, Attempt: true})
}

// Match finds a message whose msgid became known after Receipt had looked, and a
// receipt with MsgID 0 one whose answer was lost.
func TestMatchFindsWhatBecameKnownSinceReceipt(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		r := ledger.Receipt{MsgID: 31, OpenID: follower, Status: "success", At: time.Now()}
		begin(t, l, envelope("late"))
		receipt(t, l, r)
		accepted(t, l, "late", ledger.Acceptance{To: follower, MsgID: 31}) // joins it
		if s := match(t, l, r); s == nil || s.ID != "late" || s.State != ledger.Delivered {
			t.Errorf("got %+v", s)
		}
		lose(t, l, "lost", ledger.Unknown)
		zero := ledger.Receipt{OpenID: follower, Status: "success", At: time.Now()}
		if s := receipt(t, l, zero); s != nil {
			t.Errorf("Receipt guessed: %+v", s)
		}
		if s := match(t, l, zero); s == nil || s.ID != "lost" || s.State != ledger.Delivered {
			t.Errorf("got %+v", s)
		}
		if s := match(t, l, ledger.Receipt{MsgID: 32, Status: "success"}); s != nil {
			t.Errorf("without an openid: %+v", s)
		}
	})
}

// The latest messages to an openid are bounded, and expire.
func TestLatestMessagesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		l := open(t, rdb)
		near := key("a:" + follower)
		for i := range 100 {
			send(t, l, fmt.Sprint("m", i), wechat.MessageID(100+i))
		}
		if n := rdb.ZCard(t.Context(), near).Val(); n != 64 {
			t.Errorf("%d are remembered, want 64", n)
		}
		for i := range 100 {
			receipt(t, l, ledger.Receipt{MsgID: wechat.MessageID(100 + i), OpenID: follower, Status: "success"})
		}
		if n := rdb.Exists(t.Context(), near, key("await")).Val(); n != 0 {
			t.Error("what has its receipt is still remembered")
		}
		send(t, l, "quiet", 7)
		fail(t, l, "no", ledger.Retrying)
		time.Sleep(15*time.Minute + time.Second)
		if n := rdb.Exists(t.Context(), near).Val(); n != 0 {
			t.Error("remembered for more than 15 minutes")
		}
	})
}

// rcp-07: design 3.1 has it that accepted ends when no receipt comes in 24 h.
func TestRcp07AcceptedEndsWithoutReceiptAfter24Hours(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		l := open(t, rdb)
		sweep := func(limit, want int) {
			t.Helper()
			missing, err := l.Sweep(t.Context(), limit)
			if err != nil || len(missing) != want {
				t.Errorf("swept %d, %v, want %d", len(missing), err, want)
			}
			for _, r := range missing {
				if r.State != ledger.Accepted || r.EndedAt.IsZero() || r.Class != job.Critical && r.Class != job.Default {
					t.Errorf("swept %+v", r)
				}
			}
		}
		for i := range 30 {
			send(t, l, fmt.Sprint("quiet", i), wechat.MessageID(100+i))
		}
		send(t, l, "answered", 7)
		receipt(t, l, ledger.Receipt{MsgID: 7, OpenID: follower, Status: "success"})
		time.Sleep(ledger.ReceiptWait - time.Millisecond)
		sweep(100, 0)
		time.Sleep(time.Millisecond)
		sweep(3, 3)
		sweep(3000, 27)
		sweep(100, 0)
		r := state(t, l, "quiet1", ledger.Accepted)
		if r.Reason != ledger.ReasonNoReceipt || !r.EndedAt.Equal(r.SentAt.Add(ledger.ReceiptWait)) {
			t.Errorf("got %+v", r)
		}
		if s := begin(t, l, envelope("quiet1")); s.Decision != ledger.Ended {
			t.Errorf("sent again: %+v", s)
		}
		if s := receipt(t, l, ledger.Receipt{MsgID: 101, OpenID: follower, Status: "success", At: time.Now()}); s == nil || s.State != ledger.Delivered || s.Reason != "" {
			t.Errorf("a receipt after more than a day: %+v", s)
		}
	})
}

// Where Sweep is not called, acceptances remove what is overdue.
func TestRcp07AcceptancesRemoveOverdueReceipts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		l := open(t, rdb)
		const n = 50
		for i := range n {
			send(t, l, fmt.Sprint("old", i), wechat.MessageID(100+i))
		}
		time.Sleep(25 * time.Hour)
		for i := range 3 {
			send(t, l, fmt.Sprint("new", i), wechat.MessageID(1000+i))
		}
		if left := rdb.ZCard(t.Context(), key("await")).Val(); left != 3 {
			t.Errorf("%d are awaited, want 3", left)
		}
		time.Sleep(5 * 24 * time.Hour)
		if left := rdb.Keys(t.Context(), "*:await").Val(); len(left) != 0 {
			t.Errorf("left without an end: %v", left)
		}
	})
}

// rcp-06: a follower who refuses the account's messages is not written to again,
// from whichever receipt that is known.
func TestRcp06UserBlockSuppressesTheFollower(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		block := func(id string, msgid wechat.MessageID, r ledger.Receipt) {
			t.Helper()
			e := envelope(id)
			e.To = "o" + id
			begin(t, l, e)
			accepted(t, l, id, ledger.Acceptance{To: e.To, MsgID: msgid, Class: job.Default})
			r.Status, r.At = "failed:user block", time.Now()
			receipt(t, l, r)
			s := suppressed(t, l, e.To, e.Template)
			if s == nil || s.Reason != "user-block" || s.ByAdmin || s.Until.Sub(r.At).Round(time.Hour) != 30*24*time.Hour {
				t.Errorf("%s: suppressed %+v", id, s)
			}
		}
		block("named", 1, ledger.Receipt{MsgID: 1, OpenID: "onamed"})
		block("record", 2, ledger.Receipt{MsgID: 2})
		block("zero", 3, ledger.Receipt{OpenID: "ozero"})
		block("foreign", 4, ledger.Receipt{MsgID: 99, OpenID: "oforeign"})
		receipt(t, l, ledger.Receipt{MsgID: 5, OpenID: "oFINE", Status: "failed: system failed"})
		receipt(t, l, ledger.Receipt{MsgID: 6, OpenID: "oOLD", Status: "failed:user block", At: time.Now().Add(-31 * 24 * time.Hour)})
		for _, openid := range []string{"oFINE", "oOLD"} {
			if s := suppressed(t, l, openid, ""); s != nil {
				t.Errorf("%s: suppressed %+v", openid, s)
			}
		}
	})
}
