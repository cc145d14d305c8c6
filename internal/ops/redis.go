package ops

import (
	"fmt"
	"time"

	"github.com/wxnotify/wxnotify/internal/redisx"
)

// faultsOf lists what an admin must mend, with its remedy.
func faultsOf(s redisx.State, t words) []problem {
	var out []problem
	if s.WrongClock() {
		ahead := s.Ahead.Round(time.Second)
		text := fmt.Sprintf(t.ClockAhead, ahead)
		if ahead < 0 {
			text = fmt.Sprintf(t.ClockBehind, -ahead)
		}
		out = append(out, problem{Name: "clock", Subject: t.Clock, Text: text, fatal: true})
	}
	if s.NotSaved != "" {
		out = append(out, problem{Name: "persistence", Subject: "Redis", Text: t.NotSaved, Detail: s.NotSaved})
	}
	if s.NoAOF {
		out = append(out, problem{Name: "persistence", Subject: "Redis", Text: t.NoAOF, Command: "CONFIG SET appendonly yes"})
	}
	if s.Evicts() {
		out = append(out, problem{Name: "eviction", Subject: "Redis", Text: t.Evicts, Command: "CONFIG SET maxmemory-policy noeviction"})
	}
	if s.Full() {
		out = append(out, problem{Name: "memory", Subject: "Redis", Text: t.NearFull})
	}
	return out
}
