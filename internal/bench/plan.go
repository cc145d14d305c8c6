package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/cost"
	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/producer"
)

const (
	inFlight = 800                   // sends at once
	latency  = 50 * time.Millisecond // of the simulated WeChat
	paceRate = 1000                  // sends a second of all processes in P10
)

// lab is what all measurements share.
type lab struct {
	o        options
	stderr   io.Writer
	rdb      redis.UniversalClient
	platform *platform
	// URLs of Redis, of the same a millisecond away, of the platform, and of one without
	// latency.
	redis, far, wechat, instant string

	dir string // of the programs of Go benchmarks
}

// newLab starts Redis and the platforms. End stops Redis.
func newLab(ctx context.Context, o options, stderr io.Writer) (l *lab, end func()) {
	addr, rdb, stop := startRedis(ctx)
	l = &lab{o: o, stderr: stderr, platform: newPlatform(latency), rdb: rdb, redis: "redis://" + addr + "/0", dir: must(os.MkdirTemp("", "bench-"))}
	l.far = "redis://" + listen(func(conn net.Conn) { relay(ctx, conn, addr, time.Millisecond) }) + "/0"
	l.wechat, l.instant = "http://"+listen(l.platform.serve), "http://"+listen(newPlatform(0).serve)
	return l, func() {
		stop()
		_ = os.RemoveAll(l.dir)
	}
}

// measure runs the wanted parts and prints the report.
func measure(ctx context.Context, o options, stdout, stderr io.Writer) {
	l, end := newLab(ctx, o, stderr)
	defer end()
	from := readLoad(ctx, l.rdb)
	var rows []row
	for _, p := range l.plan() {
		if len(o.only) > 0 && !slices.ContainsFunc(p.goals, func(goal string) bool { return slices.Contains(o.only, goal) }) {
			continue
		}
		start, before := time.Now(), readLoad(ctx, l.rdb)
		if err := capture(func() { rows = append(rows, p.measure(ctx)...) }); err != nil {
			check(fmt.Errorf("%v: %w", p.goals, err))
		}
		_, _ = fmt.Fprintf(stderr, "%v: %.1f s, others used %.1f %%\n", p.goals, time.Since(start).Seconds(), 100*before.others(readLoad(ctx, l.rdb)))
	}
	text := l.report(ctx, rows, from.others(readLoad(ctx, l.rdb)))
	must(io.WriteString(stdout, text))
	if o.doc != "" {
		check(os.WriteFile(o.doc, []byte(text+l.profiles(ctx, rows)), 0o644))
	}
}

// run runs a build, or a Go benchmark.
func (l *lab) run(ctx context.Context, j job) reading {
	if strings.Contains(j.Build, " ") {
		return l.runBenchmark(ctx, j)
	}
	l.platform.opened.Store(0)
	r := l.start(ctx, j)(false)
	r[dials] = max(0, 1000*float64(l.platform.opened.Load()-inFlight)/float64(j.Messages))
	return r
}

// start empties Redis, puts the messages on the queue, which are tasks of ours for every
// build, and starts j's processes. wait returns the sum of their results; with stop it first
// has them end.
func (l *lab) start(ctx context.Context, j job) (wait func(stop bool) reading) {
	j.Class = cmp.Or(j.Class, producer.Default)
	j.Redis, j.WeChat = cmp.Or(j.Redis, l.redis), cmp.Or(j.WeChat, l.wechat)
	j.InFlight, j.Servers = cmp.Or(j.InFlight, inFlight), cmp.Or(j.Servers, 4)
	j.Rate, j.Quota = cmp.Or(j.Rate, 100_000), cmp.Or(j.Quota, plenty) // never reached
	check(l.rdb.FlushAllAsync(ctx).Err())                              // a million keys take longer than a client waits
	for must(redisx.Info(ctx, l.rdb, "memory"))["lazyfree_pending_objects"] != "0" {
		pause(ctx, 10*time.Millisecond)
	}
	enqueue(ctx, j, l.rdb)
	children := make([]func(bool) reading, max(j.Processes, 1))
	for i := range children {
		children[i] = startChild(ctx, j, l.stderr)
	}
	return func(stop bool) reading {
		sum := reading{}
		for _, wait := range children {
			for unit, v := range wait(stop) {
				sum[unit] += v
			}
		}
		return sum
	}
}

