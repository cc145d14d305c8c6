package queue_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redistest"
)

var errNoAnswer = errors.New("no answer")

// flaky has one script call in twenty or so not carried out, carried out without an
// answer, carried out late, or carried out twice.
type flaky struct {
	singleCalls

	mu     sync.Mutex
	random *rand.Rand
	ended  bool
	copies sync.WaitGroup
}

func (f *flaky) roll() (kind int, late time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if kind = f.random.IntN(100); f.ended {
		kind = -1
	}
	return kind, time.Duration(f.random.IntN(9000)) * time.Millisecond
}

func (f *flaky) end() {
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
	f.copies.Wait()
}

func (f *flaky) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) (err error) {
		kind, late := f.roll()
		if name := cmd.Name(); kind < 0 || kind > 4 || !strings.HasPrefix(name, "eval") && name != "zadd" {
			return next(ctx, cmd)
		}
		written := redis.NewCmd(ctx, values(cmd.Args())...)
		written.SetFirstKeyPos(3)
		switch kind {
		case 0, 1:
			time.Sleep(time.Duration(kind) * late) // virtual
		case 2:
			_ = next(ctx, cmd)
		default:
			if kind == 4 {
				err = next(ctx, cmd)
			}
			f.copies.Go(func() {
				time.Sleep(late) // virtual
				_ = next(context.WithoutCancel(ctx), written)
			})
			if kind == 4 {
				return err
			}
		}
		cmd.SetErr(errNoAnswer)
		return errNoAnswer
	}
}

// values are the arguments as they are written: those behind pointers may change later.
func values(args []any) []any {
	out := make([]any, len(args))
	for i, arg := range args {
		switch v := arg.(type) {
		case *string:
			arg = *v
		case *int64:
			arg = *v
		}
		out[i] = arg
	}
	return out
}

// Whatever becomes of single calls of Redis: each task is handled until it has ended, none
// is left behind, and each permit and slot is free again.
func TestLostLateAndRepeatedCallsLoseNoTaskPermitOrSlot(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { withFailingCalls(t, seed) })
		})
	}
}

func withFailingCalls(t *testing.T, seed uint64) {
	t.Helper()
	m, rdb := redistest.Mini(t)
	calls := &flaky{random: rand.New(rand.NewPCG(seed, 1))} //nolint:gosec // a test's
	const messages, slots, workers = 80, 8, 2
	put(t, rdb, job.Default, items(messages, job.Default)...)
	var mu sync.Mutex
	random, ended, handled := rand.New(rand.NewPCG(seed, 2)), map[string]bool{}, 0 //nolint:gosec // a test's
	together := &atOnce{}
	handler := func(_ context.Context, task queue.Task) error {
		mu.Lock()
		handled++
		done, outcome, takes := ended[task.ID], random.IntN(10), time.Duration(random.IntN(8000))*time.Millisecond
		mu.Unlock()
		if strings.HasPrefix(task.ID, string(job.Bulk)) {
			defer together.enter()()
			time.Sleep(10 * time.Second) // virtual
			return nil
		}
		if done {
			return nil
		}
		time.Sleep(takes) // virtual
		switch outcome {
		case 0, 1, 2:
			return &queue.Later{Reason: "head"}
		case 3, 4, 5:
			return &queue.Later{After: 2 * time.Second, Reason: "wait"}
		}
		mu.Lock()
		defer mu.Unlock()
		ended[task.ID] = true
		return nil
	}
	var stops []func() error
	gates := make([]gate, workers)
	for i := range gates {
		own := redistest.MiniClient(t, m)
		own.AddHook(calls)
		stops = append(stops, serve(t, queue.ServerConfig{Redis: own, Gate: &gates[i], Concurrency: slots, Logger: zap.NewNop(), Handler: handler}))
	}
	for i := range 4 {
		time.Sleep(15 * time.Second) // virtual
		gates[i%workers].set(nil)    // what was fetched goes back
	}
	calls.end()
	time.Sleep(100 * time.Second) // virtual; leases have ended, and tasks that waited for that
	left, _ := rdb.Keys(t.Context(), key(job.Default, "*")).Result()
	for _, k := range left {
		if !strings.Contains(k, "processed") && !strings.Contains(k, "failed") {
			t.Errorf("%s is left", k)
		}
	}
	if len(ended) != messages {
		t.Errorf("%d of %d messages have ended", len(ended), messages)
	}
	put(t, rdb, job.Bulk, items(workers*slots, job.Bulk)...)
	time.Sleep(5 * time.Second) // virtual
	for _, stop := range stops {
		_ = stop()
	}
	spent := 0
	for i := range gates {
		taken, returned := gates[i].counts()
		spent += taken - returned
	}
	if handled < messages+workers*slots || spent != handled {
		t.Errorf("%d permits are spent on %d tasks handled", spent, handled)
	}
	if together.max != workers*slots {
		t.Errorf("%d tasks run at once, want one in each of %d slots", together.max, workers*slots)
	}
}
