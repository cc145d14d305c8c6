package ratelimit_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/ratelimit"
)

// fired reports whether ch was closed.
func fired(ch <-chan struct{}) bool {
	synctest.Wait()
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

func TestRunLearnsOfOtherProcesses(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		a, b := reconciled(t, rdb, config("a")), newGate(t, rdb, config("b"))
		stopA, stopB := run(t, a), run(t, b)
		synctest.Wait()
		take(t, b, ratelimit.General)
		used(t, a, 8)

		changed := b.Changed()
		closeFor(t, a, ratelimit.ReasonAccount, 0, false)
		if !fired(changed) {
			t.Error("b did not learn that a closed the gate")
		}
		refused(t, b, ratelimit.General, ratelimit.ReasonAccount)
		used(t, a, 1) // b's other seven went back at once

		changed = b.Changed()
		must(t, a.Open(t.Context(), ratelimit.ReasonAccount))
		if !fired(changed) {
			t.Error("b did not learn that a opened the gate")
		}
		take(t, b, ratelimit.General)
		must(t, stopA())
		must(t, stopB())
		used(t, a, 2)
	})
}

func TestChangedFiresWhenThePauseIsOver(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		g := reconciled(t, rdb, config("a"))
		stop := run(t, g)
		synctest.Wait()
		drainQuota(t, g, ratelimit.General)
		changed := g.Changed()
		if fired(changed) {
			t.Fatal("nothing has changed yet")
		}
		<-changed
		if want := hourInChina(2, 0, 0, 0); !time.Now().Equal(want) {
			t.Errorf("Changed fired at %v, want %v", time.Now(), want)
		}
		take(t, g, ratelimit.General)
		must(t, stop())
		used(t, g, 1)
	})
}

// A gate that was exhausted opens for who waits when another gives back.
func TestGivingBackWakesTheOthers(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		a, b := reconciled(t, rdb, config("a")), newGate(t, rdb, config("b"))
		stopA, stopB := run(t, a), run(t, b)
		synctest.Wait()
		take(t, a, ratelimit.General) // 7 are cached
		drainQuota(t, b, ratelimit.General)
		changed := b.Changed()
		took := time.Now()
		<-changed
		if d := time.Since(took); d > 1300*time.Millisecond {
			t.Errorf("a kept its permits for %v", d)
		}
		if n := len(drainQuota(t, b, ratelimit.General)); n != 7 {
			t.Errorf("b got %d permits, want the 7 that a gave back", n)
		}
		must(t, stopA())
		must(t, stopB())
		used(t, a, 1000)
	})
}

func TestUnusedPermitsGoBack(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		cfg := config("a")
		cfg.Rate = 100
		g, calls := counted(t, rdb, cfg)
		reconcile(t, g, 0, 0)
		stop := run(t, g)
		p := take(t, g, ratelimit.General)
		time.Sleep(3 * time.Second)
		used(t, g, 1)
		g.Return(p) // long after its slot: to the quota
		time.Sleep(time.Second)
		used(t, g, 0)

		// Idle polling of an empty queue books one permit a second at most.
		before := calls.calls.Load()
		for range 10 * 50 {
			g.Return(take(t, g, ratelimit.General))
			time.Sleep(20 * time.Millisecond)
		}
		if n := calls.calls.Load() - before; n > 12 {
			t.Errorf("%d Redis calls in 10 s of idle polling", n)
		}
		must(t, stop())
		used(t, g, 0)
	})
}

// After shutdown the count is what was sent, whatever came back late.
func TestShutdownReturnsWhatIsLeft(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		cfg := config("a")
		cfg.Rate = 50
		g := reconciled(t, rdb, cfg)
		stop := run(t, g)
		var late []ratelimit.Permit
		for i := range 30 {
			p := take(t, g, ratelimit.General)
			if i%10 == 0 {
				late = append(late, p)
			}
		}
		must(t, stop())
		used(t, g, 30)
		for _, p := range late {
			g.Return(p) // a handler that gave up while draining
		}
		used(t, g, 27)
		// A Take after that caches nothing.
		take(t, g, ratelimit.General)
		used(t, g, 28)
		if leased := state(t, g).Leased; leased != 28 {
			t.Errorf("%d permits are leased, want those 28 that may be on their way", leased)
		}
	})
}

