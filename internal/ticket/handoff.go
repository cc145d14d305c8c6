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

// maxClaims is how many wrong claims a ticket bears: whoever found the link may
// not try out telephone numbers on it.
const maxClaims = 5

// ErrMismatch is a claim that is not of the data stored first.
var ErrMismatch = errors.New("the claim does not match the data stored with the ticket")

// Key holds a ticket's state, a hash: s is the sealed ticket once it was opened,
// so that a QR code or an OAuth state may name it by its ID; u tells who used it.
func Key(account string, id ID) string { return "wxn:{" + account + "}:t:" + id.String() }

// handOffKey holds the digests of the data that the business stored first.
func handOffKey(account string, id ID) string { return "wxn:{" + account + "}:h:" + id.String() }

// Claim is the digest of data that a link carries in place of the data itself:
// HMAC-SHA-256, keyed by the ticket's text, of the lines name=value in the
// order of the names, each ended by a line feed; in lower-case hex.
func Claim(text string, data map[string]string) string {
	mac := hmac.New(sha256.New, []byte(text))
	for _, name := range slices.Sorted(maps.Keys(data)) {
		mac.Write([]byte(name + "=" + data[name] + "\n"))
	}
	return hex.EncodeToString(mac.Sum(nil))
}

// digest of what must not be readable in Redis.
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// Desk keeps the data handed off with tickets, as digests, for one account.
type Desk struct {
	rdb     redis.UniversalClient
	account string
}

// NewDesk of an account.
func NewDesk(rdb redis.UniversalClient, account string) *Desk { return &Desk{rdb, account} }

// Deposit stores the claim, and the digest of unionid when it is given, until
// the ticket expires.
func (d *Desk) Deposit(ctx context.Context, id ID, claim, unionID string, life time.Duration) error {
	key := handOffKey(d.account, id)
	_, err := d.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.HSet(ctx, key, "c", digest(claim))
		if unionID != "" {
			p.HSet(ctx, key, "u", digest(unionID))
		}
		p.PExpire(ctx, key, life)
		return nil
	})
	if err != nil {
		return fmt.Errorf("ticket: store the data handed off: %w", err)
	}
	return nil
}

// compare counts wrong claims, and keeps nothing that was not deposited.
//
// KEYS[1] the data handed off. ARGV[1] the claim's digest, ARGV[2] how many
// wrong ones it bears.
var compare = redis.NewScript(`
local v = redis.call('HMGET', KEYS[1], 'c', 'x')
if not v[1] or tonumber(v[2] or '0') >= tonumber(ARGV[2]) then return 0 end
if v[1] == ARGV[1] then return 1 end
redis.call('HINCRBY', KEYS[1], 'x', 1)
return 0
`)

// Compare checks a claim. The error is ErrMismatch, also when nothing is stored
// (any more) or too many wrong ones were made, or Redis'.
func (d *Desk) Compare(ctx context.Context, id ID, claim string) error {
	if claim == "" {
		return ErrMismatch // nobody guesses so
	}
	same, err := compare.Run(ctx, d.rdb, []string{handOffKey(d.account, id)}, digest(strings.ToLower(claim)), maxClaims).Bool()
	if err != nil {
		return fmt.Errorf("ticket: compare the data handed off: %w", err)
	}
	if !same {
		return ErrMismatch
	}
	return nil
}

// SamePerson checks the unionid that WeChat told of whoever came back. It is nil
// when none was deposited, ErrMismatch when the deposit is gone.
func (d *Desk) SamePerson(ctx context.Context, id ID, unionID string) error {
	v, err := d.rdb.HMGet(ctx, handOffKey(d.account, id), "c", "u").Result()
	if err != nil {
		return fmt.Errorf("ticket: read the data handed off: %w", err)
	}
	want, wanted := v[1].(string)
	if v[0] == nil || wanted && (unionID == "" || want != digest(unionID)) {
		return ErrMismatch
	}
	return nil
}
