package wechat

import (
	"crypto/rand"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// nonceLimit is the longest nonce; WeChat's has about ten digits. The signature
// does not cover the borders between its parts: a nonce longer by 64 characters
// could take three whole cipher blocks from the start of Encrypt.
const nonceLimit = 60

// signature is hex(sha1(concat(sort(parts)))), the formula of all signatures
// (docs: 消息加解密说明).
func signature(parts ...string) string {
	slices.Sort(parts)
	sum := sha1.Sum([]byte(strings.Join(parts, "")))
	return hex.EncodeToString(sum[:])
}

// signedQuery is a verified query and the token of its signature.
type signedQuery struct {
	token     Secret
	at        time.Time
	nonce     string
	signature string
}

// verify checks the signature in the named parameter, over timestamp, nonce and
// more, and then the timestamp.
func (c *Callback) verify(query url.Values, parameter string, now time.Time, more ...string) (signedQuery, error) {
	q, err := formOf(query, parameter)
	if err != nil {
		return q, err
	}
	timestamp := query.Get("timestamp")
	for _, t := range c.tokens {
		if !t.live(now) {
			continue
		}
		want := signature(append([]string{t.Value.Reveal(), timestamp, q.nonce}, more...)...)
		if subtle.ConstantTimeCompare([]byte(want), []byte(q.signature)) == 1 {
			q.token = t.Value
			return q, c.checkAge(q.at, now)
		}
	}
	return q, refused(CallbackFaultSignature, parameter+" is not made with the account's Token")
}

// formOf reads the query whose signature is in the named parameter. It verifies the
// form of its parts only.
func formOf(query url.Values, parameter string) (signedQuery, error) {
	at, ok := parseTimestamp(query.Get("timestamp"))
	q := signedQuery{at: at, nonce: query.Get("nonce"), signature: query.Get(parameter)}
	if q.signature == "" {
		return q, refused(CallbackFaultSignature, "the query has no "+parameter)
	}
	// Only digits and a short word: a longer one may be another split of the same
	// signed text, or have more text appended.
	if !ok || !isToken(q.nonce, nonceLimit) {
		return q, refused(CallbackFaultSignature, "the query has no valid timestamp and nonce")
	}
	if len(q.signature) != 2*sha1.Size || strings.Trim(q.signature, "0123456789abcdef") != "" {
		return q, refused(CallbackFaultSignature, parameter+" is not 40 hexadecimal digits")
	}
	return q, nil
}

func (c *Callback) checkAge(at, now time.Time) error {
	switch age := now.Sub(at).Truncate(time.Second); {
	case age > c.window:
		return refused(CallbackFaultStale, "it was signed "+age.String()+" ago, and "+c.window.String()+" are allowed")
	case age < -c.window:
		return refused(CallbackFaultStale, "it was signed "+(-age).String()+" ahead of our clock, and "+c.window.String()+" are allowed")
	}
	return nil
}

// parseTimestamp parses seconds as WeChat writes them: digits without sign and
// leading zero.
func parseTimestamp(text string) (time.Time, bool) {
	if text == "" || text[0] < '1' || text[0] > '9' {
		return time.Time{}, false
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds > latestSecond {
		return time.Time{}, false
	}
	return time.Unix(seconds, 0), true
}

// latestSecond is the end of the year 9999, the last that time.Time can format.
const latestSecond = 253402300799

// A nonce between these two is one of SignForward's. The signed text is timestamp,
// nonce and Token in the order of their letters, without separators. Since a nonce
// that begins and ends with a letter can be told from a timestamp and sorts behind
// it, the text has no other split into a fresh timestamp and a nonce.
const (
	forwardPrefix = "wxnotify"
	forwardSuffix = "f"
)

// newNonce makes ten digits, as WeChat's nonce has.
func newNonce() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return strconv.FormatUint(binary.BigEndian.Uint64(b[:])%9_000_000_000+1_000_000_000, 10)
}
