package ledger

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/wechat"
)

// The history counts, for each account, how many messages were enqueued, were accepted by
// WeChat, waited for another attempt, and ended in each state, by the minute, the hour and
// the day of China. It is written by the scripts that decide these steps, so that a script
// that comes twice counts once. It names no message and no person.
//
// It has a hash for the minutes of each hour, for the hours of each day, and for each day.
// Their fields are two digits of the minute or the hour, which a day has not, and the letter
// of a state. A day has also the letter and a cause, see Cause.

// Span is the time that one bucket of the history covers.
type Span string

// The spans.
const (
	Minute Span = "minute" // kept for two days
	Hour   Span = "hour"   // kept for 90 days
	Day    Span = "day"    // kept for two years
)

// Spans lists every span, the shortest first.
func Spans() []Span { return []Span{Minute, Hour, Day} }

// Length of the span.
func (s Span) Length() time.Duration {
	switch s {
	case Minute:
		return time.Minute
	case Hour:
		return time.Hour
	case Day:
	}
	return 24 * time.Hour
}

// Kept is how far back the history goes.
func (s Span) Kept() time.Duration {
	switch s {
	case Minute:
		return 48 * time.Hour
	case Hour:
		return 90 * 24 * time.Hour
	case Day:
	}
	return 730 * 24 * time.Hour
}

// chinaOffset is China's time, which the history's hours and days follow, whatever the
// time zone of a process is.
const chinaOffset = 8 * time.Hour

// InChina returns t in the time zone of the history's days.
func InChina(t time.Time) time.Time {
	return t.In(time.FixedZone("", int(chinaOffset/time.Second)))
}

// Truncate is the start of the bucket that t lies in.
func (s Span) Truncate(t time.Time) time.Time {
	if s == Day {
		return t.Add(chinaOffset).Truncate(s.Length()).Add(-chinaOffset)
	}
	return t.Truncate(s.Length())
}

// Bucket is what happened in one span.
type Bucket struct {
	At time.Time // its start
	// Counts are of enqueued messages (Queued), of acceptances, of attempts after which
	// another one is due (Retrying), and of messages that reached each end. A message
	// that is revived or sent again reaches several.
	Counts map[State]int64
	// Causes say why messages did not arrive, the most frequent first. Days alone have them.
	Causes []Cause
}

// otherCause is the reason of causes beyond those that a day counts one by one.
const otherCause = "other"

// Counted are the states that the history counts, in the order of a message's life.
func Counted() []State {
	return []State{Queued, Retrying, Accepted, Delivered, Rejected, Expired, Cancelled, Unknown, Dead}
}

// Cause is why messages ended without arriving.
type Cause struct {
	State   State
	Errcode wechat.Code // 0: Reason tells
	// Reason is a Reason constant, the words of a receipt, or "other": a day counts about
	// 200 causes.
	Reason string
	Count  int64
}

// Blocked reports whether the follower is the cause: they refuse the account's messages or
// this template, have left, or are suppressed. An openid that WeChat does not know is the
// sender's mistake.
func (c *Cause) Blocked() bool {
	const invalidOpenID, userNotFound = 40003, 46004
	if c.Errcode == invalidOpenID || c.Errcode == userNotFound {
		return false
	}
	kind := c.Errcode.Kind()
	return c.Reason == userBlock || c.Reason == ReasonSuppressed ||
		c.Errcode != 0 && (kind == wechat.KindRecipient || kind == wechat.KindRefused)
}

// historyKeys are the history's of one hour since 1970.
func (l *Ledger) historyKeys(hour int64) []string {
	day := (hour + int64(chinaOffset/time.Hour)) / 24
	return []string{l.historyKey(Minute, hour), l.historyKey(Hour, day), l.historyKey(Day, day)}
}

// historyKey is the hash of a span. n numbers hours for minutes, else days of China.
func (l *Ledger) historyKey(s Span, n int64) string {
	return l.prefix + "h:" + string(s[:1]) + ":" + strconv.FormatInt(n, 10)
}

// History returns the buckets from the one of since to the one of until, the oldest first,
// with empty ones between them. What is older than [Span.Kept] is not returned.
func (l *Ledger) History(ctx context.Context, span Span, since, until time.Time) ([]Bucket, error) {
	if !slices.Contains(Spans(), span) {
		return nil, fmt.Errorf("ledger: there is no history by %q: minute, hour or day", span)
	}
	if oldest := time.Now().Add(-span.Kept()); since.Before(oldest) {
		since = oldest
	}
	out, at := []Bucket{}, map[string]*redis.MapStringStringCmd{}
	var cmds []redis.Cmder
	keyOf := func(t time.Time) string {
		keys := l.historyKeys(hourOf(t))
		return keys[slices.Index(Spans(), span)]
	}
	for t := span.Truncate(since); !t.After(until); t = t.Add(span.Length()) {
		out = append(out, Bucket{At: t, Counts: map[State]int64{}})
		if key := keyOf(t); at[key] == nil {
			at[key] = redis.NewMapStringStringCmd(ctx, "hgetall", key)
			cmds = append(cmds, at[key])
		}
	}
	for part := range slices.Chunk(cmds, pipelineSize) {
		if err := l.do(ctx, "read the history", part...); err != nil {
			return nil, err
		}
	}
	for i := range out {
		b := &out[i]
		fields := at[keyOf(b.At)].Val()
		for _, s := range States() {
			if n := number(fields[span.prefix(b.At)+s.code()]); n != 0 {
				b.Counts[s] = n
			}
		}
		if span == Day {
			b.Causes = causesOf(fields)
		}
	}
	return out, nil
}

// prefix of a bucket's fields.
func (s Span) prefix(at time.Time) string {
	switch s {
	case Minute:
		return at.UTC().Format("04")
	case Hour:
		return InChina(at).Format("15")
	case Day:
	}
	return ""
}

func causesOf(fields map[string]string) []Cause {
	var list []Cause
	for field, n := range fields {
		if len(field) < 2 {
			continue
		}
		c := Cause{State: stateOf(field[:1]), Reason: field[1:], Count: number(n)}
		if code, err := strconv.Atoi(c.Reason); err == nil {
			c.Errcode, c.Reason = wechat.Code(code), ""
		}
		list = append(list, c)
	}
	slices.SortFunc(list, byCount)
	return list
}

func byCount(a, b Cause) int {
	return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Errcode, b.Errcode), cmp.Compare(a.State, b.State), cmp.Compare(a.Reason, b.Reason))
}

// Total adds buckets up. Its At is the first one's.
func Total(buckets []Bucket) Bucket {
	sum := Bucket{Counts: map[State]int64{}}
	causes := map[Cause]int64{}
	for i, b := range buckets {
		if i == 0 {
			sum.At = b.At
		}
		for s, n := range b.Counts {
			sum.Counts[s] += n
		}
		for _, c := range b.Causes {
			n := c.Count
			c.Count = 0
			causes[c] += n
		}
	}
	for c, n := range causes {
		c.Count = n
		sum.Causes = append(sum.Causes, c)
	}
	slices.SortFunc(sum.Causes, byCount)
	return sum
}
