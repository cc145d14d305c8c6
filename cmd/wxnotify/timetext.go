package main

import (
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // the zones that TZ names, where the machine has no table of them

	"github.com/wxnotify/wxnotify/internal/usage"
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

// momentOrAgo reads the time that a flag names: RFC 3339, or how long ago. Days may be
// written as 30d; more than 1000 of them are 1000, which is more than is kept.
func momentOrAgo(flag, text string) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	ago, err := time.ParseDuration(text)
	if days, isDays := strings.CutSuffix(text, "d"); isDays {
		var n int
		n, err = strconv.Atoi(days)
		ago = time.Duration(min(n, 1000)) * 24 * time.Hour
	}
	if err != nil || ago < 0 {
		return time.Time{}, usage.Errorf("%s: %s is neither a time such as 2026-12-01T08:00:00+08:00 nor how long ago, such as 90m, 12h or 30d", flag, usage.Quote(text))
	}
	return time.Now().Add(-ago), nil
}
