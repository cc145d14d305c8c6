package wechat

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/wxnotify/wxnotify/internal/mask"
)

// answerLimit is the longest answer in bytes. The longest real one, 25
// templates, has about ten thousand.
const answerLimit = 1 << 20

// contentType names the charset because WeChat assumes another one otherwise.
const contentType = "application/json; charset=utf-8"

// caller makes single calls to one host.
type caller struct {
	base      url.URL
	client    *http.Client
	transport http.RoundTripper
	timeout   time.Duration
}

func newCaller(cfg Config) (*caller, error) {
	base, err := parseBaseURL(cfg.BaseURL)
	if err != nil {
		return nil, err
	}
	proxy, err := parseProxy(cfg.Proxy.Reveal())
	if err != nil {
		return nil, err
	}
	c := &caller{base: *base, client: cfg.HTTPClient, timeout: cfg.Timeout}
	if c.client == nil {
		c.client = &http.Client{Transport: newTransport(proxy)}
	}
	if c.transport = c.client.Transport; c.transport == nil {
		c.transport = http.DefaultTransport
	}
	if c.timeout == 0 {
		c.timeout = defaultTimeout
	}
	if limit := c.client.Timeout; limit > 0 {
		c.timeout = min(c.timeout, limit)
	}
	return c, nil
}

// call is one request.
type call struct {
	op    string // the path
	query url.Values
	token string // added to the query; empty: none
	body  []byte // nil: GET
	// appSecret and secrets must appear in no error, like token, the openid of
	// the query and the recipient in body.
	appSecret Secret
	secrets   []string
	// once forbids net/http to repeat a GET on another connection.
	once bool
}

// do makes the call once and decodes the answer into a. The error is a *TransportError,
// or the *Error of the answer's errcode.
func (c *caller) do(ctx context.Context, k call, a answer) error {
	if err := ctx.Err(); err != nil {
		return &TransportError{Op: k.op, Err: err}
	}
	limited, cancel := c.limit(ctx)
	defer cancel()
	traced, trace := traceWrites(limited, k)
	defer trace.abort(nil)
	req, err := c.request(traced, k)
	if err != nil {
		return &TransportError{Op: k.op, Err: err}
	}
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		if errors.Is(context.Cause(traced), errRepeat) {
			err = errRepeat
		} else {
			err = c.explainTimeout(ctx, limited, mask.WithoutURL(err))
		}
		ambiguous := trace.written.Load() && !isDialError(err)
		return &TransportError{Op: k.op, Ambiguous: ambiguous, Err: k.conceal(err)}
	}
	defer func() { _ = resp.Body.Close() }()
	// The body of another status is read too, so that the connection is reused.
	data, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit+1))
	switch {
	case resp.StatusCode != http.StatusOK:
		return statusError(k.op, resp.StatusCode)
	case err != nil:
		err = fmt.Errorf("read the answer: %w", c.explainTimeout(ctx, limited, err))
		return &TransportError{Op: k.op, HTTPStatus: resp.StatusCode, Ambiguous: true, Err: k.conceal(err)}
	case len(data) > answerLimit:
		return unreadable(k.op, fmt.Sprintf("the answer is longer than %d bytes", answerLimit))
	}
	return decodeAnswer(k, data, a)
}

// limit bounds a call by the timeout, unless the caller's own bound comes first.
func (c *caller) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if end, bounded := ctx.Deadline(); bounded && time.Until(end) <= c.timeout {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, c.timeout)
}

// request sets the URL's fields one by one: no text with the token is parsed, so
// no parse error can quote it. With a body it has GetBody, so that net/http repeats a
// POST on another connection when a kept one fails before a byte of the request was
// written. That is safe, and prevents a failed send when WeChat closes an idle
// connection.
func (c *caller) request(ctx context.Context, k call) (*http.Request, error) {
	method, body := http.MethodGet, io.Reader(nil)
	if k.body != nil {
		method, body = http.MethodPost, bytes.NewReader(k.body)
	}
	req, err := http.NewRequestWithContext(ctx, method, "", body)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	*req.URL, req.Host = c.base, c.base.Host
	req.URL.Path += k.op
	req.URL.RawQuery = k.encodedQuery()
	if k.body != nil {
		req.Header.Set("Content-Type", contentType)
	}
	return req, nil
}

