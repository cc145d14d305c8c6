package ratelimit_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/wxnotify/wxnotify/ratelimit"
)

// platform is WeChat's own count, by its days.
type platform struct {
	limit  int64
	ours   map[int64]int64 // accepted calls of the fleet
	others map[int64]int64 // of the account's second user
	wrong  map[int64]bool  // days on which WeChat tells less than it counts
	late   bool            // it tells yesterday's count in the first half minute of a day
}

func (p *platform) used(day int64) int64 { return p.ours[day] + p.others[day] }

// tells is what openapi/quota/get answers for the count.
func (p *platform) tells(at time.Time) int64 {
	day := dayInChina(at)
	switch {
	case p.late && dayInChina(at.Add(-30*time.Second)) < day:
		return p.used(day - 1)
	case p.wrong[day]:
		return p.used(day) * 9 / 10
	}
	return p.used(day)
}

// nights is a fleet that sends around midnight, as strictly as its gates allow.
type nights struct {
	t         *testing.T
	rdb       *redis.Client
	cfg       ratelimit.Config
	wechat    platform
	processes [3]*nightProcess
	held      []heldPermit
	answers   []quotaAnswer
	refusals  []refusedCall
	shared    bool // there is a second user
	// blind is how many calls of a day WeChat may refuse: one for each call of the
	// second user that no answer has told yet. told is how many answers have.
	blind, told map[int64]int64
}

type nightProcess struct {
	*ratelimit.Gate
	cut  func() // breaks its connections to Redis
	stop func() error
}

type heldPermit struct {
	ratelimit.Permit
	by      *nightProcess
	changed <-chan struct{} // closed when the gate may have revoked it
}

type refusedCall struct {
	ratelimit.Permit
	by *nightProcess
}

type quotaAnswer struct {
	ratelimit.Question
	by           *nightProcess
	day          int64
	told, others int64
}

func dayInChina(at time.Time) int64 { return (at.Unix() + int64(china/time.Second)) / 86400 }

func today() int64 { return dayInChina(time.Now()) }

func (w *nights) start(i int) {
	client, cut := breakable(w.t, w.rdb)
	g := newGate(w.t, client, w.cfg)
	w.processes[i] = &nightProcess{g, cut, run(w.t, g)}
	synctest.Wait()
}

func (w *nights) stopAll() {
	for _, p := range w.processes {
		must(w.t, p.stop())
	}
	w.held, w.answers, w.refusals = nil, nil, nil
}

// kill ends a process without a word: its permits are lost.
func (w *nights) kill(rt *rapid.T) {
	i := rapid.IntRange(0, 2).Draw(rt, "process")
	old := w.processes[i]
	w.held = slices.DeleteFunc(w.held, func(h heldPermit) bool { return h.by == old })
	w.answers = slices.DeleteFunc(w.answers, func(a quotaAnswer) bool { return a.by == old })
	w.refusals = slices.DeleteFunc(w.refusals, func(c refusedCall) bool { return c.by == old })
	w.t.Cleanup(func() { _ = old.stop() }) // the test's own: its permits go back after the end
	w.start(i)
}

func (w *nights) process(rt *rapid.T) *nightProcess {
	return w.processes[rapid.IntRange(0, 2).Draw(rt, "process")]
}

func (w *nights) take(rt *rapid.T) {
	w.takeFrom(rt, w.process(rt), ratelimit.Tier(rapid.IntRange(0, 1).Draw(rt, "tier")))
}

func (w *nights) takeFrom(rt *rapid.T, p *nightProcess, tier ratelimit.Tier) bool {
	changed := p.Changed()
	permit, err := p.Take(w.t.Context(), tier)
	var closed *ratelimit.ClosedError
	if errors.As(err, &closed) {
		return false
	}
	if err != nil {
		rt.Fatal(err)
	}
	if day := dayInChina(permit.At); day != permit.Day {
		rt.Fatalf("a permit of day %d is due at %v", permit.Day, permit.At)
	}
	w.held = append(w.held, heldPermit{permit, p, changed})
	return true
}

// call sends a message with a permit, or returns the permit.
func (w *nights) call(rt *rapid.T) {
	if len(w.held) == 0 {
		return
	}
	w.callWith(rt, rapid.IntRange(0, len(w.held)-1).Draw(rt, "permit"))
}

func (w *nights) callWith(rt *rapid.T, i int) {
	h := w.held[i]
	w.held = slices.Delete(w.held, i, i+1)
	until(h.At)
	if fired(h.changed) || h.Expired(time.Now()) || rapid.IntRange(0, 9).Draw(rt, "nothing to send") == 0 {
		h.by.Return(h.Permit)
		return
	}
	time.Sleep(time.Duration(rapid.IntRange(0, 900).Draw(rt, "ms to WeChat")) * time.Millisecond)
	day := today()
	if day != h.Day {
		rt.Fatalf("a call of day %d reaches WeChat on day %d", h.Day, day)
	}
	if w.wechat.used(day) < w.wechat.limit {
		w.wechat.ours[day]++
		if h.Probe() {
			h.by.Succeed(w.t.Context())
		}
		return
	}
	if w.blind[day]--; w.blind[day] < 0 && !w.wechat.wrong[day] {
		rt.Fatalf("%v: a call over the quota with %+v, %+v: WeChat has %d of ours and %d of others, of %d", time.Now(), h.Permit, state(w.t, h.by.Gate), w.wechat.ours[day], w.wechat.others[day], w.wechat.limit)
	}
	w.refusals = append(w.refusals, refusedCall{h.Permit, h.by})
}

