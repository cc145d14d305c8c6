// Package doctor finds out what is wrong with an installation: [Checks] lists what can
// be asked of Redis, WeChat and the public address, [Run] asks all of it at once, each
// for at most 3 s, and goes on after what fails. It changes nothing. Every finding has
// a [Code], which docs/doctor.md explains.
package doctor

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// Severity is how bad a finding is.
type Severity string

// The severities.
const (
	// Fatal: messages are not sent, are lost, or cannot be enqueued.
	Fatal Severity = "fatal"
	// Warning: it works, and something is missing, unsafe or will fail later.
	Warning Severity = "warning"
)

// Code names a kind of finding. Codes are stable.
type Code string

// Finding is one thing that is wrong.
type Finding struct {
	Code     Code     `json:"code"`
	Severity Severity `json:"severity"`
	Check    string   `json:"check"`
	Account  string   `json:"account,omitempty"` // empty: of the whole installation
	What     string   `json:"what"`
	Why      string   `json:"why"` // why it hurts
	Remedy   string   `json:"remedy"`
}

// Outcome is how a check ended.
type Outcome string

// The outcomes.
const (
	Passed  Outcome = "ok"
	Warned  Outcome = "warning"
	Failed  Outcome = "fatal"
	Skipped Outcome = "skipped" // it could not be asked, Result.Detail says why
)

// Result is one check.
type Result struct {
	Check   string  `json:"check"`
	Account string  `json:"account,omitempty"`
	Outcome Outcome `json:"outcome"`
	Detail  string  `json:"detail,omitempty"` // what was found, or why it was skipped
}

// Report is the outcome of all checks, in the order of the checks.
type Report struct {
	OK       bool      `json:"ok"` // nothing is fatal
	Checks   []Result  `json:"checks"`
	Findings []Finding `json:"findings"`
}

// Check asks one thing.
type Check struct {
	Name    string
	Account string // appid; empty: of the whole installation
	// Run notes what it finds. It must return when ctx ends.
	Run func(ctx context.Context, n *Notes)
	// Within is when ctx ends. Default 3 s.
	Within time.Duration
	// Then are checks that need what this one asked for. They are not asked after
	// [Notes.Stop] and [Notes.Skip].
	Then []Check
}

// checkTime bounds a check without a time of its own; grace is how long a check may take to return after it.
const (
	checkTime = 3 * time.Second
	grace     = 500 * time.Millisecond
)

// Run runs the checks concurrently, those of Then after theirs. Texts are in lang.
func Run(ctx context.Context, checks []Check, lang wechat.Lang) Report {
	all := runAll(ctx, checks, lang)
	report := Report{OK: true, Findings: []Finding{}}
	seen := map[string]bool{}
	for _, n := range all {
		report.Checks = append(report.Checks, n.result())
		for _, f := range n.findings {
			key := string(f.Code) + "\n" + f.Account + "\n" + f.What
			if seen[key] {
				continue
			}
			seen[key] = true
			report.OK = report.OK && f.Severity != Fatal
			report.Findings = append(report.Findings, f)
		}
	}
	return report
}

// runAll returns the notes of the checks, each followed by those of its Then.
func runAll(ctx context.Context, checks []Check, lang wechat.Lang) (all []*Notes) {
	parts := make([][]*Notes, len(checks))
	var wg sync.WaitGroup
	for i, c := range checks {
		wg.Go(func() {
			n := c.run(ctx, lang)
			parts[i] = []*Notes{n}
			if n.skipped || n.stopped {
				parts[i] = append(parts[i], skipAll(c.Then, n)...)
				return
			}
			parts[i] = append(parts[i], runAll(ctx, c.Then, lang)...)
		})
	}
	wg.Wait()
	for _, part := range parts {
		all = append(all, part...)
	}
	return all
}

