package ledger_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/ledger"
)

func TestCompactIndexKeepsWhatHasARecord(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l, now := open(t, rdb), time.Now()
		old, young := now.Add(-5*24*time.Hour), now.Add(-time.Hour)
		enqueue(t, rdb, l, old, envelope("ended"), envelope("waits"))
		enqueue(t, rdb, l, old.Add(-3*time.Hour), envelope("ended2"))
		enqueue(t, rdb, l, young, envelope("young"))
		for _, id := range []string{"ended", "ended2", "young"} {
			must(t, rdb.Del(t.Context(), l.RecordKey(id)).Err())
		}
		if n, err := l.CompactIndex(t.Context()); n != 2 || err != nil {
			t.Fatal(n, err)
		}
		if n, err := l.CompactIndex(t.Context()); n != 0 || err != nil {
			t.Error("again:", n, err)
		}
		if got, _ := find(t, l, ledger.Query{}); !slices.Equal(got, []string{"waits"}) {
			t.Errorf("got %q", got)
		}
		if text := strings.Join(rdb.LRange(t.Context(), l.IndexKeys(old)[0], 0, -1).Val(), ""); strings.Contains(text, "ended") {
			t.Errorf("left: %q", text)
		}
		if life := rdb.PTTL(t.Context(), l.IndexKeys(old)[0]).Val(); life < 24*time.Hour {
			t.Errorf("the rest lives for %s", life)
		}
		if names := rdb.ZRange(t.Context(), l.IndexKeys(old)[1], 0, -1).Val(); len(names) != 2 {
			t.Errorf("listed: %q", names)
		}
	})
}

// An erased person's digests are gone, of records that have expired too; those of
// others stay.
func TestEraseRemovesThePersonFromTheIndex(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l, now := open(t, rdb), time.Now()
		user := envelope("hers-3")
		user.To, user.User = "", "alice"
		enqueue(t, rdb, l, now, to("hers-1", "oA"), to("hers-2", "oA"), user, to("his-1", "oB"))
		must(t, rdb.Del(t.Context(), l.RecordKey("hers-2")).Err())
		segment := func() string { return strings.Join(rdb.LRange(t.Context(), l.IndexKeys(now)[0], 0, -1).Val(), "") }
		before := segment()
		_, err := l.Erase(t.Context(), ledger.Erasure{
			OpenIDs: []string{"oA"}, Users: []string{"alice"}, Tasks: func(context.Context, []ledger.Ref) error { return nil },
		})
		must(t, err)
		after := segment()
		if len(after) != len(before) {
			t.Fatalf("%d bytes, were %d", len(after), len(before))
		}
		for _, id := range []string{"hers-1", "hers-2", "hers-3"} {
			if at := strings.Index(after, id); after[at-3:at-1] != "\x00\x00" {
				t.Errorf("%s still has the digest %x", id, after[at-3:at-1])
			}
		}
		if got, _ := find(t, l, ledger.Query{To: "oB"}); !slices.Equal(got, []string{"his-1"}) {
			t.Errorf("got %q", got)
		}
		if got, _ := find(t, l, ledger.Query{States: []ledger.State{ledger.Cancelled}}); len(got) != 2 {
			t.Errorf("erased messages found by state: %q", got)
		}
	})
}
