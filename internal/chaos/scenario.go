package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/wxnotify/wxnotify/internal/chaos/verdict"
	"github.com/wxnotify/wxnotify/internal/job"
)

// scenario is one way in which things go wrong.
type scenario struct {
	Name      string       `json:"name"`
	About     string       `json:"about"`
	Redis     topology     `json:"redis"`
	RedisArgs []string     `json:"redis_args"` // of each data node
	Workers   []workerSpec `json:"workers"`    // default two of the plain build
	Simulator []string     `json:"simulator"`  // flags
	Messages  int          `json:"messages"`   // of the small run, default 300
	Seconds   int          `json:"seconds"`    // how long they are enqueued in the small run, default 15
	Series    []series     `json:"series"`
	Days      int          `json:"days"`      // that the messages need by the daily quota; 0: no limit
	Refusals  bool         `json:"refusals"`  // WeChat refuses calls for its quota
	Loses     bool         `json:"loses"`     // Redis may lose what it acknowledged
	Deaths    bool         `json:"deaths"`    // messages may end as dead
	Events    bool         `json:"events"`    // every end has to be told
	LongOnly  bool         `json:"long_only"` // takes longer than the small run may
}

// scenarios.json lists the slowest first, so that the run does not end with one
// of them alone, and last the one that waits for its build. Times are in seconds.
//
//go:embed scenarios.json
var scenariosJSON []byte

// scenarios lists all scenarios.
func scenarios() ([]*scenario, error) {
	var list []*scenario
	d := json.NewDecoder(bytes.NewReader(scenariosJSON))
	d.DisallowUnknownFields()
	if err := d.Decode(&list); err != nil {
		return nil, fmt.Errorf("scenarios.json: %w", err)
	}
	for _, s := range list {
		if s.Messages == 0 {
			s.Messages = 300
		}
		if s.Seconds == 0 {
			s.Seconds = 15
		}
		if len(s.Workers) == 0 {
			s.Workers = []workerSpec{{Build: plainBuild}, {Build: plainBuild}}
		}
	}
	return list, nil
}

