package apikey

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrUnknown is returned for a secret that is no key's, or no longer. It does not
// say which.
var ErrUnknown = errors.New("the API key is unknown")

// cacheLife is how long a key that was verified is used without asking Redis:
// within this time a revoked key ends in every process.
const cacheLife = time.Second

// cacheSize bounds the cache. It is emptied when it is full.
const cacheSize = 10_000

// knownLife is how long a secret that was verified is not blocked with its address, see
// [Keyring.Blocked]. Each verification begins it anew.
const knownLife = time.Hour

// Keyring verifies secrets for several accounts. Safe for concurrent use.
type Keyring struct {
	stores []*Store
	static map[string]*Key // by digest

	mu    sync.Mutex
	cache map[string]cached // by digest

	rates, failures limits
}

type cached struct {
	key      *Key
	verified time.Time
	until    time.Time // when Redis is asked again
}

// NewKeyring of these accounts. static is WXNOTIFY_API_KEYS: live keys of all
// scopes but token, erase and admin, one "name:secret" each with commas or line
// breaks between them; each is good for the only account. The error names the
// entry that is wrong, never its text.
func NewKeyring(rdb redis.UniversalClient, accounts []string, static string) (*Keyring, error) {
	k := &Keyring{static: map[string]*Key{}, cache: map[string]cached{}}
	for _, account := range accounts {
		k.stores = append(k.stores, NewStore(rdb, account))
	}
	entries, err := parseStatic(static)
	if err != nil {
		return nil, err
	}
	if len(entries) > 0 && len(accounts) != 1 {
		return nil, errors.New("static keys belong to the only account: with several accounts make keys with `wxnotify api keys create`")
	}
	for _, e := range entries {
		k.static[digest(e.secret)] = &Key{
			ID: "static-" + e.name, Name: e.name, Kind: Live, Account: accounts[0], Static: true,
			Scopes: []Scope{Send, Read, Enroll, Gateway},
		}
	}
	return k, nil
}

// CheckStatic reports which of the static keys is wrong, see [NewKeyring]. The error
// shows no part of the text.
func CheckStatic(text string) error {
	_, err := parseStatic(text)
	return err
}

type staticKey struct{ name, secret string }

// staticName is what a token of the gateway can carry, see tokenForm.
var staticName = regexp.MustCompile(`^[a-z0-9-]{1,100}$`)

func parseStatic(text string) (out []staticKey, err error) {
	entries := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == '\n' || r == '\r' || r == ' ' })
	secrets, names := map[string]bool{}, map[string]bool{}
	for i, entry := range entries {
		name, secret, ok := strings.Cut(entry, ":")
		switch {
		case !ok || len(secret) < 32:
			return nil, fmt.Errorf("key %d is not name:secret with a secret of 32 characters or more: make one with `openssl rand -hex 32`", i+1)
		case !staticName.MatchString(name):
			return nil, fmt.Errorf("key %d has a name that is not 1 to 100 small letters, digits and -, such as billing", i+1)
		case secrets[secret] || names[name]:
			return nil, fmt.Errorf("key %d has the name or the secret of one before it", i+1)
		}
		secrets[secret], names[name] = true, true
		out = append(out, staticKey{name, secret})
	}
	return out, nil
}

// Verify returns the key of a secret. The error wraps ErrUnknown, or is Redis'.
func (k *Keyring) Verify(ctx context.Context, secret string) (*Key, error) {
	sum := digest(secret)
	if key := k.static[sum]; key != nil {
		return key, nil
	}
	if key := k.cached(sum); key != nil {
		return key, nil
	}
	id, ok := idOf(secret)
	if !ok {
		return nil, ErrUnknown
	}
	return k.find(ctx, id, sum, func(secret string) bool {
		return subtle.ConstantTimeCompare([]byte(secret), []byte(sum)) == 1
	})
}

// find returns the key of this ID if is accepts the digest of one of its secrets. It is
// remembered under sum.
func (k *Keyring) find(ctx context.Context, id, sum string, is func(digest string) bool) (*Key, error) {
	now := time.Now()
	for _, s := range k.stores {
		found, err := s.read(ctx, id)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, d := range found.Digests {
			until := now.Add(cacheLife)
			if !d.Until.IsZero() && d.Until.Before(until) {
				until = d.Until
			}
			if is(d.SHA256) && now.Before(until) {
				k.remember(sum, cached{&found.Key, now, until})
				return &found.Key, nil
			}
		}
	}
	k.forget(sum)
	return nil, ErrUnknown
}

// cached returns the key that was verified lately for this digest, or nil.
func (k *Keyring) cached(sum string) *Key {
	k.mu.Lock()
	defer k.mu.Unlock()
	if c, ok := k.cache[sum]; ok && time.Now().Before(c.until) {
		return c.key
	}
	return nil
}

func (k *Keyring) remember(sum string, c cached) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.cache) >= cacheSize {
		clear(k.cache)
	}
	k.cache[sum] = c
}

// forget ends what is known of a secret that is no key's any more.
func (k *Keyring) forget(sum string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.cache, sum)
}

// isKnown reports whether the secret was verified within knownLife.
func (k *Keyring) isKnown(secret string) bool {
	sum := digest(secret)
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.static[sum] != nil || time.Since(k.cache[sum].verified) < knownLife
}

// Store of an account, for Spend; nil when the keyring does not have the account.
func (k *Keyring) Store(account string) *Store {
	for _, s := range k.stores {
		if s.account == account {
			return s
		}
	}
	return nil
}
