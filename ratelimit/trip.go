package ratelimit

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// call is one run of book.lua. A call whose answer was lost is repeated as it
// was: the script knows its number and books and gives back only once.
type call struct {
	seq   uint64
	want  int
	tier  Tier
	probe int64
	back  map[string]int

	granted    uint64 // the last call that was granted permits; 0: none
	grantedDay int64
}

// flight is a call under way; concurrent Takes wait for the same one.
type flight struct {
	call *call
	era  uint64
	told uint64
	done chan struct{}
	err  error // read after done
}

// launch starts a trip that outlives its caller: what it books belongs to the
// process, not to who asked first. g.mu is held and no flight is under way.
func (g *Gate) launch(ctx context.Context, want int, tier Tier) {
	c := g.lost
	if c == nil {
		g.seq++
		c = &call{seq: g.seq, want: want, tier: tier, probe: g.backProbe, back: g.back, granted: g.granted, grantedDay: g.grantedDay}
		g.back, g.backProbe, g.flushAt = map[string]int{}, 0, time.Time{}
	}
	f := &flight{call: c, era: g.era, told: g.told, done: make(chan struct{})}
	g.flight = f
	go func() {
		defer close(f.done)
		tripCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tripTimeout)
		defer cancel()
		reply, err := g.scripts.book.Run(tripCtx, g.rdb, g.keys, g.bookArgs(c)...).Slice()
		g.land(f, reply, err)
	}()
}

func (g *Gate) bookArgs(c *call) []any {
	args := append(g.common(), c.seq, c.want, int(c.tier), c.probe, c.granted, c.grantedDay)
	for lease, n := range c.back {
		args = append(args, lease, n)
	}
	return args
}

// common is ARGV[1…5] of every script.
func (g *Gate) common() []any {
	return []any{
		int64(g.cfg.UTCOffset / time.Second), g.cfg.DailyQuota,
		strconv.FormatFloat(g.cfg.Reserve, 'g', -1, 64), strconv.FormatFloat(g.cfg.Rate, 'g', -1, 64), g.instance,
	}
}

// land takes the answer in.
func (g *Gate) land(f *flight, reply []any, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	defer g.poke()
	g.flight = nil
	if err != nil {
		g.lost = f.call
		f.err = fmt.Errorf("ratelimit: book permits: %w", err)
		g.flushAt = time.Now().Add(time.Second) // Run tries again
		return
	}
	g.lost = nil
	r := replyOf(reply)
	if r.bad != nil {
		f.err = fmt.Errorf("ratelimit: book permits: %w", r.bad)
		return
	}
	switch {
	case r.granted > 0:
		g.granted, g.grantedDay = f.call.seq, r.day
		g.grant(f, r)
	case r.reason != "":
		f.err = g.refuse(f, r)
	}
}

// grant puts the block into the hand; a gate that was closed meanwhile does not
// want it any more.
func (g *Gate) grant(f *flight, r bookReply) {
	g.skew.see(r.now, time.Now())
	first := g.skew.local(r.first)
	for i := range r.granted {
		p := Permit{
			At: first.Add(time.Duration(i) * r.gap), Tier: r.tier, Day: r.day,
			lease: r.lease, probe: r.probe, era: f.era,
		}
		if f.era != g.era || g.drained && f.call.want > 1 {
			g.giveBack(p, 0)
		} else {
			g.hand.put(p)
		}
	}
}

// refuse remembers the refusal, unless news came while it was on its way.
func (g *Gate) refuse(f *flight, r bookReply) error {
	now := time.Now()
	closed := &ClosedError{Reason: r.reason, Detail: r.detail, zone: g.zone(), asked: now}
	a := &answer{err: closed, until: now.Add(100 * time.Millisecond)}
	if g.subscribed {
		a.until = now.Add(5 * time.Second)
	}
	if r.wait >= 0 {
		// Not under a millisecond, or who waits would spin.
		closed.Until = now.Add(max(r.wait, time.Millisecond))
		if closed.Until.Before(a.until) {
			a.until = closed.Until
		}
	}
	if f.told != g.told {
		return closed
	}
	if r.reason != ReasonQuota {
		g.void() // learnt here before the event came, or without events
	}
	g.closed[f.call.tier] = a
	return closed
}

// bookReply is what book.lua returns.
type bookReply struct {
	granted    int
	first, now time.Time
	gap        time.Duration
	day        int64
	tier       Tier
	lease      string
	probe      int64

	reason Reason
	detail string
	wait   time.Duration // below 0: until somebody opens

	bad error
}

func replyOf(v []any) bookReply {
	in := reader{values: v}
	r := bookReply{granted: int(in.int(0))}
	switch {
	case r.granted > 0:
		r.first, r.gap, r.day = time.UnixMicro(in.int(1)), time.Duration(in.int(2)), in.int(3)
		r.tier, r.lease, r.probe, r.now = Tier(in.int(4)), in.text(5), in.int(6), time.UnixMicro(in.int(7))
	case len(v) > 1:
		r.reason, r.detail = Reason(in.text(1)), in.text(2)
		r.wait, r.day = time.Duration(in.int(3))*time.Millisecond, in.int(4)
	}
	r.bad = in.bad
	return r
}

// reader reads a script's answer and keeps the first thing that did not fit.
type reader struct {
	values []any
	bad    error
}

func (r *reader) int(i int) int64 {
	if i < len(r.values) {
		if n, ok := r.values[i].(int64); ok {
			return n
		}
	}
	r.wrong(i, "number")
	return 0
}

func (r *reader) text(i int) string {
	if i < len(r.values) {
		if s, ok := r.values[i].(string); ok {
			return s
		}
	}
	r.wrong(i, "text")
	return ""
}

func (r *reader) wrong(i int, want string) {
	if r.bad == nil {
		r.bad = fmt.Errorf("the script's answer has no %s at %d: is another version at work on this key", want, i)
	}
}
