package enroll

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
)

// ChangeKind says how the openids of a user changed.
type ChangeKind string

// The kinds of changes.
const (
	ChangeBound   ChangeKind = "bound"   // the user had no other openid
	ChangeRebound ChangeKind = "rebound" // the user had others; this one is the latest now
	ChangeUnbound ChangeKind = "unbound" // not told of an erasure
)

// Change of the roster, as Config.OnChange hears of it.
type Change struct {
	ID      string // names the change: a repetition has the same one
	Account string
	Kind    ChangeKind
	User    string
	OpenID  string
	// Previous is, of a rebinding, the openid that was the user's latest before: that
	// of the same person, or of another one who should know. It stays bound.
	Previous string
	// How it came: ByOAuth, ByQR, what Bind was told; of an unbinding, who did it.
	How string
	At  time.Time
}

const (
	// maxChanges bounds the changes that wait to be told; the oldest go first.
	maxChanges = 100_000
	// keepChanges is how long they wait when no process tells them.
	keepChanges = 7 * 24 * time.Hour
	// tellBatch is how many are read at once.
	tellBatch = 100
	// tellWait bounds one call of the hook, tellLease how long one process tells.
	tellWait  = 10 * time.Second
	tellLease = 30 * time.Second
	// tellAgain is how long a failed call of the hook waits to be repeated.
	tellAgain = 5 * time.Second
)

// tells calls the hook for each change, in their order, until ctx ends. One process
// does so at a time.
func (s *Service) tells(ctx context.Context, a *account) {
	for ctx.Err() == nil {
		wait, err := s.tellRound(ctx, a)
		if err != nil && ctx.Err() == nil {
			s.log.warn("tell "+a.AppID, "changes of the roster wait to be told and are tried again", zap.String("account", a.AppID), zap.Error(err))
			wait = tellAgain
		}
		if wait > 0 {
			pause(ctx, wait)
		}
	}
}

// tellRound tells up to a batch of changes and returns how long to wait for more.
func (s *Service) tellRound(ctx context.Context, a *account) (time.Duration, error) {
	rdb, key := s.cfg.Redis, a.keys.changes()
	// Changes are only written where this stream is. Its group is never read from.
	err := rdb.XGroupCreateMkStream(ctx, key, "exists", "$").Err()
	if err != nil && !strings.HasPrefix(err.Error(), "BUSYGROUP") {
		return 0, wrap(err, "wait for changes")
	}
	if err := rdb.Expire(ctx, key, keepChanges).Err(); err != nil {
		return 0, wrap(err, "wait for changes")
	}
	streams, err := rdb.XRead(ctx, &redis.XReadArgs{Streams: []string{key, "0"}, Count: tellBatch, Block: inboxBlock}).Result()
	if errors.Is(err, redis.Nil) {
		return 0, nil
	}
	if err != nil {
		return 0, wrap(err, "wait for changes")
	}
	mine, err := rdb.SetNX(ctx, a.keys.telling(), randomName(), tellLease).Result()
	if err != nil || !mine {
		return time.Second, wrap(err, "tell changes")
	}
	defer rdb.Del(context.WithoutCancel(ctx), a.keys.telling())
	for _, m := range streams[0].Messages {
		if err := s.tellOne(ctx, a, m); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// tellOne calls the hook. The lease is renewed first: another process may only begin
// when this one has stopped, or hangs in the hook against its promise.
func (s *Service) tellOne(ctx context.Context, a *account, m redis.XMessage) error {
	if err := s.cfg.Redis.PExpire(ctx, a.keys.telling(), tellLease).Err(); err != nil {
		return wrap(err, "tell a change")
	}
	call, cancel := context.WithTimeout(ctx, tellWait)
	defer cancel()
	if err := s.cfg.OnChange(call, changeOf(a.AppID, m)); err != nil {
		return wrap(err, "Config.OnChange")
	}
	return wrap(s.cfg.Redis.XDel(ctx, a.keys.changes(), m.ID).Err(), "note that a change was told")
}

func changeOf(account string, m redis.XMessage) Change {
	text := func(name string) string {
		value, _ := m.Values[name].(string)
		return value
	}
	at, _ := strconv.ParseInt(text("at"), 10, 64)
	return Change{
		ID: m.ID, Account: account, Kind: ChangeKind(text("kind")), User: text("user"), OpenID: text("openid"),
		Previous: text("previous"), How: text("how"), At: time.UnixMilli(at).UTC(),
	}
}

// dropChanges removes the changes that wait to be told and for which drop holds.
func (r *Roster) dropChanges(ctx context.Context, drop func(Change) bool) error {
	for from := "-"; ; {
		list, err := r.rdb.XRangeN(ctx, r.keys.changes(), from, "+", 1000).Result()
		if err != nil || len(list) == 0 {
			return wrap(err, "read the changes")
		}
		var ids []string
		for _, m := range list {
			if drop(changeOf(r.account, m)) {
				ids = append(ids, m.ID)
			}
			from = "(" + m.ID
		}
		if len(ids) == 0 {
			continue
		}
		if err := r.rdb.XDel(ctx, r.keys.changes(), ids...).Err(); err != nil {
			return wrap(err, "remove changes")
		}
	}
}
