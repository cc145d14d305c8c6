package ratelimit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Reason says why a gate is closed.
type Reason string

// The reasons. Quota and Unreconciled are the gate's own; ReasonManual is an
// admin's and is never lifted by the program.
const (
	ReasonQuota        Reason = "quota"         // our count reached the cap
	ReasonRefused      Reason = "quota-refused" // WeChat answered 45009
	ReasonMinute       Reason = "minute-rate"   // WeChat answered 45011
	ReasonUnreconciled Reason = "unreconciled"  // the count is missing: ask WeChat first
	ReasonAccount      Reason = "account"       // frozen, unauthorized, punished
	ReasonToken        Reason = "token"         // no token: secret, whitelist
	ReasonAddress      Reason = "address"       // WeChat refuses the addresses of all workers
	ReasonBreaker      Reason = "breaker"       // WeChat is down
	ReasonManual       Reason = "manual"        // an admin's hold
)

func (r Reason) text() string {
	switch r {
	case ReasonQuota:
		return "daily quota used"
	case ReasonRefused:
		return "WeChat refused, its daily quota is used"
	case ReasonMinute:
		return "WeChat's quota of this minute is used"
	case ReasonUnreconciled:
		return "today's count is missing"
	case ReasonAccount:
		return "the account may not send"
	case ReasonToken:
		return "there is no access token"
	case ReasonAddress:
		return "WeChat refuses the address of every worker"
	case ReasonBreaker:
		return "WeChat does not answer"
	case ReasonManual:
		return "held by an admin"
	default:
		return string(r)
	}
}

// ClosedError is returned by Take while nothing may be sent.
type ClosedError struct {
	Reason Reason
	Detail string
	Until  time.Time // zero: until Open or Reconcile
}

// Error is a sentence for operators, such as
// "closed: daily quota used (100000 of 100000), opens 2026-11-23 00:00:00 +08:00".
func (e *ClosedError) Error() string {
	text := "closed: " + e.Reason.text()
	if e.Detail != "" {
		text += " (" + e.Detail + ")"
	}
	if e.Reason == ReasonUnreconciled {
		return text + ", opens when WeChat has been asked for the quota"
	}
	if e.Until.IsZero() {
		return text + ", until it is opened"
	}
	return text + ", opens " + e.Until.Round(time.Second).Format("2006-01-02 15:04:05 -07:00")
}

// Pause closes the gate in all processes.
type Pause struct {
	Reason Reason
	Detail string // for people: errcode and remedy; no secret, no openid. Cut at 256 bytes.
	// Until is when the pause ends. Zero means until Open, but for ReasonMinute
	// until the next minute and for ReasonRefused until the end of the day, by
	// Redis' clock. ReasonRefused never lasts longer than its day.
	Until time.Time
	// Probe lets one permit through when Until has passed. The gate opens when
	// Succeed is called, and closes for longer with the next Close: each failed
	// probe doubles the time that Close asks for, up to 10 minutes (more when
	// Until itself is later). A probe that is not reported is followed by another
	// after 30 s. An admin's pause never probes.
	Probe bool
	// Permit is that of the call that WeChat refused. Zero: the pause does not
	// come from a call.
	Permit Permit
}

// Close stops all processes. The longest pause of each reason wins; pauses of
// several reasons are independent. For ReasonRefused pass Probe and an hour from
// now (a probe an hour), or a zero Until (nothing more today). ReasonMinute also
// halves the rate, once for each closure. The permits in this process are revoked
// even when Redis fails; the pause is then not stored: try again.
//
// The error is ErrStale when p.Permit was booked before the last closure for this
// reason, or for ReasonRefused on another day: of many calls that fail together
// only the first one closes the gate, and one that fails late does not close it
// again.
func (g *Gate) Close(ctx context.Context, p Pause) error {
	switch p.Reason {
	case "":
		return errors.New("ratelimit: close: Pause.Reason is empty: name the reason")
	case ReasonQuota, ReasonUnreconciled:
		return fmt.Errorf("ratelimit: close: reason %q is the gate's own: use %q or Reconcile", p.Reason, ReasonRefused)
	case ReasonRefused, ReasonMinute, ReasonAccount, ReasonToken, ReasonAddress, ReasonBreaker, ReasonManual:
	}
	wait := int64(-1)
	if !p.Until.IsZero() {
		wait = max(0, time.Until(p.Until).Milliseconds()) // a length, since Redis' clock counts
	}
	probe := 0
	if p.Probe {
		probe = 1
	}
	in, err := g.runScript(ctx, "close", "reason", string(p.Reason), "detail", cut(p.Detail), "owner", cut(g.cfg.Owner),
		"wait", wait, "probe", probe, "booked", p.Permit.booked, "day", p.Permit.Day, "call", rand.Text())
	if err == nil && in.int("stale") == 1 {
		return fmt.Errorf("ratelimit: close: the refused call is %w", ErrStale)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.probing.Store(0)
	g.dropPermits()
	g.notify()
	return err
}

// Open lifts the pause of one reason; without one it does nothing. Only an
// admin's own act may pass ReasonManual. The rate ramps up, except after
// ReasonManual.
func (g *Gate) Open(ctx context.Context, r Reason) error {
	return g.open(ctx, r, 0)
}

func (g *Gate) open(ctx context.Context, r Reason, probe int64) error {
	if _, err := g.runScript(ctx, "open", "reason", string(r), "probe", probe, "call", rand.Text()); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.notify()
	return nil
}

// Succeed reports that WeChat accepted a message, or gave any answer which proves
// that the cause of the pause is gone: a half-open gate opens and ramps up. It
// calls Redis only in the process that holds the probe. When that fails, the next
// Succeed tries again.
func (g *Gate) Succeed(ctx context.Context) {
	probe := g.probing.Load()
	if probe == 0 || !g.probing.CompareAndSwap(probe, 0) {
		return
	}
	if g.open(ctx, "", probe) != nil {
		g.probing.CompareAndSwap(0, probe)
	}
}

// cut makes text valid and short enough for the pause's JSON.
func cut(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= 256 {
		return s
	}
	return strings.ToValidUTF8(s[:253], "") + "…"
}

// Closures lists all that stops messages from being sent now: the pauses in
// force, and what follows from the count. A gate whose general share is used up
// is closed by ReasonQuota, though the reserve may still be open to Reserved; one
// whose count is missing is closed by ReasonUnreconciled.
func (s State) Closures() []PauseState {
	out := append([]PauseState(nil), s.Pauses...)
	if !s.Trusted {
		return append(out, PauseState{Pause: Pause{
			Reason: ReasonUnreconciled, Detail: "the day's count is missing; a worker asks WeChat for it before anything is sent",
		}})
	}
	if s.Cap > 0 && s.Used >= s.Cap-s.Reserve {
		detail := fmt.Sprintf("%d of %d used", s.Used, s.Cap)
		if s.Used < s.Cap {
			detail += fmt.Sprintf("; class critical goes on with %d of its reserve of %d", s.Cap-s.Used, s.Reserve)
		}
		out = append(out, PauseState{Pause: Pause{Reason: ReasonQuota, Detail: detail, Until: s.ResetsAt}})
	}
	return out
}
