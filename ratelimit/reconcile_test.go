package ratelimit_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/ratelimit"
)

func TestQuo03ReconcileRaises(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb func() *redis.Client) {
		cfg := config("a")
		cfg.MaxBlock = 1
		client := rdb()
		g := reconciled(t, client, cfg)
		for range 300 {
			take(t, g, ratelimit.General)
		}
		expireLeases(t, client) // WeChat has counted all of them
		reconcile(t, g, 1000, 900)
		used(t, g, 900)
		if n := len(drainQuota(t, g, ratelimit.General)); n != 100 {
			t.Errorf("%d permits after 900 of 1000, want 100", n)
		}
	})
}

// Down only to what WeChat may still be going to count.
func TestReconcileLowersWithCare(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		cfg := config("a")
		cfg.MaxBlock = 1
		g := reconciled(t, rdb, cfg)
		for range 500 {
			take(t, g, ratelimit.General)
		}
		time.Sleep(2 * time.Minute) // those have ended
		for range 100 {
			take(t, g, ratelimit.General)
		}
		reconcile(t, g, 1000, 300)
		used(t, g, 300+100+10) // WeChat's + leased + 1 %
		reconcile(t, g, 1000, 390)
		used(t, g, 410)             // lower by less than what is uncertain
		time.Sleep(2 * time.Minute) // the leases are over
		reconcile(t, g, 1000, 395)
		used(t, g, 405)
		if leased := state(t, g).Leased; leased != 0 {
			t.Errorf("%d permits are leased, want none", leased)
		}
	})
}

// Of two questions of one millisecond it is not known which came later: when the second
// answer is lower, it lowers nothing.
func TestOfTwoAnswersOfOneMomentTheHigherHolds(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		g := reconciled(t, rdb, config("a"))
		time.Sleep(time.Minute)
		first, second := ask(t, g), ask(t, g)
		must(t, g.Reconcile(t.Context(), second, 1000, 400))
		must(t, g.Reconcile(t.Context(), first, 1000, 100))
		used(t, g, 400)
	})
}

// The count was lost, but permits of before are on their way to WeChat: they are
// counted until their sends have ended.
func TestCounterLostWithPermitsUnderWay(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		cfg := config("a")
		cfg.MaxBlock = 1
		g := reconciled(t, rdb, cfg)
		for range 300 {
			take(t, g, ratelimit.General)
		}
		must(t, rdb.Del(t.Context(), key+"gate").Err())
		refused(t, g, ratelimit.General, ratelimit.ReasonUnreconciled)
		reconcile(t, g, 1000, 250) // the last 50 have not arrived
		if n := len(drainQuota(t, g, ratelimit.General)); n > 700 {
			t.Errorf("%d permits beside 300 under way, of 1000", n)
		}
		time.Sleep(2 * time.Minute) // all have ended
		reconcile(t, g, 1000, 300)
		used(t, g, 310) // WeChat's + 1 %
	})
}

// Redis lost everything: nothing goes until WeChat was asked, and what comes
// back from before the loss is not taken off the new count.
func TestCounterLost(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb func() *redis.Client) {
		client := rdb()
		a, b := reconciled(t, client, config("a")), newGate(t, rdb(), config("b"))
		p := take(t, a, ratelimit.General)
		changed := b.Changed()
		stop := run(t, b)
		<-changed
		old := []ratelimit.Permit{take(t, b, ratelimit.General), take(t, b, ratelimit.General)}
		must(t, client.FlushAll(t.Context()).Err())
		changed = b.Changed()
		c := newGate(t, client, config("c"))
		refused(t, c, ratelimit.General, ratelimit.ReasonUnreconciled)
		<-changed // b's block is void: it was never counted by the new counter
		refused(t, b, ratelimit.Reserved, ratelimit.ReasonUnreconciled)
		reconcile(t, c, 1000, 16)
		for _, p := range old {
			b.Return(p)
		}
		a.Return(p)
		must(t, stop())
		used(t, c, 16)
	})
}

