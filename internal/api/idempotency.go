package api

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/redis/go-redis/v9"
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
	Body   string `json:"body"` // digest of the request
	Status int    `json:"status,omitempty"`
	// Answer is sealed with the caller's API key: it may hold openids, and Redis
	// must not.
	Answer string `json:"answer,omitempty"`
}

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
	mine := kept{Body: c.mac("body", c.r.URL.Path+"\n"+string(body))}
	text, err := json.Marshal(mine)
	if err != nil {
		return fmt.Errorf("idempotency: %w", err)
	}
	err = rdb.SetArgs(ctx, key, text, redis.SetArgs{Mode: "NX", TTL: flightLife}).Err()
	if errors.Is(err, redis.Nil) {
		return c.replay(key, mine)
	}
	if err != nil {
		return err //nolint:wrapcheck // problemOf says what it means
	}
	err = do(body)
	if err != nil {
		c.fail(err)
	}
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second) // the caller may be gone
	defer cancel()
	c.keep(after, key, mine)
	return nil
}

// keep keeps the answer for its Idempotency-Key. A call that failed for a passing
// reason is to be repeated, not replayed.
func (c *call) keep(ctx context.Context, key string, mine kept) {
	rdb := c.server.cfg.Redis
	if c.status >= http.StatusInternalServerError || c.status == http.StatusTooManyRequests || len(c.body) > maxKept {
		c.noteErr(rdb.Del(ctx, key).Err())
		return
	}
	answer, err := c.seal(c.body)
	var text []byte
	if err == nil {
		mine.Answer, mine.Status = answer, c.status
		text, err = json.Marshal(mine)
	}
	if err == nil {
		err = rdb.Set(ctx, key, text, answerLife).Err()
	}
	c.noteErr(err)
}

// noteErr logs what failed after the answer was written.
func (c *call) noteErr(err error) {
	if err != nil {
		c.server.log.Warn("an answer could not be kept for its Idempotency-Key; its messages are not sent twice", append(c.fields(), zap.NamedError("cause", err))...)
	}
}

// replay answers as the first call of the key was answered.
func (c *call) replay(key string, mine kept) error {
	text, err := c.server.cfg.Redis.Get(c.r.Context(), key).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return err //nolint:wrapcheck // as above
	}
	var first kept
	if err == nil {
		if err := json.Unmarshal([]byte(text), &first); err != nil {
			return fmt.Errorf("read a kept answer: %w", err)
		}
	}
	switch {
	case first.Body != "" && first.Body != mine.Body:
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
