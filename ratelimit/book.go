package ratelimit

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// booking is one call of book.lua. A booking whose reply was lost is repeated as
// it was: the script knows its number, and books and takes back only once.
type booking struct {
	seq           uint64
	want          int
	tier          Tier
	returns       map[string]int
	returnedProbe int64

	version int64  // the last one of the count that this process knows
	granted uint64 // the last booking that was granted permits of that version; 0: none
}

// request is a booking in flight; concurrent Takes wait for the same one.
type request struct {
	*booking
	permitGen, refusalGen uint64
	done                  chan struct{}
	err                   error // read after done
}

// start sends a booking that outlives its caller: what it books belongs to the
// process, not to the caller that asked first. g.mu is held and no request is in
// flight.
func (g *Gate) start(ctx context.Context, want int, tier Tier) {
	b := g.unanswered
	if b == nil {
		g.seq++
		b = &booking{
			seq: g.seq, want: want, tier: tier, returns: g.returns, returnedProbe: g.returnedProbe,
			version: g.version, granted: g.granted,
		}
		g.returns, g.returnedProbe, g.returnBy, g.verify = map[string]int{}, 0, time.Time{}, false
	}
	r := &request{booking: b, permitGen: g.permitGen, refusalGen: g.refusalGen, done: make(chan struct{})}
	g.inflight = r
	go func() {
		defer close(r.done)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
		defer cancel()
		in, err := g.runScript(ctx, "book",
			"seq", b.seq, "want", b.want, "tier", int(b.tier), "returns", returnsText(b.returns), "probe", b.returnedProbe,
			"version", b.version, "granted", b.granted)
		g.finish(r, in, err)
	}()
}

func returnsText(returns map[string]int) string {
	var text strings.Builder
	for lease, n := range returns {
		_, _ = fmt.Fprintf(&text, "%s=%d ", lease, n)
	}
	return text.String()
}

// finish applies the reply.
func (g *Gate) finish(r *request, in *reply, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	defer g.wakeRun()
	g.inflight = nil
	if err != nil {
		g.unanswered = r.booking
		r.err = err
		g.returnBy = time.Now().Add(time.Second) // Run tries again
		return
	}
	g.unanswered = nil
	if _, closed := in.fields["closed"]; closed {
		r.err = g.refuse(r, in)
	} else if n := in.int("granted"); n > 0 {
		g.grant(r, in, int(n))
	}
	if in.err != nil {
		r.err = in.err
	}
}

// grant puts n permits into the cache, or returns them when the gate was closed
// after the booking was sent.
func (g *Gate) grant(r *request, in *reply, n int) {
	p := Permit{
		Tier: Tier(in.int("tier")), Day: in.int("day"),
		lease: in.text("lease"), probe: in.int("probe"), booked: in.int("now"), gen: r.permitGen,
	}
	first, gap, version := time.UnixMicro(in.int("first")), time.Duration(in.int("gap")), in.int("version")
	if in.err != nil {
		return
	}
	g.skew.observe(time.UnixMicro(p.booked), time.Now())
	first, p.dayEnds = g.skew.toLocal(first), g.skew.toLocal(g.dayEnd(p.Day)).Add(-dayMargin)
	if version >= g.version {
		g.version, g.granted = version, r.seq
	}
	for i := range n {
		p.At = first.Add(time.Duration(i) * gap)
		if r.permitGen != g.permitGen || g.drained && r.want > 1 {
			g.queueReturn(p, 0)
		} else {
			g.cache.put(p)
		}
	}
}

// refuse remembers the refusal, unless the gate changed after the booking was
// sent.
func (g *Gate) refuse(r *request, in *reply) error {
	now := time.Now()
	closed := &ClosedError{Reason: Reason(in.text("closed")), Detail: in.text("detail")}
	a := &refusal{err: closed, until: now.Add(100 * time.Millisecond)}
	if g.subscribed {
		a.until = now.Add(5 * time.Second)
	}
	if wait := time.Duration(in.int("wait")) * time.Millisecond; wait >= 0 {
		// At least a millisecond, or callers that wait for it would spin.
		closed.Until = now.Add(max(wait, time.Millisecond)).In(g.zone())
		if closed.Until.Before(a.until) {
			a.until = closed.Until
		}
	}
	if r.refusalGen != g.refusalGen {
		return closed
	}
	if closed.Reason != ReasonQuota {
		g.dropPermits() // the event has not arrived yet, or Run is not running
	}
	g.closed[r.tier] = a
	return closed
}
