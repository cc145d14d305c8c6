package worker

import (
	"slices"
	"sync"
	"time"

	"github.com/wxnotify/wxnotify/internal/heartbeat"
	"github.com/wxnotify/wxnotify/wechat"
)

// templateBreaker holds back the messages of a template that WeChat refuses, so that
// ten thousand of them cost a handful of calls. One message at a time tests
// whether the template is back.
type templateBreaker struct {
	mu        sync.Mutex
	templates map[string]*entry
}

// entry is a refused template.
type entry struct {
	failures    int
	errcode     wechat.Code // of the last failure
	since       time.Time   // of the first failure
	lastFailure time.Time
	until       time.Time // its messages wait until then
}

// templateGone is how many refusals in a row show that a template was deleted: they
// take some three hours. WeChat also refuses valid templates for a moment.
const templateGone = 7

// testedWithin is above the time from the end of a wait to the first message after it.
const testedWithin = 10 * time.Minute

// maxTemplates bounds the memory; beyond it, refused templates are sent.
const maxTemplates = 1000

func templateHolds() []time.Duration {
	return []time.Duration{
		time.Minute,      // elapsed:  1 min
		10 * time.Minute, //          11 min
		20 * time.Minute, //          31 min
		40 * time.Minute, //          71 min
		time.Hour,        //         131 min
		time.Hour,        //         191 min, then gone
	}
}

// admit says whether a message of the template may be sent now; if not, when
// to ask again, or that the template is gone. The first message after a wait is the
// test, and the others wait for its outcome.
func (q *templateBreaker) admit(template string, now time.Time) (wait time.Duration, gone bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	w := q.templates[template]
	if w == nil {
		return 0, false
	}
	if now.Before(w.until) {
		return w.until.Sub(now), w.failures >= templateGone
	}
	w.until = now.Add(time.Minute) // the test has this long to come back
	return 0, false
}

// refused counts a refusal and reports whether it is the first in a row.
// A message that was begun before the last refusal tests nothing: many may be on their
// way to WeChat when the first one is refused.
func (q *templateBreaker) refused(template string, code wechat.Code, begun, now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	w := q.templates[template]
	first := w == nil
	if first {
		if len(q.templates) >= maxTemplates {
			return false
		}
		w = &entry{since: now.UTC()}
		if q.templates == nil {
			q.templates = make(map[string]*entry)
		}
		q.templates[template] = w
	} else if !begun.After(w.lastFailure) {
		return false
	}
	if code != wechat.CodeInvalidTemplate { // which WeChat says of valid ones, too, for a moment
		w.failures = max(w.failures, 1)
	}
	w.errcode, w.lastFailure, w.until = code, now, now.Add(step(templateHolds(), w.failures))
	w.failures++
	return first
}

// worked reports whether the template was refused before, and forgets that.
func (q *templateBreaker) worked(template string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	_, held := q.templates[template]
	delete(q.templates, template)
	return held
}

// held lists the templates whose messages wait, those refused first before the others.
// A template that was not tried when it could be has no messages any more.
func (q *templateBreaker) held(now time.Time) []heartbeat.Held {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := make([]heartbeat.Held, 0, len(q.templates))
	for name, w := range q.templates {
		if now.Sub(w.until) < testedWithin {
			out = append(out, heartbeat.Held{Template: name, Errcode: int(w.errcode), Since: w.since, Until: w.until.UTC()})
		}
	}
	slices.SortFunc(out, func(a, b heartbeat.Held) int { return a.Since.Compare(b.Since) })
	return out
}
