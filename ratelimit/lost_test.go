package ratelimit_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/ratelimit"
)

// A client that runs a script twice after a reset connection books once.
func TestRepeatedCallBooksOnce(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb func() *redis.Client) {
		g, calls := counted(t, rdb(), config("a"))
		reconcile(t, g, 0, 0)
		calls.twice.Store(true)
		stop := run(t, g)
		for range 100 {
			take(t, g, ratelimit.General)
		}
		must(t, stop())
		used(t, g, 100)
		if leased := state(t, g).Leased; leased != 100 {
			t.Errorf("%d permits leased, want 100", leased)
		}
	})
}

// Without its answer a booking grants nothing, but what was booked is not lost:
// the call is repeated under its number.
func TestLostAnswerLosesNothing(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb func() *redis.Client) {
		g, calls := counted(t, rdb(), config("a"))
		reconcile(t, g, 0, 0)
		stop := run(t, g)
		taken, lost := 0, 0
		for i := 0; taken < 100; i++ {
			if i%5 == 0 {
				calls.lose.Store(1)
			}
			if _, err := g.Take(t.Context(), ratelimit.General); err != nil {
				if !errors.Is(err, errLost) {
					t.Fatal(err)
				}
				lost++
				continue
			}
			taken++
		}
		if lost == 0 {
			t.Fatal("no answer was lost")
		}
		calls.lose.Store(1) // giving back gets no answer either
		if err := stop(); err != nil && !errors.Is(err, errLost) {
			t.Fatal(err)
		}
		calls.lose.Store(0)
		must(t, run(t, g)())
		used(t, g, 100)
	})
}

// A script's error is Redis' error: wrapped, and nothing is granted.
func TestForeignTypeUnderTheKey(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb func() *redis.Client) {
		client := rdb()
		g := newGate(t, client, config("a"))
		must(t, client.Set(t.Context(), key+"gate", "x", 0).Err())
		_, err := g.Take(t.Context(), ratelimit.General)
		var reply redis.Error
		if !errors.As(err, &reply) {
			t.Errorf("Take gave %v, want Redis' error", err)
		}
		if _, err := g.State(t.Context()); err == nil {
			t.Error("State reports no error")
		}
		must(t, client.Del(t.Context(), key+"gate").Err())
		reconcile(t, g, 0, 0)
		take(t, g, ratelimit.General)
	})
}

// Redis came back without its last writes, and the count went back with them:
// nothing goes until WeChat was asked. One process finds out for all of them.
func TestCountWentBack(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		cfg := config("a")
		cfg.MaxBlock = 1
		a := reconciled(t, rdb, cfg)
		cfg.Owner = "b"
		b := newGate(t, rdb, cfg)
		for range 100 {
			take(t, a, ratelimit.General)
			take(t, b, ratelimit.General)
		}
		before := rdb.HGetAll(t.Context(), key+"gate").Val()
		for range 50 {
			take(t, a, ratelimit.General)
			take(t, b, ratelimit.General)
		}
		used(t, a, 300)
		must(t, rdb.Del(t.Context(), key+"gate").Err())
		must(t, rdb.HSet(t.Context(), key+"gate", before).Err())
		refused(t, a, ratelimit.General, ratelimit.ReasonUnreconciled)
		refused(t, b, ratelimit.General, ratelimit.ReasonUnreconciled)
		time.Sleep(2 * time.Minute)
		reconcile(t, b, 1000, 300)
		used(t, a, 300)
		time.Sleep(time.Second) // without Run, a refusal is remembered for a moment
		if n := len(drainQuota(t, a, ratelimit.General)) + len(drainQuota(t, b, ratelimit.General)); n != 700 {
			t.Errorf("%d permits after 300 of 1000, want 700", n)
		}
		time.Sleep(24 * time.Hour) // the next day's memory is a new one
		take(t, a, ratelimit.General)
		take(t, b, ratelimit.General)
	})
}

// redisBackup is the gate's keys as a replica has them that lags behind.
type redisBackup struct {
	hash   map[string]string
	leases []redis.Z
}

func saveRedis(tb testing.TB, rdb *redis.Client) redisBackup {
	tb.Helper()
	tx := rdb.TxPipeline()
	hash, leases := tx.HGetAll(tb.Context(), key+"gate"), tx.ZRangeWithScores(tb.Context(), key+"gate:leases", 0, -1)
	_, err := tx.Exec(tb.Context())
	must(tb, err)
	return redisBackup{hash.Val(), leases.Val()}
}

// restore is a fail-over: what was written since the backup is lost.
func (b redisBackup) restore(tb testing.TB, rdb *redis.Client) {
	tb.Helper()
	tx := rdb.TxPipeline()
	tx.Del(tb.Context(), key+"gate", key+"gate:leases")
	tx.HSet(tb.Context(), key+"gate", b.hash)
	if len(b.leases) > 0 {
		tx.ZAdd(tb.Context(), key+"gate:leases", b.leases...)
	}
	_, err := tx.Exec(tb.Context())
	must(tb, err)
}

