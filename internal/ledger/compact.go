package ledger

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/seal"
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
	if err := l.do(ctx, "compact the index", erasures); err != nil {
		return false, err
	}
	pieces, err := l.segment(ctx, kind, hour)
	if err != nil {
		return false, err
	}
	ids, entries := entriesOf(kind, strings.Join(pieces, ""))
	count := erasures.Val()
	if count == "" {
		count = "0"
	}
	args := []any{len(pieces), count, kind + strconv.FormatInt(hour, 10)}
	left := 0
	for from := 0; from < len(ids); from += pipelineSize {
		part := ids[from:min(from+pipelineSize, len(ids))]
		exist := make([]redis.Cmder, len(part))
		for i, id := range part {
			exist[i] = redis.NewIntCmd(ctx, "exists", l.recordKey(id))
		}
		if err := l.do(ctx, "compact the index", exist...); err != nil {
			return false, err
		}
		var piece strings.Builder
		for i := range part {
			if n, _ := exist[i].(*redis.IntCmd); n.Val() > 0 {
				piece.WriteString(entries[from+i])
				left++
			}
		}
		if piece.Len() > 0 {
			args = append(args, piece.String())
		}
	}
	if len(ids) > 0 && left == len(ids) {
		return false, nil
	}
	reply, err := l.run(ctx, "compact", []string{l.segmentKey(kind, hour), l.segmentsKey(), l.unnamesKey()}, args...)
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
	eachIndexed(text, 0, func(e indexed) {
		ids = append(ids, e.id)
		pieces = append(pieces, text[e.offset:e.offset+indexHead+len(e.id)])
	})
	return ids, pieces
}

// unindex removes what the index has of people whose records were erased.
func (l *Ledger) unindex(ctx context.Context, p people) error {
	want := map[uint16]bool{}
	for openid := range p.openids {
		want[l.digestOf(seal.OpenID, openid)] = true
	}
	for user := range p.users {
		want[l.digestOf(seal.User, user)] = true
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
	for {
		pieces, err := l.segment(ctx, indexSegments, hour)
		if err != nil {
			return err
		}
		var args []any
		for i, piece := range pieces {
			left, err := l.unname(ctx, piece, want)
			if err != nil {
				return err
			}
			if left != piece {
				args = append(args, i, piece, left)
			}
		}
		if len(args) == 0 {
			return nil
		}
		// The loop reads them again, since a compaction may have moved them.
		for part := range slices.Chunk(args, 3*callSize) {
			if _, err := l.run(ctx, "unname", []string{l.segmentKey(indexSegments, hour)}, part...); err != nil {
				return err
			}
		}
	}
}

// unname is what is left of a piece without the digests that are wanted.
func (l *Ledger) unname(ctx context.Context, piece string, want map[uint16]bool) (string, error) {
	var keys []string
	var found []indexed
	eachIndexed(piece, 0, func(e indexed) {
		if want[e.recipient] {
			keys, found = append(keys, l.recordKey(e.id)), append(found, e)
		}
	})
	if len(keys) == 0 {
		return piece, nil
	}
	left := []byte(piece)
	for from := 0; from < len(keys); from += pipelineSize {
		records, err := l.names(ctx, keys[from:min(from+pipelineSize, len(keys))])
		if err != nil {
			return "", err
		}
		for i, r := range records {
			if r.to == "" && r.user == "" {
				at := found[from+i].offset + recipientPos
				left[at], left[at+1] = 0, 0
			}
		}
	}
	return string(left), nil
}
