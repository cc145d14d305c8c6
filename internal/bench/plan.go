package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redisx"
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
	// URLs of Redis, of the same a millisecond away, and of the platform.
	redis, far, wechat string

	runs int // children so far
}

// newLab starts Redis and the platform. End stops Redis.
func newLab(ctx context.Context, o options, stderr io.Writer) (l *lab, end func()) {
	addr, rdb, cmd := startRedis(ctx)
	l = &lab{o: o, stderr: stderr, platform: newPlatform(latency), rdb: rdb}
	l.redis = "redis://" + addr + "/0"
	l.far = "redis://" + listen(func(conn net.Conn) { relay(ctx, conn, addr, time.Millisecond) }) + "/0"
	l.wechat = "http://" + listen(l.platform.serve)
	return l, func() { _ = errors.Join(rdb.Close(), cmd.Process.Kill(), cmd.Wait()) }
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

// start starts a child, after it has filled in what j leaves open, emptied Redis
// and put what a sender needs on the queue.
func (l *lab) start(ctx context.Context, j job) (wait func(stop bool) reading) {
	j = l.complete(j)
	if !j.Keep {
		l.fill(ctx, j)
	}
	return startChild(ctx, j, l.stderr)
}

func (l *lab) complete(j job) job {
	l.runs++
	j.Prefix = cmp.Or(j.Prefix, fmt.Sprintf("r%03d", l.runs))
	j.Redis, j.WeChat = cmp.Or(j.Redis, l.redis), cmp.Or(j.WeChat, l.wechat)
	j.Class = cmp.Or(j.Class, classDefault)
	j.InFlight, j.Servers = cmp.Or(j.InFlight, inFlight), cmp.Or(j.Servers, 4)
	j.Rate, j.Quota = cmp.Or(j.Rate, 100_000), cmp.Or(j.Quota, plenty) // never reached
	return j
}

// fill empties Redis and enqueues for a sender, with records for ours.
func (l *lab) fill(ctx context.Context, j job) {
	check(l.rdb.FlushAllAsync(ctx).Err()) // a million keys take longer than a client waits
	for must(redisx.Info(ctx, l.rdb, "memory"))["lazyfree_pending_objects"] != "0" {
		pause(ctx, 10*time.Millisecond)
	}
	put := map[string]build{ours: enqueueOurs, bare: enqueuePlain, naive: enqueuePlain}[j.Build]
	if j.Messages += j.Backlog; put != nil {
		put(ctx, j, l.rdb, newMeter(0, j.Messages))
	}
}

// sideBySide returns the results of each round, in the order of the jobs. The jobs
// run in turn, every other round backwards, so that a job does not always follow
// the same one.
func (l *lab) sideBySide(ctx context.Context, rounds int, jobs []job) (measured [][]reading) {
	for round := range rounds {
		results := make([]reading, len(jobs))
		for i := range jobs {
			if round%2 == 1 {
				i = len(jobs) - 1 - i
			}
			results[i] = l.start(ctx, jobs[i])(false)
		}
		measured = append(measured, results)
	}
	return measured
}

// figure is a row of a comparison: of the first job, beside another or alone.
type figure struct {
	goal, measure string
	beside        int // index of a job; 0: alone
	bound         bound
	read          func(reading) float64
}

// compare makes rows of jobs that run side by side.
func (l *lab) compare(rounds int, jobs []job, figures ...figure) func(context.Context) []row {
	return func(ctx context.Context) (rows []row) {
		measured := l.sideBySide(ctx, rounds, jobs)
		for _, f := range figures {
			var a, b []float64
			for _, results := range measured {
				a, b = append(a, f.read(results[0])), append(b, f.read(results[f.beside]))
			}
			r := row{goal: f.goal, measure: f.measure, ours: median(a), bound: f.bound, build: jobs[0].Build}
			if f.beside > 0 {
				r.with, r.theirs, r.ratio = cmp.Or(jobs[f.beside].Label, jobs[f.beside].Build), median(b), ratio(a, b)
			}
			rows = append(rows, r)
		}
		return rows
	}
}

// part measures some goals at once.
type part struct {
	goals   []string
	measure func(context.Context) []row
}

func goals() (list []string) {
	for _, p := range new(lab).plan() {
		list = append(list, p.goals...)
	}
	return slices.Compact(list)
}

// plan lists the parts in the order of the table.
func (l *lab) plan() []part {
	n, rounds, none := l.o.messages, l.o.rounds, bound{}
	both, worker, redis := per(1e6, workerCPU, redisCPU), per(1e6, workerCPU), per(1e6, redisCPU)
	sender := func(build string, n int, change job) job {
		change.Build, change.Messages, change.Warm = build, n, n/4
		return change
	}
	put := func(build string) job { return job{Build: build, Messages: 3 * n, Warm: n / 2} }
	large := func(build string) job { return job{Build: build, Messages: l.o.backlog, Repeat: true} }
	bulk := func(rate float64) job {
		return job{Build: ours, Open: true, Class: classBulk, Messages: l.o.backlog, Rate: rate, InFlight: 200}
	}
	soon, far := job{WeChat: l.wechat + instant}, job{Redis: l.far}
	connections := func(r reading) float64 { return max(0, 1000*(r[dials]-inFlight)/float64(n)) }
	return []part{
		{[]string{"P0"}, l.compare(rounds, []job{sender(ours, n, soon), sender(bare, n, soon)},
			figure{"P0", "messages/s, WeChat at 0 ms", 1, none, rate},
			figure{"P0", "worker + Redis CPU µs/message", 1, none, both})},
		{[]string{"P1", "P2", "P3", "P4", "P8b"}, l.compare(rounds, []job{sender(ours, n, job{}), sender(bare, n, job{}), sender(naive, n/4, job{})},
			figure{"P1", "messages/s, all guarantees", 1, atLeast(1.1), rate},
			figure{"P2", "messages/s", 2, atLeast(2.5), rate},
			figure{"P3", "worker + Redis CPU µs/message", 1, atMost(0.95), both},
			figure{"P3", "worker CPU µs/message", 1, none, worker},
			figure{"P3", "Redis CPU µs/message", 1, none, redis},
			figure{"P3", "simulated WeChat's CPU µs/message", 1, none, per(1e6, platformCPU)},
			figure{"P3", "µs/message in which a core had nothing to do", 1, none, per(1e6, idle)},
			figure{"P3", "most resident MB of the worker", 1, none, at(1.0/(1<<20), peak)},
			figure{"P4", "round trips/message of the gate", 0, atMost(0.05), per(1, gateTrips)},
			figure{"P4", "round trips/message of the ledger", 0, atMost(0.1), per(1, ownTrips)},
			figure{"P4", "round trips/message, all", 0, none, per(1, trips, gateTrips)},
			figure{"P4", "scripts/message", 1, none, per(1, scripts)},
			figure{"P4", "commands/message, those inside scripts too", 1, none, per(1, commands)},
			figure{"P8b", "connections opened/1 000 sends, less one per slot", 0, atMost(1), connections},
			figure{"P8b", "allocations/message", 0, atMost(170), per(1, allocations)},
			figure{"P8b", "allocations/message", 1, none, per(1, allocations)})},
		{[]string{"P4b", "P10"}, l.pacing},
		{[]string{"P5"}, l.compare(rounds, []job{put(oneByOne), put(plain)},
			figure{"P5", "Enqueue/s from 64 goroutines, with records", 1, atLeast(1), rate},
			figure{"P5", "client CPU µs/message", 1, none, worker},
			figure{"P5", "Redis CPU µs/message", 1, none, redis})},
		{[]string{"P6"}, l.compare(rounds, []job{put(many), put(raw)},
			figure{"P6", "EnqueueMany/s, with records", 1, atLeast(0.75), rate},
			figure{"P6", "client CPU µs/message", 1, none, worker},
			figure{"P6", "Redis CPU µs/message", 1, none, redis})},
		{[]string{"P7"}, l.compare(1, []job{large(stream), large(plain)}, // long enough to be their own average
			figure{"P7", number(float64(l.o.backlog)) + " streamed with records, /s", 1, atLeast(1), rate},
			figure{"P7", "most resident MB of the process", 0, atMost(64), at(1.0/(1<<20), peak)},
			figure{"P7", "again, all found as duplicates, /s", 1, atLeast(0.9), at(1, repeated)})},
		{[]string{"P16"}, l.compare(rounds, []job{put(apiOne), put(oneByOne)},
			figure{"P16", "HTTP API, one a call, messages/s, its callers included", 1, atLeast(0.5), rate},
			figure{"P16", "CPU µs/message", 1, none, worker})},
		{[]string{"P16"}, l.compare(rounds, []job{put(apiMany), put(many)},
			figure{"P16", "HTTP API, 1 000 a call, messages/s, its callers included", 1, atLeast(0.5), rate},
			figure{"P16", "CPU µs/message", 1, none, worker})},
		{[]string{"P17"}, l.compare(rounds, []job{{Build: gatewayOne, Messages: n, Warm: n / 4}, {Build: apiOne, Messages: n, Warm: n / 4}},
			figure{"P17", "gateway, p99 of a send by 64 callers, ms", 1, atMost(1.5), at(1, p99)},
			figure{"P17", "sends/s", 1, none, rate})},
		{[]string{"P19"}, l.compare(1, []job{{Build: polls, Messages: idlePolls}},
			figure{"P19", "MB that 1 000 waiting callers of /v1/events take", 0, atMost(64), at(1.0/(1<<20), grown)})},
		{[]string{"P8"}, l.timed("P8", "Enqueue to wire when idle", 20, classDefault, job{Build: ours, Open: true, InFlight: 64})},
		{[]string{"P9"}, l.timed("P9", "critical to wire, bulk waits at 50/s", 50, classCritical, bulk(50))},
		{[]string{"P9"}, l.timed("P9", "critical to wire, bulk waits at 500/s", 50, classCritical, bulk(500))},
		{[]string{"P14"}, l.compare(min(rounds, 3), []job{ // filling takes long
			sender(ours, n, job{Backlog: l.o.backlog}), sender(ours, n, job{Backlog: 1000, Label: "at 1000"}),
		},
			figure{"P14", "messages/s at a backlog of " + number(float64(l.o.backlog)), 1, atLeast(0.95), rate},
			figure{"P14", "worker + Redis CPU µs/message", 1, none, both})},
		{[]string{"P11"}, l.compare(rounds, []job{
			sender(ours, n, far), sender(bare, n/8, job{Redis: l.far, Servers: 1, Label: "one server"}), sender(bare, n/4, far),
		},
			figure{"P11", "messages/s, Redis 1 ms away", 1, atLeast(8), rate},
			figure{"P11", "messages/s, Redis 1 ms away", 2, none, rate})},
		{[]string{"P12"}, l.compare(rounds, []job{sender(ours, n, job{Accounts: 50}), sender(ours, n, job{Label: "one account"})},
			figure{"P12", "messages/s, 50 accounts, one busy", 1, atLeast(0.95), rate},
			figure{"P12", "worker + Redis CPU µs/message", 1, none, both})},
		{[]string{"P13", "P15", "P18"}, l.receipts},
	}
}

// pacing is P4b and P10: four processes share a rate, then one finds no quota.
func (l *lab) pacing(ctx context.Context) []row {
	const span, queued = 8, 1000
	j := l.complete(job{Build: ours, Open: true, Rate: paceRate, InFlight: 200, Messages: paceRate * (span + 2)})
	l.fill(ctx, j)
	j.Keep = true
	before := l.platform.noted()
	children := []func(bool) reading{l.start(ctx, j), l.start(ctx, j), l.start(ctx, j), l.start(ctx, j)}
	pause(ctx, span*time.Second)
	after := l.platform.noted()
	maps.DeleteFunc(after.seconds, func(second int64, _ int) bool { return before.seconds[second] > 0 })
	var sent, calls float64
	for _, wait := range children {
		r := wait(true)
		sent, calls = sent+r[messages], calls+r[gateTrips]
	}
	fetched, sentBefore := 0, l.platform.noted().sent
	gone := l.start(ctx, job{Build: ours, Open: true, Rate: paceRate, InFlight: 200, Messages: queued, Quota: queued / 10})
	pause(ctx, 2*time.Second) // the quota is used up by then
	for range 200 {
		left := int(must(l.rdb.LLen(ctx, pendingKey(classDefault)).Result()))
		fetched = max(fetched, queued-left-(l.platform.noted().sent-sentBefore))
		pause(ctx, 10*time.Millisecond)
	}
	gone(true)
	return []row{
		{goal: "P4b", measure: "gate calls/permit while the rate throttles", bound: atMost(0.15), ours: calls / sent},
		{goal: "P4b", measure: "tasks fetched while the quota is gone", bound: atMost(0), ours: float64(fetched)},
		{goal: "P10", measure: fmt.Sprintf("worst second off %d/s, %%, 4 processes", paceRate), bound: atMost(1), ours: worstSecond(after.seconds)},
	}
}

// worstSecond is how far the sends of a second were off paceRate, in percent. The
// first two seconds, in which processes start, and the last do not count.
func worstSecond(perSecond map[int64]int) (off float64) {
	list := slices.Sorted(maps.Keys(perSecond))
	if len(list) < 4 {
		return math.NaN()
	}
	for second := list[0] + 2; second < list[len(list)-1]; second++ {
		off = max(off, 100*math.Abs(float64(perSecond[second])-paceRate)/paceRate)
	}
	return off
}

// timed enqueues messages of a class one after the other while a child runs j. The
// rows are the time from Enqueue to the wire.
func (l *lab) timed(goal, measure string, most float64, class string, j job) func(context.Context) []row {
	const settle = 2 * time.Second
	return func(ctx context.Context) []row {
		j = l.complete(j)
		wait := l.start(ctx, j)
		p := newProducer(l.rdb, class)
		defer func() { _ = p.Close() }()
		pause(ctx, settle)
		enqueued := map[int]time.Time{}
		for range l.o.samples {
			// Random, so that samples do not follow the period of a poll.
			pause(ctx, 50*time.Millisecond+rand.N(200*time.Millisecond))
			n := firstSample + 100_000*l.runs + len(enqueued)
			enqueued[n] = time.Now()
			must(p.Enqueue(ctx, messageID(j.Prefix, n), message(n)))
		}
		pause(ctx, settle)
		wait(true)
		arrived := l.platform.noted().arrived
		var times []float64
		for n, from := range enqueued {
			if arrived[n].IsZero() {
				check(errors.New(goal + ": a message was not sent in time"))
			}
			times = append(times, arrived[n].Sub(from).Seconds()*1000)
		}
		return []row{
			{goal: goal, measure: measure + ", p50, ms", ours: percentile(times, 0.5)},
			{goal: goal, measure: fmt.Sprintf("p99 of %d, ms", l.o.samples), bound: atMost(most), ours: percentile(times, 0.99)},
		}
	}
}

// receipts is P13, P15 and P18: the memory of messages at each step of their life, the
// rate of the receipts that end them, and of their events.
func (l *lab) receipts(ctx context.Context) []row {
	// weigh is the bytes per message of keys that do not end within some hours. An
	// entry in the table of expiries and a slot in both tables add 48 to a key.
	weigh := func(pattern string, hours int) float64 {
		sum := must(l.rdb.Eval(ctx, `local sum = 0
for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
	local ttl = redis.call('PTTL', key)
	if ttl < 0 or ttl > ARGV[2] * 3600000 then sum = sum + 48 + redis.call('MEMORY', 'USAGE', key, 'SAMPLES', '0') end
end
return sum`, nil, pattern, hours).Float64())
		return sum / float64(l.o.messages)
	}
	j := l.complete(job{Build: ours, Messages: l.o.messages, Warm: 1})
	l.fill(ctx, j)
	tasks, records := weigh("asynq:*", 0), weigh("wxn:*", 0)
	j.Keep = true
	l.start(ctx, j)(false)
	acknowledged := l.push(ctx, j)
	events := ledger.ClearEventsKey(appID)
	perEvent := weigh(events, 48) / 2 // accepted, delivered
	read := readEvents(ctx, l.rdb)
	check(l.rdb.Del(ctx, events).Err()) // bounded in all, whatever the messages
	return []row{
		{goal: "P13", measure: "bytes in Redis/queued message, asynq's own", ours: tasks},
		{goal: "P13", measure: "bytes in Redis/queued message, beyond asynq's", bound: atMost(320), ours: records},
		{goal: "P13", measure: "bytes in Redis/ended message, for 72 h", bound: atMost(300), ours: weigh("*", 48)},
		{goal: "P13", measure: "bytes in Redis/event, 1 000 000 entries at most", ours: perEvent},
		{goal: "P15", measure: "receipts/s acknowledged, one process", bound: atLeast(10_000), ours: acknowledged},
		{goal: "P18", measure: "events/s read from /v1/events by one caller", bound: atLeast(10_000), ours: read},
	}
}

// push has one process take the receipts of j on 64 connections, and waits until
// they are in the records. It returns how many a second were acknowledged.
func (l *lab) push(ctx context.Context, j job) float64 {
	addr := freeAddr()
	wait := l.start(ctx, job{Build: receive, Open: true, Listen: addr, Keep: true})
	ctx, stop := context.WithTimeoutCause(ctx, 5*time.Minute, errors.New("the receipts were not taken in time"))
	defer stop()
	for capture(func() { _ = call(ctx, addr).Close() }) != nil {
		pause(ctx, 10*time.Millisecond) // the process has not started yet
	}
	callback, from := newCallback(), time.Now()
	callConcurrently(ctx, addr, 64, j.Messages, func(c caller, i int) error {
		now, to := time.Now(), message(i).ToUser
		_, _, err := c.exchange(fmt.Sprintf("POST /callback/%s?%s", appID, callback.Sign(to, now).Encode()), "", receipt(to, i, now))
		return err
	})
	rate := float64(j.Messages) / time.Since(from).Seconds()
	for !l.delivered(ctx, j) {
		pause(ctx, 10*time.Millisecond)
	}
	wait(true)
	return rate
}

// receipt is what WeChat posts when message i was delivered.
func receipt(to string, i int, at time.Time) []byte {
	return fmt.Appendf(nil, "<xml><ToUserName><![CDATA[gh_1]]></ToUserName><FromUserName><![CDATA[%s]]></FromUserName>"+
		"<CreateTime>%d</CreateTime><MsgType><![CDATA[event]]></MsgType><Event><![CDATA[TEMPLATESENDJOBFINISH]]></Event>"+
		"<MsgID>%d</MsgID><Status><![CDATA[success]]></Status></xml>", to, at.Unix(), firstMsgID+i)
}
