package ratelimit

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
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
	Reconciled time.Time // zero: never today

	Trusted bool     // false: Take answers ReasonUnreconciled
	Limit   int64    // WeChat's own, 0: not known
	Leased  int64    // permits of the last minutes, of which WeChat may not know yet
	History []DayUse // the last days before this one, oldest first, at most 7
}

// PauseState is one pause in force, or half-open when Until has passed.
type PauseState struct {
	Pause
	Owner    string
	Since    time.Time
	Failures int // probes that failed in a row
}

// DayUse is the count of one past day.
type DayUse struct {
	Day  string // 2006-01-02 where the day turns
	Used int64
}

// State reads the shared state.
func (g *Gate) State(ctx context.Context) (State, error) {
	values, err := g.scripts.state.Run(ctx, g.rdb, g.keys, g.common()...).Slice()
	if err != nil {
		return State{}, fmt.Errorf("ratelimit: state: %w", err)
	}
	in := reader{values: values}
	day := in.int(1)
	s := State{
		Day: dayText(day), Used: in.int(2), Cap: in.int(3), Reserve: in.int(4),
		ResetsAt: time.Unix((day+1)*86400-int64(g.cfg.UTCOffset/time.Second), 0).In(g.zone()),
		Trusted:  in.int(5) == 1, Limit: in.int(11), Leased: in.int(10),
		History: historyOf(in.text(9)),
	}
	s.Reconciled = g.moment(in.int(6))
	rate, err := strconv.ParseFloat(in.text(7), 64)
	if err != nil {
		return State{}, fmt.Errorf("ratelimit: state: the rate in force: %w", err)
	}
	s.Rate = rate
	s.Pauses, err = g.pausesOf(in.text(8), in.int(0))
	if err != nil {
		return State{}, fmt.Errorf("ratelimit: state: %w", err)
	}
	return s, in.bad
}

// storedPause is a pause as the scripts keep it; moments are ms since 1970.
type storedPause struct {
	Until    int64  `json:"u"`
	Probe    int    `json:"p"`
	Since    int64  `json:"s"`
	Owner    string `json:"o"`
	Failures int    `json:"f"`
	Detail   string `json:"d"`
}

func (g *Gate) pausesOf(text string, now int64) ([]PauseState, error) {
	if text == "" {
		return nil, nil
	}
	var stored map[Reason]storedPause
	if err := json.Unmarshal([]byte(text), &stored); err != nil {
		return nil, fmt.Errorf("pauses in the gate's hash: %w", err)
	}
	var out []PauseState
	for _, r := range slices.Sorted(maps.Keys(stored)) {
		p := stored[r]
		if p.Until != 0 && p.Until <= now && p.Probe == 0 {
			continue // over; the next booking clears it away
		}
		out = append(out, PauseState{
			Pause: Pause{Reason: r, Detail: p.Detail, Until: g.moment(p.Until), Probe: p.Probe == 1},
			Owner: p.Owner, Since: g.moment(p.Since), Failures: p.Failures,
		})
	}
	return out, nil
}

// moment reads ms of Redis' clock; 0 stays the zero time.
func (g *Gate) moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).In(g.zone())
}

func dayText(day int64) string { return time.Unix(day*86400, 0).UTC().Format(time.DateOnly) }

// historyOf reads "day:used day:used …"; what it cannot read it leaves out.
func historyOf(text string) []DayUse {
	var out []DayUse
	for entry := range strings.FieldsSeq(text) {
		d, n, _ := strings.Cut(entry, ":")
		day, err := strconv.ParseInt(d, 10, 64)
		if err != nil {
			continue
		}
		used, err := strconv.ParseInt(n, 10, 64)
		if err != nil {
			continue
		}
		out = append(out, DayUse{Day: dayText(day), Used: used})
	}
	return out[max(0, len(out)-7):]
}
