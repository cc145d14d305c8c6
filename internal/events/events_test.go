package events_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/events"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/wechat"
)

// short is an event as a test writes it.
func short(list []events.Event) []string {
	out := []string{}
	for _, e := range list {
		out = append(out, fmt.Sprintf("%s %s %d", e.Type, e.MessageID, e.Sequence))
	}
	return out
}

// Every end of a message is told once, with a number that grows, whatever is repeated.
func TestEachEndOfAMessageIsToldOnce(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb redis.UniversalClient) {
		l, ctx := open(t, rdb), t.Context()
		r := events.NewReader(l, nil)
		for range 2 { // each call comes twice
			begin(t, l, "delivered", 1)
			accept(t, l, "delivered", 1, 11)
			_, err := l.Receipt(ctx, ledger.Receipt{MsgID: 11, OpenID: openid, Status: "success"})
			must(t, err)
		}
		begin(t, l, "refused", 2)
		for range 2 {
			must(t, l.Failed(ctx, "refused", 2, ledger.Outcome{State: ledger.Rejected, Errcode: 43004, Attempt: true}))
		}
		begin(t, l, "cancelled", 3)
		must(t, l.Undo(ctx, "cancelled", 3))
		for range 2 {
			_, _, err := l.Cancel(ctx, "cancelled")
			must(t, err)
		}
		begin(t, l, "early", 4) // its receipt comes first
		_, err := l.Receipt(ctx, ledger.Receipt{MsgID: 44, OpenID: openid, Status: "failed: system failed"})
		must(t, err)
		for range 2 {
			accept(t, l, "early", 4, 44)
		}
		begin(t, l, "lost", 5)
		must(t, l.Failed(ctx, "lost", 5, ledger.Outcome{State: ledger.Unknown, Attempt: true, Ambiguous: true}))
		accept(t, l, "lost", 5, 55) // WeChat's yes comes late
		begin(t, l, "died", 6)
		must(t, l.Failed(ctx, "died", 6, ledger.Outcome{State: ledger.Dead, Attempt: true, Payload: []byte("p")}))
		_, _, err = l.Revive(ctx, "died")
		must(t, err)
		begin(t, l, "died", 7)
		accept(t, l, "died", 7, 77)
		begin(t, l, "late", 8)
		must(t, l.Failed(ctx, "late", 8, ledger.Outcome{State: ledger.Expired}))

		want := []string{
			"message.accepted delivered 1", "message.delivered delivered 2", "message.rejected refused 1", "message.cancelled cancelled 1",
			"message.accepted early 1", "message.rejected early 2", "message.unknown lost 1", "message.accepted lost 2",
			"message.dead died 1", "message.accepted died 2", "message.expired late 1",
		}
		for _, limit := range []int{1, 3, 1000} {
			if got := short(all(t, r, events.Query{Limit: limit})); !slices.Equal(got, want) {
				t.Errorf("by %d:\n got %q\nwant %q", limit, got, want)
			}
		}
		got := short(all(t, r, events.Query{Limit: 2, Types: []string{"message.dead", "message.rejected"}}))
		if want := []string{"message.rejected refused 1", "message.rejected early 2", "message.dead died 1"}; !slices.Equal(got, want) {
			t.Errorf("by type: %q", got)
		}
	})
}

// Messages that WeChat accepted together share an entry; a cursor may lie within it.
func TestACursorMayLieWithinABatch(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb redis.UniversalClient) {
		l := open(t, rdb)
		r := events.NewReader(l, nil)
		const n = 200
		for i := range n {
			begin(t, l, fmt.Sprint("m", i), int64(i+1))
		}
		var sends sync.WaitGroup
		for i := range n {
			sends.Go(func() {
				_, err := l.Accepted(context.WithoutCancel(t.Context()), fmt.Sprint("m", i), int64(i+1), ledger.Acceptance{To: openid, MsgID: wechat.MessageID(i + 1)})
				if err != nil {
					t.Error(err)
				}
			})
		}
		sends.Wait()
		entries := rdb.XLen(t.Context(), ledger.ClearEventsKey(account)).Val()
		if entries >= n {
			t.Errorf("%d entries of %d events: none is shared", entries, n)
		}
		list := all(t, r, events.Query{Limit: 7})
		seen := map[string]bool{}
		for _, e := range list {
			seen[e.MessageID], seen[e.ID] = true, true
			one, err := r.Get(t.Context(), e.ID, false)
			if err != nil || one == nil || one.MessageID != e.MessageID {
				t.Fatalf("%s: %+v %v", e.ID, one, err)
			}
		}
		if len(list) != n || len(seen) != 2*n {
			t.Errorf("%d events, %d names", len(list), len(seen))
		}
	})
}

