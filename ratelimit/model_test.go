package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/ratelimit"
)

// world is three processes on one gate, and what a simple bookkeeper knows of
// them: every permit that was taken, per day.
type world struct {
	ctx    context.Context
	rdb    *redis.Client
	cfg    ratelimit.Config
	gates  [3]*ratelimit.Gate
	calls  *counter
	held   []held
	spent  map[int64]int64 // permits taken and not returned, by day
	wasted int64           // what came back too late to be given back
	slots  []time.Time
	stops  []func() error // of Run; without Run processes may be killed
}

type held struct {
	gate int
	ratelimit.Permit
}

func (w *world) take(t *rapid.T) {
	i := rapid.IntRange(0, 2).Draw(t, "gate")
	tier := ratelimit.Tier(rapid.IntRange(0, 1).Draw(t, "tier"))
	p, err := w.gates[i].Take(w.ctx, tier)
	var closed *ratelimit.ClosedError
	switch {
	case errors.Is(err, errLost), errors.As(err, &closed):
		return
	case err != nil:
		t.Fatal(err)
	case time.Since(p.At) >= 30*time.Second:
		t.Fatalf("a permit of %v at %v", p.At, time.Now())
	case p.Tier == ratelimit.Reserved && tier == ratelimit.General:
		t.Fatal("general got a permit of the reserve")
	}
	w.held = append(w.held, held{i, p})
	w.spent[p.Day]++
	w.slots = append(w.slots, p.At)
}

func (w *world) giveBack(t *rapid.T) {
	if len(w.held) == 0 {
		return
	}
	i := rapid.IntRange(0, len(w.held)-1).Draw(t, "which")
	p := w.held[i]
	w.held = slices.Delete(w.held, i, i+1)
	w.gates[p.gate].Return(p.Permit)
	if time.Since(p.At) > time.Minute {
		w.wasted++ // its lease may be over: Reconcile's affair
	}
	w.spent[p.Day]--
	w.slots = slices.DeleteFunc(w.slots, p.At.Equal) // may be taken again
}

// kill replaces a process: what it held is gone.
func (w *world) kill(t *rapid.T) {
	if w.stops != nil {
		return
	}
	i := rapid.IntRange(0, 2).Draw(t, "gate")
	w.held = slices.DeleteFunc(w.held, func(h held) bool { return h.gate == i })
	w.gates[i], _ = ratelimit.New(w.rdb, w.cfg)
}

func (w *world) shut(t *rapid.T) {
	if !rapid.Bool().Draw(t, "close") {
		_ = w.gates[0].Open(w.ctx, ratelimit.ReasonBreaker)
		return
	}
	if err := w.gates[0].Close(w.ctx, ratelimit.Pause{Reason: ratelimit.ReasonBreaker}); err == nil {
		if p, err := w.gates[0].Take(w.ctx, ratelimit.Reserved); err == nil {
			t.Fatalf("a closed gate gave %+v", p)
		}
	}
}

// reconcile is told the truth: all that was spent reached WeChat.
func (w *world) reconcile(*rapid.T) {
	s, err := w.gates[1].State(w.ctx)
	if err != nil {
		return
	}
	day, _ := time.Parse(time.DateOnly, s.Day)
	q, err := w.gates[1].AskQuota(w.ctx)
	if err != nil {
		return
	}
	_ = w.gates[1].Reconcile(w.ctx, q, w.cfg.DailyQuota, w.spent[day.Unix()/86400])
}

// check is the law: what is spent is counted, and the count stays under the cap.
func (w *world) check(t *rapid.T) {
	s, err := w.gates[2].State(w.ctx)
	if err != nil {
		return
	}
	day, _ := time.Parse(time.DateOnly, s.Day)
	spent := w.spent[day.Unix()/86400]
	if spent > s.Used || s.Used > s.Cap {
		t.Fatalf("spent %d, counted %d, cap %d", spent, s.Used, s.Cap)
	}
	slices.SortFunc(w.slots, time.Time.Compare)
	if w.cfg.Rate > 0 {
		gap := time.Duration(float64(time.Second)/w.cfg.Rate) - 2*time.Microsecond
		for i := 1; i < len(w.slots); i++ {
			if d := w.slots[i].Sub(w.slots[i-1]); d < gap {
				t.Fatalf("two slots lie %v apart at %v/s", d, w.cfg.Rate)
			}
		}
	}
}

