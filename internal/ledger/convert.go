package ledger

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/names"
	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/internal/seal"
)

// renameScript writes fields of a record that is still there. KEYS: the record. ARGV:
// fields and values.
var renameScript = redisx.NewScript(`
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('HSET', KEYS[1], unpack(ARGV))
end
return 0`)

// MovedKeys are the keys that Convert copies, as they are named in clear.
func MovedKeys(account string) []string {
	prefix := redisx.Prefix(account)
	return []string{prefix + suppressions, prefix + suppressionEnds, prefix + suppressionStarts}
}

// Convert converts the names of the account's records, indexes and suppressions.
func Convert(ctx context.Context, rdb redis.UniversalClient, account string, c *names.Conversion) error {
	l, err := New(rdb, account, nil, Config{}) // it reads and writes what lies there as it is
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }()
	member := func(member, value string) (string, string) {
		openid, template, one := strings.Cut(member, "|")
		openid = c.Name(seal.OpenID, openid)
		if one {
			openid += "|" + template
		}
		return openid, value
	}
	for _, key := range MovedKeys(account) {
		if err := c.Move(ctx, key, member); err != nil {
			return fmt.Errorf("ledger: %w", err)
		}
	}
	if err := c.Keys(ctx, l.prefix+latestPrefix, seal.OpenID, nil); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	if err := l.eachPart(ctx, func(part []named) error { return l.rename(ctx, part, c) }); err != nil {
		return err
	}
	hours, err := l.segments(ctx, indexSegments)
	for _, hour := range hours {
		if err == nil {
			err = l.reindex(ctx, hour)
		}
	}
	return err
}

// rename converts the names of these records.
func (l *Ledger) rename(ctx context.Context, part []named, c *names.Conversion) error {
	var writes []redis.Cmder
	for _, r := range part {
		to, user := c.Name(seal.OpenID, r.to), c.Name(seal.User, r.user)
		var args []any
		if to != r.to {
			args = append(args, "t", to)
		}
		if user != r.user {
			args = append(args, "u", user)
		}
		if args != nil {
			writes = append(writes, renameScript.Call(ctx, []string{r.key}, args...))
		}
	}
	if len(writes) == 0 {
		return nil
	}
	return l.do(ctx, "convert the records", writes...)
}

// reindex writes the digests of one segment anew, after its records.
func (l *Ledger) reindex(ctx context.Context, hour int64) error {
	pieces, err := l.segment(ctx, indexSegments, hour)
	if err != nil {
		return err
	}
	rest, err := l.redigest(ctx, strings.Join(pieces, ""))
	if err != nil {
		return err
	}
	var args []any
	for i, piece := range pieces {
		left := rest[:len(piece)]
		if rest = rest[len(piece):]; left != piece {
			args = append(args, i, piece, left)
		}
	}
	for part := range slices.Chunk(args, 3*callSize) {
		if _, err := l.run(ctx, "unname", []string{l.segmentKey(indexSegments, hour)}, part...); err != nil {
			return err
		}
	}
	return nil
}

// redigest is a text of entries with the digests of the names that its records have.
func (l *Ledger) redigest(ctx context.Context, text string) (string, error) {
	var keys []string
	var found []indexed
	eachIndexed(text, 0, func(e indexed) {
		keys, found = append(keys, l.recordKey(e.id)), append(found, e)
	})
	left := []byte(text)
	for from := 0; from < len(keys); from += pipelineSize {
		records, err := l.names(ctx, keys[from:min(from+pipelineSize, len(keys))])
		if err != nil {
			return "", err
		}
		for i, r := range records {
			recipient := uint16(0) // erased, or its record has expired
			switch {
			case r.user != "":
				recipient = digest('u', r.user)
			case r.to != "":
				recipient = digest('o', r.to)
			}
			at := found[from+i].offset + recipientPos
			left[at], left[at+1] = byte(recipient>>8), byte(recipient)
		}
	}
	return string(left), nil
}