func TestReadMasksOpenidsUnlessAsked(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb redis.UniversalClient) {
		l := open(t, rdb)
		r := events.NewReader(l, describe(l))
		begin(t, l, "m", 1)
		accept(t, l, "m", 1, 1)
		must(t, events.Publish(t.Context(), open(t, rdb), events.UserBound, events.Person{User: "alice", OpenID: openid, Previous: openid, How: "oauth"}))
		text := func(openids bool) string {
			list := all(t, r, events.Query{OpenIDs: openids})
			out, err := json.Marshal(list)
			must(t, err)
			return string(out)
		}
		if got := text(true); strings.Count(got, openid) != 3 {
			t.Errorf("asked: %s", got)
		}
		if got := text(false); strings.Contains(got, openid) || !strings.Contains(got, "alice") || !strings.Contains(got, `"state":"accepted"`) {
			t.Errorf("not asked: %s", got)
		}
	})
}

func TestErasureRemovesTheEventsOfAPerson(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb redis.UniversalClient) {
		l, ctx := open(t, rdb), t.Context()
		for _, p := range []events.Person{{User: "alice"}, {OpenID: openid}, {User: "x", Previous: openid}, {User: "bob", OpenID: "oBob"}} {
			must(t, events.Publish(ctx, open(t, rdb), events.UserBound, p))
		}
		_, err := l.Erase(ctx, ledger.Erasure{
			OpenIDs: []string{openid}, Users: []string{"alice"}, Tasks: func(context.Context, []ledger.Ref) error { return nil },
		})
		must(t, err)
		list := all(t, events.NewReader(open(t, rdb), nil), events.Query{OpenIDs: true})
		if len(list) != 1 || !strings.Contains(string(list[0].Data), "oBob") {
			t.Errorf("left: %+v", list)
		}
	})
}

func TestReadWaitsForAnEvent(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb redis.UniversalClient) {
		r := events.NewReader(open(t, rdb), nil)
		const readers = 20
		got := make(chan string, readers)
		for range readers {
			go func() {
				list, _, err := r.Read(t.Context(), events.Query{Wait: time.Minute, Types: []string{"quota.*"}})
				got <- fmt.Sprint(short(list), err)
			}()
		}
		must(t, events.Publish(t.Context(), open(t, rdb), events.AccountPaused, events.Pause{}))
		must(t, events.Publish(t.Context(), open(t, rdb), events.QuotaGone, events.Quota{}))
		for range readers {
			if g := <-got; g != "[quota.gone  0] <nil>" {
				t.Error(g)
			}
		}
		latest, err := r.Latest(t.Context())
		must(t, err)
		list, next, err := r.Read(t.Context(), events.Query{After: latest, Wait: time.Millisecond})
		if len(list) > 0 || next != latest || err != nil {
			t.Error(list, next, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := r.Read(ctx, events.Query{After: latest, Wait: time.Minute}); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestReadRefusesAForeignCursorAndAnUnknownType(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb redis.UniversalClient) {
		r := events.NewReader(open(t, rdb), nil)
		for _, c := range []string{"x", "1", "1-", "-1", "1-1.", "1-1.-1", "1-1.x", "(1-1", "1-1-1"} {
			if _, _, err := r.Read(t.Context(), events.Query{After: c}); !errors.Is(err, events.ErrCursor) {
				t.Errorf("%q: %v", c, err)
			}
		}
		for _, name := range []string{"message", "message.sent", "*", "mess*", ""} {
			if _, _, err := r.Read(t.Context(), events.Query{Types: []string{name}}); err == nil {
				t.Errorf("type %q is taken", name)
			}
		}
	})
}

func TestTrimRemovesOldEvents(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx, key := t.Context(), ledger.ClearEventsKey(account)
		old := time.Now().Add(-80 * time.Hour).UnixMilli()
		for i := range 500 {
			must(t, rdb.XAdd(ctx, &redis.XAddArgs{Stream: key, ID: fmt.Sprintf("%d-%d", old, i+1), Values: []string{"m", "a1:m"}}).Err())
		}
		must(t, events.Publish(ctx, open(t, rdb), events.QuotaGone, events.Quota{}))
		must(t, events.Trim(ctx, open(t, rdb), 72*time.Hour, 1000))
		if n := rdb.XLen(ctx, key).Val(); n > 150 { // Redis removes whole blocks
			t.Errorf("%d entries are left", n)
		}
		if life := rdb.TTL(ctx, key).Val(); life < 24*time.Hour {
			t.Errorf("the stream lives for %s", life)
		}
	})
}