// WeChat can't say: the gate starts from what it knows.
func TestReconcileUnknown(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb func() *redis.Client) {
		cfg := config("a")
		cfg.MaxBlock = 1
		g := newGate(t, rdb(), cfg)
		reconcile(t, g, ratelimit.Unknown, ratelimit.Unknown)
		take(t, g, ratelimit.General)
		reconcile(t, g, ratelimit.Unknown, ratelimit.Unknown)
		used(t, g, 1)
		if s := state(t, g); !s.Reconciled.IsZero() || !s.Trusted {
			t.Errorf("the state is %+v, want trusted but never reconciled", s)
		}
	})
}

// quo-05: a call that may have reached WeChat counts; only a permit that was
// surely not used comes back.
func TestQuo05OnlyReturnedPermitsAreNotCounted(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		g := reconciled(t, rdb, config("a"))
		stop := run(t, g)
		for i := range 40 {
			p := take(t, g, ratelimit.General)
			if i%4 == 0 { // the dial failed; the other 30 were answered, refused or cut off
				time.AfterFunc(2*time.Second, func() { g.Return(p) })
			}
		}
		time.Sleep(5 * time.Second)
		must(t, stop())
		used(t, g, 30)
	})
}

const killedWorker = "WXNOTIFY_TEST_KILLED_WORKER"

// TestKilledWorker is the other process of TestQuo08.
func TestKilledWorker(t *testing.T) { //nolint:paralleltest // the only test of its process
	addr := os.Getenv(killedWorker)
	if addr == "" {
		t.Skip("runs only as the child of TestQuo08ProcessDies")
	}
	rdb := redis.NewClient(&redis.Options{Addr: addr, Protocol: 2})
	g := newGate(t, rdb, config("killed"))
	for range 5 {
		take(t, g, ratelimit.General)
	}
	fmt.Println("taken")
	select {}
}

// A process dies between booking and sending: at most its block is lost, and
// WeChat's count proves it once the lease is over.
func TestQuo08ProcessDies(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	rdb := server.Client(t)
	g := reconciled(t, rdb, config("a"))
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledWorker$")
	child.Env = append(os.Environ(), killedWorker+"="+server.Addr)
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	if lines := bufio.NewScanner(out); !lines.Scan() || lines.Text() != "taken" {
		t.Fatalf("the child said %q", lines.Text())
	}
	must(t, child.Process.Kill())
	_ = child.Wait()

	used(t, g, 8) // it took 5 of a block of 8; say that 2 of them reached WeChat
	reconcile(t, g, 1000, 2)
	used(t, g, 8) // the lease lives: the sends may be on their way
	expireLeases(t, rdb)
	testutil.Until(t, "WeChat's 2 and 1 % of 100 are counted", func() bool { // an answer of the same millisecond lowers nothing
		reconcile(t, g, 100, 2)
		return state(t, g).Used == 3
	})
}

// expireLeases moves the leases' end, which is in their names, into the past.
func expireLeases(t *testing.T, rdb *redis.Client) {
	t.Helper()
	leases, err := rdb.ZRangeWithScores(t.Context(), key+"gate:leases", 0, -1).Result()
	must(t, err)
	if len(leases) == 0 {
		t.Fatal("the block has no lease")
	}
	now := strconv.FormatInt(time.Now().Unix()-1, 10)
	for _, z := range leases {
		name := z.Member.(string)
		must(t, rdb.ZRem(t.Context(), key+"gate:leases", name).Err())
		must(t, rdb.ZAdd(t.Context(), key+"gate:leases", redis.Z{Score: z.Score, Member: now + name[10:]}).Err())
	}
}

// The leases' key is bounded: what ran out is dropped with the next block.
func TestLeasesAreBounded(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		cfg := config("a")
		cfg.MaxBlock, cfg.DailyQuota = 1, 100000
		g := reconciled(t, rdb, cfg)
		for range 600 {
			take(t, g, ratelimit.General)
			time.Sleep(time.Second)
		}
		if n := rdb.ZCard(t.Context(), key+"gate:leases").Val(); n > 8 {
			t.Errorf("%d leases of one process", n)
		}
		time.Sleep(3 * time.Minute)
		if n := rdb.Exists(t.Context(), key+"gate:leases").Val(); n != 0 {
			t.Error("the leases outlive the last of them")
		}
	})
}
