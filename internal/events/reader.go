package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redisx"
)

// Describe returns the JSON of messages, in the order of ids; one that is not known is
// nil. Openids are whole only when openids is set.
type Describe func(ctx context.Context, ids []string, openids bool) ([]json.RawMessage, error)

// Reader reads the events of one account. Safe for concurrent use: those who wait for
// events share one connection to Redis.
type Reader struct {
	records  *ledger.Ledger
	describe Describe

	mu      sync.Mutex
	waiting int
	news    chan struct{} // closed when an entry was written; nil: nothing waits
}

// NewReader of the account of these records. describe may be nil: events of messages then
// have no data.
func NewReader(records *ledger.Ledger, describe Describe) *Reader {
	return &Reader{records: records, describe: describe}
}

// Query says which events Read returns.
type Query struct {
	After string        // the ID of an event, or a cursor of Read; empty: from the oldest that is kept
	Types []string      // see CheckTypes; empty: all
	Limit int           // default 100, at most 1000
	Wait  time.Duration // how long to wait for an event when there is none. Default: not
	// OpenIDs has openids whole. Default: masked.
	OpenIDs bool
}

const (
	defaultLimit = 100
	maxLimit     = 1000
	// readStep is how many entries are read at once.
	readStep = 500
	// maxSkipped bounds the entries that one Read passes over because of their type.
	maxSkipped = 100_000
)

// Read returns the events after a cursor, the oldest first, and the cursor to go on
// from, which also passes over events of other types. The error wraps ErrCursor when
// the cursor is none.
func (r *Reader) Read(ctx context.Context, q Query) (events []Event, next string, err error) {
	if err := CheckTypes(q.Types); err != nil {
		return nil, q.After, fmt.Errorf("events: %w", err)
	}
	at := cursor{"0-0", -1}
	if q.After != "" {
		if at, err = parseCursor(q.After); err != nil {
			return nil, q.After, fmt.Errorf("events: %w", err)
		}
	}
	if q.Limit <= 0 {
		q.Limit = defaultLimit
	}
	q.Limit = min(q.Limit, maxLimit)
	deadline := time.Now().Add(q.Wait)
	for {
		news := r.listen(ctx, q.Wait > 0)
		events, at, err = r.read(ctx, q, at)
		wait := time.Until(deadline)
		if err == nil && len(events) == 0 && wait > 0 {
			err = await(ctx, news, wait)
		} else {
			wait = 0
		}
		r.leave(news)
		if err != nil || wait <= 0 {
			break
		}
	}
	if err != nil {
		return nil, q.After, err
	}
	return events, at.text(), r.fill(ctx, events, q.OpenIDs)
}

// Latest is the cursor of the latest event.
func (r *Reader) Latest(ctx context.Context) (string, error) {
	list, err := r.records.Redis().XRevRangeN(ctx, r.records.EventsKey(), "+", "-", 1).Result()
	if err != nil {
		return "", fmt.Errorf("events: %w", err)
	}
	if len(list) == 0 {
		return "0-0", nil
	}
	return list[0].ID, nil
}

// At is a cursor before the events from a time on.
func At(t time.Time) string { return fmt.Sprintf("%d-0", max(t.UnixMilli()-1, 0)) }

func (c cursor) text() string {
	if c.n < 0 {
		return c.entry
	}
	return fmt.Sprintf("%s.%d", c.entry, c.n)
}

// read returns the next events without waiting, and the cursor after what it looked at.
func (r *Reader) read(ctx context.Context, q Query, at cursor) ([]Event, cursor, error) {
	var out []Event
	for range maxSkipped / readStep {
		start := "(" + at.entry
		if at.n >= 0 {
			start = at.entry // more of its events may come
		}
		list, err := r.records.Redis().XRangeN(ctx, r.records.EventsKey(), start, "+", readStep).Result()
		if err != nil {
			return nil, at, fmt.Errorf("events: read: %w", err)
		}
		for _, m := range list {
			for n, e := range parse(r.records, m) {
				if m.ID == at.entry && n <= at.n || !e.Type.In(q.Types) {
					continue
				}
				out = append(out, e)
				if len(out) == q.Limit {
					at, err = parseCursor(e.ID)
					return out, at, err
				}
			}
			at = cursor{m.ID, -1}
		}
		if len(list) < readStep || len(out) > 0 {
			break
		}
	}
	return out, at, nil
}

