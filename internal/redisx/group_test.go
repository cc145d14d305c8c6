package redisx_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/internal/redisx"
)

// recorder is a call that takes a second and remembers its items.
type recorder struct {
	mu    sync.Mutex
	calls [][]int
	now   int // calls that are running
	most  int
	err   error
}

func (r *recorder) send(_ context.Context, items []int) ([]string, error) {
	r.mu.Lock()
	r.calls = append(r.calls, slices.Clone(items))
	r.now++
	r.most = max(r.most, r.now)
	r.mu.Unlock()
	time.Sleep(time.Second) // virtual
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now--
	if r.err != nil {
		return nil, r.err
	}
	results := make([]string, len(items))
	for i, item := range items {
		results[i] = fmt.Sprint("result ", item)
	}
	return results, nil
}

func (r *recorder) items() (n int) {
	for _, call := range r.calls {
		n += len(call)
	}
	return n
}

func TestGroupCallersShareCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		g := redisx.NewGroup(64, 2, 0, r.send)
		var all sync.WaitGroup
		for i := range 500 {
			all.Go(func() {
				got, err := g.Do(t.Context(), i)
				if want := fmt.Sprint("result ", i); err != nil || got != want {
					t.Errorf("item %d: %q, %v", i, got, err)
				}
			})
		}
		all.Wait()
		if r.items() != 500 || len(r.calls) > 12 || r.most > 2 {
			t.Errorf("%d items in %d calls, %d at once; want 500 in about 9, two at once", r.items(), len(r.calls), r.most)
		}
		for _, call := range r.calls {
			if len(call) > 64 {
				t.Errorf("a call of %d items", len(call))
			}
		}
		g.Close()
		if _, err := g.Do(t.Context(), 1); !errors.Is(err, redisx.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

func TestGroupASingleCallerDoesNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := redisx.NewGroup(64, 1, 0, (&recorder{}).send)
		began := time.Now()
		if _, err := g.Do(t.Context(), 1); err != nil || time.Since(began) != time.Second {
			t.Errorf("%v after %s, want one call", err, time.Since(began))
		}
	})
}

func TestGroupPausesAfterASharedCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var began []time.Duration
		var sizes []int
		start := time.Now()
		g := redisx.NewGroup(64, 1, 10*time.Millisecond, func(_ context.Context, items []int) ([]int, error) {
			began, sizes = append(began, time.Since(start)), append(sizes, len(items))
			time.Sleep(2500 * time.Microsecond) // virtual
			return slices.Clone(items), nil     // the list is used again
		})
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() { _, _ = g.Do(t.Context(), i) })
			time.Sleep(time.Millisecond) // virtual
		}
		all.Wait()
		if want := []int{1, 2, 10, 7}; !slices.Equal(sizes, want) || began[0] != 0 || began[2]-began[1] != 10*time.Millisecond {
			t.Errorf("calls of %v items at %v; want %v items, the first at once, and a pause after each shared one", sizes, began, want)
		}
		time.Sleep(time.Second) // virtual
		before := time.Now()
		for i := range 3 {
			if _, err := g.Do(t.Context(), i); err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(before); took != 7500*time.Microsecond {
			t.Errorf("three callers one after the other took %s, want three calls without a pause", took)
		}
	})
}

func TestGroupCallerThatGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		g := redisx.NewGroup(64, 1, 0, r.send)
		var all sync.WaitGroup
		all.Go(func() { _, _ = g.Do(t.Context(), 0) }) // keeps the only slot for a second
		synctest.Wait()
		for i := 1; i <= 9; i++ {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%3)*700*time.Millisecond+100*time.Millisecond)
				defer cancel()
				got, err := g.Do(ctx, i) // ends before the batch has left, or while the call is running
				if !errors.Is(err, context.DeadlineExceeded) || err.Error() == context.DeadlineExceeded.Error() {
					t.Errorf("item %d: %q, %v; want an error that says that the answer is awaited", i, got, err)
				}
			})
		}
		all.Wait()
		g.Close()
		if r.items() != 1+9 {
			t.Errorf("%d items left, want the first and those of all callers: %v", r.items(), r.calls)
		}
		if _, err := g.Do(t.Context(), 1); !errors.Is(err, redisx.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := g.Do(ended, 1); !errors.Is(err, context.Canceled) {
			t.Errorf("with an ended context: %v", err)
		}
	})
}

func TestGroupAnErrorReachesEveryCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{err: errors.New("connection lost")}
		g := redisx.NewGroup(64, 1, 0, r.send)
		short := redisx.NewGroup(64, 1, 0, func(context.Context, []int) ([]int, error) { return nil, nil })
		var all sync.WaitGroup
		for i := range 5 {
			all.Go(func() {
				if _, err := g.Do(t.Context(), i); !errors.Is(err, r.err) {
					t.Errorf("item %d: %v", i, err)
				}
				if _, err := short.Do(t.Context(), i); err == nil {
					t.Errorf("item %d: no error for a missing result", i)
				}
			})
		}
		all.Wait()
	})
}