// part measures some goals at once.
type part struct {
	goals   []string
	measure func(context.Context) []row
}

// figure is a row of a comparison: of the first job, beside another or alone.
type figure struct {
	goal, measure string
	beside        int // index of a job; 0: alone
	bound, unit   string
}

// compare makes rows of jobs that run in turn, every other round backwards, so that a job
// does not always follow the same one.
func (l *lab) compare(rounds int, jobs []job, figures ...figure) part {
	var p part
	for _, f := range figures {
		p.goals = append(p.goals, f.goal)
	}
	p.goals = slices.Compact(p.goals)
	p.measure = func(ctx context.Context) (rows []row) {
		measured := make([][]reading, len(jobs))
		for round := range rounds {
			for i := range jobs {
				if round%2 == 1 {
					i = len(jobs) - 1 - i
				}
				measured[i] = append(measured[i], l.run(ctx, jobs[i]))
			}
		}
		for _, f := range figures {
			rows = append(rows, f.row(jobs, measured))
		}
		return rows
	}
	return p
}

// row has medians of what was measured of each job, by rounds. What slowed the machine in a
// round is in both figures of its ratio.
func (f figure) row(jobs []job, measured [][]reading) row {
	var ours, theirs, ratios []float64
	for round, a := range measured[0] {
		b := measured[f.beside][round]
		if _, ok := a[f.unit]; !ok {
			check(fmt.Errorf("%s has no %s", jobs[0].Build, f.unit))
		}
		ours, theirs, ratios = append(ours, a[f.unit]), append(theirs, b[f.unit]), append(ratios, a[f.unit]/b[f.unit])
	}
	r := row{goal: f.goal, measure: f.measure, ours: median(ours), bound: f.bound, job: jobs[0]}
	if f.beside > 0 {
		r.with, r.theirs, r.ratio = cmp.Or(jobs[f.beside].Label, jobs[f.beside].Build), median(theirs), median(ratios)
	}
	return r
}

func goals() (list []string) {
	for _, p := range new(lab).plan() {
		list = append(list, p.goals...)
	}
	return slices.Compact(list)
}

