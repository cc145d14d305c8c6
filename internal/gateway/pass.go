package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/apikey"
	"github.com/wxnotify/wxnotify/internal/mask"
	"github.com/wxnotify/wxnotify/wechat"
)

const (
	// replayable bounds the bodies that can be sent again after a refused token.
	// Longer ones are streamed, and their caller repeats the call.
	replayable = 64 << 10
	// peekSize is how much of an answer is read to find its errcode.
	peekSize = 4 << 10
	// passLife bounds a call that is passed on, with its bodies.
	passLife = time.Minute
)

// upstream is an account with the proxy of its calls.
type upstream struct {
	Account
	base  *url.URL
	proxy *httputil.ReverseProxy
}

func newUpstream(a Account) (*upstream, error) {
	base, err := url.Parse(a.BaseURL)
	if err != nil || base.Host == "" {
		return nil, errors.New("gateway: the account's base URL is none")
	}
	u := &upstream{Account: a, base: base}
	u.proxy = &httputil.ReverseProxy{
		Rewrite:      u.rewrite,
		Transport:    u,
		ErrorHandler: u.failed,
		// An answer is passed on as it comes, not gathered.
		FlushInterval: -1,
	}
	return u, nil
}

// passing is what rewrite and the transport need of a request.
type passing struct {
	*request
	secret bool // the query's secret is to become the AppSecret
	tries  int
}

type passingKey struct{}

// pass hands the call on to WeChat with the account's token.
func (q *request) pass() error {
	p := &passing{request: q}
	if err := p.identify(); err != nil {
		return err
	}
	if !slices.ContainsFunc(q.key.Paths, func(allowed string) bool { return covers(allowed, q.path) }) {
		return refuse(wechat.CodeUnauthorized, "api unauthorized: "+q.path+" is not among the API key's paths; `wxnotify api keys create --paths` lists them")
	}
	// WeChat's server may take other capitals for the same path.
	if q.key.Kind != apikey.Live && strings.HasPrefix(strings.ToLower(q.path), messagePaths) {
		return refuse(wechat.CodeUnauthorized, "api unauthorized: a "+string(q.key.Kind)+" key writes to no followers but those that "+wechat.SendPath+" lets it reach")
	}
	if err := p.buffer(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(q.r.Context(), passLife)
	defer cancel()
	q.up.proxy.ServeHTTP(q.w, q.r.WithContext(context.WithValue(ctx, passingKey{}, p)))
	return nil
}

// identify takes the caller by its token, or by an API key where a call of web
// authorisation has an AppSecret instead. The AppSecret is given to no other path.
func (p *passing) identify() error {
	secret := p.query.Get("secret")
	if p.query.Has("access_token") || secret == "" || !strings.HasPrefix(p.path, webAuthorisation) {
		return p.authorize()
	}
	key, err := p.verifySecret(secret)
	if err != nil {
		return err
	}
	p.secret = true
	return p.admit(key)
}

// covers reports whether the allowed path is path, or a folder above it.
func covers(allowed, path string) bool {
	return path == allowed || strings.HasSuffix(allowed, "/") && strings.HasPrefix(path, allowed)
}

// buffer makes a short body replayable.
func (p *passing) buffer() error {
	if p.r.Body == nil || p.r.ContentLength == 0 {
		p.r.Body, p.r.GetBody = http.NoBody, func() (io.ReadCloser, error) { return http.NoBody, nil }
		return nil
	}
	if p.r.ContentLength < 0 || p.r.ContentLength > replayable {
		return nil
	}
	body, err := p.body()
	if err != nil {
		return err
	}
	p.r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	p.r.Body, _ = p.r.GetBody()
	return nil
}

// rewrite addresses the call to WeChat. The token is added by RoundTrip.
func (u *upstream) rewrite(r *httputil.ProxyRequest) {
	p, _ := r.In.Context().Value(passingKey{}).(*passing)
	r.SetURL(u.base)
	r.Out.Host = u.base.Host
	r.Out.GetBody = p.r.GetBody
	for _, name := range []string{"Authorization", "Cookie", "X-Forwarded-For", "X-Real-Ip", "Forwarded", "X-Request-Id"} {
		r.Out.Header.Del(name)
	}
	r.Out.Header.Del("Accept-Encoding") // so that an errcode can be read in the answer
}

// RoundTrip makes the call with the account's token. A refused token is reported,
// and the call made again with the next one where the body allows it.
func (u *upstream) RoundTrip(r *http.Request) (*http.Response, error) {
	p, _ := r.Context().Value(passingKey{}).(*passing)
	for {
		token, err := p.fill(r)
		if err != nil {
			return nil, err
		}
		resp, err := u.transport().RoundTrip(r)
		if err != nil {
			return nil, mask.WithoutURL(err)
		}
		p.errcode, err = peek(resp)
		if err != nil {
			return nil, mask.WithoutURL(err)
		}
		if p.secret || p.errcode.Kind() != wechat.KindToken {
			return resp, nil
		}
		if err := u.Tokens.Invalidate(r.Context(), token); err != nil {
			u.note(p, err)
			return resp, nil
		}
		p.tries++
		if p.tries > 1 || r.GetBody == nil {
			return resp, nil
		}
		_ = resp.Body.Close()
		if r.Body, err = r.GetBody(); err != nil {
			return nil, fmt.Errorf("repeat the body: %w", err)
		}
	}
}

func (u *upstream) transport() http.RoundTripper {
	if u.Transport != nil {
		return u.Transport
	}
	return http.DefaultTransport
}

func (u *upstream) note(p *passing, err error) {
	p.g.log.Warn("a refused token could not be reported", zap.String("account", u.AppID), zap.NamedError("cause", err))
}

// fill puts the account's token, or its AppSecret, into the query.
func (p *passing) fill(r *http.Request) (wechat.Token, error) {
	q := r.URL.Query()
	if p.secret {
		q.Set("secret", p.up.AppSecret.Reveal())
		r.URL.RawQuery = q.Encode()
		return wechat.Token{}, nil
	}
	token, err := p.up.Tokens.Token(r.Context())
	if err != nil {
		return token, fmt.Errorf("the account's token: %w", err)
	}
	q.Set("access_token", token.Value.Reveal())
	r.URL.RawQuery = q.Encode()
	return token, nil
}

// failed answers for a call that WeChat did not answer.
func (u *upstream) failed(_ http.ResponseWriter, r *http.Request, err error) {
	if p, ok := r.Context().Value(passingKey{}).(*passing); ok {
		p.refused(err)
	}
}

var errcodeForm = regexp.MustCompile(`"errcode"\s*:\s*(-?\d+)`)

// peek finds the errcode in the begin of a JSON answer. The answer stays whole.
func peek(resp *http.Response) (wechat.Code, error) {
	if kind := resp.Header.Get("Content-Type"); !strings.Contains(kind, "json") && !strings.HasPrefix(kind, "text/plain") {
		return 0, nil
	}
	head := make([]byte, peekSize)
	n, err := io.ReadFull(resp.Body, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, fmt.Errorf("read the answer: %w", err)
	}
	head = head[:n]
	resp.Body = &joined{io.MultiReader(bytes.NewReader(head), resp.Body), resp.Body}
	m := errcodeForm.FindSubmatch(head)
	if m == nil {
		return 0, nil
	}
	code, _ := strconv.Atoi(string(m[1])) // digits that fit no int are no errcode of WeChat's
	return wechat.Code(code), nil
}

// joined is a body of which the begin was read already.
type joined struct {
	io.Reader
	io.Closer
}