// Whatever Redis lost, the process that did it finds out: its very first booking,
// the begin of the day, a correction of the count.
func TestEachLostWriteIsFound(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(t *testing.T, g *ratelimit.Gate){
		"the first booking": func(t *testing.T, g *ratelimit.Gate) { take(t, g, ratelimit.General) },
		"the begin of the day": func(t *testing.T, g *ratelimit.Gate) {
			until(hourInChina(1, 23, 59, 59))
			take(t, g, ratelimit.General)
		},
		"a correction": func(t *testing.T, g *ratelimit.Gate) { reconcile(t, g, 1000, 900) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, rdb *redis.Client) {
				cfg := config("a")
				cfg.MaxBlock = 1
				other := reconciled(t, rdb, cfg)
				g := newGate(t, rdb, cfg)
				take(t, other, ratelimit.General)
				backup := saveRedis(t, rdb)
				write(t, g)
				backup.restore(t, rdb)
				take(t, other, ratelimit.General) // has lost nothing
				refused(t, g, ratelimit.General, ratelimit.ReasonUnreconciled)
				refused(t, other, ratelimit.General, ratelimit.ReasonUnreconciled)
				until(hourInChina(2, 1, 0, 0)) // found once, not again after the correction
				reconcile(t, other, 1000, 950)
				time.Sleep(100 * time.Millisecond)
				take(t, g, ratelimit.General)
				take(t, other, ratelimit.General)
			})
		})
	}
}

// WeChat's answer to a question of before the loss does not have the calls whose
// bookings were lost, nor has one that comes at once the calls under way.
func TestLostCountNeedsALaterQuestion(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		g := reconciled(t, rdb, config("a"))
		take(t, g, ratelimit.General)
		backup := saveRedis(t, rdb)
		before := ask(t, g)
		drainQuota(t, g, ratelimit.General)
		backup.restore(t, rdb)
		time.Sleep(time.Second)
		refused(t, g, ratelimit.General, ratelimit.ReasonUnreconciled)
		stale(t, g.Reconcile(t.Context(), before, 1000, 1))
		stale(t, g.Reconcile(t.Context(), ask(t, g), 1000, 900))
		refused(t, g, ratelimit.General, ratelimit.ReasonUnreconciled)
		time.Sleep(3 * time.Second)
		reconcile(t, g, 1000, 1000)
		refused(t, g, ratelimit.General, ratelimit.ReasonQuota)
	})
}

// The same when the count was missing already, and what was lost is the answer that
// would have restored it: an answer to an earlier question is not used in its place.
func TestLostAnswerNeedsALaterQuestion(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		g := reconciled(t, rdb, config("a"))
		must(t, rdb.HDel(t.Context(), key+"gate", "trusted").Err())
		time.Sleep(2 * time.Minute)
		earlier := ask(t, g)
		backup := saveRedis(t, rdb)
		reconcile(t, g, 1000, 1000)
		backup.restore(t, rdb)
		refused(t, g, ratelimit.General, ratelimit.ReasonUnreconciled)
		stale(t, g.Reconcile(t.Context(), earlier, 1000, 900))
		refused(t, g, ratelimit.General, ratelimit.ReasonUnreconciled)
		time.Sleep(3 * time.Second)
		reconcile(t, g, 1000, 1000)
		refused(t, g, ratelimit.General, ratelimit.ReasonQuota)
	})
}

// A permit whose booking was lost comes back after the count was corrected: it is
// not taken off the bookings since then.
func TestReturnOfALostPermitIsVoid(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		cfg := config("a")
		cfg.MaxBlock = 1
		g := reconciled(t, rdb, cfg)
		take(t, g, ratelimit.General)
		backup := saveRedis(t, rdb)
		lost := take(t, g, ratelimit.General)
		backup.restore(t, rdb)
		refused(t, g, ratelimit.General, ratelimit.ReasonUnreconciled)
		time.Sleep(3 * time.Second)
		reconcile(t, g, 1000, 500)
		before := state(t, g).Used
		take(t, g, ratelimit.General)
		g.Return(lost)
		must(t, run(t, g)())
		used(t, g, before+1)
	})
}

// A process that has nothing to send finds a lost write when its connection to
// Redis is made again, which a fail-over breaks: before another process books on
// the count that went back.
func TestLostWriteIsFoundAfterReconnecting(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		own, cut := breakable(t, rdb)
		idle, other := newGate(t, own, config("idle")), reconciled(t, rdb, config("b"))
		stop := run(t, idle)
		synctest.Wait()
		backup := saveRedis(t, rdb)
		take(t, idle, ratelimit.General)
		time.Sleep(5 * time.Second) // what it had cached was returned
		backup.restore(t, rdb)
		cut()
		time.Sleep(3 * time.Second)
		refused(t, other, ratelimit.General, ratelimit.ReasonUnreconciled)
		must(t, stop())
	})
}

// breakable is another client of rdb's Redis, whose connections break on cut.
func breakable(tb testing.TB, rdb *redis.Client) (client *redis.Client, cut func()) {
	tb.Helper()
	var (
		mu    sync.Mutex
		conns []net.Conn
	)
	options := *rdb.Options()
	dial := options.Dialer
	options.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		mu.Lock()
		defer mu.Unlock()
		conns = append(conns, conn)
		return conn, err
	}
	client = redis.NewClient(&options)
	tb.Cleanup(func() { _ = client.Close() })
	return client, func() {
		mu.Lock()
		defer mu.Unlock()
		for _, conn := range conns {
			_ = conn.Close()
		}
		conns = nil
	}
}