// skipAll notes that the checks were not asked, since what they need was not, or failed.
func skipAll(checks []Check, needed *Notes) (all []*Notes) {
	for _, c := range checks {
		n := &Notes{check: c.Name, account: c.Account, lang: needed.lang}
		if needed.skipped {
			n.detail, n.skipped = needed.detail, true
		} else {
			n.Skip("not asked, since {cause} failed", "未检查，因为 {cause} 未通过", "cause", needed.title())
		}
		all = append(append(all, n), skipAll(c.Then, n)...)
	}
	return all
}

// run bounds the check's time, also when Run ignores its context, and survives its
// panic: a report on a broken installation must come to its end.
func (c Check) run(ctx context.Context, lang wechat.Lang) *Notes {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(c.Within, checkTime))
	defer cancel()
	n := &Notes{check: c.Name, account: c.Account, lang: lang}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				n.Add("check-broken", "cause", fmt.Sprint(p))
				n.Stop()
			}
		}()
		c.Run(ctx, n)
	}()
	select {
	case <-done:
		return n
	case <-ctx.Done():
	}
	select {
	case <-done:
	case <-time.After(grace):
		n.Add("check-slow")
		n.Stop()
	}
	return n.sealed()
}

// part is a context for a share of the time that is left in ctx.
func part(ctx context.Context, share float64) (context.Context, context.CancelFunc) {
	end, bounded := ctx.Deadline()
	if !bounded {
		end = time.Now().Add(checkTime)
	}
	return context.WithTimeout(ctx, time.Duration(share*float64(time.Until(end))))
}

// Notes are what one check found. Safe for concurrent use.
type Notes struct {
	check, account string
	lang           wechat.Lang

	mu       sync.Mutex
	findings []Finding
	detail   string
	skipped  bool
	stopped  bool
}

// Add notes a finding. fields are the names and values of the braces in its texts. It
// panics for a code that is not in the catalogue.
func (n *Notes) Add(code Code, fields ...string) {
	row, ok := catalogue[code]
	if !ok {
		panic("doctor: no text for " + string(code))
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.findings = append(n.findings, Finding{
		Code: code, Severity: row.severity, Check: n.check, Account: n.account,
		What: fill(row.what.in(n.lang), fields), Why: fill(row.why.in(n.lang), fields), Remedy: fill(row.remedy.in(n.lang), fields),
	})
}

// Detail is shown beside the check's name.
func (n *Notes) Detail(en, zh string, fields ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.detail = fill(text{en, zh}.in(n.lang), fields)
}

// Skip notes why the check cannot be asked.
func (n *Notes) Skip(en, zh string, fields ...string) {
	n.Detail(en, zh, fields...)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.skipped = true
}

// Stop says that the checks of Then cannot be asked.
func (n *Notes) Stop() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stopped = true
}

// sealed is a copy that a check which still runs cannot change.
func (n *Notes) sealed() *Notes {
	n.mu.Lock()
	defer n.mu.Unlock()
	return &Notes{check: n.check, account: n.account, lang: n.lang, findings: append([]Finding(nil), n.findings...), detail: n.detail, skipped: n.skipped, stopped: n.stopped}
}

// worst is the outcome by the findings.
func (n *Notes) worst() Outcome {
	worst := Passed
	for _, f := range n.findings {
		if f.Severity == Fatal {
			return Failed
		}
		worst = Warned
	}
	return worst
}

func (n *Notes) title() string { return strings.TrimSpace(n.check + " " + n.account) }

func (n *Notes) result() Result {
	r := Result{Check: n.check, Account: n.account, Outcome: n.worst(), Detail: n.detail}
	if n.skipped && r.Outcome == Passed {
		r.Outcome = Skipped
	}
	return r
}

// fill replaces {name} by its value.
func fill(form string, fields []string) string {
	pairs := make([]string, 0, len(fields))
	for i := 0; i+1 < len(fields); i += 2 {
		pairs = append(pairs, "{"+fields[i]+"}", fields[i+1])
	}
	return strings.NewReplacer(pairs...).Replace(form)
}

// text is a text in each language.
type text struct{ en, zh string }

func (t text) in(lang wechat.Lang) string { return lang.Choose(t.en, t.zh) }
