package main

import (
	"time"
	_ "time/tzdata" // the zones that TZ names, where the machine has no table of them
)

// timeText is a time as all text output has it: RFC 3339 to the second, in the zone of
// this machine, which TZ sets. The zero time is empty. JSON has times in RFC 3339 as
// they were stored.
func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format(time.RFC3339)
}
