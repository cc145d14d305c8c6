package names

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/internal/seal"
)

// step is how many elements of a key, or keys, are converted at once.
const step = 500

// Conversion changes the names of one account from one way of sealing to another. It is
// repeated without harm: what was converted before stays as it is. No other process of
// the account may run, but for those that the mark or the fences stop.
type Conversion struct {
	rdb      redis.UniversalClient
	account  string
	From, To *seal.Names
	Done     int // names that were written
}

// beginScript notes the conversion. KEYS: the mark; then the keys of fences that the
// target has. ARGV: the marks that may be there, the new mark.
// Returns the mark that is there when it is another one.
var beginScript = redisx.NewScript(`
local mark = redis.call('GET', KEYS[1]) or ''
if mark ~= ARGV[1] and mark ~= ARGV[2] then
  return mark
end
redis.call('SET', KEYS[1], ARGV[2])
for i = 2, #KEYS do
  if redis.call('TYPE', KEYS[i])['ok'] == 'string' then
    redis.call('DEL', KEYS[i])
  end
end
return ''`)

// endScript ends it. KEYS: the mark; then what lies under names of the previous way. ARGV:
// the mark that must be there, the new mark (empty: none), how many keys get a fence, the
// fence.
var endScript = redisx.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
for i = 2, #KEYS do
  redis.call('DEL', KEYS[i])
  if i <= tonumber(ARGV[3]) + 1 then
    redis.call('SET', KEYS[i], ARGV[4])
  end
