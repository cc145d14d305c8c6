package tokenstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
)

const appID = "wx0123456789abcdef"

var _ wechat.TokenSource = (*tokenstore.Store)(nil)

// platform stands in for WeChat's two token endpoints and one call that needs the
// token. A superseded token is refused at once.
type platform struct {
	mu      sync.Mutex
	serial  int
	current string
	expires time.Time
	fetched []time.Time // calls of the endpoints
	forced  []time.Time
	refuse  bool // sends are refused whatever token they bring

	life   time.Duration                     // of a new token; 0: 7200 s
	before func(ctx context.Context) error   // runs in a fetch before it counts at WeChat
	after  func(n int, t wechat.Token) error // runs in a fetch when WeChat has answered
	fail   error                             // what the endpoints answer
}

func (p *platform) roll() {
	p.serial++
	p.current = fmt.Sprintf("TOKEN-CANARY-%d", p.serial)
	life := p.life
	if life == 0 {
		life = 2 * time.Hour
	}
	p.expires = time.Now().Add(life)
}

// kill supersedes the current token, as a fetch by another system does.
func (p *platform) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.roll()
}

func (p *platform) set(f func(p *platform)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(p)
}

func (p *platform) fetch(ctx context.Context, fresh, force bool) (wechat.Token, error) {
	p.mu.Lock()
	before := p.before
	p.mu.Unlock()
	if before != nil {
		if err := before(ctx); err != nil {
			return wechat.Token{}, err
		}
	}
	p.mu.Lock()
	p.fetched = append(p.fetched, time.Now())
	if force {
		p.forced = append(p.forced, time.Now())
	}
	n, fail, after := len(p.fetched), p.fail, p.after
	if fail == nil && (fresh || p.current == "" || time.Until(p.expires) < 5*time.Minute) {
		p.roll()
	}
	token := wechat.Token{Value: wechat.NewSecret(p.current), ExpiresAt: p.expires}
	p.mu.Unlock()
	if after != nil {
		if err := after(n, token); err != nil {
			return wechat.Token{}, err
		}
	}
	if fail != nil {
		return wechat.Token{}, fail
	}
	return token, nil
}

func (p *platform) FetchClassic(ctx context.Context) (wechat.Token, error) {
	return p.fetch(ctx, true, false)
}

func (p *platform) FetchStable(ctx context.Context, force bool) (wechat.Token, error) {
	return p.fetch(ctx, force, force)
}

var errRefused = &wechat.Error{Op: wechat.SendPath, Code: 40001, Msg: "invalid credential"}

func (p *platform) send(t wechat.Token) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuse || t.Value.Reveal() != p.current || !time.Now().Before(p.expires) {
		return errRefused
	}
	return nil
}

func (p *platform) fetches() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.fetched)
}

// notes collects events.
type notes struct {
	mu  sync.Mutex
	all []tokenstore.Event
}

func (n *notes) add(e tokenstore.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, e)
}

func (n *notes) of(kind tokenstore.EventKind) []tokenstore.Event {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []tokenstore.Event
	for _, e := range n.all {
		if e.Kind == kind {
			out = append(out, e)
		}
	}
	return out
}

// fleet is one Redis, one platform and any number of stores in a bubble.
type fleet struct {
	t     *testing.T
	mini  *miniredis.Miniredis
	rdb   *redis.Client
	wx    *platform
	notes *notes
	cfg   tokenstore.Config

	stopClock chan struct{} // stops the clock that setClock started
	losses    int           // calls of loseRedis
}

// bubble runs test in virtual time.
func bubble(t *testing.T, mode tokenstore.Mode, test func(t *testing.T, f *fleet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m, c := redistest.Mini(t)
		n := &notes{}
		test(t, &fleet{
			t: t, mini: m, rdb: c, wx: &platform{}, notes: n,
			cfg: tokenstore.Config{AppID: appID, Mode: mode, OnEvent: n.add},
		})
		synctest.Wait()
	})
}

func (f *fleet) store() *tokenstore.Store {
	f.t.Helper()
	return newStore(f.t, f.rdb, f.wx, f.cfg)
}

func newStore(tb testing.TB, rdb redis.UniversalClient, fetcher tokenstore.Fetcher, cfg tokenstore.Config) *tokenstore.Store {
	tb.Helper()
	s, err := tokenstore.New(rdb, fetcher, cfg)
	must(tb, err)
	return s
}

// run runs s in the background until the test ends.
func (f *fleet) run(s *tokenstore.Store) {
	f.t.Helper()
	ctx, cancel := context.WithCancel(f.t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	f.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Errorf("Run: %v", err)
		}
		pass(2 * time.Second) // go-redis' subscription goroutine pauses between attempts
	})
}

// pass waits for d of virtual time.
func pass(d time.Duration) { <-time.After(d) }

func mustToken(t *testing.T, s *tokenstore.Store) wechat.Token {
	t.Helper()
	token, err := s.Token(t.Context())
	if err != nil {
		t.Fatalf("Token: %v", err)
	}
	return token
}

func mustState(t *testing.T, s *tokenstore.Store) tokenstore.State {
	t.Helper()
	st, err := s.State(t.Context())
	if err != nil {
		t.Fatalf("State: %v", err)
	}
	return st
}

func mustInvalidate(t *testing.T, s *tokenstore.Store, stale wechat.Token) {
	t.Helper()
	if err := s.Invalidate(t.Context(), stale); err != nil {
		t.Fatalf("Invalidate: %v", err)
	}
}

// unavailable asserts that Token returns an *UnavailableError.
func unavailable(t *testing.T, s *tokenstore.Store) *tokenstore.UnavailableError {
	t.Helper()
	token, err := s.Token(t.Context())
	var down *tokenstore.UnavailableError
	if !errors.As(err, &down) {
		t.Fatalf("Token = %v (generation %d), want an *UnavailableError", err, token.Generation)
	}
	return down
}

// deliver sends one message as wechat.Client does, with one replay.
func deliver(ctx context.Context, s *tokenstore.Store, send func(wechat.Token) error) error {
	token, err := s.Token(ctx)
	if err != nil {
		return err
	}
	err = send(token)
	if !errors.Is(err, errRefused) {
		return err
	}
	if err := s.Invalidate(ctx, token); err != nil {
		return err
	}
	if token, err = s.Token(ctx); err != nil {
		return err
	}
	return send(token)
}