// choose returns the scenarios of these names, or all that suit the run.
func choose(all []*scenario, names []string, long bool) ([]*scenario, error) {
	var chosen []*scenario
	for _, s := range all {
		if len(names) == 0 && (long || !s.LongOnly) || slices.Contains(names, s.Name) {
			chosen = append(chosen, s)
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(chosen, func(s *scenario) bool { return s.Name == name }) {
			return nil, fmt.Errorf("-faults %s: no such scenario: -list names them", name)
		}
	}
	return chosen, nil
}

// span is a range of seconds to draw from.
type span [2]float64

func (s span) draw(r *rand.Rand) time.Duration {
	return time.Duration((s[0] + r.Float64()*(s[1]-s[0])) * float64(time.Second))
}

// series is faults that follow one another.
type series struct {
	Faults   []faultSpec `json:"faults"`    // in turn, again and again
	First    span        `json:"first"`     // from the start to the first one
	Hold     span        `json:"hold"`      // how long each lasts
	Gap      span        `json:"gap"`       // from the end of one to the next
	Times    int         `json:"times"`     // at most; 0: until no more messages are enqueued
	UntilEnd bool        `json:"until_end"` // one fault, until no more messages are enqueued
}

// step is one fault of a plan.
type step struct {
	faultSpec
	at, hold time.Duration
	pick     int // picks the victim
}

func (s step) String() string {
	return fmt.Sprintf("at %5.1fs for %4.1fs: %s", s.at.Seconds(), s.hold.Seconds(), s.faultSpec)
}

// plan is what goes wrong in a run, one list per series: faults of different
// series overlap, those of one series do not.
type plan [][]step

// newPlan draws the faults that begin within length: the same for the same seed.
func newPlan(seed uint64, all []series, length time.Duration) plan {
	p := make(plan, len(all))
	for i, s := range all {
		r := rand.New(rand.NewPCG(seed, uint64(100+i))) //nolint:gosec // the faults are to be repeatable
		at := s.First.draw(r)
		for n := 0; at < length && (s.Times == 0 || n < s.Times); n++ {
			next := step{faultSpec: s.Faults[n%len(s.Faults)], at: at, hold: s.Hold.draw(r), pick: r.IntN(60)}
			if s.UntilEnd {
				next.hold = length - at
			}
			p[i] = append(p[i], next)
			at += next.hold + s.Gap.draw(r)
		}
	}
	return p
}

// Steps lists all faults.
func (p plan) Steps() []step { return slices.Concat(p...) }

// scenarioSeed lets a scenario be repeated without the others.
func scenarioSeed(seed uint64, name string) uint64 {
	return seed ^ uint64(crc32.ChecksumIEEE([]byte(name)))
}

const (
	settleLimit = 5 * time.Minute // a small run waits so long for all to end
	// unchanged is how long the messages that are left must stay as they are,
	// before what Redis lost is no longer waited for.
	unchanged = 10 * time.Second
)

// result of one scenario.
type result struct {
	Scenario   *scenario
	Again      string // the command that repeats it
	Plan       plan
	Took       time.Duration
	Settled    time.Duration // from the last Enqueue and the last fault to the last end
	Tally      verdict.Tally
	Violations []verdict.Violation
	Calls      int64
	Errors     int      // of calls of the producer
	History    []string // what was done when
	Err        error    // of the harness
}

// Held reports that no invariant was broken.
func (r *result) Held() bool { return r.Err == nil && len(r.Violations) == 0 }

// runScenario runs a scenario from its first process to its verdict.
func runScenario(ctx context.Context, e *env, length, limit time.Duration) *result {
	e.began = time.Now()
	r := &result{Scenario: e.scenario, Plan: newPlan(e.seed, e.scenario.Series, length)}
	defer func() {
		r.Took, r.History = time.Since(e.began), append(e.history, "the output of all processes: "+e.dir)
	}()
	if r.Err = e.start(ctx); r.Err != nil {
		return r
	}
	e.logf("enqueue %d messages in %s", e.messages, length)
	if r.Err = e.enqueueAndBreak(ctx, r.Plan, length); r.Err != nil {
		return r
	}
	e.logf("the last fault is over and every caller has its answer")
	over := time.Now()
	ended := e.settle(ctx, limit)
	r.Settled = time.Since(over)
	e.logf("all messages and tasks ended: %v", ended)
	if e.listeners != nil {
		e.logf("every end was told: %v", e.heard(ctx, limit))
	}
	evidence, err := e.gather(ctx)
	if r.Err = err; err != nil {
		return r
	}
	r.Calls, r.Errors = evidence.Calls, e.load.errors
	r.Tally, r.Violations = verdict.Judge(evidence)
	e.explain(evidence.Seen, r.Violations)
	return r
}

// enqueueAndBreak returns when all is enqueued, everything is repaired and every
// caller has its answer.
func (e *env) enqueueAndBreak(ctx context.Context, p plan, length time.Duration) error {
	start := time.Now()
	confirming, stop := context.WithCancel(ctx)
	defer stop()
	var beside, group sync.WaitGroup
	if e.scenario.Loses {
		beside.Go(func() { e.confirmDurable(confirming) })
	}
	errs := make([]error, len(p))
	for i, steps := range p {
		group.Go(func() { errs[i] = e.injectFaults(ctx, steps, start) })
	}
	group.Go(func() { e.load.run(ctx, newCases(e.seed, e.messages), length) })
	group.Go(func() {
		pause(ctx, length/2) // under load, with all connections open
		for _, w := range e.workers {
			w.sample(ctx)
		}
	})
	group.Wait()
	e.starting.Wait()
	if e.scenario.Loses {
		pause(ctx, 4*barrierEvery) // for the last messages
	}
	stop()
	beside.Wait()
	return errors.Join(errors.Join(errs...), context.Cause(ctx))
}

// injectFaults begins and ends the faults of one series.
func (e *env) injectFaults(ctx context.Context, steps []step, start time.Time) error {
	for _, s := range steps {
		pause(ctx, time.Until(start.Add(s.at)))
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		e.logf("begin: %s", s.faultSpec)
		f := faults()[s.Kind]
		if err := f.begin(ctx, e, s); err != nil {
			return fmt.Errorf("%s: %w", s.faultSpec, err)
		}
		pause(ctx, s.hold)
		if f.end == nil {
			continue
		}
		if err := f.end(ctx, e, s); err != nil {
			return fmt.Errorf("end of %s: %w", s.faultSpec, err)
		}
		e.logf("end: %s", s.faultSpec)
	}
	return nil
}

// settle waits until every message and every task has ended, and reports whether
// they did.
func (e *env) settle(ctx context.Context, limit time.Duration) bool {
	changed, before := time.Now(), -1
	return until(ctx, limit, time.Second/2, func() bool {
		q, err := e.queues(ctx)
		if errors.Join(err, e.readStates(ctx)) != nil {
			return false
		}
		open, lost := 0, 0
		for _, m := range e.load.messages {
			if m.Ended() || m.Waits() || m.Status == nil && len(m.Winners) == 0 {
				continue
			}
			open++
			if e.scenario.Loses && !m.Durable {
				lost++
			}
		}
		if open != before {
			changed, before = time.Now(), open
		}
		// What a primary lost does not end; nothing else may be left.
		return q.Pending+q.Active+q.Retry == 0 && (open == 0 || open == lost && time.Since(changed) > unchanged)
	})
}

// readStates asks for the state of all messages.
func (e *env) readStates(ctx context.Context) error {
	for page := range slices.Chunk(e.load.messages, 1000) {
		ids := make([]string, len(page))
		for i, m := range page {
			ids[i] = m.ID
		}
		found, err := e.asker.StatusMany(ctx, ids)
		if err != nil {
			return err
		}
		for i := range page {
			page[i].Status = found[i]
		}
	}
	return nil
}

// gather stops the workers and collects what the verdict compares.
func (e *env) gather(ctx context.Context) (verdict.Evidence, error) {
	s := e.scenario
	out := verdict.Evidence{Cap: e.dailyCap, Refusals: s.Refusals, Loses: s.Loses, Deaths: s.Deaths}
	for _, w := range e.workers {
		if g, same := w.growth(ctx); same {
			out.Growth = append(out.Growth, g)
		}
		if err := w.stop(ctx); err != nil {
			out.Exits = append(out.Exits, err.Error())
		}
	}
	if e.listeners != nil {
		out.Told = e.listeners.told
	}
	var errs [5]error
	var counted simulatorStats
	errs[0] = e.readStates(ctx)
	out.Messages = e.load.messages
	counted, errs[1] = e.wechat.stats(ctx)
	out.Seen, errs[2] = e.wechat.seen(ctx)
	out.Queues, errs[3] = e.queues(ctx)
	out.Queues.Tasks, errs[4] = e.tasks(ctx)
	out.Calls, out.OverCap = counted.Calls[sendPath].Total, counted.Calls[sendPath].ByErrcode["45009"]
	if out.Cap > 0 && errs[1] == nil {
		out.Calls = counted.Accounts[0].Used
	}
	return out, errors.Join(errs[:]...)
}

// explain notes what Status and WeChat know of the messages that broke an invariant.
func (e *env) explain(seen []verdict.Seen, found []verdict.Violation) {
	for _, v := range found {
		for _, id := range v.IDs[:min(len(v.IDs), 10)] {
			e.logf("%s: %s: %s", v.Invariant, id, e.command("status", id, "--output", "json"))
			for _, s := range seen {
				if s.ClientMsgID == id || s.ClientMsgID == job.ClientMsgID(id) {
					e.logf("%s: WeChat saw %s at %s", id, s.URL, s.At.Local().Format("15:04:05.000"))
				}
			}
		}
	}
	if e.load.lastErr != nil {
		e.logf("the last failed call of the producer: %v", e.load.lastErr)
	}
}
