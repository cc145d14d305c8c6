package ledger

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/internal/seal"
)

// CreateLua defines create(record, at), waits(old) and index(now) for a script of the producer,
// which joins them with the queue's half of an enqueue. The arguments of a message
// are AppendCreate's. The last of KEYS are IndexKeys; after the last message the script
// calls index once, with the time in Unix milliseconds.
//
//nolint:gochecknoglobals // never changed
var CreateLua = redisx.Lua(luaFiles, "history") + redisx.Lua(luaFiles, "create")

// CreateArity is how many arguments AppendCreate appends.
const CreateArity = 11

// AppendCreate appends the arguments of create for the message of an envelope.
func (l *Ledger) AppendCreate(args []any, e *job.Envelope, hash string, now time.Time) []any {
	if l.sealed != nil {
		sealed := *e
		sealed.To, sealed.User = l.sealed.Seal(seal.OpenID, e.To), l.sealed.Seal(seal.User, e.User)
		e = &sealed
	}
	state := Queued
	if e.NotBefore.After(now) {
		state = Scheduled
	}
	return append(args, l.life(now, e.NotBefore, e.NotAfter).Milliseconds(), state.code(), classCode(e.Class)+e.Key,
		&e.To, &e.User, &e.Template, hash, // a pointer is not boxed
		optional(e.QueuedAt), optional(e.NotBefore), optional(e.NotAfter), indexEntry(e, now))
}

// optional is a time in Unix milliseconds, or an empty text.
func optional(t time.Time) any {
	if t.IsZero() {
		return ""
	}
	return t.UnixMilli()
}

// RecordKey is the key of a message's record.
func (l *Ledger) RecordKey(id string) string { return l.recordKey(id) }

// Existing is what create returns of a record that exists.
type Existing struct {
	State     State
	Class     job.Class
	Hash      string
	NotBefore time.Time
}

// Waits reports that the message still needs a task.
func (e *Existing) Waits() bool { return !e.State.Ended() && e.State != Accepted }

// ParseExisting reads the first four texts of create's answer.
func ParseExisting(reply []any) (*Existing, error) {
	v, err := stringList(reply, 4)
	if err != nil {
		return nil, err
	}
	return &Existing{State: stateOf(v[0]), Class: classOf(v[1]), Hash: v[2], NotBefore: moment(v[3])}, nil
}

// In a cluster records and tasks lie in different slots, so that two scripts write
// them. A record is listed between the two: a producer that is killed there leaves a
// record without a task.

// UnputKey lists records whose task was not put yet: a sorted set of a class letter
// and an ID, by the time of their creation in Unix milliseconds. Only clusters have it.
func (l *Ledger) UnputKey() string { return l.prefix + "unput" }

// Unput is a member of the list.
func Unput(class job.Class, id string) string { return classCode(class) + id }

// Orphan is a record that may have no task.
type Orphan struct {
	ID    string
	Class job.Class
}

// Orphans lists records that were created before a time and whose task may never
// have been put.
func (l *Ledger) Orphans(ctx context.Context, before time.Time) ([]Orphan, error) {
	const most = 500
	members, err := l.rdb.ZRangeByScore(ctx, l.UnputKey(), &redis.ZRangeBy{
		Min: "-inf", Max: strconv.FormatInt(before.UnixMilli(), 10), Count: most,
	}).Result()
	if err != nil {
		return nil, fmt.Errorf("ledger: look for records without a task: %w", err)
	}
	var orphans []Orphan
	for _, m := range members {
		if m != "" {
			orphans = append(orphans, Orphan{ID: m[1:], Class: classOf(m[:1])})
		}
	}
	return orphans, nil
}

// resolve.lua: KEYS[1] the list, KEYS[2] the record. ARGV[1] the member, ARGV[2] '1'
// when there is a task. Without one a record that no worker has seen is deleted, unless it
// was taken off the list since: a repeated Enqueue has put its task.
var resolveScript = redisx.NewScript(`
if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then
  return 0
end
local v = redis.call('HMGET', KEYS[2], 's', 'i')
if ARGV[2] == '0' and (v[1] == 'q' or v[1] == 'w') and not v[2] then
  return redis.call('DEL', KEYS[2])
end
return 0`)

// Resolve takes an orphan off the list. Without a task its record is deleted unless a
// worker has seen it, or a repeated Enqueue has taken it off the list with a ticket: the
// caller got none, and its ID is free again.
// Should the task be put after all, Begin makes the record anew.
func (l *Ledger) Resolve(ctx context.Context, o Orphan, hasTask bool) (deleted bool, err error) {
	n, err := resolveScript.Run(ctx, l.rdb, []string{l.UnputKey(), l.recordKey(o.ID)}, Unput(o.Class, o.ID), flag(hasTask)).Int()
	if err != nil {
		return false, fmt.Errorf("ledger: resolve a record without a task: %w", err)
	}
	return n == 1, nil
}