// plan lists the parts in the order of the table.
func (l *lab) plan() []part {
	n, rounds := l.o.messages, l.o.rounds
	sender := func(build string, n int, change job) job {
		change.Build, change.Messages, change.Warm = build, n, n/4
		return change
	}
	benchmark := func(name, label string, n int) job { return job{Build: name, Label: label, Messages: n} }
	put := func(name, label string) job { return benchmark(name, label, 5*n/2) }
	bulk := func(rate float64) job {
		return job{Build: ours, Open: true, Class: producer.Bulk, Messages: l.o.backlog, Rate: rate, InFlight: 200}
	}
	soon, far, backlog := job{WeChat: l.instant}, job{Redis: l.far}, number(float64(l.o.backlog))
	return []part{
		l.compare(rounds, []job{sender(ours, n, soon), sender(bare, n, soon)},
			figure{"P0", "messages/s, WeChat at 0 ms", 1, "", rate},
			figure{"P0", "worker + Redis CPU µs/message", 1, "", allCPU}),
		l.compare(rounds, []job{sender(ours, n, job{}), sender(bare, n, job{}), sender(naive, n/4, job{})},
			figure{"P1", "messages/s, all guarantees", 1, "≥ 1.1", rate},
			figure{"P2", "messages/s", 2, "≥ 2.5", rate},
			figure{"P3", "worker + Redis CPU µs/message", 1, "≤ 0.95", allCPU},
			figure{"P3", "worker CPU µs/message", 1, "", ownCPU},
			figure{"P3", "Redis CPU µs/message", 1, "", redisCPU},
			figure{"P3", "simulated WeChat's CPU µs/message", 1, "", platformCPU},
			figure{"P3", "µs/message in which a core had nothing to do", 1, "", idle},
			figure{"P3", "most resident MB of the worker", 1, "", peak},
			figure{"P4", "round trips/message of the gate", 0, "≤ 0.05", gateTrips},
			figure{"P4", "round trips/message of the ledger", 0, "≤ 0.1", ledgerTrips},
			figure{"P4", "round trips/message, all", 0, "", trips},
			figure{"P4", "scripts/message", 1, "", scripts},
			figure{"P4", "commands/message, those inside scripts too", 1, "", commands},
			figure{"P8b", "connections opened/1 000 sends, less one per slot", 0, "≤ 1", dials},
			figure{"P8b", "allocations/message", 0, "≤ 170", allocations},
			figure{"P8b", "allocations/message", 1, "", allocations}),
		{[]string{"P4b", "P10"}, l.pacing},
		l.compare(rounds, []job{put("producer Enqueue/producer", ""), put("producer Enqueue/asynq", "asynq")},
			figure{"P5", "Enqueue/s from 64 goroutines, with records", 1, "≥ 1", rate},
			figure{"P5", "client CPU µs/message", 1, "", ownCPU},
			figure{"P5", "Redis CPU µs/message", 1, "", redisCPU}),
		l.compare(rounds, []job{put("producer EnqueueMany/producer", ""), put("producer EnqueueMany/raw", "raw")},
			figure{"P6", "EnqueueMany/s, with records", 1, "≥ 0.75", rate},
			figure{"P6", "client CPU µs/message", 1, "", ownCPU},
			figure{"P6", "Redis CPU µs/message", 1, "", redisCPU}),
		l.compare(1, []job{benchmark("producer Stream/producer", "", l.o.backlog), benchmark("producer Stream/asynq", "asynq", l.o.backlog)},
			figure{"P7", backlog + " streamed with records, /s", 1, "≥ 1", rate}, // long enough to be its own average
			figure{"P7", "most resident MB of the process", 0, "≤ 64", peak},
			figure{"P7", "again, all found as duplicates, /s", 1, "≥ 0.9", "again-msg/s"}),
		l.compare(rounds, []job{put("internal/server Messages/one", ""), put("producer Enqueue/producer", "one by one")},
			figure{"P16", "HTTP API, one a call, messages/s, its callers included", 1, "≥ 0.5", rate},
			figure{"P16", "CPU µs/message", 1, "", ownCPU}),
		l.compare(rounds, []job{put("internal/server Messages/thousand", ""), put("producer EnqueueMany/producer", "many")},
			figure{"P16", "HTTP API, 1 000 a call, messages/s, its callers included", 1, "≥ 0.5", rate},
			figure{"P16", "CPU µs/message", 1, "", ownCPU}),
		l.compare(rounds, []job{benchmark("internal/server Messages/gateway", "", n), benchmark("internal/server Messages/one", "API", n)},
			figure{"P17", "gateway, p99 of a send by 64 callers, ms", 1, "≤ 1.5", "p99-ms"},
			figure{"P17", "sends/s", 1, "", rate}),
		l.compare(1, []job{benchmark("internal/server Waiting", "", 1000)},
			figure{"P19", "MB that 1 000 waiting callers of /v1/events take", 0, "≤ 64", "grown-MB"}),
		l.timed("P8", "Enqueue to wire when idle", 20, producer.Default, job{Build: ours, Open: true, InFlight: 64}),
		l.timed("P9", "critical to wire, bulk waits at 50/s", 50, producer.Critical, bulk(50)),
		l.timed("P9", "critical to wire, bulk waits at 500/s", 50, producer.Critical, bulk(500)),
		l.compare(min(rounds, 3), // filling takes long
			[]job{sender(ours, n, job{Backlog: l.o.backlog}), sender(ours, n, job{Backlog: 1000, Label: "at 1000"})},
			figure{"P14", "messages/s at a backlog of " + backlog, 1, "≥ 0.95", rate},
			figure{"P14", "worker + Redis CPU µs/message", 1, "", allCPU}),
		l.compare(rounds, []job{sender(ours, n, far), sender(bare, n/8, job{Redis: l.far, Servers: 1, Label: "one server"}), sender(bare, n/4, far)},
			figure{"P11", "messages/s, Redis 1 ms away", 1, "≥ 8", rate},
			figure{"P11", "messages/s, Redis 1 ms away", 2, "", rate}),
		l.compare(rounds, []job{sender(ours, n, job{Accounts: 50}), sender(ours, n, job{Label: "one account"})},
			figure{"P12", "messages/s, 50 accounts, one busy", 1, "≥ 0.95", rate},
			figure{"P12", "worker + Redis CPU µs/message", 1, "", allCPU}),
		l.compare(1, []job{benchmark("internal/server Life", "", n)},
			figure{"P13", "bytes in Redis/queued message, asynq's own", 0, "", "task-B/op"},
			figure{"P13", "bytes in Redis/queued message, beyond asynq's", 0, "≤ 320", "record-B/op"},
			figure{"P13", "bytes in Redis/ended message, for 72 h", 0, "≤ 300", "ended-B/op"},
			figure{"P13", "bytes in Redis/event, 1 000 000 entries at most", 0, "", "event-B/op"},
			figure{"P15", "receipts/s acknowledged, one process", 0, "≥ 10000", "receipts/s"},
			figure{"P18", "events/s read from /v1/events by one caller", 0, "≥ 10000", "events/s"}),
	}
}

