// Package names knows how the openids and users of an account lie in Redis: in clear, or
// sealed with a key. All processes of an account must agree, or a suppression that one
// writes is not found by another one, and a message goes to a person who must not get it.
//
// # The rule that makes this impossible
//
// What is found by names lies under keys that belong to one way of sealing
// ([seal.Names.Under]): the suppressions, the roster, the inbox and so on. Where the
// suppressions, the roster and the inbox of another way would lie there is a fence, a
// string: Redis answers WRONGTYPE to each command of a process that works in another way,
// before it has sent or written anything. This holds for processes of earlier versions
// and for one that was stopped during a conversion, too.
//
// The mark wxn:{appid}:names has the ID of the key; there is none while names are in
// clear. A process whose names are sealed compares it once before its first command
// ([Guard.Admit]); the fences do the rest. Producers, which meet no fence, compare it
// every five seconds ([Guard.Look]), and programs at their start ([Check]).
package names

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/internal/seal"
)

// LookEvery is how long a producer may go on after a conversion has begun.
const LookEvery = 5 * time.Second

// fenced are the keys under which a process of another way finds a fence.
func fenced() []string { return []string{"sup", "roster", "in"} }

// data are keys of an account whose names are in clear that say that it is in use. An
// inbox or stream of changes may be there and empty.
func data() []string {
	return []string{"sup", "roster", "ix", "events", "erasing", "sync", "audit", "audit:bindings", "in", "changes"}
}

// ErrMixed is wrapped by the errors about a process that does not seal names as Redis has
// them.
var ErrMixed = errors.New("this process does not seal openids and users as they lie in Redis")

// MixedError says how names are sealed and how they should be.
type MixedError struct {
	Account string
	Key     string // ID of the key in Redis; empty: in clear
	To      string // ID of the key of a conversion that is not complete, or "clear"; empty: there is none
	Own     string // ID of the process' key; empty: none
}

func (e *MixedError) Error() string {
	said := fmt.Sprintf("account %s: %v: ", e.Account, ErrMixed)
	const command = "`wxnotify seal names`"
	switch {
	case e.To != "":
		return said + "a conversion is not complete: run " + command + " again with the same Config.SealNameKeys"
	case e.Key == "":
		return said + "they are in clear there, and Config.SealNameKeys has key " + e.Own + ": stop all processes of the account and run " + command + ", or leave Config.SealNameKeys empty"
	case e.Own == "":
		return said + "they are sealed with key " + e.Key + " there: set Config.SealNameKeys"
	default:
		return said + "they are sealed with key " + e.Key + " there, and the first key of Config.SealNameKeys is " + e.Own +
			": put key " + e.Key + " first, or stop all processes of the account and run " + command
	}
}

// Unwrap returns ErrMixed.
func (*MixedError) Unwrap() error { return ErrMixed }

func markKey(account string) string { return redisx.Prefix(account) + "names" }

// inClear stands for no key in the mark.
const inClear = "clear"

// startScript seals the names of an account that is new. KEYS: the mark, the keys of
// fences, then those of data. ARGV: how many fences there are, the mark, the fence.
// Returns the mark, or an empty text when the account is in use and has none.
var startScript = redisx.NewScript(`
local mark = redis.call('GET', KEYS[1])
if mark then
  return mark
end
local fences = tonumber(ARGV[1])
for i = fences + 2, #KEYS do
  local kind = redis.call('TYPE', KEYS[i])['ok']
  if kind ~= 'none' and (kind ~= 'stream' or redis.call('XLEN', KEYS[i]) > 0) then
    return ''
  end
end
for i = 2, fences + 1 do
  redis.call('SET', KEYS[i], ARGV[3])
end
redis.call('SET', KEYS[1], ARGV[2])
return ARGV[2]`)

// fenceText is what lies in place of what a process of another way looks for.
func fenceText(key string) string {
	return "names are sealed in another way than this: " + orClear(key)
}

// Read returns how the names of an account are sealed: the ID of the key, empty while they
// are in clear, and to, as in MixedError.
func Read(ctx context.Context, rdb redis.UniversalClient, account string) (key, to string, err error) {
	mark, err := rdb.Get(ctx, markKey(account)).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return "", "", fmt.Errorf("read how names are sealed: %w", err)
	}
	key, to, _ = strings.Cut(mark, " to ")
	return strings.TrimPrefix(key, inClear), to, nil
}

// InUse reports whether an account whose names are in clear has data.
func InUse(ctx context.Context, rdb redis.UniversalClient, account string) (bool, error) {
	pipe := rdb.Pipeline()
	var found []*redis.IntCmd
	for _, name := range data() {
		if name == "in" || name == "changes" {
			found = append(found, pipe.XLen(ctx, redisx.Prefix(account)+name))
		} else {
			found = append(found, pipe.Exists(ctx, redisx.Prefix(account)+name))
		}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return false, fmt.Errorf("read whether the account is in use: %w", err)
	}
	return slices.ContainsFunc(found, func(n *redis.IntCmd) bool { return n.Val() > 0 }), nil
}

// Check compares how the names of an account lie in Redis with how n seals them. The
// error wraps ErrMixed when they differ. For an account without data, n is the way from
// then on.
func Check(ctx context.Context, rdb redis.UniversalClient, account string, n *seal.Names) error {
	key, to, err := Read(ctx, rdb, account)
	if err != nil {
		return err
	}
	if key == "" && to == "" && n != nil {
		keys := []string{markKey(account)}
		for _, name := range append(fenced(), data()...) {
			keys = append(keys, redisx.Prefix(account)+name)
		}
		if key, err = startScript.Run(ctx, rdb, keys, len(fenced()), n.KeyID(), fenceText(n.KeyID())).Text(); err != nil {
			return fmt.Errorf("note how names are sealed: %w", err)
		}
		key, to, _ = strings.Cut(key, " to ")
	}
	if to != "" || key != n.KeyID() {
		return &MixedError{Account: account, Key: key, To: to, Own: n.KeyID()}
	}
	return nil
}

// Guard keeps a process from its first command until the account's names are known to be
// sealed as it seals them. Safe for concurrent use.
type Guard struct {
	rdb     redis.UniversalClient
	account string
	names   *seal.Names
	passed  atomic.Bool

	mu   sync.Mutex
	next time.Time
	said error
}

// NewGuard does not talk to Redis.
func NewGuard(rdb redis.UniversalClient, account string, n *seal.Names) *Guard {
	return &Guard{rdb: rdb, account: account, names: n}
}

// Admit is Check, until it has passed once. For names in clear it does nothing: the
// fences alone keep such a process out.
func (g *Guard) Admit(ctx context.Context) error {
	if g.names == nil || g.passed.Load() {
		return nil
	}
	err := Check(ctx, g.rdb, g.account, g.names)
	if err == nil {
		g.passed.Store(true)
	}
	return err
}

// Look is Check, made every LookEvery at most; in between it returns what was found last.
func (g *Guard) Look(ctx context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now := time.Now(); !now.Before(g.next) {
		if g.said = Check(ctx, g.rdb, g.account, g.names); g.said == nil || errors.Is(g.said, ErrMixed) {
			g.next = now.Add(LookEvery)
		}
	}
	return g.said
}

// Explain adds to an error of Redis that it comes from a fence.
func Explain(err error) error {
	if err == nil || !strings.Contains(err.Error(), "WRONGTYPE") {
		return err
	}
	return fmt.Errorf("%w: set Config.SealNameKeys as all other processes have it (%w)", ErrMixed, err)
}