// rush sends until the gate closes.
func (w *nights) rush(rt *rapid.T) {
	for range 120 {
		if !w.takeFrom(rt, w.process(rt), ratelimit.Reserved) {
			return
		}
		w.callWith(rt, len(w.held)-1)
	}
}

// report tells the gate of a refused call, which may be long ago.
func (w *nights) report(rt *rapid.T) {
	if len(w.refusals) == 0 {
		return
	}
	i := rapid.IntRange(0, len(w.refusals)-1).Draw(rt, "refusal")
	c := w.refusals[i]
	w.refusals = slices.Delete(w.refusals, i, i+1)
	if err := refuseCall(w.t, c.by.Gate, c.Permit); err != nil && !errors.Is(err, ratelimit.ErrStale) {
		rt.Fatal(err)
	}
}

// spend is the second user of the quota.
func (w *nights) spend(rt *rapid.T) {
	if !w.shared {
		return
	}
	day := today()
	n := min(rapid.Int64Range(1, 60).Draw(rt, "calls"), w.wechat.limit-w.wechat.used(day))
	w.wechat.others[day] += n
	w.blind[day] += n
}

// ask asks WeChat; its answer is applied later, or never.
func (w *nights) ask(rt *rapid.T) {
	w.askBy(w.process(rt), rapid.IntRange(0, 900).Draw(rt, "ms to WeChat"))
}

func (w *nights) askBy(p *nightProcess, ms int) {
	q := ask(w.t, p.Gate)
	time.Sleep(time.Duration(ms) * time.Millisecond)
	day := today()
	w.answers = append(w.answers, quotaAnswer{q, p, day, w.wechat.tells(time.Now()), w.wechat.others[day]})
}

func (w *nights) answer(rt *rapid.T) {
	if len(w.answers) > 0 {
		w.apply(rt, rapid.IntRange(0, len(w.answers)-1).Draw(rt, "answer"))
	}
}

func (w *nights) apply(rt *rapid.T, i int) {
	a := w.answers[i]
	w.answers = slices.Delete(w.answers, i, i+1)
	before := state(w.t, a.by.Gate)
	err := a.by.Reconcile(w.t.Context(), a.Question, w.wechat.limit, a.told)
	after := state(w.t, a.by.Gate)
	switch {
	case errors.Is(err, ratelimit.ErrStale):
		if !before.Trusted && after.Trusted { // it starts from what it knows: WeChat's refusal is the guard
			w.blind[today()] += w.wechat.used(today())
		}
	case err != nil:
		rt.Fatal(err)
	case after.Used < a.told:
		rt.Fatalf("%d are counted after WeChat told %d", after.Used, a.told)
	default:
		// Calls of the second user that are fewer than our permits under way cannot
		// be told from them. Others are known: only what was booked before is refused.
		known := after.Leased
		if a.told > before.Used {
			known = max(0, a.told+after.Leased-w.wechat.limit)
		}
		w.told[a.day] = max(w.told[a.day], a.others)
		w.blind[a.day] = min(w.blind[a.day], known+w.wechat.others[a.day]-w.told[a.day])
	}
	synctest.Wait()
}

// failOver makes Redis forget its last writes, and breaks all connections.
func (w *nights) failOver(rt *rapid.T) {
	synctest.Wait()
	backup := saveRedis(w.t, w.rdb)
	for range rapid.IntRange(1, 6).Draw(rt, "lost acts") {
		switch rapid.IntRange(0, 4).Draw(rt, "act") {
		case 0:
			w.answer(rt)
		case 1:
			w.report(rt)
		case 2:
			w.call(rt)
		default:
			w.take(rt)
		}
	}
	synctest.Wait()
	backup.restore(w.t, w.rdb)
	for _, p := range w.processes {
		p.cut()
	}
	time.Sleep(3 * time.Second)
	synctest.Wait()
}

// opens is the second law: while WeChat has room, a gate is closed for a minute at
// most, also when WeChat is asked only for a count that is missing or that no answer of
// the day has corrected: those to questions of its first minute say nothing. Room is what
// WeChat has left beyond the permits that may be on their way and the precision
// of its count: 1 %, and 2 % after a refusal.
func (w *nights) opens(rt *rapid.T, asks bool) {
	for closed := time.Duration(0); closed <= time.Minute+5*time.Second; closed += 5 * time.Second {
		for _, p := range w.processes {
			if w.takeFrom(rt, p, ratelimit.Reserved) {
				return
			}
		}
		s := state(w.t, w.processes[0].Gate)
		if asks || !s.Trusted || s.Reconciled.IsZero() {
			w.reconcile(rt)
		}
		s = state(w.t, w.processes[0].Gate)
		if room := w.wechat.limit - w.wechat.used(today()); w.wechat.wrong[today()] || room <= s.Leased+(w.wechat.limit+49)/50 {
			return
		}
		time.Sleep(5 * time.Second)
	}
	rt.Fatalf("closed for a minute although WeChat has used %d of %d: %+v", w.wechat.used(today()), w.wechat.limit, state(w.t, w.processes[0].Gate))
}