// pacing is P4b and P10: four processes share a rate, then one finds no quota.
func (l *lab) pacing(ctx context.Context) []row {
	const starting, span, queued = 2, 6, 1000 // seconds, seconds, messages
	wait := l.start(ctx, job{Build: ours, Open: true, Processes: 4, Rate: paceRate, InFlight: 200, Messages: paceRate * (starting + span + 2)})
	pause(ctx, starting*time.Second)
	var worst float64 // second, by how much it is off the rate
	for range span {
		from, before := time.Now(), l.platform.sent.Load()
		pause(ctx, time.Second)
		rate := float64(l.platform.sent.Load()-before) / time.Since(from).Seconds()
		worst = max(worst, math.Abs(rate-paceRate)/paceRate)
	}
	all := wait(true)
	fetched, before := 0, int(l.platform.sent.Load())
	gone := l.start(ctx, job{Build: ours, Open: true, Rate: paceRate, InFlight: 200, Messages: queued, Quota: queued / 10})
	pause(ctx, starting*time.Second) // the quota is used up by then
	for range 200 {
		left := int(must(l.rdb.LLen(ctx, "asynq:{"+defaultQueue+"}:pending").Result()))
		fetched = max(fetched, queued-left-(int(l.platform.sent.Load())-before))
		pause(ctx, 10*time.Millisecond)
	}
	gone(true)
	return []row{
		{goal: "P4b", measure: "gate calls/permit while the rate throttles", bound: "≤ 0.15", ours: all[gateTrips] / all[messages]},
		{goal: "P4b", measure: "tasks fetched while the quota is gone", bound: "≤ 0", ours: float64(fetched)},
		{goal: "P10", measure: fmt.Sprintf("worst second off %d/s, %%, 4 processes", paceRate), bound: "≤ 1", ours: 100 * worst},
	}
}

// timed enqueues messages of a class one after the other while a child runs j. The
// rows are the time from Enqueue to the wire.
func (l *lab) timed(goal, measure string, most int, class producer.ClassName, j job) part {
	return part{[]string{goal}, func(ctx context.Context) []row {
		wait := l.start(ctx, j)
		p := newProducer(l.rdb, class)
		defer func() { _ = p.Close() }()
		pause(ctx, 2*time.Second) // the child has started by then
		var times []float64
		for i := range l.o.samples {
			// Random, so that samples do not follow the period of a poll.
			pause(ctx, 50*time.Millisecond+rand.N(200*time.Millisecond))
			n, from := firstSample+i, time.Now()
			must(p.Enqueue(ctx, messageID(n), cost.Message(n)))
			select {
			case arrived := <-l.platform.samples:
				times = append(times, arrived.Sub(from).Seconds()*1000)
			case <-time.After(10 * time.Second):
				check(errors.New("a message was not sent in time"))
			}
		}
		wait(true)
		return []row{
			{goal: goal, measure: measure + ", p50, ms", ours: percentile(times, 0.5)},
			{goal: goal, measure: fmt.Sprintf("p99 of %d, ms", l.o.samples), bound: "≤ " + strconv.Itoa(most), ours: percentile(times, 0.99)},
		}
	}}
}
