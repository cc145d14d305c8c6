package producer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/producer"
)

// Callers that enqueue one ID with different bodies in the same instant, while
// Redis has just forgotten its scripts, as after a restart or a fail-over: one of
// them gets the ticket, and it is the task of that one that waits.
func TestOneIDWithManyBodiesInOneInstant(t *testing.T) {
	t.Parallel()
	a := setup(t)
	b := around(t, a.rdb) // another process
	for round := range 150 {
		id := fmt.Sprintf("instant-%d", round)
		must(t, a.rdb.ScriptFlush(t.Context()).Err())
		bodies := []string{"first", "second", "third", "fourth"}
		tickets := make([]bool, len(bodies))
		var group sync.WaitGroup
		for i, body := range bodies {
			p := a
			if i%2 == 1 {
				p = b
			}
			group.Go(func() {
				_, err := p.Enqueue(t.Context(), id, message(body))
				tickets[i] = err == nil
				if err != nil && !errors.Is(err, producer.ErrIDReused) {
					t.Errorf("%s: %v", id, err)
				}
			})
		}
		group.Wait()
		winner := ""
		for i, won := range tickets {
			if won && winner != "" {
				t.Fatalf("round %d: %s and %s both have a ticket", round, winner, bodies[i])
			}
			if won {
				winner = bodies[i]
			}
		}
		if winner == "" {
			t.Fatalf("round %d: nobody has a ticket", round)
		}
		if n := a.waiting(t, producer.Default); n != round+1 {
			t.Fatalf("round %d: %q has a ticket, and its task is gone", round, winner)
		}
		record, err := a.records.Get(t.Context(), id)
		must(t, err)
		if e := a.envelope(t, producer.Default, id); e.Hash() != record[0].Hash {
			t.Fatalf("round %d: the task that waits is another body's than the ticket's", round)
		}
	}
}

// A worker may have the loser's task in hand when the winner comes to replace it:
// the worker drops it by the record, and then the winner's must be there.
func TestTheWinnerWaitsForAStrayInAWorkersHand(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	const id = "stray"
	_, err := b.Enqueue(ctx, id, message("loser"))
	must(t, err)
	key := func(name string) string { return "asynq:{" + account + ":default}:" + name }
	must(t, b.rdb.Del(ctx, "wxn:{"+account+"}:m:"+id).Err()) // its record is not there yet
	must(t, b.rdb.LMove(ctx, key("pending"), key("active"), "RIGHT", "LEFT").Err())
	must(t, b.rdb.HSet(ctx, key("t:"+id), "state", "active").Err())
	dropped := time.AfterFunc(200*time.Millisecond, func() {
		b.rdb.LRem(ctx, key("active"), 0, id)
		b.rdb.Del(ctx, key("t:"+id))
	})
	defer dropped.Stop()
	ticket, err := b.Enqueue(ctx, id, message("winner"))
	must(t, err)
	if ticket.Duplicate {
		t.Error("the ticket says that the winner had been enqueued before")
	}
	record, err := b.records.Get(ctx, id)
	must(t, err)
	if e := b.envelope(t, producer.Default, id); e.Hash() != record[0].Hash {
		t.Error("the task that waits is not the winner's")
	}
}

// afterDelete is a Redis hook that does something once, right after the first
// task was deleted.
type afterDelete struct{ do func() }

func (h *afterDelete) DialHook(next redis.DialHook) redis.DialHook { return next }
func (h *afterDelete) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h *afterDelete) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if do := h.do; do != nil && err == nil && strings.Contains(fmt.Sprint(cmd.Args()...), ":t:third") {
			h.do = nil
			do()
		}
		return err
	}
}

// A third caller may put its task in between, when the winner has taken the
// second's away and has not put its own.
func TestTheWinnerIsNotPutOffByAThird(t *testing.T) {
	t.Parallel()
	hook := &afterDelete{}
	server := redistest.Start(t)
	rdb := server.Client(t)
	rdb.AddHook(hook)
	b, other := around(t, rdb), around(t, server.Client(t))
	ctx := t.Context()
	const id = "third"
	record := "wxn:{" + account + "}:m:" + id
	put := func(body string) {
		_, err := other.Enqueue(ctx, id, message(body))
		must(t, err)
	}
	put("second")
	must(t, other.rdb.Del(ctx, record).Err()) // its record is not there yet
	hook.do = func() {
		winner := other.rdb.HGetAll(ctx, record).Val()
		other.rdb.Del(ctx, record)
		put("third")
		other.rdb.Del(ctx, record)
		other.rdb.HSet(ctx, record, winner)
	}
	_, err := b.Enqueue(ctx, id, message("winner"))
	must(t, err)
	found, err := b.records.Get(ctx, id)
	must(t, err)
	if e := b.envelope(t, producer.Default, id); found[0] == nil || e.Hash() != found[0].Hash {
		t.Error("the task that waits is not the winner's")
	}
}
