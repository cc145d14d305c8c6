package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/seal"
	"github.com/wxnotify/wxnotify/wechat"
)

// Query says which records Find returns. A record must match each field that is set.
type Query struct {
	To       string // openid
	User     string // the business's own user id, as the message named it
	Template string
	States   []State // any of them; empty: all
	Errcode  wechat.Code
	Since    time.Time // enqueued at or after
	Until    time.Time // enqueued before
	// BoundTo are users who are bound to the openid To. Messages that name one of them
	// were not addressed to To when they were enqueued, so that the index does not know.
	BoundTo []string
	Limit   int    // of a page. Default 50, at most 1000.
	Cursor  string // Page.Next of the page before; empty: the newest
}

// Page is one answer of Find.
type Page struct {
	Records []*Record
	// Next is the cursor of the next page; empty: this was the last. A page may have
	// fewer records than the limit, or none, and still a Next.
	Next string
}

// ErrCursor says that Query.Cursor is none that Find gave out.
var ErrCursor = errors.New("the cursor is not one that was given out: begin without one")

const (
	defaultFound = 50
	maxFound     = 1000
	// maxExamined bounds the records that one call reads, and examineFor the time in
	// which it does: then the page ends early.
	maxExamined = 100_000
	examineFor  = 400 * time.Millisecond
	// firstWindow is how many candidates are sorted first. Of an hour with a million, a
	// page mostly needs the newest few.
	firstWindow = 2000
	// clockSkew is how far the clock of a producer may be ahead.
	clockSkew = time.Hour
)

// Find returns records, the newest first. It reads the index, and the records that may
// match. A call reads at most 100 000 records and for 400 ms, so that it takes less than a
// second: a page then ends early and has a Next.
//
// The index finds recipients and templates, and the states and errcodes of what did not
// succeed; for other states it reads one record after the other.
func (l *Ledger) Find(ctx context.Context, q Query) (Page, error) {
	f := &finder{ledger: l, q: q, limit: min(cmp.Or(max(q.Limit, 0), defaultFound), maxFound)}
	for _, s := range q.States {
		if s.code() == "" {
			return Page{}, fmt.Errorf("ledger: find: there is no state %q", s)
		}
	}
	if q.Cursor != "" {
		if err := f.parseCursor(q.Cursor); err != nil {
			return Page{}, fmt.Errorf("ledger: find: %w", err)
		}
	}
	now := time.Now()
	f.newest = hourOf(now.Add(clockSkew))
	if !q.Since.IsZero() {
		f.oldest = hourOf(q.Since)
	}
	var err error
	if f.byOutcome() {
		err = f.findOutcomes(ctx)
	} else {
		err = f.findIndexed(ctx)
	}
	return Page{Records: f.found, Next: f.next}, err
}

// candidate is a record that may match.
type candidate struct {
	id string
	at int64 // Unix milliseconds
}

// newer orders candidates, the newest first.
func newer(a, b candidate) int {
	return cmp.Or(cmp.Compare(b.at, a.at), strings.Compare(b.id, a.id))
}

// finder is one call of Find.
type finder struct {
	ledger         *Ledger
	q              Query
	limit          int
	after          *candidate // the last one of the page before
	newest, oldest int64      // hours
	found          []*Record
	examined       int
	began          time.Time // of the first read of a record
	next           string
}

func (f *finder) parseCursor(text string) error {
	at, id, ok := strings.Cut(text, "-")
	ms, err := strconv.ParseInt(at, 36, 64)
	if !ok || err != nil || id == "" || ms < 0 {
		return ErrCursor
	}
	f.after = &candidate{id: id, at: ms}
	return nil
}

// inRange reports whether a time of creation is asked for and not on an earlier page.
func (f *finder) inRange(c candidate) bool {
	return (f.q.Since.IsZero() || c.at >= f.q.Since.UnixMilli()) &&
		(f.q.Until.IsZero() || c.at < f.q.Until.UnixMilli()) &&
		(f.after == nil || newer(*f.after, c) < 0)
}

// byOutcome reports whether the outcomes have all records that are asked for. A message
// that expires while it waits is in none.
func (f *finder) byOutcome() bool {
	if f.q.To != "" || f.q.User != "" {
		return false // few records
	}
	for _, s := range f.q.States {
		if s != Retrying && s != Rejected && s != Cancelled && s != Dead && (f.q.Errcode == 0 || !s.Ended()) {
			return false
		}
	}
	return f.q.Errcode != 0 || len(f.q.States) > 0
}

// findIndexed walks through the index, the newest hour first.
func (f *finder) findIndexed(ctx context.Context) error {
	newest := f.newest
	if !f.q.Until.IsZero() {
		newest = min(newest, hourOf(f.q.Until))
	}
	if f.after != nil {
		newest = min(newest, hourOf(time.UnixMilli(f.after.at)))
	}
	want := f.recipients()
	template := byte(digest('t', f.q.Template))
	return f.ledger.eachSegment(ctx, indexSegments, newest, f.oldest, func(hour int64, text string) (bool, error) {
		return f.examineHour(ctx, func(take func(c candidate)) {
			eachIndexed(text, hour, func(e indexed) {
				c := candidate{e.id, e.at}
				if (want == nil || want[e.recipient]) && (f.q.Template == "" || e.template == template) && f.inRange(c) {
					take(c)
				}
			})
		})
	})
}

