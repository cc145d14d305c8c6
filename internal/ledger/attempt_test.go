package ledger_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/wechat"
)

// outline is an attempt without its time.
func outline(a ledger.Attempt) string {
	return fmt.Sprintf("%d %v %s %v %d %s %s", a.N, a.Latency, a.Worker, a.Accepted, a.Errcode, a.RID, a.Reason)
}

func refusedBy(worker string, code wechat.Code) ledger.Outcome {
	return ledger.Outcome{
		State: ledger.Retrying, Errcode: code, Reason: code.Name(), RID: fmt.Sprint("rid-", worker), Attempt: true,
		Worker: worker, Latency: 70 * time.Millisecond,
	}
}

func TestStoryTellsEachAttempt(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		t.Helper()
		l := open(t, rdb)
		e := envelope("order-1")
		create(t, rdb, record(e))
		begin(t, l, e)
		failed(t, l, e.ID, refusedBy("a:1", -1))
		begin(t, l, e)
		failed(t, l, e.ID, ledger.Outcome{State: ledger.Retrying, Reason: ledger.ReasonLost, Attempt: true, Ambiguous: true, Worker: "b:2"})
		begin(t, l, e)
		failed(t, l, e.ID, ledger.Outcome{State: ledger.Queued, Reason: ledger.ReasonNoToken, NoCall: true, Worker: "b:2"})
		begin(t, l, e)
		accepted(t, l, e.ID, ledger.Acceptance{To: e.To, MsgID: 5, Class: e.Class})
		var got []string
		for _, a := range get(t, l, e.ID).Story() {
			got = append(got, outline(a))
			if age := time.Since(a.At); age < 0 || age > time.Minute {
				t.Errorf("attempt %d at %s", a.N, a.At)
			}
		}
		want := []string{
			"1 70ms a:1 false -1 rid-a:1 " + wechat.Code(-1).Name(), "2 0s b:2 false 0  " + ledger.ReasonLost, "3 0s  true 0  ",
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// A message that was accepted at once is the usual case: its story costs no byte.
func TestAcceptedAtOnceStoresNoAttempt(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		t.Helper()
		l := open(t, rdb)
		e := envelope("order-1")
		create(t, rdb, record(e))
		begin(t, l, e)
		accepted(t, l, e.ID, ledger.Acceptance{To: e.To, MsgID: 5, Class: e.Class})
		receipt(t, l, ledger.Receipt{MsgID: 5, OpenID: e.To, Status: "success"})
		for _, field := range rdb.HKeys(t.Context(), key("m:"+e.ID)).Val() {
			if strings.Contains("NAWBC", field[:1]) {
				t.Errorf("the record has the field %s", field)
			}
		}
		if s := get(t, l, e.ID).Story(); len(s) != 1 || !s[0].Accepted || s[0].N != 1 {
			t.Errorf("got %+v", s)
		}
	})
}

func TestStoryKeepsTheLastEightAttempts(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		t.Helper()
		l := open(t, rdb)
		e := envelope("order-1")
		create(t, rdb, record(e))
		for i := range 19 {
			begin(t, l, e)
			o := refusedBy(fmt.Sprint("w:", i), 45011)
			if i%2 == 1 { // leaves nothing of the attempt that had its place before
				o.RID, o.Worker, o.Errcode, o.Reason = "", "", 0, strings.Repeat("r", 100)
			}
			for range 2 { // a call that comes twice counts once
				failed(t, l, e.ID, o)
			}
		}
		story := get(t, l, e.ID).Story()
		if len(story) != 8 || story[0].N != 12 || story[7].N != 19 || story[7].Worker != "w:18" {
			t.Errorf("got %+v", story)
		}
		if a := story[0]; a.Worker != "" || a.RID != "" || a.Errcode != 0 || len(a.Reason) != 60 {
			t.Errorf("something of attempt 4 is left: %+v", a)
		}
		if enc := rdb.ObjectEncoding(t.Context(), key("m:"+e.ID)).Val(); enc != "" && enc != "listpack" && enc != "ziplist" {
			t.Errorf("stored as %s", enc)
		}
		begin(t, l, e)
		accepted(t, l, e.ID, ledger.Acceptance{To: e.To, MsgID: 5, Class: e.Class})
		if story := get(t, l, e.ID).Story(); len(story) != 8 || story[0].N != 13 || !story[7].Accepted {
			t.Errorf("got %+v", story)
		}
	})
}

// An acceptance whose receipt asks for another attempt stays in the story.
func TestStoryHasTheAcceptanceBeforeAResend(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		t.Helper()
		l := open(t, rdb)
		e := envelope("order-1")
		e.Class = job.Critical
		create(t, rdb, record(e))
		begin(t, l, e)
		accepted(t, l, e.ID, ledger.Acceptance{To: e.To, MsgID: 5, Class: e.Class, Payload: []byte("p")})
		sent := get(t, l, e.ID).SentAt
		for range 2 {
			receipt(t, l, failing(5, "failed: system failed"))
		}
		story := get(t, l, e.ID).Story()
		if len(story) != 1 || !story[0].Accepted || story[0].Reason != "system-failed" || !story[0].At.Equal(sent) {
			t.Errorf("got %+v", story)
		}
	})
}

// The outcome of a delivery that was overtaken is not written, nor is its attempt.
func TestStoryHasNoAttemptOfASupersededDelivery(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		t.Helper()
		l := open(t, rdb)
		e := envelope("order-1")
		create(t, rdb, record(e))
		begin(t, l, e)
		old := delivery(l, e.ID)
		begin(t, l, e)
		void(t, l.Failed(t.Context(), e.ID, old, refusedBy("late:1", -1)))
		if story := get(t, l, e.ID).Story(); len(story) != 0 {
			t.Errorf("got %+v", story)
		}
	})
}
