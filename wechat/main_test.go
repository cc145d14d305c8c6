package wechat_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/wxnotify/wxnotify/wechat"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Texts that must appear in no error. They are longer than shortestSecret and have
// characters that a query escapes.
const (
	canarySecret = "canary/secret+0123456789abcdef=="
	canaryToken  = "76_canaryAccessToken0123456789AAAA+/=="
	canaryToken2 = "76_canaryAccessToken0123456789BBBB+/=="
	canaryOpenID = "oCANARYopenid_0123456789-xyz"
)

// request is one call as the platform received it.
type request struct {
	method, path, token, contentType, body string
	query                                  map[string][]string
}

// platform is a WeChat server for one test. It keeps the calls that it received.
type platform struct {
	*httptest.Server
	mu   sync.Mutex
	seen []request
}

// newPlatform answers calls with handle, which gets the call's number from 0.
func newPlatform(t *testing.T, handle func(n int, w http.ResponseWriter, r *http.Request)) *platform {
	t.Helper()
	p := &platform{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read the request: %v", err)
		}
		p.mu.Lock()
		n := len(p.seen)
		p.seen = append(p.seen, request{
			method: r.Method, path: r.URL.Path, token: r.URL.Query().Get("access_token"),
			contentType: r.Header.Get("Content-Type"), body: string(body), query: r.URL.Query(),
		})
		p.mu.Unlock()
		handle(n, w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

// answers makes a platform that gives each answer once, and then the last one.
func answers(t *testing.T, bodies ...string) *platform {
	t.Helper()
	return newPlatform(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, bodies[min(n, len(bodies)-1)])
	})
}

func (p *platform) calls() []request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]request(nil), p.seen...)
}

// source is a TokenSource with a list of tokens: Invalidate moves to the next.
type source struct {
	mu          sync.Mutex
	tokens      []string
	tokenErr    error // of every Token after the first
	asked       int
	invalidated []string
}

func (s *source) Token(context.Context) (wechat.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.asked > 1 && s.tokenErr != nil {
		return wechat.Token{}, s.tokenErr
	}
	return wechat.Token{Value: wechat.NewSecret(s.tokens[0])}, nil
}

func (s *source) Invalidate(_ context.Context, stale wechat.Token) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.invalidated = append(s.invalidated, stale.Value.Reveal())
	if stale.Value.Reveal() == s.tokens[0] && len(s.tokens) > 1 {
		s.tokens = s.tokens[1:]
	}
	return nil
}

func newSource() *source { return &source{tokens: []string{canaryToken, canaryToken2}} }

// newClient makes a client of p; change may alter its configuration.
func newClient(t *testing.T, p *platform, tokens wechat.TokenSource, change ...func(*wechat.Config)) *wechat.Client {
	t.Helper()
	cfg := wechat.Config{AppID: "wx0123456789abcdef", AppSecret: wechat.NewSecret(canarySecret), BaseURL: p.URL}
	for _, f := range change {
		f(&cfg)
	}
	c, err := wechat.NewClient(cfg, tokens)
	if err != nil {
		t.Fatalf("NewClient: %v", err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func newFetcher(t *testing.T, p *platform) *wechat.TokenFetcher {
	t.Helper()
	f, err := wechat.NewTokenFetcher(wechat.Config{
		AppID: "wx0123456789abcdef", AppSecret: wechat.NewSecret(canarySecret), BaseURL: p.URL,
	})
	if err != nil {
		t.Fatalf("NewTokenFetcher: %v", err)
	}
	t.Cleanup(f.CloseIdleConnections)
	return f
}

// orderPaid is a valid message.
func orderPaid() *wechat.TemplateMessage {
	return &wechat.TemplateMessage{
		ToUser:     canaryOpenID,
		TemplateID: "ngqIpbwh8bUfcSsECmogfXcV14J0tQlEpBO27izEYtY",
		URL:        "https://example.com/orders/1001?a=1&b=2",
		Data: map[string]wechat.Field{
			"thing1":            {Value: "商品 <A&B>"},
			"character_string2": {Value: "ORDER-1001"},
			"time3":             {Value: "2019年10月1日 15:01"},
			"amount4":           {Value: "¥100.21"},
		},
	}
}

// roundTrip is an http.RoundTripper made of a function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
