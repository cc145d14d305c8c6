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
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// answerLimit bounds an answer; the longest real one, 25 templates, has some
// ten kilobytes.
const answerLimit = 1 << 20

// contentType: WeChat reads the body as UTF-8 only when told.
const contentType = "application/json; charset=utf-8"

// caller makes single calls to one host.
type caller struct {
	base    url.URL
	http    *http.Client
	timeout time.Duration
}

func newCaller(cfg Config) (*caller, error) {
	base, err := parseBaseURL(cfg.BaseURL)
	if err != nil {
		return nil, err
	}
	hc := cfg.HTTPClient
	if hc == nil {
		hc = newHTTPClient()
	}
	timeout := cfg.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	return &caller{base: *base, http: withoutRedirects(hc), timeout: timeout}, nil
}

// call is one request.
type call struct {
	op    string // the path
	query url.Values
	token string          // added to the query; empty: none
	body  []byte          // nil: GET
	known func() []string // texts that must appear in no error; asked for when there is one
	once  bool            // net/http must not repeat it, though it is a GET
}

// do makes the call once and returns the answer's bytes. Every failure is a
// *TransportError.
func (c *caller) do(ctx context.Context, k call) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, &TransportError{Op: k.op, Err: err}
	}
	limited, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	traced, written := traceWrites(limited, k.body != nil)
	if k.once {
		var end context.CancelCauseFunc
		traced, end = refuseRepeats(traced)
		defer end(nil)
	}
	resp, err := c.http.Do(c.request(traced, k))
	if err != nil {
		err = c.explainTimeout(ctx, limited, withoutURL(err))
		if errors.Is(context.Cause(traced), errRepeat) {
			err = errRepeat
		}
		return nil, &TransportError{Op: k.op, Ambiguous: written.Load() && !isDialError(err), Err: conceal(err, k.secrets())}
	}
	defer func() { _ = resp.Body.Close() }() // read to the end or given up
	data, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit+1))
	if resp.StatusCode != http.StatusOK {
		// Read to the end all the same, so that the connection lives on.
		return nil, statusError(k.op, resp.StatusCode)
	}
	if err != nil {
		err = fmt.Errorf("read the answer: %w", c.explainTimeout(ctx, limited, err))
		return nil, &TransportError{Op: k.op, HTTPStatus: resp.StatusCode, Ambiguous: true, Err: conceal(err, k.secrets())}
	}
	if len(data) > answerLimit {
		return nil, unreadable(k.op, fmt.Sprintf("the answer is longer than %d bytes", answerLimit))
	}
	return data, nil
}

// request builds the URL field by field: no text with the token is ever
// parsed, so no parse error can quote it.
func (c *caller) request(ctx context.Context, k call) *http.Request {
	u := c.base
	u.Path += k.op
	u.RawQuery = k.encodedQuery()
	req := &http.Request{
		Method: http.MethodGet, URL: &u, Host: u.Host, Header: make(http.Header, 1),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	if k.body != nil {
		req.Method = http.MethodPost
		req.Header.Set("Content-Type", contentType)
		req.ContentLength = int64(len(k.body))
		req.Body = newBody(k.body)
		// net/http repeats a POST by itself only on a connection that was kept
		// alive and died before a single byte of this request was written: safe,
		// and it spares a failure whenever WeChat closes an idle connection.
		req.GetBody = func() (io.ReadCloser, error) { return newBody(k.body), nil }
	}
	return req.WithContext(ctx)
}

// secrets are the texts that must appear in no error.
func (k call) secrets() []string {
	if k.known == nil {
		return nil
	}
	return k.known()
}

// alsoKnown adds texts to those that must appear in no error.
func (k call) alsoKnown(more func() []string) func() []string {
	known := k.known
	if known == nil {
		return more
	}
	return func() []string { return append(known(), more()...) }
}

// quoting are texts as they are and as a query has them.
func quoting(texts ...string) func() []string {
	return func() []string {
		out := slices.Clone(texts)
		for _, text := range texts {
			out = append(out, url.QueryEscape(text))
		}
		return out
	}
}

// encodedQuery spares the usual call, which has the token alone, a map and its
// sorting.
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

// newBody tells net/http when there is nothing to send: it would take a length
// of 0 for an unknown one.
func newBody(body []byte) io.ReadCloser {
	if len(body) == 0 {
		return http.NoBody
	}
	return io.NopCloser(bytes.NewReader(body))
}

// traceWrites tells whether bytes of the request may have left. When net/http
// starts a POST anew, nothing of the time before was written.
func traceWrites(ctx context.Context, post bool) (context.Context, *atomic.Bool) {
	written := new(atomic.Bool)
	trace := &httptrace.ClientTrace{
		WroteHeaders: func() { written.Store(true) },
		WroteRequest: func(httptrace.WroteRequestInfo) { written.Store(true) },
	}
	if post {
		trace.GetConn = func(string) { written.Store(false) }
	}
	return httptrace.WithClientTrace(ctx, trace), written
}

var errRepeat = errors.New("the connection was lost after the request was written")

// refuseRepeats ends the context when net/http is about to make a request
// again that it has written already. It does so by itself with a GET whose kept
// connection breaks before the answer.
func refuseRepeats(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, end := context.WithCancelCause(ctx)
	sent := new(atomic.Bool)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest: func(info httptrace.WroteRequestInfo) { sent.Store(sent.Load() || info.Err == nil) },
		GetConn: func(string) {
			if sent.Load() {
				end(errRepeat)
			}
		},
	}), end
}

// explainTimeout says in words that it was our own limit that ended the call.
func (c *caller) explainTimeout(ctx, limited context.Context, err error) error {
	if ctx.Err() == nil && errors.Is(limited.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %s: %w", c.timeout, context.DeadlineExceeded)
	}
	return err
}

// statusError is an answer whose HTTP status is not 200. A server error may
// hide a message that was accepted; a redirect or a client error cannot.
func statusError(op string, status int) *TransportError {
	text := "HTTP " + strconv.Itoa(status)
	if words := http.StatusText(status); words != "" {
		text += " " + words
	}
	refused := status >= 300 && status < 500
	return &TransportError{Op: op, HTTPStatus: status, Ambiguous: !refused, Err: errors.New(text)}
}

// unreadable is a 200 answer that is not WeChat's. It never quotes the body.
func unreadable(op, why string) *TransportError {
	return &TransportError{Op: op, HTTPStatus: http.StatusOK, Ambiguous: true, Err: errors.New(why)}
}

// withoutURL drops the *url.Error around what went wrong: it prints the whole
// URL, token included.
func withoutURL(err error) error {
	var u *url.Error
	for errors.As(err, &u) {
		err = u.Err
	}
	return err
}

func isDialError(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// concealed stands in for an error whose text holds something secret: it still
// answers errors.Is, but hands nobody the original.
type concealed struct {
	text  string
	cause error
}

func (e *concealed) Error() string        { return e.text }
func (e *concealed) Is(target error) bool { return errors.Is(e.cause, target) }

// conceal returns err itself unless its text quotes one of known, or what the
// other side wrote instead of HTTP, which may be anything.
func conceal(err error, known []string) error {
	text := err.Error()
	if strings.Contains(text, "malformed") {
		return &concealed{text: "the answer is not HTTP", cause: err}
	}
	for _, secret := range known {
		if len(secret) >= shortestSecret && strings.Contains(text, secret) {
			return &concealed{text: scrub(text, known), cause: err}
		}
	}
	return err
}
