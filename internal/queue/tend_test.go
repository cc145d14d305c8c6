package queue_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redistest"
)

// A look leaves alone what a living worker has, and what another worker has put back or
// completed since.
func TestTendPutsBackWhatNoWorkerHas(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	ctx := t.Context()
	list := items(7, job.Bulk)
	put(t, rdb, job.Bulk, list...)
	pending, active, lease := key(job.Bulk, "pending"), key(job.Bulk, "active"), key(job.Bulk, "lease")
	for i, ends := range []time.Duration{-time.Hour, -20 * time.Second, -2 * time.Second, 20 * time.Second} {
		rdb.LMove(ctx, pending, active, "RIGHT", "LEFT")
		rdb.ZAdd(ctx, lease, zAt(list[i].ID, ends))
	}
	rdb.LMove(ctx, pending, active, "RIGHT", "LEFT")            // without a lease
	rdb.ZAdd(ctx, lease, zAt("completed long ago", -time.Hour)) // a lease without a task
	rdb.LMove(ctx, pending, active, "RIGHT", "LEFT")
	rdb.Del(ctx, key(job.Bulk, "t:"+list[5].ID)) // evicted
	rdb.ZAdd(ctx, lease, zAt(list[5].ID, -time.Hour))

	queue.Tend(ctx, rdb, account)
	queue.Tend(ctx, rdb, account) // a second one changes nothing
	ids := func(numbers ...int) (out []string) {
		for _, n := range numbers {
			out = append(out, list[n].ID)
		}
		return out
	}
	if got, want := rdb.LRange(ctx, pending, 0, -1).Val(), ids(6, 4, 1, 0); !slices.Equal(got, want) {
		t.Errorf("pending %v, want %v: the next one stands last", got, want)
	}
	if got, want := rdb.LRange(ctx, active, 0, -1).Val(), ids(3, 2); !slices.Equal(got, want) {
		t.Errorf("active %v, want %v", got, want)
	}
	if got, want := rdb.ZRange(ctx, lease, 0, -1).Val(), ids(2, 3); !slices.Equal(got, want) {
		t.Errorf("leases %v, want %v", got, want)
	}
	if n := rdb.Exists(ctx, key(job.Bulk, "t:"+list[5].ID)).Val(); n != 0 {
		t.Error("the task without a message is still there")
	}
}

// A worker whose clock jumped ahead wrote a lease that ends in an hour, and was killed to
// set its clock.
func TestALeaseOfAClockThatWasAheadIsCut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		ctx := t.Context()
		put(t, rdb, job.Default, items(2, job.Default)...)
		pending, active, lease := key(job.Default, "pending"), key(job.Default, "active"), key(job.Default, "lease")
		for _, ends := range []time.Duration{time.Hour, 39 * time.Second} { // the other one's is 9 s ahead, which is tolerated
			id := rdb.LMove(ctx, pending, active, "RIGHT", "LEFT").Val()
			rdb.ZAdd(ctx, lease, zAt(id, ends))
		}
		began := time.Now()
		h := patient()
		stop := serve(t, queue.ServerConfig{Redis: rdb, Handler: h.handle})
		h.wait(t, 2)
		if took := time.Since(began); took > 50*time.Second || took < 30*time.Second {
			t.Errorf("the tasks are back after %s", took)
		}
		_ = stop()
	})
}
