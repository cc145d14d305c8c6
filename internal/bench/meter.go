package main

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// meter reads what the messages between the warm-up and the last one cost.
type meter struct {
	ctx     context.Context //nolint:containedctx // ticks come from handlers of any kind
	rdb     redis.UniversalClient
	counter *counter // nil: trips are not counted
	dials   *atomic.Int64
	warm    int64
	total   int64
	done    chan struct{}

	ticks      atomic.Int64
	mu         sync.Mutex
	from, till mark
	err        error
}

// mark is a moment's readings.
type mark struct {
	at       time.Time
	cpu      float64
	redisCPU float64
	scripts  int64
	dials    int64
	mallocs  int64
	peak     int64
	trips    trips
}

func newMeter(ctx context.Context, rdb redis.UniversalClient, t task) *meter {
	return &meter{
		ctx: ctx, rdb: rdb, dials: &atomic.Int64{},
		warm: int64(max(t.Warm, 1)), total: int64(t.Messages), done: make(chan struct{}),
	}
}

// tick notes one more message.
func (m *meter) tick() {
	switch m.ticks.Add(1) {
	case m.warm:
		m.take(&m.from)
	case m.total:
		m.take(&m.till)
		close(m.done)
	}
}

func (m *meter) take(to *mark) {
	now, err := m.read()
	m.mu.Lock()
	defer m.mu.Unlock()
	*to, m.err = now, errors.Join(m.err, err)
}

func (m *meter) read() (mark, error) {
	now := mark{at: time.Now(), dials: m.dials.Load()}
	if m.counter != nil {
		now.trips = m.counter.read()
	}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	now.mallocs = int64(mem.Mallocs) //nolint:gosec // far from 63 bits
	var errs [3]error
	now.cpu, now.peak, errs[0] = ownUse()
	now.redisCPU, errs[1] = redisCPU(m.ctx, m.rdb)
	now.scripts, errs[2] = scriptCalls(m.ctx, m.rdb)
	return now, errors.Join(errs[:]...)
}

// wait returns once the last message has ticked, or ctx has ended.
func (m *meter) wait(ctx context.Context) error {
	select {
	case <-m.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (m *meter) outcome() (outcome, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, b := m.from, m.till
	return outcome{
		Messages: int(m.total - m.warm), Seconds: b.at.Sub(a.at).Seconds(),
		CPU: b.cpu - a.cpu, RedisCPU: b.redisCPU - a.redisCPU, Peak: b.peak,
		Dials: b.dials, Mallocs: b.mallocs - a.mallocs, Scripts: b.scripts - a.scripts, Trips: b.trips.minus(a.trips),
	}, m.err
}
