package ledger

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// unnamesKey counts erasures: a compaction that began before one must not write back
// what the erasure removed.
func (l *Ledger) unnamesKey() string { return l.prefix + "ix:n" }

// CompactIndex removes entries of the index whose record has ended and expired, in
// segments that are so old that most have, and returns how many segments it rewrote.
// Without it the index of a record stays for 30 days. Two processes may do so at once.
func (l *Ledger) CompactIndex(ctx context.Context) (rewritten int, err error) {
	// Most records have expired then: accepted, ended a day later, and kept for Keep.
	oldest := hourOf(time.Now().Add(-l.cfg.Keep - ReceiptWait - segmentSpan))
	for _, kind := range []string{indexSegments, outcomeSegments} {
		hours, err := l.segments(ctx, kind)
		if err != nil {
			return rewritten, err
		}
		for _, hour := range hours {
			if hour >= oldest {
				break
			}
			done, err := l.compact(ctx, kind, hour)
			if err != nil {
				return rewritten, err
			}
			if done {
				rewritten++
			}
		}
	}
	return rewritten, nil
}

func (l *Ledger) compact(ctx context.Context, kind string, hour int64) (bool, error) {
	erasures := redis.NewStringCmd(ctx, "get", l.unnamesKey())
	segment := redis.NewStringCmd(ctx, "get", l.segmentKey(kind, hour))
	if err := l.do(ctx, "compact the index", erasures, segment); err != nil {
		return false, err
	}
	text := segment.Val()
	ids, pieces := entriesOf(kind, text)
	var left strings.Builder
	for from := 0; from < len(ids); from += pipelineSize {
		part := ids[from:min(from+pipelineSize, len(ids))]
		exist := make([]redis.Cmder, len(part))
		for i, id := range part {
			exist[i] = redis.NewIntCmd(ctx, "exists", l.recordKey(id))
		}
		if err := l.do(ctx, "compact the index", exist...); err != nil {
			return false, err
		}
		for i := range part {
			if n, _ := exist[i].(*redis.IntCmd); n.Val() > 0 {
				left.WriteString(pieces[from+i])
			}
		}
	}
	if text != "" && left.Len() == len(text) {
		return false, nil
	}
	count := erasures.Val()
	if count == "" {
		count = "0"
	}
	reply, err := l.run(ctx, "compact", []string{l.segmentKey(kind, hour), l.segmentsKey(), l.unnamesKey()},
		len(text), count, left.String(), kind+strconv.FormatInt(hour, 10))
	return reply == int64(1), err
}

// entriesOf cuts a segment into entries and returns their IDs and the entries.
func entriesOf(kind, text string) (ids, pieces []string) {
	if kind == outcomeSegments {
		for line := range strings.Lines(text) {
			ids = append(ids, strings.TrimSuffix(line[strings.LastIndexByte(line, ' ')+1:], "\n"))
			pieces = append(pieces, line)
		}
		return ids, pieces
	}
	eachIndexed(text, 0, func(e indexed) bool {
		ids = append(ids, e.id)
		pieces = append(pieces, text[e.offset:e.offset+indexHead+len(e.id)])
		return true
	})
	return ids, pieces
}

// unindex removes what the index has of people whose records were erased.
func (l *Ledger) unindex(ctx context.Context, p people) error {
	want := map[uint16]bool{}
	for openid := range p.openids {
		want[digest('o', openid)] = true
	}
	for user := range p.users {
		want[digest('u', user)] = true
	}
	if err := l.do(ctx, "erase", redis.NewIntCmd(ctx, "incr", l.unnamesKey()),
		redis.NewBoolCmd(ctx, "pexpire", l.unnamesKey(), millis(time.Hour))); err != nil {
		return err
	}
	hours, err := l.segments(ctx, indexSegments)
	for _, hour := range slices.Backward(hours) {
		if err == nil {
			err = l.unindexHour(ctx, hour, want)
		}
	}
	return err
}

// unindexHour removes the digests of one segment that are wanted, but for those of
// records that name another person.
func (l *Ledger) unindexHour(ctx context.Context, hour int64, want map[uint16]bool) error {
	key := l.segmentKey(indexSegments, hour)
	for {
		segment := redis.NewStringCmd(ctx, "get", key)
		if err := l.do(ctx, "erase", segment); err != nil {
			return err
		}
		args, err := l.digestsOf(ctx, segment.Val(), hour, want)
		if err != nil {
			return err
		}
		if len(args) == 0 {
			return nil
		}
		changed := 0
		for part := range slices.Chunk(args, pipelineSize) {
			reply, err := l.run(ctx, "unname", []string{key}, part...)
			if err != nil {
				return err
			}
			n, _ := reply.(int64)
			changed += int(n)
		}
		if 2*changed == len(args) {
			return nil
		}
		// A compaction moved the rest: read it again.
	}
}

// digestsOf are the arguments of unname: place and text of each digest in a segment
// that is wanted and whose record names nobody any more.
func (l *Ledger) digestsOf(ctx context.Context, segment string, hour int64, want map[uint16]bool) (args []any, err error) {
	var keys []string
	var found []indexed
	eachIndexed(segment, hour, func(e indexed) bool {
		if want[e.recipient] {
			keys, found = append(keys, l.recordKey(e.id)), append(found, e)
		}
		return true
	})
	for from := 0; from < len(keys); from += pipelineSize {
		to := min(from+pipelineSize, len(keys))
		records, err := l.names(ctx, keys[from:to])
		if err != nil {
			return nil, err
		}
		for i, r := range records {
			if e := found[from+i]; r.to == "" && r.user == "" {
				args = append(args, e.offset, segment[e.offset:e.offset+indexHead+len(e.id)])
			}
		}
	}
	return args, nil
}
