package producer_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

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
			t.Fatalf("round %d: no caller has a ticket", round)
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

// Two processes enqueue the same list at once, as two instances of a cron job do: each
// message has one task, which is never taken off its queue (by LREM) in between.
func TestTwoCallersOfOneIDNeverTakeATaskAway(t *testing.T) {
	t.Parallel()
	a := setup(t)
	b := around(t, redis.NewClient(a.rdb.Options()))
	t.Cleanup(func() { _ = b.rdb.Close() })
	const rounds, n = 10, 500
	for round := range rounds {
		list := many(n)
		for i := range list {
			list[i].ID = fmt.Sprintf("round-%d-%d", round, i)
		}
		var group sync.WaitGroup
		var results [2][]producer.Result
		for i, p := range []*bundle{a, b} {
			group.Go(func() {
				var err error
				results[i], err = p.EnqueueMany(t.Context(), list)
				if err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		for i := range list {
			if results[0][i].Duplicate == results[1][i].Duplicate {
				t.Fatalf("%s: duplicate %v for both callers", list[i].ID, results[0][i].Duplicate)
			}
		}
	}
	if tasks := a.waiting(t, producer.Default); tasks != rounds*n {
		t.Errorf("%d tasks, want %d", tasks, rounds*n)
	}
	if stats := a.rdb.Info(t.Context(), "commandstats").Val(); strings.Contains(stats, "cmdstat_lrem:") {
		t.Error("a task was taken off its queue")
	}
}

// A worker may still have the task of an earlier message with the same ID, which has
// ended and is remembered no more: the caller is told to repeat, and nothing is written.
func TestATaskThatIsActiveWithoutARecordIsWaitedFor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	const id = "again"
	_, err := b.Enqueue(ctx, id, message("earlier"))
	must(t, err)
	key := func(name string) string { return "asynq:{" + account + ":default}:" + name }
	record := "wxn:{" + account + "}:m:" + id
	must(t, b.rdb.Del(ctx, record).Err())
	must(t, b.rdb.LMove(ctx, key("pending"), key("active"), "RIGHT", "LEFT").Err())
	must(t, b.rdb.HSet(ctx, key("t:"+id), "state", "active").Err())
	if _, err := b.Enqueue(ctx, id, message("later")); !errors.Is(err, producer.ErrBusy) {
		t.Errorf("got %v, want ErrBusy", err)
	}
	if n := b.rdb.Exists(ctx, record).Val(); n != 0 {
		t.Error("a record was created for a message that was refused")
	}
	b.rdb.LRem(ctx, key("active"), 0, id) // the worker completes it
	b.rdb.Del(ctx, key("t:"+id))
	ticket, err := b.Enqueue(ctx, id, message("later"))
	must(t, err)
	if ticket.Duplicate {
		t.Error("the ticket says that the message had been enqueued before")
	}
	if e := b.envelope(t, producer.Default, id); !strings.Contains(string(e.Body), "later") {
		t.Errorf("the task is not the message's: %s", e.Body)
	}
}
