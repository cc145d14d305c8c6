package apikey

import (
	"cmp"
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/redisx"
)

// ErrNotFound is returned for a key that the account does not have.
var ErrNotFound = errors.New("no such key: `wxnotify api keys list` shows those of the account")

// stored is a key as Redis has it.
type stored struct {
	Key
	Digests []keyDigest `json:"digests"` // the newest first; at most two
}

// keyDigest is one secret of a key.
type keyDigest struct {
	SHA256 string    `json:"sha256"`
	Until  time.Time `json:"until,omitzero"` // zero: until it is revoked
}

// Store keeps the keys of one account in the hash wxn:{appid}:api:keys.
type Store struct {
	rdb     redis.UniversalClient
	account string
}

// NewStore does not talk to Redis.
func NewStore(rdb redis.UniversalClient, account string) *Store { return &Store{rdb, account} }

func (s *Store) key() string { return redisx.Prefix(s.account) + "api:keys" }

// Create stores a new key and returns it with its secret, which is not kept. ID,
// Account and CreatedAt are set here. The error names every fault of k.
func (s *Store) Create(ctx context.Context, k Key) (Key, string, error) {
	if err := k.validate(); err != nil {
		return k, "", err
	}
	n, err := s.rdb.HLen(ctx, s.key()).Result()
	switch {
	case err != nil:
		return k, "", fmt.Errorf("create a key: %w", err)
	case n >= MaxKeys:
		return k, "", fmt.Errorf("the account has %d keys, the most that it may have: revoke some", n)
	}
	k.ID, k.Account, k.CreatedAt = newID(), s.account, time.Now().UTC().Truncate(time.Second)
	secret := newSecret(k.Kind, k.ID)
	return k, secret, s.save(ctx, stored{Key: k, Digests: []keyDigest{{SHA256: digest(secret)}}})
}

func (s *Store) save(ctx context.Context, k stored) error {
	text, err := json.Marshal(k)
	if err == nil {
		err = s.rdb.HSet(ctx, s.key(), k.ID, text).Err()
	}
	if err != nil {
		return fmt.Errorf("store a key: %w", err)
	}
	return nil
}

func (s *Store) read(ctx context.Context, id string) (stored, error) {
	text, err := s.rdb.HGet(ctx, s.key(), id).Result()
	switch {
	case errors.Is(err, redis.Nil):
		return stored{}, ErrNotFound
	case err != nil:
		return stored{}, fmt.Errorf("read a key: %w", err)
	}
	var k stored
	if err := json.Unmarshal([]byte(text), &k); err != nil {
		return stored{}, fmt.Errorf("the key %s cannot be read: %w", id, err)
	}
	return k, nil
}

// List returns the account's keys by their name.
func (s *Store) List(ctx context.Context) ([]Key, error) {
	all, err := s.rdb.HGetAll(ctx, s.key()).Result()
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	list := []Key{}
	for id, text := range all {
		var k stored
		if err := json.Unmarshal([]byte(text), &k); err != nil {
			return nil, fmt.Errorf("the key %s cannot be read: %w", id, err)
		}
		list = append(list, k.Key)
	}
	slices.SortFunc(list, func(a, b Key) int { return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID)) })
	return list, nil
}

// Rotate gives the key a new secret. The one before it is accepted for overlap
// more; one before that no longer.
func (s *Store) Rotate(ctx context.Context, id string, overlap time.Duration) (Key, string, error) {
	k, err := s.read(ctx, id)
	if err != nil {
		return Key{}, "", err
	}
	now := time.Now().UTC().Truncate(time.Second)
	secret := newSecret(k.Kind, k.ID)
	before := k.Digests[:min(1, len(k.Digests))]
	for i := range before {
		before[i].Until = now.Add(overlap)
	}
	if overlap <= 0 {
		before = nil
	}
	k.RotatedAt, k.Digests = now, append([]keyDigest{{SHA256: digest(secret)}}, before...)
	return k.Key, secret, s.save(ctx, k)
}

// forgetScript writes a key unless it was changed since it was read. It returns 1, also when
// go-redis repeats it, because the answer was lost.
var forgetScript = redisx.NewScript(`
local key = redis.call('HGET', KEYS[1], ARGV[1])
if key ~= ARGV[2] and key ~= ARGV[3] then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1`)

// Forget takes the guests that erased reports off the guest lists of the account's keys, and
// returns how many there were. A key whose list is empty then reaches no follower.
func (s *Store) Forget(ctx context.Context, erased func(guest string) bool) (int, error) {
	all, err := s.rdb.HGetAll(ctx, s.key()).Result()
	if err != nil {
		return 0, fmt.Errorf("read the guest lists: %w", err)
	}
	found := 0
	for id, text := range all {
		n, err := s.forget(ctx, id, text, erased)
		if err != nil {
			return found, err
		}
		found += n
	}
	return found, nil
}

func (s *Store) forget(ctx context.Context, id, text string, erased func(guest string) bool) (int, error) {
	for {
		var k stored
		if err := json.Unmarshal([]byte(text), &k); err != nil {
			return 0, fmt.Errorf("the key %s cannot be read: %w", id, err)
		}
		before := len(k.Guests)
		k.Guests = slices.DeleteFunc(k.Guests, erased)
		if len(k.Guests) == before {
			return 0, nil
		}
		after, err := json.Marshal(k)
		if err != nil {
			return 0, fmt.Errorf("store a key: %w", err)
		}
		done, err := forgetScript.Run(ctx, s.rdb, []string{s.key()}, id, text, after).Bool()
		if err == nil && done {
			return before - len(k.Guests), nil
		}
		if err == nil {
			text, err = s.rdb.HGet(ctx, s.key(), id).Result() // it was rotated: look again
		}
		if errors.Is(err, redis.Nil) {
			return 0, nil // it was revoked
		}
		if err != nil {
			return 0, fmt.Errorf("take a guest off its list: %w", err)
		}
	}
}

// Revoke ends the key with all its secrets; see [Keyring] for how soon. The error
// wraps ErrNotFound.
func (s *Store) Revoke(ctx context.Context, id string) error {
	// HDEL's own count is 0 when go-redis repeats it after a lost answer.
	there, err := s.rdb.HExists(ctx, s.key(), id).Result()
	if err == nil && !there {
		return ErrNotFound
	}
	if err == nil {
		err = s.rdb.HDel(ctx, s.key(), id).Err()
	}
	if err != nil {
		return fmt.Errorf("revoke a key: %w", err)
	}
	return nil
}

//go:embed lua/spend.lua
var spendLua string

var spendScript = redisx.NewScript(spendLua)

// callLife is longer than go-redis repeats a call whose answer was lost.
const callLife = time.Minute

// Spend counts n messages of a day (2006-01-02) against the key's limit, all or
// none; limit -1 counts without a bound. It returns how many the day has with
// these, or ok false and how many it has without. A negative n gives back what
// was refused afterwards.
func (s *Store) Spend(ctx context.Context, id, day string, n int, limit int64) (used int64, ok bool, err error) {
	prefix := redisx.Prefix(s.account)
	keys := []string{prefix + "api:used:" + day, prefix + "api:call:" + rand.Text()}
	reply, err := spendScript.Run(ctx, s.rdb, keys, id, n, limit, callLife.Milliseconds()).Int64Slice()
	if err != nil || len(reply) != 2 {
		return 0, false, fmt.Errorf("count the messages of a key: %w", err)
	}
	return reply[1], reply[0] == 1, nil
}
