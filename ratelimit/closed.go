package ratelimit

import "time"

// Reason says why a gate is closed.
type Reason string

// The reasons. Quota and Unreconciled are the gate's own; ReasonManual is an
// admin's and is never lifted by the program.
const (
	ReasonQuota        Reason = "quota"         // our count reached the cap
	ReasonRefused      Reason = "quota-refused" // WeChat answered 45009
	ReasonMinute       Reason = "minute-rate"   // WeChat answered 45011
	ReasonUnreconciled Reason = "unreconciled"  // the count is missing: ask WeChat first
	ReasonAccount      Reason = "account"       // frozen, unauthorised, punished
	ReasonToken        Reason = "token"         // no token: secret, whitelist
	ReasonBreaker      Reason = "breaker"       // WeChat is down
	ReasonManual       Reason = "manual"        // an admin's hold
)

// ClosedError is returned by Take while nothing may be sent.
type ClosedError struct {
	Reason Reason
	Detail string
	Until  time.Time // zero: until somebody opens it

	zone  *time.Location // where the day turns; nil: as Until has it
	asked time.Time      // when Take asked; zero: not known
}

// Error is a sentence for operators, such as
// "closed: daily quota used (100000 of 100000), opens 00:00 +08:00".
func (e *ClosedError) Error() string {
	text := "closed: " + e.Reason.words()
	if e.Detail != "" {
		text += " (" + e.Detail + ")"
	}
	if e.Reason == ReasonUnreconciled {
		return text + ", opens when WeChat's quota has been asked and Reconcile called"
	}
	if e.Until.IsZero() {
		return text + ", until somebody opens it"
	}
	return text + ", opens " + e.hour()
}

// hour names the date only where the hour alone would mislead.
func (e *ClosedError) hour() string {
	until := e.Until.Round(time.Second)
	if e.zone != nil {
		until = until.In(e.zone)
	}
	layout := "15:04:05 -07:00"
	if until.Second() == 0 {
		layout = "15:04 -07:00"
	}
	if !e.asked.IsZero() && e.Until.Sub(e.asked) > 24*time.Hour {
		layout = "2006-01-02 " + layout
	}
	return until.Format(layout)
}

func (r Reason) words() string {
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
	case ReasonBreaker:
		return "WeChat does not answer"
	case ReasonManual:
		return "held by an admin"
	default:
		return string(r)
	}
}
