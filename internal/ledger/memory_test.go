package ledger_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/wechat"
)

// P13: a record costs at most 350 bytes of Redis, its key and expiry included,
// while it waits and after its end. Measured as the server's own use, and by
// MEMORY USAGE of one record.
func TestP13BytesPerRecord(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	l := open(t, rdb)
	const n = 10_000
	id := func(i int) string { return fmt.Sprintf("order-%06d-paid", i) }
	msgid := func(i int) wechat.MessageID { return wechat.MessageID(3_000_000_000_000_000_000 + i) }
	birth := func(i int) { born(t, rdb, l, record(envelope(id(i)))) }
	life := func(i int) {
		begin(t, l, envelope(id(i)))
		must(t, l.Accepted(t.Context(), id(i), msgid(i), false))
		_, err := l.Receipt(t.Context(), ledger.Receipt{MsgID: msgid(i), Status: "success", At: time.Now()})
		must(t, err)
		must(t, rdb.Del(t.Context(), fmt.Sprintf("wxn:{%s}:i:%d", account, msgid(i))).Err()) // gone ten minutes later
	}
	all := func(step func(i int)) {
		var workers sync.WaitGroup
		for w := range 64 {
			workers.Go(func() {
				for i := w; i < n; i += 64 {
					step(i)
				}
			})
		}
		workers.Wait()
	}
	all(birth) // so that buffers and scripts are there already
	all(life)
	must(t, rdb.FlushAll(t.Context()).Err())
	empty := used(t, rdb)
	all(birth)
	queued := (used(t, rdb) - empty) / n
	all(life)
	ended := (used(t, rdb) - empty) / n
	key := fmt.Sprintf("wxn:{%s}:m:order-%06d-paid", account, 7)
	one := rdb.MemoryUsage(t.Context(), key).Val()
	encoding := rdb.ObjectEncoding(t.Context(), key).Val()
	t.Logf("bytes per record: queued %d, ended %d; MEMORY USAGE %d; %s", queued, ended, one, encoding)
	if encoding != "listpack" && encoding != "ziplist" {
		t.Errorf("stored as %s, want Redis' compact form", encoding)
	}
	if queued > 350 || ended > 350 || one > 350 {
		t.Errorf("queued %d, ended %d, MEMORY USAGE %d: want at most 350", queued, ended, one)
	}
}

// used is the server's own memory without what its clients' buffers hold.
func used(tb testing.TB, rdb *redis.Client) int64 {
	tb.Helper()
	stats, err := rdb.Do(tb.Context(), "MEMORY", "STATS").Slice()
	must(tb, err)
	for i := 0; i+1 < len(stats); i += 2 {
		if stats[i] == "dataset.bytes" {
			set, _ := stats[i+1].(int64)
			return set + overhead(stats)
		}
	}
	tb.Fatal("MEMORY STATS without dataset.bytes")
	return 0
}

// overhead of the main and the expiry table.
func overhead(stats []any) int64 {
	var sum int64
	for i := 0; i+1 < len(stats); i += 2 {
		if db, ok := stats[i+1].([]any); ok && stats[i] == "db.0" {
			for j := 1; j < len(db); j += 2 {
				if n, ok := db[j].(int64); ok {
					sum += n
				}
			}
		}
	}
	return sum
}

// With every field at its longest the record keeps the compact form.
func TestLongRecordStaysCompact(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	l := open(t, rdb)
	e := envelope("long")
	long := "oooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooo"
	e.To, e.Template = long, long
	e.NotBefore, e.NotAfter = e.QueuedAt, e.QueuedAt.Add(time.Hour)
	begin(t, l, e)
	must(t, l.Failed(t.Context(), e.ID, ledger.Outcome{
		State: ledger.Unknown, Errcode: 2147483647, Attempt: true, Ambiguous: true, Duplicate: true,
		Reason: "原因 原因 原因 原因 原因 原因 原因 原因 原因 原因 原因 原因 原因 \x00 原因 \xff",
	}))
	must(t, l.Accepted(t.Context(), e.ID, 1<<62, true))
	if enc := rdb.ObjectEncoding(t.Context(), "wxn:{"+account+"}:m:long").Val(); enc != "listpack" && enc != "ziplist" {
		t.Errorf("stored as %s", enc)
	}
}
