package ticket

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/redisx"
)

// maxClaims is how many wrong claims are compared before a ticket matches none:
// a person who found the link must not be able to guess telephone numbers with it.
const maxClaims = 5

// ErrMismatch reports a claim or unionid that differs from what was saved.
var ErrMismatch = errors.New("the claim does not match the data stored with the ticket")

// Key returns the Redis key of a ticket's state, a hash; package enroll says what is
// in it.
func Key(account string, id ID) string { return redisx.Prefix(account) + "t:" + id.String() }

// HandOffKey returns the Redis key of the digests that Save writes: c of the
// claim, u of the unionid; x counts wrong claims.
func HandOffKey(account string, id ID) string { return redisx.Prefix(account) + "h:" + id.String() }

// claimLength is the length of a claim: any other text is none.
const claimLength = 2 * sha256.Size

// Claim returns the digest that a link carries in place of the data itself, in
// lower-case hex: HMAC-SHA-256, keyed by the enrolment key, of the lines "claim", the
// ticket's text, and name=value for each datum, sorted by name; each ends with a line
// feed. The key is not in the link, so that the data, such as a telephone number,
// cannot be found by trying.
func Claim(key []byte, text string, data map[string]string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("claim\n" + text + "\n"))
	for _, name := range slices.Sorted(maps.Keys(data)) {
		mac.Write([]byte(name + "=" + data[name] + "\n"))
	}
	return hex.EncodeToString(mac.Sum(nil))
}

// CheckData reports why data cannot be handed off: two different data must not have
// one claim.
func CheckData(data map[string]string) error {
	if len(data) == 0 {
		return errors.New("is empty: give the data that the link must match")
	}
	for name, value := range data {
		if name == "" || strings.ContainsAny(name, "=\n") || strings.Contains(value, "\n") {
			return errors.New("has an empty name, a name with = in it, or a line break: rename or remove it")
		}
		if !utf8.ValidString(name) || !utf8.ValidString(value) {
			return errors.New("is not UTF-8: convert it")
		}
	}
	return nil
}

// HandOffStore keeps digests of the data that a business hands off with its
// tickets, for one account. Safe for concurrent use.
type HandOffStore struct {
	rdb     redis.UniversalClient
	account string
	keys    [][]byte // the first saves, each is compared with
}

// NewHandOffStore returns the store of an account. key is the enrolment key; what was
// saved with a previous key matches too; an empty one is none.
func NewHandOffStore(rdb redis.UniversalClient, account string, key []byte, previous ...[]byte) *HandOffStore {
	s := &HandOffStore{rdb: rdb, account: account, keys: [][]byte{key}}
	for _, k := range previous {
		if len(k) > 0 {
			s.keys = append(s.keys, k)
		}
	}
	return s
}

// digest is stored in Redis in place of the text. Its key is not in Redis, so that a
// digest confirms no guess.
func digest(key []byte, id ID, what, text string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("hand-off " + what + "\n" + id.String() + "\n" + text))
	return hex.EncodeToString(mac.Sum(nil))
}

func (s *HandOffStore) digests(id ID, what, text string) []string {
	var out []string
	for _, key := range s.keys {
		out = append(out, digest(key, id, what, text))
	}
	return out
}

// Save stores digests of the claim and, unless it is empty, of unionID. They
// expire after life, with the ticket. The error is Redis'.
func (s *HandOffStore) Save(ctx context.Context, id ID, claim, unionID string, life time.Duration) error {
	key := HandOffKey(s.account, id)
	_, err := s.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.HSet(ctx, key, "c", digest(s.keys[0], id, "claim", claim))
		if unionID != "" {
			p.HSet(ctx, key, "u", digest(s.keys[0], id, "unionid", unionID))
		}
		p.PExpire(ctx, key, life)
		return nil
	})
	if err != nil {
		return fmt.Errorf("ticket: save the handed-off data: %w", err)
	}
	return nil
}

// checkClaim compares the claim and counts wrong ones. A key that does not exist
// is not created.
//
// KEYS[1] the hash that Save wrote. ARGV[1] maxClaims, then the claim's digests.
// Returns 1 if one of them matches, else 0.
var checkClaim = redis.NewScript(`
local saved = redis.call('HMGET', KEYS[1], 'c', 'x')
local claim, wrong = saved[1], tonumber(saved[2] or '0')
if not claim or wrong >= tonumber(ARGV[1]) then return 0 end
for i = 2, #ARGV do
  if claim == ARGV[i] then return 1 end
end
redis.call('HINCRBY', KEYS[1], 'x', 1)
return 0
`)

// CheckClaim compares claim, in either case of hex, with the saved one. The error
// is ErrMismatch or Redis'. ErrMismatch also means that nothing is saved, that it
// expired, or that 5 wrong claims were made.
func (s *HandOffStore) CheckClaim(ctx context.Context, id ID, claim string) error {
	if len(claim) != claimLength {
		return ErrMismatch // missing or none at all: no guess, and not counted
	}
	args := []any{maxClaims}
	for _, d := range s.digests(id, "claim", strings.ToLower(claim)) {
		args = append(args, d)
	}
	same, err := checkClaim.Run(ctx, s.rdb, []string{HandOffKey(s.account, id)}, args...).Bool()
	if err != nil {
		return fmt.Errorf("ticket: check the claim: %w", err)
	}
	if !same {
		return ErrMismatch
	}
	return nil
}

// CheckUnionID compares unionID, as WeChat told it, with the saved one. It
// returns nil if none was saved, ErrMismatch if they differ or the saved data has
// expired, or Redis' error.
func (s *HandOffStore) CheckUnionID(ctx context.Context, id ID, unionID string) error {
	saved, err := s.rdb.HMGet(ctx, HandOffKey(s.account, id), "c", "u").Result()
	if err != nil {
		return fmt.Errorf("ticket: read the handed-off data: %w", err)
	}
	want, wanted := saved[1].(string)
	if saved[0] == nil || wanted && (unionID == "" || !slices.Contains(s.digests(id, "unionid", unionID), want)) {
		return ErrMismatch
	}
	return nil
}