// settle ends all processes. Where each had its Run to the end, the count is
// what was spent.
func (w *world) settle(t *rapid.T) {
	w.calls.lose.Store(0)
	for _, stop := range w.stops {
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
	s, err := w.gates[0].State(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	day, _ := time.Parse(time.DateOnly, s.Day)
	extra := s.Used - w.spent[day.Unix()/86400]
	if extra < 0 || w.stops != nil && extra > w.wasted {
		t.Fatalf("in the end %d are counted, %d more than were spent; %d came back late", s.Used, extra, w.wasted)
	}
}

// property runs drive with random acts, each time in a bubble of its own.
func property(t *testing.T, drive func(*testing.T, *rapid.T, *redis.Client)) func(*rapid.T) {
	t.Helper()
	return func(r *rapid.T) {
		var failure any // rapid fails by panicking, which must not happen inside
		synctest.Test(t, func(t *testing.T) {
			_, rdb := redistest.Mini(t)
			defer func() { failure = recover() }()
			drive(t, r, rdb)
		})
		switch {
		case failure == nil:
		case fmt.Sprintf("%T", failure) == "rapid.invalidData": // a draw that rapid gave up itself
			panic(failure)
		default:
			r.Fatalf("%v", failure)
		}
	}
}

func drive(t *testing.T, rt *rapid.T, rdb *redis.Client) {
	t.Helper()
	ctx := t.Context()
	calls := new(counter)
	rdb.AddHook(calls)
	w := &world{ctx: ctx, rdb: rdb, calls: calls, spent: map[int64]int64{}}
	w.cfg = ratelimit.Config{
		Key: key, Owner: "model", UTCOffset: china,
		Rate:       rapid.SampledFrom([]float64{0, 0.5, 20, 1000}).Draw(rt, "rate"),
		DailyQuota: rapid.Int64Range(1, 300).Draw(rt, "quota"),
		Reserve:    rapid.SampledFrom([]float64{0, 0.02, 0.5}).Draw(rt, "reserve"),
		MaxBlock:   rapid.IntRange(1, 40).Draw(rt, "block"),
	}
	for i := range w.gates {
		w.gates[i], _ = ratelimit.New(rdb, w.cfg)
	}
	if rapid.Bool().Draw(rt, "run") {
		for _, g := range w.gates {
			w.stops = append(w.stops, run(t, g))
		}
	}
	if err := w.gates[0].Reconcile(ctx, ratelimit.Question{}, ratelimit.Unknown, ratelimit.Unknown); err != nil {
		rt.Fatal(err)
	}
	rt.Repeat(map[string]func(*rapid.T){
		"":           w.check,
		"take":       w.take,
		"take again": w.take,
		"and again":  w.take,
		"return":     w.giveBack,
		"wait": func(rt *rapid.T) {
			time.Sleep(time.Duration(rapid.IntRange(1, 2000).Draw(rt, "ms")) * time.Millisecond)
		},
		"wait long": func(rt *rapid.T) { time.Sleep(time.Duration(rapid.IntRange(1, 600).Draw(rt, "min")) * time.Minute) },
		"lose":      func(*rapid.T) { calls.lose.Store(1) },
		"kill":      w.kill,
		"shut":      w.shut,
		"reconcile": w.reconcile,
	})
	w.settle(rt)
}

func TestGateAgainstTheModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, property(t, drive))
}

// FuzzGate lets the fuzzer choose the acts.
func FuzzGate(f *testing.F) {
	f.Add([]byte("take take return wait"))
	f.Add([]byte{0xff, 0xfe, 0xfd, 3, 2, 1, 0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9})
	f.Fuzz(func(t *testing.T, data []byte) { rapid.MakeFuzz(property(t, drive))(t, data) })
}