// Get reads one event by its ID; nil: it is gone.
func (r *Reader) Get(ctx context.Context, id string, openids bool) (*Event, error) {
	at, err := parseCursor(id)
	if err != nil {
		return nil, fmt.Errorf("events: %w", err)
	}
	list, err := r.records.Redis().XRangeN(ctx, r.records.EventsKey(), at.entry, at.entry, 1).Result()
	if err != nil {
		return nil, fmt.Errorf("events: read: %w", err)
	}
	for _, m := range list {
		for _, e := range parse(r.records, m) {
			if e.ID == id {
				one := []Event{e}
				err := r.fill(ctx, one, openids)
				return &one[0], err
			}
		}
	}
	return nil, nil //nolint:nilnil // documented
}

// fill reads what events tell of their messages, and masks openids.
func (r *Reader) fill(ctx context.Context, list []Event, openids bool) error {
	var ids []string
	for i := range list {
		if list[i].MessageID != "" {
			ids = append(ids, list[i].MessageID)
		} else if !openids && strings.HasPrefix(string(list[i].Type), "user.") {
			list[i].Data = masked(list[i].Data)
		}
	}
	if len(ids) == 0 || r.describe == nil {
		return nil
	}
	found, err := r.describe(ctx, ids, openids)
	if err != nil {
		return err
	}
	for i, n := 0, 0; i < len(list) && n < len(found); i++ {
		if list[i].MessageID != "" {
			list[i].Data = found[n]
			n++
		}
	}
	return nil
}

// await returns nil when there is news, or the time is over.
func await(ctx context.Context, news <-chan struct{}, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-news:
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// watchStep bounds one blocking read; a failed one is tried again after it.
const watchStep = 500 * time.Millisecond

// listen returns a channel that is closed at the next event; the first who listens
// starts to watch the stream. Without wanted it returns nil.
func (r *Reader) listen(ctx context.Context, wanted bool) <-chan struct{} {
	if !wanted {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting++
	if r.news == nil {
		r.news = make(chan struct{})
		go r.watch(context.WithoutCancel(ctx)) // it serves other calls, too
	}
	return r.news
}

func (r *Reader) leave(news <-chan struct{}) {
	if news == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting--
}

// watch reports entries to all who listen. It ends within watchStep after the last one.
func (r *Reader) watch(ctx context.Context) {
	last := ""
	for {
		entry, err := r.newest(ctx, last)
		r.mu.Lock()
		if entry != last || last == "" {
			last = entry
			close(r.news) // they read, and listen again
			r.news = make(chan struct{})
		}
		done := r.waiting == 0
		if done {
			r.news = nil
		}
		r.mu.Unlock()
		if done {
			return
		}
		if err != nil {
			_ = redisx.Sleep(ctx, watchStep)
		}
	}
}

// newest waits for an entry after last and returns its ID; without one in watchStep it
// returns last. Empty: it returns the latest at once.
func (r *Reader) newest(ctx context.Context, last string) (string, error) {
	if last == "" {
		return r.Latest(ctx)
	}
	streams, err := r.records.Redis().XRead(ctx, &redis.XReadArgs{
		Streams: []string{r.records.EventsKey(), last}, Count: 1000, Block: watchStep,
	}).Result()
	if errors.Is(err, redis.Nil) || (err == nil && len(streams) == 0) {
		return last, nil
	}
	if err != nil {
		return last, fmt.Errorf("events: wait: %w", err)
	}
	list := streams[0].Messages
	return list[len(list)-1].ID, nil
}
