package api

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/apikey"
	"github.com/wxnotify/wxnotify/internal/locale"
	"github.com/wxnotify/wxnotify/wechat"
)

// call is one request with what it was answered.
type call struct {
	server  *server
	w       http.ResponseWriter
	r       *http.Request
	id      string // X-Request-Id
	route   string
	key     *apikey.Key // nil: the operation needs none
	account *Account    // of the key
	secret  string      // of the key; seals what is kept of the answer
	started time.Time
	status  int
	body    []byte   // what was answered, for Idempotency-Key
	problem *problem // nil: the call succeeded
}

var requestIDForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// serve runs one route: request id, key, scope, rate, deadline, log.
func (s *server) serve(r route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		c := &call{server: s, w: w, r: req, route: r.pattern, started: time.Now(), id: req.Header.Get("X-Request-Id")}
		if !requestIDForm.MatchString(c.id) {
			c.id = strings.ToLower(rand.Text())
		}
		w.Header().Set("X-Request-Id", c.id)
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		ctx, cancel := context.WithTimeout(req.Context(), maxWait)
		defer cancel()
		c.r = req.WithContext(ctx)
		c.r.Body = http.MaxBytesReader(w, req.Body, MaxBody)
		defer c.end()
		if err := c.run(r); err != nil {
			c.fail(err)
		}
	})
}

func (c *call) run(r route) error {
	if r.scope != "" {
		if err := c.authorize(r.scope); err != nil {
			return err
		}
		if c.account = c.server.accounts[c.key.Account]; c.account == nil {
			return problemf(http.StatusForbidden, codeAccount, "this process does not serve the account %s", c.key.Account)
		}
		if !r.takesQuery() {
			if _, faults := parameters(c.r.URL.RawQuery, nil, ""); len(faults) > 0 {
				return malformed(faults...)
			}
		}
		if err := c.note(r); err != nil {
			return err
		}
	}
	return r.do(c)
}

// end logs the call. A panic becomes a problem, so that one request cannot end
// the process that also sends.
func (c *call) end() {
	if cause := recover(); cause != nil {
		if cause == http.ErrAbortHandler { //nolint:errorlint // the value that net/http documents
			panic(cause)
		}
		c.fail(fmt.Errorf("panic: %v\n%s", cause, debug.Stack()))
	}
	c.server.cfg.OnCall(Call{Route: c.route, Status: c.status, Took: time.Since(c.started)})
	if c.key != nil || c.status >= http.StatusBadRequest {
		c.server.log.Info("api", c.fields()...)
	}
}

// fields of the call's log line. Neither query, body nor key are in it.
func (c *call) fields() []zap.Field {
	out := []zap.Field{
		zap.String("request_id", c.id), zap.String("route", c.route), zap.Int("status", c.status),
		zap.Float64("latency_ms", float64(time.Since(c.started).Microseconds())/1000),
	}
	if c.key != nil {
		out = append(out, zap.String("account", c.key.Account), zap.String("key", c.key.ID))
	}
	if c.problem != nil {
		out = append(out, zap.String("code", string(c.problem.Code)), zap.String("client", c.server.cfg.ClientIP(c.r)))
	}
	return out
}

// authorize verifies the key and what it may do.
func (c *call) authorize(scope apikey.Scope) error {
	client := c.server.cfg.ClientIP(c.r)
	scheme, secret, _ := strings.Cut(c.r.Header.Get("Authorization"), " ")
	secret = strings.TrimSpace(secret)
	if wait := c.server.keys.Blocked(client, secret); wait > 0 {
		return problemf(http.StatusTooManyRequests, codeRate, "too many calls with a wrong key came from this address").retry(wait)
	}
	if !strings.EqualFold(scheme, "Bearer") || secret == "" {
		return problemf(http.StatusUnauthorized, codeUnknownKey, "send the header Authorization: Bearer wxn_live_…")
	}
	key, err := c.server.keys.Verify(c.r.Context(), secret)
	if errors.Is(err, apikey.ErrUnknown) {
		c.server.keys.Failed(client)
		return errUnknownKey()
	}
	if err != nil {
		return err
	}
	c.key, c.secret = key, secret
	wait, limit, left := c.server.keys.Allow(key)
	c.w.Header().Set("RateLimit-Limit", strconv.Itoa(limit))
	c.w.Header().Set("RateLimit-Remaining", strconv.Itoa(left))
	c.w.Header().Set("RateLimit-Reset", "1")
	if wait > 0 {
		return problemf(http.StatusTooManyRequests, codeRate, "the key may make %d calls a second", limit).retry(wait)
	}
	if !key.May(scope) {
		return problemf(http.StatusForbidden, codeScope, "the key has not the scope %s", scope)
	}
	return nil
}

func errUnknownKey() error {
	return problemf(http.StatusUnauthorized, codeUnknownKey, "the key is unknown, or was revoked")
}

// read reads the body, which must be JSON.
func (c *call) read() ([]byte, error) {
	media, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil || media != "application/json" {
		return nil, problemf(http.StatusUnsupportedMediaType, codeMediaType, "send the header Content-Type: application/json")
	}
	if coding := c.r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil, problemf(http.StatusUnsupportedMediaType, codeMediaType, "send the body as it is, without Content-Encoding: compressed bodies are not read")
	}
	if c.r.ContentLength > MaxBody {
		return nil, &http.MaxBytesError{Limit: MaxBody} // a client that waits for leave to send it need not
	}
	body, err := io.ReadAll(c.r.Body)
	if err != nil {
		var tooBig *http.MaxBytesError
		if errors.As(err, &tooBig) {
			return nil, err //nolint:wrapcheck // problemOf says what it means
		}
		return nil, problemf(http.StatusBadRequest, codeMalformed, "the body ended early")
	}
	return body, nil
}

// answer writes v as JSON.
func (c *call) answer(status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.write(status, append(body, '\n'))
	return nil
}

func (c *call) write(status int, body []byte) {
	c.status, c.body = status, body
	c.w.WriteHeader(status)
	_, _ = c.w.Write(body) // the caller is gone: nothing to tell it
}

// lang is the language that the caller prefers, English or Chinese.
func (c *call) lang() wechat.Lang { return locale.FromHeader(c.r.Header.Get("Accept-Language")) }
