package ledger_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/wechat"
)

// P13: what the whole server grows by for each message, with key, expiry and their
// tables: at most 300 bytes after its end, and at most 340 while it is queued.
func TestQue05RecordTakesAtMost300BytesAfterItsEnd(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("skipped with -short: 20 000 records, to measure the server")
	}
	// Redis' log of slow commands holds up to half a megabyte on a busy machine.
	rdb := redistest.Start(t, "--slowlog-max-len", "0").Client(t)
	l := open(t, rdb)
	const n = 10_000
	id := func(i int) string { return fmt.Sprintf("order-%06d-paid", i) }
	msgid := func(i int) wechat.MessageID { return wechat.MessageID(3_000_000_000_000_000_000 + i) }
	birth := func(i int) { create(t, rdb, record(envelope(id(i)))) }
	life := func(i int) {
		begin(t, l, envelope(id(i)))
		accepted(t, l, id(i), ledger.Acceptance{To: follower, MsgID: msgid(i), Class: job.Default})
		_, err := l.Receipt(t.Context(), ledger.Receipt{MsgID: msgid(i), OpenID: follower, Status: "success", At: time.Now()})
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
	must(t, rdb.Del(t.Context(), ledger.ClearEventsKey(account)).Err()) // bounded in all, whatever the messages
	ended := (used(t, rdb) - empty) / n
	expiry := tables(t, rdb, "overhead.hashtable.expires") / n
	name := key(fmt.Sprintf("m:order-%06d-paid", 7))
	one := rdb.MemoryUsage(t.Context(), name).Val()
	encoding := rdb.ObjectEncoding(t.Context(), name).Val()
	t.Logf("the server grew by %d bytes a message while queued, %d when ended; an ended record: %d and %d of expiry, %s",
		queued, ended, one, expiry, encoding)
	if encoding != "listpack" && encoding != "ziplist" {
		t.Errorf("stored as %s, want Redis' compact form", encoding)
	}
	if queued > 340 || ended > 300 {
		t.Errorf("a message takes %d bytes while queued and %d when ended, want at most 340 and 300: %v", queued, ended, memoryStats(t, rdb))
	}
}

// used is what the server holds for its data: values, keys and both tables. Before it
// measures, it lets Redis finish what it does little by little, so that the figure does not
// depend on how busy the machine is: each reading of a key moves a growing table on, and the
// buffers of connections count until these are closed.
func used(tb testing.TB, rdb *redis.Client) int64 {
	tb.Helper()
	keys := rdb.Keys(tb.Context(), "*").Val()
	for range 2 {
		_, err := rdb.Pipelined(tb.Context(), func(p redis.Pipeliner) error {
			for _, key := range keys {
				p.TTL(tb.Context(), key)
			}
			return nil
		})
		must(tb, err)
	}
	fresh := redis.NewClient(&redis.Options{Addr: rdb.Options().Addr, PoolSize: 1, Protocol: 2})
	defer func() { _ = fresh.Close() }()
	testutil.Until(tb, "no other connection is open", func() bool { // a command under way is repeated by a new one
		must(tb, fresh.ClientKillByFilter(tb.Context(), "TYPE", "normal", "SKIPME", "yes").Err())
		return strings.Count(fresh.ClientList(tb.Context()).Val(), "\n") == 1
	})
	rdb = fresh
	stats := memoryStats(tb, rdb)
	set, _ := stats["dataset.bytes"].(int64)
	return set + tables(tb, rdb, "overhead.hashtable.main") + tables(tb, rdb, "overhead.hashtable.expires")
}

func tables(tb testing.TB, rdb *redis.Client, name string) int64 {
	tb.Helper()
	db, _ := memoryStats(tb, rdb)["db.0"].([]any)
	for i := 0; i+1 < len(db); i += 2 {
		if n, ok := db[i+1].(int64); ok && db[i] == name {
			return n
		}
	}
	return 0
}

func memoryStats(tb testing.TB, rdb *redis.Client) map[string]any {
	tb.Helper()
	list, err := rdb.Do(tb.Context(), "MEMORY", "STATS").Slice()
	must(tb, err)
	stats := map[string]any{}
	for i := 0; i+1 < len(list); i += 2 {
		if name, ok := list[i].(string); ok {
			stats[name] = list[i+1]
		}
	}
	return stats
}

// With every field at its longest the record keeps the compact form.
func TestLongRecordStaysCompact(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	l := open(t, rdb)
	e := envelope("long")
	long := "oooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooo"
	e.To, e.Template = long, long
	e.Class, e.NotBefore, e.NotAfter = job.Critical, e.QueuedAt, e.QueuedAt.Add(9*time.Hour)
	begin(t, l, e)
	failed(t, l, e.ID, ledger.Outcome{
		State: ledger.Unknown, Errcode: 2147483647, Attempt: true, Ambiguous: true, Duplicate: true,
		Reason: "原因 原因 原因 原因 原因 原因 原因 原因 原因 原因 原因 原因 原因 \x00 原因 \xff",
	})
	yes := ledger.Acceptance{To: e.To, MsgID: 1 << 62, Duplicate: true, Class: job.Critical, Payload: []byte("p")}
	accepted(t, l, e.ID, yes)
	receipt(t, l, failing(1<<62, "failed:freq limit"))
	begin(t, l, e) // another delivery
	yes.MsgID--
	accepted(t, l, e.ID, yes)
	if s := receipt(t, l, failing(yes.MsgID, "failed:freq limit")); s.Resends != 2 {
		t.Errorf("got %+v", s)
	}
	if enc := rdb.ObjectEncoding(t.Context(), key("m:long")).Val(); enc != "listpack" && enc != "ziplist" {
		t.Errorf("stored as %s", enc)
	}
}
