package api

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/internal/seal"
)

// How long an answer is kept for its Idempotency-Key, and how long a call that has
// not answered keeps others out.
const (
	answerLife = 24 * time.Hour
	flightLife = 2 * maxWait
	// maxKept bounds the answers that are kept. A larger one is not kept: its
	// messages have IDs made of the key, so that a repetition sends none twice.
	maxKept = 512 << 10
)

var idempotencyKeyForm = regexp.MustCompile(`^[\x21-\x7e]{1,128}$`)

// kept is the answer to a call, or the note that it is being processed.
type kept struct {
	Body   string `json:"body"`           // digest of the request
	Call   string `json:"call,omitempty"` // names the call
	Status int    `json:"status,omitempty"`
	// Answer is sealed with the caller's API key: it may hold openids, and Redis
	// must not.
	Answer string `json:"answer,omitempty"`
}

// noteScript notes a call for its Idempotency-Key. It returns what is kept of another call,
// or an empty text: also when go-redis repeats it, because the answer was lost.
var noteScript = redisx.NewScript(`
local kept = redis.call('GET', KEYS[1])
if kept and kept ~= ARGV[1] then
  return kept
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ''`)

// endScript replaces a call's note by its answer, or removes it. It leaves what another
// call noted after this one's note ended.
var endScript = redisx.NewScript(`
local kept = redis.call('GET', KEYS[1])
if kept and kept ~= ARGV[1] then
  return 0
end
if ARGV[2] == '' then
  return redis.call('DEL', KEYS[1])
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1`)

// once reads the body and runs do with it. With an Idempotency-Key, the first
// call runs and later ones get its answer.
func (c *call) once(do func(body []byte) error) error {
	body, err := c.read()
	if err != nil {
		return err
	}
	name := c.r.Header.Get("Idempotency-Key")
	if name == "" {
		return do(body)
	}
	if !idempotencyKeyForm.MatchString(name) {
		return malformed(newFault("", "idempotency-key-invalid", "the Idempotency-Key has up to 128 printable ASCII characters without spaces"))
	}
	ctx, rdb, key := c.r.Context(), c.server.cfg.Redis, c.idempotencyKey()
	mine := kept{Body: c.mac("body", c.r.URL.Path+"\n"+string(body)), Call: rand.Text()}
	note, err := json.Marshal(mine)
	if err != nil {
		return fmt.Errorf("idempotency: %w", err)
	}
	first, err := noteScript.Run(ctx, rdb, []string{key}, note, flightLife.Milliseconds()).Text()
	if err != nil {
		return err //nolint:wrapcheck // problemOf says what it means
	}
	if first != "" {
		return c.replay(first, mine)
	}
	err = do(body)
	if err != nil {
		c.fail(err)
	}
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second) // the caller may be gone
	defer cancel()
	c.keep(after, key, note, mine)
	return nil
}

// keep replaces the note by the answer. A call that failed for a passing reason is to be
// repeated, not replayed: it leaves none.
func (c *call) keep(ctx context.Context, key string, note []byte, mine kept) {
	end := func(text []byte) error {
		return endScript.Run(ctx, c.server.cfg.Redis, []string{key}, note, text, answerLife.Milliseconds()).Err()
	}
	if c.status >= http.StatusInternalServerError || c.status == http.StatusTooManyRequests || len(c.body) > maxKept {
		c.noteErr(end(nil))
		return
	}
	answer, err := c.seal(c.body)
	var text []byte
	if err == nil {
		mine.Answer, mine.Status, mine.Call = answer, c.status, ""
		text, err = json.Marshal(mine)
	}
	if err == nil {
		err = end(text)
	}
	c.noteErr(err)
}

// noteErr logs what failed after the answer was written.
func (c *call) noteErr(err error) {
	if err != nil {
		c.server.log.Warn("an answer could not be kept for its Idempotency-Key; its messages are not sent twice", append(c.fields(), zap.NamedError("cause", err))...)
	}
}

// replay answers as the first call of the key was answered, of which text is kept.
func (c *call) replay(text string, mine kept) error {
	var first kept
	if err := json.Unmarshal([]byte(text), &first); err != nil {
		return fmt.Errorf("read a kept answer: %w", err)
	}
	switch {
	case first.Body != mine.Body:
		return problemf(http.StatusUnprocessableEntity, codeKeyReused, "use a new Idempotency-Key for another request")
	case first.Status == 0:
		return problemf(http.StatusConflict, codeInFlight, "the first call with this Idempotency-Key has not been answered yet").retry(time.Second)
	}
	body, err := c.open(first.Answer)
	if err != nil {
		// The key was rotated in between: another secret cannot read the answer.
		return problemf(http.StatusConflict, codeInFlight, "the first answer was sealed with the key's former secret: read the messages by their IDs")
	}
	c.w.Header().Set("Idempotent-Replay", "true")
	c.w.Header().Set("Content-Type", "application/json")
	if first.Status >= http.StatusBadRequest {
		c.w.Header().Set("Content-Type", "application/problem+json")
	}
	c.write(first.Status, body)
	return nil
}

func (c *call) idempotencyKey() string {
	return redisx.Prefix(c.key.Account) + "api:idem:" + c.mac("name", c.key.ID+"\n"+c.r.Header.Get("Idempotency-Key"))
}

// mac digests text under the caller's secret, so that Redis confirms no guess of a
// body that holds an openid.
func (c *call) mac(use, text string) string {
	h := hmac.New(sha256.New, c.sealKey())
	_, _ = h.Write([]byte(use + "\n" + text))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:18])
}

func (c *call) sealKey() []byte {
	sum := sha256.Sum256([]byte("wxnotify answer\n" + c.secret))
	return sum[:]
}

func (c *call) seal(body []byte) (string, error) {
	aead, err := seal.NewAEAD(c.sealKey())
	if err != nil {
		return "", fmt.Errorf("seal an answer: %w", err)
	}
	return base64.StdEncoding.EncodeToString(aead.Seal(nil, nil, body, nil)), nil
}

func (c *call) open(text string) ([]byte, error) {
	aead, err := seal.NewAEAD(c.sealKey())
	var sealed, body []byte
	if err == nil {
		sealed, err = base64.StdEncoding.DecodeString(text)
	}
	if err == nil {
		body, err = aead.Open(nil, nil, sealed, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("open a kept answer: %w", err)
	}
	return body, nil
}
