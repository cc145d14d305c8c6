package wechat

import (
	"crypto/rand"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/hex"
	"math/big"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// nonceLimit bounds WeChat's nonce, some ten digits. The signature does not
// cover where one part ends and the next begins: a nonce of 64 more characters
// could swallow three whole cipher blocks from the head of Encrypt.
const nonceLimit = 60

// signature is hex(sha1(concat(sort(parts)))), the one formula of all
// signatures (docs: 消息加解密说明).
func signature(parts ...string) string {
	slices.Sort(parts)
	sum := sha1.Sum([]byte(strings.Join(parts, "")))
	return hex.EncodeToString(sum[:])
}

// signedQuery is a query whose signature one of the tokens made.
type signedQuery struct {
	token     Secret
	at        time.Time
	nonce     string
	signature string
}

// verify checks the signature that stands in the named parameter, over
// timestamp, nonce and more, and then its age.
func (c *Callback) verify(query url.Values, parameter string, now time.Time, more ...string) (signedQuery, error) {
	given, timestamp := query.Get(parameter), query.Get("timestamp")
	at, ok := parseTimestamp(timestamp)
	q := signedQuery{at: at, nonce: query.Get("nonce"), signature: given}
	if given == "" {
		return q, refused(CallbackFaultSignature, "the query has no "+parameter)
	}
	// Nothing but digits and a short word: a longer or stranger one may be
	// another cut of the same signed text, or have more text appended to it.
	if !ok || !isToken(q.nonce, nonceLimit) {
		return q, refused(CallbackFaultSignature, "the query has no timestamp and nonce of WeChat's form")
	}
	for _, t := range c.tokens {
		if !t.live(now) {
			continue
		}
		want := signature(append([]string{t.Value.Reveal(), timestamp, q.nonce}, more...)...)
		if subtle.ConstantTimeCompare([]byte(want), []byte(given)) == 1 {
			q.token = t.Value
			return q, c.checkAge(at, now)
		}
	}
	return q, refused(CallbackFaultSignature, parameter+" is not made with the account's Token")
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

// parseTimestamp reads seconds as WeChat writes them: digits without sign or
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

// latestSecond is the end of the year 9999, the last that time.Time can print.
const latestSecond = 253402300799

// newNonce makes ten digits, as WeChat's own nonce has.
func newNonce() string {
	n, err := rand.Int(rand.Reader, big.NewInt(9_000_000_000))
	if err != nil { // crypto/rand ends the process before it fails
		panic("wechat: no randomness: " + err.Error())
	}
	return strconv.FormatInt(n.Int64()+1_000_000_000, 10)
}