func TestRunOnlyOnce(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		g := reconciled(t, rdb, config("a"))
		stop := run(t, g)
		synctest.Wait()
		if err := g.Run(t.Context()); err == nil {
			t.Error("a second Run was not refused")
		}
		must(t, stop())
		stop = run(t, g) // after the first has ended it is fine
		synctest.Wait()
		take(t, g, ratelimit.General)
		must(t, stop())
		used(t, g, 1)
	})
}

// With pub/sub down a process notices at its next booking.
func TestWithoutEventsTheNextBookingNotices(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		a, b := reconciled(t, rdb, config("a")), newGate(t, rdb, config("b"))
		take(t, b, ratelimit.General)
		closeFor(t, a, ratelimit.ReasonBreaker, time.Hour, false)
		for range 7 {
			take(t, b, ratelimit.General) // the rest of its block
		}
		refused(t, b, ratelimit.General, ratelimit.ReasonBreaker)
		must(t, a.Open(t.Context(), ratelimit.ReasonBreaker))
		refused(t, b, ratelimit.General, ratelimit.ReasonBreaker)
		time.Sleep(100 * time.Millisecond)
		take(t, b, ratelimit.General)
	})
}

// Redis goes away and comes back: nothing is granted without it, and no
// closure is missed.
func TestRedisComesAndGoes(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.AOF()...)
	clients := []*redis.Client{server.Client(t), server.Client(t)}
	a, b := reconciled(t, clients[0], config("a")), newGate(t, clients[1], config("b"))
	changed := b.Changed()
	stop := run(t, b)
	<-changed // subscribed
	take(t, b, ratelimit.General)
	drained := 1
	server.Kill()
	for {
		_, err := b.Take(t.Context(), ratelimit.General)
		var closed *ratelimit.ClosedError
		if errors.As(err, &closed) {
			t.Fatalf("Redis is gone, and Take says %v", err)
		}
		if err != nil {
			break
		}
		drained++
	}
	if drained > 8 { // fewer when the machine stalls and some outlive their slot
		t.Errorf("%d permits without Redis, want no more than the block of 8", drained)
	}
	if err := a.Close(t.Context(), ratelimit.Pause{Reason: ratelimit.ReasonManual}); err == nil {
		t.Error("Close without Redis reports no error")
	}
	server.Restart(t)
	for _, c := range clients { // go-redis remembers a failed dial for up to a second
		for c.Ping(t.Context()).Err() != nil {
			runtime.Gosched()
		}
	}
	closeFor(t, a, ratelimit.ReasonManual, 0, false)
	// b learns of it when it is subscribed again; until then it may grant what was
	// booked before the closure, and not one more.
	state, err := a.State(t.Context())
	must(t, err)
	for {
		_, err := b.Take(t.Context(), ratelimit.General)
		var closed *ratelimit.ClosedError
		if errors.As(err, &closed) && closed.Reason == ratelimit.ReasonManual {
			break
		}
		must(t, err)
		if drained++; int64(drained) > state.Used {
			t.Fatalf("%d permits were handed out, %d were booked when the gate was closed", drained, state.Used)
		}
	}
	must(t, stop())
	used(t, a, int64(drained))
}

func TestTakeHonoursItsContext(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	g := reconciled(t, server.Client(t), config("a"))
	server.Pause(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("the worker stops")
	result := make(chan error, 1)
	go func() {
		_, err := g.Take(ctx, ratelimit.General)
		result <- err
	}()
	cancel(cause)
	if err := <-result; !errors.Is(err, cause) {
		t.Errorf("Take gave %v, want its context's cause", err)
	}
	server.Resume(t)
	// The booking belongs to the process: the next Take has it.
	take(t, g, ratelimit.General)
	used(t, g, 8)
}