// reconcile asks and applies the answer at once.
func (w *nights) reconcile(rt *rapid.T) {
	w.askBy(w.processes[0], 0)
	w.apply(rt, len(w.answers)-1)
}

// evening is all that may happen, with long waits.
func (w *nights) evening(rt *rapid.T) {
	rt.Repeat(map[string]func(*rapid.T){
		"":           func(*rapid.T) { synctest.Wait() },
		"take":       w.take,
		"take again": w.take,
		"call":       w.call,
		"rush":       w.rush,
		"report":     w.report,
		"spend":      w.spend,
		"ask":        w.ask,
		"answer":     w.answer,
		"kill":       w.kill,
		"fail over":  w.failOver,
		"opens":      func(rt *rapid.T) { w.opens(rt, true) },
		"wait":       w.wait(2 * time.Minute),
	})
}

// edge is many calls and answers within the seconds around midnight.
func (w *nights) edge(rt *rapid.T) {
	acts := map[string]func(*rapid.T){
		"":           func(*rapid.T) { synctest.Wait() },
		"take":       w.take,
		"take again": w.take,
		"call":       w.call,
		"call again": w.call,
		"report":     w.report,
		"ask":        w.ask,
		"answer":     w.answer,
		"wait":       w.wait(300 * time.Millisecond),
	}
	if rapid.Bool().Draw(rt, "with fail-overs") {
		acts["fail over"] = w.failOver
	}
	rt.Repeat(acts)
}

func (w *nights) wait(most time.Duration) func(*rapid.T) {
	return func(rt *rapid.T) {
		time.Sleep(time.Duration(rapid.Int64Range(1, int64(most/time.Millisecond)).Draw(rt, "ms")) * time.Millisecond)
	}
}

// refuseTwice uses up the quota, and goes on until WeChat's count is not believed.
func (w *nights) refuseTwice(rt *rapid.T) {
	w.wechat.others[today()] += w.wechat.limit - w.wechat.used(today())
	for range 2 {
		w.rush(rt)
		for len(w.refusals) > 0 {
			w.report(rt)
		}
		time.Sleep(3 * time.Second)
		w.reconcile(rt)
	}
}

// night is from half past eleven to the first minutes of the next day.
func (w *nights) night(rt *rapid.T, midnight time.Time) {
	until(midnight.Add(-30 * time.Minute))
	for i := range w.processes {
		w.start(i)
	}
	w.reconcile(rt)
	w.evening(rt)
	if w.wechat.wrong[today()] {
		w.refuseTwice(rt)
	}
	until(midnight.Add(-2500 * time.Millisecond))
	w.edge(rt)
	until(midnight)
	w.opens(rt, false)
	w.edge(rt)
	w.opens(rt, false)
	until(midnight.Add(61 * time.Second))
	w.reconcile(rt)
	w.opens(rt, false)
	w.evening(rt)
	w.rush(rt)
	w.stopAll()
}

func driveNights(t *testing.T, rt *rapid.T, rdb *redis.Client) {
	t.Helper()
	w := &nights{t: t, rdb: rdb, blind: map[int64]int64{}, told: map[int64]int64{}}
	w.shared = rapid.Bool().Draw(rt, "shared")
	w.wechat = platform{
		limit: rapid.Int64Range(20, 100).Draw(rt, "limit"),
		ours:  map[int64]int64{}, others: map[int64]int64{},
		wrong: map[int64]bool{firstDay: rapid.IntRange(0, 2).Draw(rt, "wrong") == 0},
		late:  rapid.Bool().Draw(rt, "late"),
	}
	w.cfg = ratelimit.Config{
		Key: key, Owner: "night", UTCOffset: china, DailyQuota: w.wechat.limit,
		Rate:     rapid.SampledFrom([]float64{0, 5, 50}).Draw(rt, "rate"),
		Reserve:  rapid.SampledFrom([]float64{0, 0.1}).Draw(rt, "reserve"),
		MaxBlock: rapid.IntRange(1, 16).Draw(rt, "block"),
	}
	for i := range 2 {
		w.night(rt, hourInChina(2+i, 0, 0, 0))
	}
}

// Several processes, late answers, lost writes and a second user of the quota,
// through two midnights: never a call over what WeChat allows, as far as it has
// told, never a call on another day than its permit's, and never closed for more
// than a minute while WeChat has room.
func TestNightsAgainstWeChatsOwnCount(t *testing.T) {
	t.Parallel()
	rapid.Check(t, property(t, driveNights))
}