// examineHour examines the candidates of a segment, which each passes to take, in windows
// of whole seconds: the newest firstWindow, then four times as many, and so on. To go
// through the segment again is cheaper than to sort all of it.
func (f *finder) examineHour(ctx context.Context, each func(take func(c candidate))) (more bool, err error) {
	const seconds = int(segmentSpan / time.Second)
	second := func(c candidate) int { return int(c.at / 1000 % int64(seconds)) }
	var counts [seconds]int
	each(func(c candidate) { counts[second(c)]++ })
	for to, size := seconds, firstWindow; to > 0; size *= 4 {
		from, n := to, 0
		for from > 0 && n < size {
			from--
			n += counts[from]
		}
		list := make([]candidate, 0, n)
		each(func(c candidate) {
			if s := second(c); from <= s && s < to {
				list = append(list, c)
			}
		})
		if more, err := f.examine(ctx, list); err != nil || !more {
			return more, err
		}
		to = from
	}
	return true, nil
}

// recipients are the digests of those who are asked for; nil: all.
func (f *finder) recipients() map[uint16]bool {
	switch {
	case f.q.User != "":
		return map[uint16]bool{f.ledger.digestOf(seal.User, f.q.User): true}
	case f.q.To != "":
		want := map[uint16]bool{f.ledger.digestOf(seal.OpenID, f.q.To): true}
		for _, user := range f.q.BoundTo {
			want[f.ledger.digestOf(seal.User, user)] = true
		}
		return want
	default:
		return nil
	}
}

// findOutcomes walks through all outcomes that may be of records in the range.
func (f *finder) findOutcomes(ctx context.Context) error {
	seen := map[string]bool{}
	var list []candidate
	var wanted [256]bool
	for _, s := range f.q.States {
		wanted[s.code()[0]] = true
	}
	errcode := strconv.Itoa(int(f.q.Errcode))
	err := f.ledger.eachSegment(ctx, outcomeSegments, f.newest, f.oldest, func(_ int64, text string) (bool, error) {
		for line := range strings.Lines(text) {
			at, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			code, id, ok := strings.Cut(rest, " ")
			if !ok || at == "" || (f.q.Errcode == 0 && !wanted[at[0]]) || (f.q.Errcode != 0 && code != errcode) {
				continue
			}
			if c := (candidate{id, number(at[1:])}); !seen[id] && f.inRange(c) {
				seen[id] = true
				list = append(list, c)
			}
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	_, err = f.examine(ctx, list)
	return err
}

// examine reads the candidates' records, the newest first. more is false when the page
// is full.
func (f *finder) examine(ctx context.Context, list []candidate) (more bool, err error) {
	slices.SortFunc(list, newer)
	list = slices.CompactFunc(list, func(a, b candidate) bool { return a.id == b.id })
	if f.began.IsZero() {
		f.began = time.Now()
	}
	for step := min(f.limit, pipelineSize); len(list) > 0; step = pipelineSize {
		part := list[:min(step, len(list))]
		list = list[len(part):]
		ids := make([]string, len(part))
		for i, c := range part {
			ids[i] = c.id
		}
		records, err := f.ledger.Get(ctx, ids...)
		if err != nil {
			return false, err
		}
		for i, r := range records {
			f.examined++
			if r != nil && f.matches(r) {
				f.found = append(f.found, r)
			}
			tired := f.examined >= maxExamined || i == len(part)-1 && len(list) > 0 && time.Since(f.began) > examineFor
			if len(f.found) == f.limit || tired {
				f.next = strconv.FormatInt(part[i].at, 36) + "-" + part[i].id
				return false, nil
			}
		}
	}
	return true, nil
}

func (f *finder) matches(r *Record) bool {
	q := &f.q
	return (q.To == "" || r.To == q.To) && (q.User == "" || r.User == q.User) &&
		(q.Template == "" || r.Template == q.Template) && (q.Errcode == 0 || r.Errcode == q.Errcode) &&
		(len(q.States) == 0 || slices.Contains(q.States, r.State))
}

// eachSegment calls do for the segments of a kind, the newest hour first, until it
// returns false.
func (l *Ledger) eachSegment(ctx context.Context, kind string, newest, oldest int64, do func(hour int64, text string) (bool, error)) error {
	hours, err := l.segments(ctx, kind)
	if err != nil {
		return err
	}
	for _, hour := range slices.Backward(hours) {
		if hour > newest || hour < oldest {
			continue
		}
		pieces, err := l.segment(ctx, kind, hour)
		if err != nil {
			return err
		}
		if more, err := do(hour, strings.Join(pieces, "")); err != nil || !more {
			return err
		}
	}
	return nil
}

// segment reads the pieces of a segment.
func (l *Ledger) segment(ctx context.Context, kind string, hour int64) ([]string, error) {
	pieces := redis.NewStringSliceCmd(ctx, "lrange", l.segmentKey(kind, hour), 0, -1)
	err := l.do(ctx, "read the index", pieces)
	return pieces.Val(), err
}

// segments are the hours of a kind's segments, the oldest first.
func (l *Ledger) segments(ctx context.Context, kind string) ([]int64, error) {
	names := redis.NewStringSliceCmd(ctx, "zrange", l.segmentsKey(), 0, -1)
	if err := l.do(ctx, "read the index", names); err != nil {
		return nil, err
	}
	var hours []int64
	for _, name := range names.Val() {
		if hour, ok := strings.CutPrefix(name, kind); ok {
			hours = append(hours, number(hour))
		}
	}
	return hours, nil
}