// encodedQuery avoids a copy of the query's map for the token.
func (k call) encodedQuery() string {
	rest := k.query.Encode()
	if k.token == "" {
		return rest
	}
	query := "access_token=" + url.QueryEscape(k.token)
	if rest != "" {
		query += "&" + rest
	}
	return query
}

// known returns the texts that must appear in no error, as they are and as a
// query escapes them.
func (k call) known() []string {
	texts := append([]string{k.token, k.appSecret.Reveal(), k.query.Get("openid"), recipientOf(k.body)}, k.secrets...)
	for _, text := range texts {
		texts = append(texts, url.QueryEscape(text))
	}
	return texts
}

// writeTrace observes what net/http writes of one call.
type writeTrace struct {
	written atomic.Bool // bytes of the request may have left
	sent    atomic.Bool // a whole request has left
	abort   context.CancelCauseFunc
}

var errRepeat = errors.New("the connection was lost after the request was written")

// traceWrites observes the call made with the returned context. net/http repeats
// a POST only when nothing of it was written. It repeats a GET whose kept
// connection breaks before the answer, unless the call is once: then the trace
// cancels the context with errRepeat.
func traceWrites(ctx context.Context, k call) (context.Context, *writeTrace) {
	t := &writeTrace{abort: func(error) {}}
	post, once := k.body != nil, k.once // or k would be copied to the heap
	if once {
		ctx, t.abort = context.WithCancelCause(ctx)
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) {
			switch {
			case post:
				t.written.Store(false)
			case once && t.sent.Load():
				t.abort(errRepeat)
			}
		},
		WroteHeaders: func() { t.written.Store(true) },
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			t.written.Store(true)
			if info.Err == nil {
				t.sent.Store(true)
			}
		},
	}), t
}

// explainTimeout replaces an error that Config.Timeout caused.
func (c *caller) explainTimeout(ctx, limited context.Context, err error) error {
	if ctx.Err() == nil && errors.Is(limited.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %s: %w", c.timeout, context.DeadlineExceeded)
	}
	return err
}

// statusError is an answer with another HTTP status than 200. WeChat may have
// accepted the message before a server error, but not before a redirect or a
// client error.
func statusError(op string, status int) *TransportError {
	text := "HTTP " + strconv.Itoa(status)
	if name := http.StatusText(status); name != "" {
		text += " " + name
	}
	refused := status >= 300 && status < 500
	return &TransportError{Op: op, HTTPStatus: status, Ambiguous: !refused, Err: errors.New(text)}
}

// unreadable is an answer with status 200 that is not WeChat's. It never quotes
// the body.
func unreadable(op, why string) *TransportError {
	return &TransportError{Op: op, HTTPStatus: http.StatusOK, Ambiguous: true, Err: errors.New(why)}
}

func isDialError(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

// concealedError replaces an error whose text has a secret. errors.Is works on
// it, but it does not return the original.
type concealedError struct {
	text  string
	cause error
}

func (e *concealedError) Error() string        { return e.text }
func (e *concealedError) Is(target error) bool { return errors.Is(e.cause, target) }

// conceal returns err unless its text has one of the call's secrets, or quotes an
// answer that is not HTTP, which may hold anything.
func (k call) conceal(err error) error {
	text := err.Error()
	if strings.Contains(text, "malformed") {
		return &concealedError{text: "the answer is not HTTP", cause: err}
	}
	known := k.known()
	for _, secret := range known {
		if len(secret) >= shortestSecret && strings.Contains(text, secret) {
			return &concealedError{text: scrub(text, known), cause: err}
		}
	}
	return err
}
