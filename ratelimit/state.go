package ratelimit

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// State is what operators see.
type State struct {
	Day        string // 2006-01-02 where the day turns
	Used, Cap  int64  // booked today; Cap 0: no cap is known
	Reserve    int64
	ResetsAt   time.Time
	Rate       float64 // in force now, after slowing and ramping; 0: no limit
	Pauses     []PauseState
	Reconciled time.Time // when WeChat was asked last; zero: never today

	Trusted bool  // false: Take answers ReasonUnreconciled
	Limit   int64 // WeChat's own, 0: not known
	Leased  int64 // permits of today whose send may not have ended
}

// PauseState is one pause in force. Until of one that probes is when the next probe may
// go; it is half-open when that has passed.
type PauseState struct {
	Pause
	Owner    string
	Since    time.Time
	Failures int // probes that failed in a row
}

// State reads the shared state.
func (g *Gate) State(ctx context.Context) (State, error) {
	in, err := g.runScript(ctx, "state")
	if err != nil {
		return State{}, err
	}
	ends := g.dayEnd(in.int("day")).In(g.zone())
	s := State{
		Day: ends.Add(-time.Second).Format(time.DateOnly), ResetsAt: ends,
		Used: in.int("used"), Cap: in.int("cap"), Reserve: in.int("reserve"), Rate: in.float("rate"),
		Trusted: in.int("trusted") == 1, Limit: in.int("limit"), Leased: in.int("leased"),
		Reconciled: g.moment(in.int("reconciled")),
	}
	s.Pauses, err = g.pausesOf(in.text("pauses"), in.int("now"))
	if err == nil {
		err = in.err
	}
	if err != nil {
		return State{}, err
	}
	return s, nil
}

// storedPause is a pause as the scripts keep it; times are ms since 1970.
type storedPause struct {
	Ends     int64  `json:"ends"`
	Probe    int    `json:"probe"`
	Lease    int64  `json:"lease"` // end of the lease of the probe in flight
	Since    int64  `json:"since"`
	Owner    string `json:"owner"`
	Failures int    `json:"failures"`
	Detail   string `json:"detail"`
}

func (g *Gate) pausesOf(text string, now int64) ([]PauseState, error) {
	var stored map[Reason]storedPause
	if err := json.Unmarshal([]byte(text), &stored); err != nil {
		return nil, fmt.Errorf("ratelimit: state: pauses in the gate's hash: %w", err)
	}
	var out []PauseState
	for _, r := range slices.Sorted(maps.Keys(stored)) {
		p := stored[r]
		if p.Ends != 0 && p.Ends <= now && p.Probe == 0 {
			continue // over; the next booking deletes it
		}
		until := p.Ends
		if until != 0 {
			until = max(until, p.Lease)
		}
		out = append(out, PauseState{
			Pause: Pause{Reason: r, Detail: p.Detail, Until: g.moment(until), Probe: p.Probe == 1},
			Owner: p.Owner, Since: g.moment(p.Since), Failures: p.Failures,
		})
	}
	return out, nil
}

// moment converts ms of Redis' clock; 0 stays the zero time.
func (g *Gate) moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).In(g.zone())
}
