package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/internal/chaos/verdict"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/producer"
)

// onServer is an env whose Redis is a server of the test.
func onServer(t *testing.T, args ...string) *env {
	t.Helper()
	s := redistest.Start(t, args...)
	e := &env{scenario: &scenario{}, show: func(...any) {}}
	e.redis = &deployment{env: e, nodes: []*redisServer{{service: &service{name: "redis"}, addr: s.Addr}}}
	e.direct = e.redis.client("")
	t.Cleanup(func() { _ = e.direct.Close() })
	return e
}

func TestStoredTasksAreCountedInASetOrNot(t *testing.T) {
	t.Parallel()
	e := onServer(t)
	for _, key := range []string{queueKey(producer.Default, "t:m-1"), queueKey(producer.Bulk, "t:m-2")} {
		must(t, e.direct.HSet(t.Context(), key, "msg", "x").Err())
	}
	must(t, e.direct.LPush(t.Context(), queueKey(producer.Default, "pending"), "m-1").Err())
	q, err := e.queues(t.Context())
	n, tasksErr := e.tasks(t.Context())
	if err != nil || tasksErr != nil || q.Pending != 1 || n != 2 {
		t.Errorf("%+v pending, %d stored, %v %v; want 1 and 2", q, n, err, tasksErr)
	}
}

// confirmed repeats a barrier: a busy disk makes Redis hold back its writes.
func confirmed(t *testing.T, barrier func() (string, error)) (id string, err error) {
	t.Helper()
	until(t.Context(), 10*time.Second, 10*time.Millisecond, func() bool { id, err = barrier(); return err == nil })
	return id, err
}

func TestABarrierNeedsAllPrimaries(t *testing.T) {
	t.Parallel()
	e := onServer(t, "--appendonly", "yes")
	id, err := confirmed(t, func() (string, error) { return e.barrier(t.Context()) })
	info, infoErr := ask(t.Context(), e.redis.nodes[0].addr, "INFO", "server")
	if err != nil || infoErr != nil || id == "" || id != infoField(info, "run_id") {
		t.Errorf("barrier: %q, %v, %v", id, err, infoErr)
	}
	e.redis.topology = cluster
	if _, err := e.barrier(t.Context()); err == nil {
		t.Error("one primary of three is enough")
	}
}

func TestWithoutAReplicaNothingIsDurableUnderSentinel(t *testing.T) {
	t.Parallel()
	e := onServer(t, "--appendonly", "yes")
	c := node(e.redis.nodes[0].addr)
	t.Cleanup(func() { _ = c.Close() })
	if _, err := confirm(t.Context(), c, sentinel); err == nil || !strings.Contains(err.Error(), "may be lost") {
		t.Errorf("no replica confirmed: %v", err)
	}
	if id, err := confirmed(t, func() (string, error) { return confirm(t.Context(), c, single) }); err != nil || id == "" {
		t.Errorf("a single server: %q, %v", id, err)
	}
}

func TestTicketsBetweenTwoBarriersAreDurable(t *testing.T) {
	t.Parallel()
	e := onServer(t, "--appendonly", "yes")
	done := make(chan struct{})
	go func() { defer close(done); e.confirmDurable(t.Context()) }()
	durable := func() bool {
		e.load.add(verdict.Message{ID: "m", Winners: []string{plainURL}})
		e.load.mu.Lock()
		defer e.load.mu.Unlock()
		return slices.ContainsFunc(e.load.messages, func(m verdict.Message) bool { return m.Durable })
	}
	if !until(t.Context(), 10*time.Second, 20*time.Millisecond, durable) {
		t.Error("no message became durable")
	}
}

func TestAFieldOfInfo(t *testing.T) {
	t.Parallel()
	const info = "# Replication\r\nrole:master\r\nconnected_slaves:2\r\n"
	if role, slaves, none := infoField(info, "role"), infoField(info, "connected_slaves"), infoField(info, "slaves"); role != "master" || slaves != "2" || none != "" {
		t.Errorf("role %q, slaves %q, none %q", role, slaves, none)
	}
}

func TestTheSingleServerIsFoundHealthy(t *testing.T) {
	t.Parallel()
	e := onServer(t)
	if !e.redis.healthy(t.Context()) || len(e.redis.primaries(t.Context())) != 1 {
		t.Error("a server that runs is not healthy, or no primary")
	}
	e.redis.nodes[0].addr = new(ports).free()
	if e.redis.healthy(t.Context()) || len(e.redis.primaries(t.Context())) != 0 {
		t.Error("a server that does not run is healthy, or a primary")
	}
}
