package ratelimit

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// booking is one run of book.lua. A booking whose answer was lost is repeated as it
// was: the script knows its number and books and gives back only once.
type booking struct {
	seq     uint64
	want    int
	tier    Tier
	probe   int64
	returns map[string]int

	granted    uint64 // the last call that was granted permits; 0: none
	grantedDay int64
}

// request is a booking under way; concurrent Takes wait for the same one.
type request struct {
	booking    *booking
	permitGen  uint64
	refusalGen uint64
	done       chan struct{}
	err        error // read after done
}

// start sends a booking that outlives its caller: what it books belongs to the
// process, not to who asked first. g.mu is held and none is under way.
func (g *Gate) start(ctx context.Context, want int, tier Tier) {
	c := g.unanswered
	if c == nil {
		g.seq++
		c = &booking{seq: g.seq, want: want, tier: tier, probe: g.returnedProbe, returns: g.returns, granted: g.granted, grantedDay: g.grantedDay}
		g.returns, g.returnedProbe, g.returnBy = map[string]int{}, 0, time.Time{}
	}
	r := &request{booking: c, permitGen: g.permitGen, refusalGen: g.refusalGen, done: make(chan struct{})}
	g.inflight = r
	go func() {
		defer close(r.done)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
		defer cancel()
		reply, err := g.scripts.book.Run(ctx, g.rdb, g.keys, g.bookArgs(c)...).Slice()
		g.finish(r, reply, err)
	}()
}

func (g *Gate) bookArgs(c *booking) []any {
	args := append(g.common(), c.seq, c.want, int(c.tier), c.probe, c.granted, c.grantedDay)
	for lease, n := range c.returns {
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

// finish takes the answer in.
func (g *Gate) finish(r *request, reply []any, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	defer g.wakeRun()
	g.inflight = nil
	if err != nil {
		g.unanswered = r.booking
		r.err = fmt.Errorf("ratelimit: book permits: %w", err)
		g.returnBy = time.Now().Add(time.Second) // Run tries again
		return
	}
	g.unanswered = nil
	in := replyOf(reply)
	if in.bad != nil {
		r.err = fmt.Errorf("ratelimit: book permits: %w", in.bad)
		return
	}
	switch {
	case in.granted > 0:
		g.granted, g.grantedDay = r.booking.seq, in.day
		g.grant(r, in)
	case in.reason != "":
		r.err = g.refuse(r, in)
	}
}

// grant puts the block into the hand; a gate that was closed meanwhile does not
// want it any more.
func (g *Gate) grant(r *request, in bookReply) {
	g.skew.observe(in.now, time.Now())
	first := g.skew.toLocal(in.first)
	for i := range in.granted {
		p := Permit{
			At: first.Add(time.Duration(i) * in.gap), Tier: in.tier, Day: in.day,
			lease: in.lease, probe: in.probe, gen: r.permitGen,
		}
		if r.permitGen != g.permitGen || g.drained && r.booking.want > 1 {
			g.queueReturn(p, 0)
		} else {
			g.cache.put(p)
		}
	}
}

// refuse remembers the refusal, unless news came while it was on its way.
func (g *Gate) refuse(r *request, in bookReply) error {
	now := time.Now()
	closed := &ClosedError{Reason: in.reason, Detail: in.detail, zone: g.zone(), asked: now}
	a := &refusal{err: closed, until: now.Add(100 * time.Millisecond)}
	if g.subscribed {
		a.until = now.Add(5 * time.Second)
	}
	if in.wait >= 0 {
		// Not under a millisecond, or who waits would spin.
		closed.Until = now.Add(max(in.wait, time.Millisecond))
		if closed.Until.Before(a.until) {
			a.until = closed.Until
		}
	}
	if r.refusalGen != g.refusalGen {
		return closed
	}
	if in.reason != ReasonQuota {
		g.dropPermits() // learnt here before the event came, or without events
	}
	g.closed[r.booking.tier] = a
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
