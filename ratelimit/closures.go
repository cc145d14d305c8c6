package ratelimit

import "fmt"

// Closures lists all that keeps messages from being sent now: the pauses in
// force, and what follows from the count itself. A gate whose general share is
// used up is closed by ReasonQuota, though the reserve may still be open to
// Reserved; one whose count is missing is closed by ReasonUnreconciled.
func (s State) Closures() []PauseState {
	out := append([]PauseState(nil), s.Pauses...)
	if !s.Trusted {
		out = append(out, PauseState{Pause: Pause{
			Reason: ReasonUnreconciled, Detail: "the day's count is missing; a worker asks WeChat for it before anything is sent",
		}})
		return out
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
