package ledger_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/wechat"
)

// rcp-01: two receipts for one user in one second are both recorded.
func TestRcp01TwoReceiptsInOneSecondAreBothRecorded(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		at := time.Now().Truncate(time.Second).Add(-time.Second)
		for i, id := range []string{"one", "two"} {
			e := envelope(id)
			create(t, rdb, record(e))
			begin(t, l, e)
			accepted(t, l, id, ledger.Acceptance{MsgID: wechat.MessageID(100 + i)})
		}
		var both sync.WaitGroup
		for i, status := range []string{"success", "failed:user block"} {
			both.Go(func() {
				if _, err := l.Receipt(t.Context(), ledger.Receipt{MsgID: wechat.MessageID(100 + i), OpenID: envelope("").To, Status: status, At: at}); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		state(t, l, "one", ledger.Delivered)
		if r := state(t, l, "two", ledger.Rejected); r.Receipt != "user-block" || r.Reason != "user-block" {
			t.Errorf("got %+v", r)
		}
		for _, id := range []string{"one", "two"} { // WeChat's clock is another one
			if r := get(t, l, id); r.EndedAt.Before(r.SentAt) {
				t.Errorf("%s ended %s before it was sent %s", id, r.EndedAt, r.SentAt)
			}
		}
	})
}

// rcp-03: a receipt that comes before the answer is stored is joined later.
func TestRcp03ReceiptBeforeTheAnswerIsJoined(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		for i, status := range []string{"success", "failed: system failed"} {
			e := envelope(status)
			msgid := wechat.MessageID(200 + i)
			create(t, rdb, record(e))
			begin(t, l, e)
			for range 2 { // and twice
				got, err := l.Receipt(t.Context(), ledger.Receipt{MsgID: msgid, Status: status, At: time.Now().Add(-time.Second)})
				if got != nil || err != nil {
					t.Fatalf("got %+v, %v, want nothing yet", got, err)
				}
			}
			state(t, l, e.ID, ledger.Sending)
			accepted(t, l, e.ID, ledger.Acceptance{MsgID: msgid})
			r := get(t, l, e.ID)
			if r.EndedAt.Before(r.SentAt) {
				t.Errorf("ended %s before it was sent %s", r.EndedAt, r.SentAt)
			}
			again, err := l.Receipt(t.Context(), ledger.Receipt{MsgID: msgid, Status: "success"})
			must(t, err)
			r.Template = "" // is not told by Receipt
			if diff := cmp.Diff(&ledger.Settled{Record: *r}, again); diff != "" {
				t.Errorf("a repeated receipt changed the record:\n%s", diff)
			}
		}
		state(t, l, "success", ledger.Delivered)
		state(t, l, "failed: system failed", ledger.Rejected)
	})
}

// Both halves at once, in any order, end in the same state.
func TestReceiptRacesAnswer(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		var all sync.WaitGroup
		for i := range 100 {
			id := strings.Repeat("r", i+1)
			all.Go(func() {
				if _, err := l.Accepted(t.Context(), id, 1, ledger.Acceptance{MsgID: wechat.MessageID(1000 + i)}); err != nil {
					t.Error(err)
				}
			})
			all.Go(func() {
				if _, err := l.Receipt(t.Context(), ledger.Receipt{MsgID: wechat.MessageID(1000 + i), Status: "success"}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		for i := range 100 {
			state(t, l, strings.Repeat("r", i+1), ledger.Delivered)
		}
	})
}

// rcp-06: WeChat's words are normalised.
func TestRcp06StatusWordsAreNormalised(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		for i, tc := range []struct {
			status, receipt string
			state           ledger.State
		}{
			{"success", "success", ledger.Delivered},
			{" Success\n", "success", ledger.Delivered},
			{"failed:user block", "user-block", ledger.Rejected},
			{"failed: user  block", "user-block", ledger.Rejected},
			{"failed: system failed", "system-failed", ledger.Rejected},
			{"failed:system failed", "system-failed", ledger.Rejected},
			{"failed:freq limit", "freq-limit", ledger.Rejected},
			{"failed:success", "success", ledger.Rejected},
			{"failed:moon phase", "moon phase", ledger.Rejected},
			{"", "empty-status", ledger.Rejected},
			{"failed:" + strings.Repeat("很", 40), strings.Repeat("很", 19) + "…", ledger.Rejected},
		} {
			id := "w" + strings.Repeat("x", i)
			accepted(t, l, id, ledger.Acceptance{MsgID: wechat.MessageID(1 + i)})
			r, err := l.Receipt(t.Context(), ledger.Receipt{MsgID: wechat.MessageID(1 + i), Status: tc.status})
			must(t, err)
			if r.Receipt != tc.receipt || r.State != tc.state {
				t.Errorf("%q: got %q, %s; want %q, %s", tc.status, r.Receipt, r.State, tc.receipt, tc.state)
			}
		}
	})
}