end
if ARGV[2] == '' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[2])
end
return 1`)

func orClear(key string) string {
	if key == "" {
		return inClear
	}
	return key
}

// Begin starts a conversion, or goes on with the same one. From then on no process that
// compares the mark starts, and those that run see it within LookEvery.
func Begin(ctx context.Context, rdb redis.UniversalClient, account string, from, to *seal.Names) (*Conversion, error) {
	if from.KeyID() == to.KeyID() {
		return nil, errors.New("names: the conversion changes nothing")
	}
	c := &Conversion{rdb: rdb, account: account, From: from, To: to}
	keys := []string{markKey(account)}
	for _, name := range fenced() {
		keys = append(keys, to.Under(redisx.Prefix(account)+name))
	}
	mark, err := beginScript.Run(ctx, rdb, keys, from.KeyID(), c.mark()).Text()
	if err != nil {
		return nil, fmt.Errorf("names: begin the conversion: %w", err)
	}
	if mark != "" {
		return nil, fmt.Errorf("names: another conversion was begun, or is complete (%q): run the command again", mark)
	}
	return c, nil
}

func (c *Conversion) mark() string { return orClear(c.From.KeyID()) + " to " + orClear(c.To.KeyID()) }

// End makes the new way the account's, once everything was converted. keys are those that
// were copied by Move, under the names that they have in clear.
func (c *Conversion) End(ctx context.Context, moved ...string) error {
	keys := []string{markKey(c.account)}
	for _, name := range fenced() {
		keys = append(keys, c.From.Under(redisx.Prefix(c.account)+name))
	}
	for _, key := range moved {
		if key = c.From.Under(key); !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	done, err := endScript.Run(ctx, c.rdb, keys, c.mark(), c.To.KeyID(), len(fenced()), fenceText(c.To.KeyID())).Int()
	if err == nil && done == 0 {
		err = errors.New("another process has ended it")
	}
	if err != nil {
		return fmt.Errorf("names: end the conversion: %w", err)
	}
	return nil
}

// Name converts a name. One in clear is sealed as well where names were sealed: a process
// that could not know better may have written it.
func (c *Conversion) Name(kind seal.Kind, name string) string {
	if _, ok := c.To.Opens(kind, name); ok {
		return name
	}
	out := c.To.Seal(kind, c.From.Open(kind, name))
	if out != name {
		c.Done++
	}
	return out
}

// Change converts the names of an element of a key: the field or member, and the value of
// a field. The fields of an entry of a stream come one by one.
type Change func(field, value string) (newField, newValue string)

// Move copies a key of names to where it lies in the new way. The key is named as it is
// in clear.
func (c *Conversion) Move(ctx context.Context, key string, change Change) error {
	if err := c.copy(ctx, c.From.Under(key), c.To.Under(key), change); err != nil {
		return fmt.Errorf("names: key %s: %w", key, err)
	}
	return nil
}

// Keys converts keys that have a name behind a prefix, and what is in them. Change nil:
// nothing is.
func (c *Conversion) Keys(ctx context.Context, prefix string, kind seal.Kind, change Change) error {
	return EachKey(ctx, c.rdb, c.account, prefix, func(keys []string) error {
		for _, key := range keys {
			to := prefix + c.Name(kind, strings.TrimPrefix(key, prefix))
			if err := c.copy(ctx, key, to, change); err != nil {
				return fmt.Errorf("names: keys %s…: %w", prefix, err) // the rest is a name
			}
			if to == key {
				continue
			}
			if err := c.rdb.Del(ctx, key).Err(); err != nil {
				return failed(err)
			}
		}
		return nil
	})
}

// EachKey calls do for all keys of an account with a prefix, at most 500 at a time.
func EachKey(ctx context.Context, rdb redis.UniversalClient, account, prefix string, do func(keys []string) error) error {
	node, err := redisx.Node(ctx, rdb, redisx.Prefix(account))
	if err != nil {
		return fmt.Errorf("search the keys of an account: %w", err)
	}
	for cursor, more := uint64(0), true; more; more = cursor != 0 {
		var keys []string
		if keys, cursor, err = node.Scan(ctx, cursor, prefix+"*", step).Result(); err != nil {
			return fmt.Errorf("search the keys of an account: %w", err)
		}
		for part := range slices.Chunk(keys, step) {
			if err := do(part); err != nil {
				return err
			}
		}
	}
	return nil
}

// copy copies from to another key, or changes it in place.
func (c *Conversion) copy(ctx context.Context, from, to string, change Change) error {
	kind, err := c.rdb.Type(ctx, from).Result()
	if err != nil {
		return failed(err)
	}
	if change == nil {
		change = func(field, value string) (string, string) { return field, value }
	}
	switch kind {
	case "none":
		return nil
	case "string":
		err = c.copyText(ctx, from, to)
	case "hash":
		err = c.copyHash(ctx, from, to, change)
	case "zset":
		err = c.copySet(ctx, from, to, change)
	case "stream":
		err = c.copyStream(ctx, from, to, change)
	default:
		return fmt.Errorf("a %s, which wxnotify does not write, cannot be converted: remove it", kind)
	}
	if err != nil || from == to {
		return err
	}
	life, err := c.rdb.PTTL(ctx, from).Result()
	if err == nil && life > 0 {
		err = c.rdb.PExpire(ctx, to, life).Err()
	}
	return failed(err)
}

func (c *Conversion) copyText(ctx context.Context, from, to string) error {
	text, err := c.rdb.Get(ctx, from).Result()
	if from == to || errors.Is(err, redis.Nil) {
		return nil
	}
	if err == nil {
		err = c.rdb.Set(ctx, to, text, 0).Err()
	}
	return failed(err)
}

func (c *Conversion) copyHash(ctx context.Context, from, to string, change Change) error {
	for cursor, more := uint64(0), true; more; more = cursor != 0 {
		var list []string
		var err error
		if list, cursor, err = c.rdb.HScan(ctx, from, cursor, "", step).Result(); err != nil {
			return failed(err)
		}
		var set []any
		var gone []string
		for i := 0; i+1 < len(list); i += 2 {
			field, value := change(list[i], list[i+1])
			if from == to && field == list[i] && value == list[i+1] {
				continue
			}
			set = append(set, field, value)
			if from == to && field != list[i] {
				gone = append(gone, list[i])
			}
		}
		if len(set) == 0 {
			continue
		}
		_, err = c.rdb.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
			pipe.HSet(ctx, to, set...)
			if len(gone) > 0 {
				pipe.HDel(ctx, to, gone...)
			}
			return nil
		})
		if err != nil {
			return failed(err)
		}
	}
	return nil
}

// copySet reads by rank: in place it reads all members first, since their order changes.
func (c *Conversion) copySet(ctx context.Context, from, to string, change Change) error {
	var read []redis.Z
	for start := int64(0); ; start += step {
		part, err := c.rdb.ZRangeWithScores(ctx, from, start, start+step-1).Result()
		if err != nil {
			return failed(err)
		}
		read = append(read, part...)
		if len(part) < step {
			break
		}
	}
	for part := range slices.Chunk(read, step) {
		var gone []any
		var add []redis.Z
		for _, z := range part {
			member, _ := z.Member.(string)
			name, _ := change(member, "")
			if from == to && name == member {
				continue
			}
			add = append(add, redis.Z{Score: z.Score, Member: name})
			if from == to {
				gone = append(gone, member)
			}
		}
		if len(add) == 0 {
			continue
		}
		_, err := c.rdb.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
			pipe.ZAdd(ctx, to, add...)
			if len(gone) > 0 {
				pipe.ZRem(ctx, to, gone...)
			}
			return nil
		})
		if err != nil {
			return failed(err)
		}
	}
	return nil
}

// copyStream keeps the IDs of entries, so that cursors stay good. Entries that a group has
// not acknowledged are handed out again.
func (c *Conversion) copyStream(ctx context.Context, from, to string, change Change) error {
	start := "-"
	last, err := c.rdb.XRevRangeN(ctx, to, "+", "-", 1).Result()
	if err != nil {
		return failed(err)
	}
	if len(last) > 0 {
		start = "(" + last[0].ID
	}
	for {
		list, err := c.rdb.XRangeN(ctx, from, start, "+", step).Result()
		if err != nil {
			return failed(err)
		}
		if len(list) == 0 {
			return nil
		}
		pipe := c.rdb.Pipeline()
		for _, m := range list {
			start = "(" + m.ID
			values := make([]any, 0, 2*len(m.Values))
			for _, name := range slices.Sorted(maps.Keys(m.Values)) {
				value, _ := m.Values[name].(string)
				_, value = change(name, value)
				values = append(values, name, value)
			}
			pipe.XAdd(ctx, &redis.XAddArgs{Stream: to, ID: m.ID, Values: values})
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return failed(err)
		}
	}
}

// Wait waits until producers that run have seen the mark.
func Wait(ctx context.Context) error { return redisx.Sleep(ctx, LookEvery+time.Second) }

func failed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("convert: %w", err)
}

// Cursor is the cursor of a page of names, "number name", with its name converted.
func (c *Conversion) Cursor(kind seal.Kind, cursor string) string {
	number, name, ok := strings.Cut(cursor, " ")
	if _, err := strconv.ParseInt(number, 10, 64); !ok || err != nil {
		return cursor
	}
	return number + " " + c.Name(kind, name)
}
