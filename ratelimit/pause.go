package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Pause closes the gate in all processes.
type Pause struct {
	Reason Reason
	Detail string // for people: errcode and remedy; no secret, no openid. Cut at 256 bytes.
	// Until zero means until Open, but for ReasonRefused the end of the day and
	// for ReasonMinute the next minute, both by Redis' clock.
	Until time.Time
	// Probe lets one permit through when Until has passed; the gate opens when
	// Succeed is called, and closes for longer with the next Close: each failed
	// probe doubles the time that Close asks for, up to 10 minutes (more when
	// Until itself is later). A probe that nobody reports on is followed by
	// another after 30 s. An admin's pause never probes.
	Probe bool
}

// Close stops all processes. The longest pause of each reason wins; pauses of
// several reasons stand beside each other. For ReasonRefused pass a zero Until
// with Probe (nothing more today), or an hour from now (a probe an hour).
// ReasonMinute also halves the rate, once for each closure. This process's block
// is dropped even when Redis fails; the pause then stands nowhere, so try again.
func (g *Gate) Close(ctx context.Context, p Pause) error {
	switch p.Reason {
	case "":
		return errors.New("ratelimit: close: Pause.Reason is empty: name the reason")
	case ReasonQuota, ReasonUnreconciled:
		return fmt.Errorf("ratelimit: close: reason %q is the gate's own: use %q or Reconcile", p.Reason, ReasonRefused)
	case ReasonRefused, ReasonMinute, ReasonAccount, ReasonToken, ReasonBreaker, ReasonManual:
	}
	wait := int64(-1)
	if !p.Until.IsZero() {
		// Redis' clock counts: send the length, not the hour.
		wait = max(0, time.Until(p.Until).Milliseconds())
	}
	probe := 0
	if p.Probe {
		probe = 1
	}
	_, err := g.tell(ctx, g.scripts.close, "close", string(p.Reason), cut(p.Detail), wait, probe, cut(g.cfg.Owner))
	g.mu.Lock()
	defer g.mu.Unlock()
	g.probing.Store(0)
	g.void()
	g.announce()
	return err
}

// Open lifts the pause of one reason; without one it does nothing. Only an
// admin's own act may pass ReasonManual. The rate ramps up, except after
// ReasonManual.
func (g *Gate) Open(ctx context.Context, r Reason) error {
	return g.news(g.tell(ctx, g.scripts.open, "open", string(r)))
}

// Succeed says that WeChat accepted a message, or gave any answer which proves
// that the cause of the pause is gone: a probing gate opens and ramps up. It
// costs no Redis trip while the gate is plainly open, and only the process that
// holds the probe makes one. What fails is tried again with the next Succeed.
func (g *Gate) Succeed(ctx context.Context) {
	probe := g.probing.Load()
	if probe == 0 || !g.probing.CompareAndSwap(probe, 0) {
		return
	}
	if err := g.news(g.tell(ctx, g.scripts.succeed, "succeed", probe)); err != nil {
		g.probing.CompareAndSwap(0, probe)
	}
}

// cut makes text fit for the pause's JSON.
func cut(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= 256 {
		return s
	}
	return strings.ToValidUTF8(s[:253], "") + "…"
}
