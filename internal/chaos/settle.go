package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/chaos/verdict"
	"github.com/wxnotify/wxnotify/internal/queue"
)

const (
	// pageSize bounds one question for states.
	pageSize = 1000
	// restless is how long nothing may change before a run that need not end is
	// taken as settled.
	restless = 10 * time.Second
)

// settle waits until every message has its end, and reports whether it came.
func (s *stage) settle(ctx context.Context) bool {
	changed, left := time.Now(), -1
	ended := until(ctx, s.scenario.limit, 250*time.Millisecond, func() bool {
		if err := s.refresh(ctx); err != nil {
			return false
		}
		going := 0
		forgotten := true
		for _, m := range s.load.messages {
			if m.State.Ended() || m.Later && m.State == verdict.Scheduled || m.State == "" && !m.Ticket {
				continue
			}
			going++
			forgotten = forgotten && (!m.Ticket || s.scenario.forgets && !m.Durable)
		}
		if going != left {
			changed, left = time.Now(), going
		}
		// What a primary took with it does not end, nor what its caller gave up
		// half-way; nothing else may be left.
		return going == 0 || forgotten && time.Since(changed) > restless
	})
	// A worker that was killed between a message's end and its task's leaves the
	// task to its lease.
	return until(ctx, time.Minute, 250*time.Millisecond, func() bool {
		q, err := s.queues(ctx)
		return err == nil && q.Pending+q.Active+q.Retry == 0
	}) && ended
}

// refresh asks for the state of every message that has not ended.
func (s *stage) refresh(ctx context.Context) error {
	var open []int
	for i, m := range s.load.messages {
		if !m.State.Ended() {
			open = append(open, i)
		}
	}
	return s.status(ctx, open)
}

// status asks for the state of the messages at these places.
func (s *stage) status(ctx context.Context, places []int) error {
	for len(places) > 0 {
		page := places[:min(len(places), pageSize)]
		places = places[len(page):]
		ids := make([]string, len(page))
		for i, at := range page {
			ids[i] = s.load.messages[at].ID
		}
		found, err := s.asker.StatusMany(ctx, ids)
		if err != nil {
			return fmt.Errorf("status: %w", err)
		}
		for i, at := range page {
			m := &s.load.messages[at]
			if found[i] == nil {
				m.State = ""
				continue
			}
			m.State, m.Reason, m.Attempts = verdict.State(found[i].State), found[i].Reason, found[i].Attempts
			m.QueuedAt, m.EndedAt = found[i].QueuedAt, found[i].EndedAt
		}
	}
	return nil
}

// queues counts what is left in them.
func (s *stage) queues(ctx context.Context) (verdict.Queues, error) {
	states, err := queue.NewInspector(s.direct).Queues(ctx, appid)
	if err != nil {
		return verdict.Queues{}, fmt.Errorf("queues: %w", err)
	}
	var sum verdict.Queues
	for _, q := range states {
		sum.Pending += q.Pending
		sum.Active += q.Active
		sum.Scheduled += q.Scheduled
		sum.Retry += q.Retry
		sum.Archived += q.Archived
	}
	return sum, nil
}

// tasks counts the stored tasks, whether a set knows them or not.
func (s *stage) tasks(ctx context.Context) (int64, error) {
	count := func(ctx context.Context, node *redis.Client) (n int64, err error) {
		keys := node.Scan(ctx, 0, "asynq:{"+appid+":*}:t:*", pageSize).Iterator()
		for keys.Next(ctx) {
			n++
		}
		if err := keys.Err(); err != nil {
			return n, fmt.Errorf("count the tasks: %w", err)
		}
		return n, nil
	}
	switch c := s.direct.(type) {
	case *redis.Client:
		return count(ctx, c)
	case *redis.ClusterClient:
		counts := make(chan int64, len(s.redis.nodes))
		err := c.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
			n, err := count(ctx, node)
			counts <- n
			return err
		})
		close(counts)
		var sum int64
		for n := range counts {
			sum += n
		}
		return sum, err //nolint:wrapcheck // count names itself
	}
	return 0, errors.New("count the tasks: a client of an unknown kind")
}

// gather stops the workers and collects the three ledgers.
func (s *stage) gather(ctx context.Context) (verdict.Evidence, error) {
	e := verdict.Evidence{
		Cap: s.cap(), Others: s.scenario.others, Forgets: s.scenario.forgets, Archive: s.scenario.archive,
		Window: 8 * time.Minute,
	}
	for _, h := range s.crew {
		if g, same := h.growth(ctx); same {
			e.Growth = append(e.Growth, g)
		}
	}
	for _, h := range s.crew {
		if said := h.finish(); said != "" {
			e.Exits = append(e.Exits, said)
		}
	}
	all := make([]int, len(s.load.messages))
	for i := range all {
		all[i] = i
	}
	counted, err := s.wechat.stats(ctx)
	err = errors.Join(err, s.status(ctx, all))
	seen, more := s.wechat.seen(ctx)
	err = errors.Join(err, more)
	if e.Queues, more = s.queues(ctx); more != nil {
		err = errors.Join(err, more)
	}
	if e.Queues.Tasks, more = s.tasks(ctx); more != nil {
		err = errors.Join(err, more)
	}
	e.Messages, e.Seen = s.load.messages, seen
	e.OverCap = counted.refusedForQuota()
	e.Calls = s.callsOfADay(counted)
	return e, err
}

// scene is what the diary and the processes' last lines tell.
func (s *stage) scene() []string {
	s.mu.Lock()
	lines := append([]string{"what was done:"}, s.diary...)
	s.mu.Unlock()
	for _, h := range s.crew {
		lines = append(lines, "the last lines of "+h.name+":")
		lines = append(lines, h.log.last(12)...)
	}
	if s.redis != nil {
		for _, node := range s.redis.nodes {
			lines = append(lines, "the last lines of "+node.name+":")
			lines = append(lines, node.log.last(4)...)
		}
	}
	if s.load != nil && s.load.lastErr != nil {
		lines = append(lines, fmt.Sprintf("%d Enqueue calls failed and were repeated; the last: %v", s.load.errors, s.load.lastErr))
	}
	return lines
}

// witnesses tells of each ID under suspicion what Status and WeChat say.
func (s *stage) witnesses(ctx context.Context, found []verdict.Violation) []string {
	var lines []string
	for _, v := range found {
		for _, id := range v.IDs[:min(len(v.IDs), 10)] {
			said := s.command(ctx, "status", id, "--output", "json")
			var at []string
			for _, seen := range s.seenOf(ctx, id) {
				at = append(at, seen.At.Local().Format("15:04:05.000")+" "+seen.Body)
			}
			lines = append(lines, fmt.Sprintf("%s: %s: status %s; WeChat saw it %d times: %s",
				v.Invariant, id, said, len(at), strings.Join(at, ", ")))
		}
	}
	return lines
}
