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

	"github.com/redis/go-redis/v9"
)

// maxClaims is how many wrong claims are compared before a ticket matches none:
// a person who found the link must not be able to guess telephone numbers with it.
const maxClaims = 5

// ErrMismatch reports a claim or unionid that differs from what was saved.
var ErrMismatch = errors.New("the claim does not match the data stored with the ticket")

// Key returns the Redis key of a ticket's state, a hash. Field s is the sealed
// ticket, written when it is first opened, so that a QR code or an OAuth state can
// refer to it by its ID; u marks who used it.
func Key(account string, id ID) string { return "wxn:{" + account + "}:t:" + id.String() }

// handOffKey returns the Redis key of the digests that Save writes: c of the
// claim, u of the unionid; x counts wrong claims.
func handOffKey(account string, id ID) string { return "wxn:{" + account + "}:h:" + id.String() }

// Claim returns the digest that a link carries in place of the data itself:
// HMAC-SHA-256, keyed by the ticket's text, of the lines name=value sorted by
// name, each ended by a line feed; in lower-case hex.
func Claim(text string, data map[string]string) string {
	mac := hmac.New(sha256.New, []byte(text))
	for _, name := range slices.Sorted(maps.Keys(data)) {
		mac.Write([]byte(name + "=" + data[name] + "\n"))
	}
	return hex.EncodeToString(mac.Sum(nil))
}

// digest is stored in Redis in place of the text.
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// HandOffStore keeps digests of the data that a business hands off with its
// tickets, for one account. Safe for concurrent use.
type HandOffStore struct {
	rdb     redis.UniversalClient
	account string
}

// NewHandOffStore returns the store of an account.
func NewHandOffStore(rdb redis.UniversalClient, account string) *HandOffStore {
	return &HandOffStore{rdb, account}
}

// Save stores digests of the claim and, unless it is empty, of unionID. They
// expire after life, with the ticket. The error is Redis'.
func (s *HandOffStore) Save(ctx context.Context, id ID, claim, unionID string, life time.Duration) error {
	key := handOffKey(s.account, id)
	_, err := s.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.HSet(ctx, key, "c", digest(claim))
		if unionID != "" {
			p.HSet(ctx, key, "u", digest(unionID))
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
// KEYS[1] the hash that Save wrote. ARGV[1] the claim's digest, ARGV[2] maxClaims.
// Returns 1 if the claim matches, else 0.
var checkClaim = redis.NewScript(`
local saved = redis.call('HMGET', KEYS[1], 'c', 'x')
local claim, wrong = saved[1], tonumber(saved[2] or '0')
if not claim or wrong >= tonumber(ARGV[2]) then return 0 end
if claim == ARGV[1] then return 1 end
redis.call('HINCRBY', KEYS[1], 'x', 1)
return 0
`)

// CheckClaim compares claim, in either case of hex, with the saved one. The error
// is ErrMismatch or Redis'. ErrMismatch also means that nothing is saved, that it
// expired, or that 5 wrong claims were made.
func (s *HandOffStore) CheckClaim(ctx context.Context, id ID, claim string) error {
	if claim == "" {
		return ErrMismatch // a missing claim is not a guess: it is not counted
	}
	same, err := checkClaim.Run(ctx, s.rdb, []string{handOffKey(s.account, id)}, digest(strings.ToLower(claim)), maxClaims).Bool()
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
	saved, err := s.rdb.HMGet(ctx, handOffKey(s.account, id), "c", "u").Result()
	if err != nil {
		return fmt.Errorf("ticket: read the handed-off data: %w", err)
	}
	want, wanted := saved[1].(string)
	if saved[0] == nil || wanted && (unionID == "" || want != digest(unionID)) {
		return ErrMismatch
	}
	return nil
}
