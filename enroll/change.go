package enroll

import (
	"context"
	_ "embed"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/internal/seal"
)

// ChangeKind says how the openids of a user changed.
type ChangeKind string

// The kinds of changes.
const (
	ChangeBound   ChangeKind = "bound"   // the user had no other openid
	ChangeRebound ChangeKind = "rebound" // the user had others; this one is the latest now
	ChangeUnbound ChangeKind = "unbound" // by Unbind; an erasure is no change
)

// Change of the roster, as Config.OnChange gets it.
type Change struct {
	ID      string // names the change: a repetition has the same one
	Account string
	Kind    ChangeKind
	User    string
	OpenID  string
	// Previous is the openid that was the user's latest before a rebinding. It stays
	// bound. It may belong to another person, who should be informed.
	Previous string
	// How is ByOAuth, ByQR or Binding.How; of an unbinding, the actor.
	How string
	At  time.Time
}

const (
	// maxChanges bounds the undelivered changes; the oldest are dropped first.
	maxChanges = 100_000
	// keepChanges is how long they are kept without a process that delivers them.
	keepChanges = 7 * 24 * time.Hour
	// changeBatch is how many are read at once.
	changeBatch = 100
	// hookTimeout bounds one call of the hook. deliveryLease is how long a process may
	// deliver before it must renew its lock.
	hookTimeout   = 10 * time.Second
	deliveryLease = 30 * time.Second
	// hookRetry is the wait after a failed call of the hook.
	hookRetry = 5 * time.Second
)

// deliverChanges calls the hook for each change, in their order, until ctx ends. One
// process does so at a time.
func (s *Service) deliverChanges(ctx context.Context, a *account) {
	for ctx.Err() == nil {
		wait, err := s.deliverBatch(ctx, a)
		if err != nil && ctx.Err() == nil {
			s.log.warn("changes "+a.AppID, "a change of the roster was not delivered and is tried again", zap.String("account", a.AppID), zap.Error(err))
			wait = hookRetry
		}
		if wait > 0 {
			_ = redisx.Sleep(ctx, wait)
		}
	}
}

// deliverBatch delivers up to a batch of changes and returns how long to wait for more.
func (s *Service) deliverBatch(ctx context.Context, a *account) (time.Duration, error) {
	rdb, key := a.Roster.rdb, a.keys.changes()
	// The scripts write changes only if this stream exists. Creating a group is the way
	// to create an empty stream; the group is not used.
	err := rdb.XGroupCreateMkStream(ctx, key, "exists", "$").Err()
	if err != nil && !strings.HasPrefix(err.Error(), "BUSYGROUP") {
		return 0, wrap(err, "wait for changes")
	}
	if err := rdb.Expire(ctx, key, keepChanges).Err(); err != nil {
		return 0, wrap(err, "wait for changes")
	}
	streams, err := rdb.XRead(ctx, &redis.XReadArgs{Streams: []string{key, "0"}, Count: changeBatch, Block: inboxBlock}).Result()
	if errors.Is(err, redis.Nil) {
		return 0, nil
	}
	if err != nil {
		return 0, wrap(err, "wait for changes")
	}
	mine := randomName()
	defer a.Roster.unlock(context.WithoutCancel(ctx), a.keys.changesLock(), mine)
	for _, m := range streams[0].Messages {
		// Before each call of the hook, so that another process takes over only if this
		// one stopped, or if the hook ignores its context. This one then delivers no more.
		held, err := a.Roster.lock(ctx, a.keys.changesLock(), mine, deliveryLease)
		if err != nil || !held {
			return time.Second, err
		}
		if err := s.deliverOne(ctx, a, m); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// deliverOne calls the hook.
func (s *Service) deliverOne(ctx context.Context, a *account, m redis.XMessage) error {
	call, cancel := context.WithTimeout(ctx, hookTimeout)
	defer cancel()
	if err := s.cfg.OnChange(call, a.Roster.changeOf(m)); err != nil {
		return wrap(err, "Config.OnChange")
	}
	return wrap(a.Roster.rdb.XDel(ctx, a.keys.changes(), m.ID).Err(), "remove a delivered change")
}

//go:embed lua/lock.lua
var lockLua string

//go:embed lua/unlock.lua
var unlockLua string

var (
	lockScript   = redis.NewScript(lockLua)
	unlockScript = redis.NewScript(unlockLua)
)

// lock takes a lock for its owner, a name that no other call has, or renews it. False: it is
// another's.
func (r *Roster) lock(ctx context.Context, key, owner string, life time.Duration) (bool, error) {
	held, err := lockScript.Run(ctx, r.rdb, []string{key}, owner, life.Milliseconds()).Bool()
	return held, wrap(err, "take a lock")
}

// unlock removes a lock unless another owner has it. If Redis fails, the lock ends with its life.
func (r *Roster) unlock(ctx context.Context, key, owner string) {
	unlockScript.Run(ctx, r.rdb, []string{key}, owner)
}

func (r *Roster) changeOf(m redis.XMessage) Change {
	n := r.names()
	text := func(name string) string {
		value, _ := m.Values[name].(string)
		return value
	}
	at, _ := strconv.ParseInt(text("at"), 10, 64)
	return Change{
		ID: m.ID, Account: r.account, Kind: ChangeKind(text("kind")), User: n.Open(seal.User, text("user")), OpenID: n.Open(seal.OpenID, text("openid")),
		Previous: n.Open(seal.OpenID, text("previous")), How: text("how"), At: time.UnixMilli(at).UTC(),
	}
}

// dropChanges removes the undelivered changes for which drop returns true.
func (r *Roster) dropChanges(ctx context.Context, drop func(Change) bool) error {
	for from := "-"; ; {
		list, err := r.rdb.XRangeN(ctx, r.keys.changes(), from, "+", 1000).Result()
		if err != nil || len(list) == 0 {
			return wrap(err, "read the changes")
		}
		var ids []string
		for _, m := range list {
			if drop(r.changeOf(m)) {
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
