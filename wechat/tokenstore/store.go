package tokenstore

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/wechat"
)

// Store hands out the fleet's one access token of an account; it is a
// wechat.TokenSource. Safe for concurrent use.
type Store struct {
	rdb     redis.UniversalClient
	fetcher Fetcher
	cfg     Config
	keys    []string
	scripts scripts
	asked   atomic.Int64 // numbers this process's questions for the lease

	view    atomic.Pointer[view] // what this process knows of Redis
	refused atomic.Int64         // the newest generation known to be refused
	peeking atomic.Bool
	marking chan struct{} // holds one while a refusal is told

	mu      sync.Mutex
	flight  *flight       // the lookup that callers without a token share
	changed chan struct{} // closed when view changes
}

// New checks cfg and names all its faults at once. It does not call Redis.
func New(rdb redis.UniversalClient, fetcher Fetcher, cfg Config) (*Store, error) {
	cfg = cfg.withDefaults()
	faults := cfg.validate()
	if rdb == nil {
		faults = errors.Join(faults, errors.New("tokenstore: the redis client is nil: the token is shared through it"))
	}
	if fetcher == nil {
		faults = errors.Join(faults, errors.New("tokenstore: the fetcher is nil: pass a *wechat.TokenFetcher"))
	}
	if faults != nil {
		return nil, faults
	}
	loaded, err := loadScripts()
	if err != nil {
		return nil, err
	}
	s := &Store{
		rdb: rdb, fetcher: fetcher, cfg: cfg, keys: keysOf(cfg.AppID), scripts: loaded,
		changed: make(chan struct{}), marking: make(chan struct{}, 1),
	}
	s.view.Store(&view{})
	return s, nil
}

// Token returns the fleet's token: from this process's memory while it is
// good, which costs no Redis call; else from Redis; else from WeChat, fetched by
// one process while the others wait for it. The error is ctx's or an
// *UnavailableError, which comes at once while a back-off lasts.
func (s *Store) Token(ctx context.Context) (wechat.Token, error) {
	now := time.Now()
	v := s.view.Load()
	if s.usable(v, now) {
		if now.Sub(v.checked) > s.cfg.Reread {
			s.peekBeside(ctx)
		}
		return v.token, nil
	}
	if v.down != nil && now.Before(v.down.RetryAt) && now.Sub(v.checked) <= s.cfg.Reread {
		return wechat.Token{}, v.down
	}
	return s.join(ctx)
}

// Invalidate says that WeChat refused stale. When stale is the fleet's current
// token, the next Token fetches another one: by a normal fetch, and in Stable
// mode by a forced refresh when WeChat hands out the refused token again and the
// day's counter allows it. Any other token is ignored: somebody refreshed
// already. The error is Redis'; this process does not use the token again.
func (s *Store) Invalidate(ctx context.Context, stale wechat.Token) error {
	generation, err := s.generationOf(ctx, stale)
	if err != nil || generation == 0 {
		return err
	}
	select { // one tells Redis, the others wait for it
	case s.marking <- struct{}{}:
		defer func() { <-s.marking }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.view.Load().token.Generation > generation || s.refused.Load() >= generation {
		return nil
	}
	reply, err := s.eval(ctx, s.scripts.refuse, generation, flag(s.cfg.Mode == Classic),
		young.Milliseconds(), warWindow.Milliseconds(),
		s.cfg.RefusedGap.Milliseconds(), maxRefusedGap.Milliseconds(), rand.IntN(50))
	s.refuse(generation) // after Redis, so that no lookup overtakes the count
	if err != nil {
		return err // the next question for a token tells Redis of the refusal
	}
	if r := asRow(reply); r.number(0) == 1 {
		s.tellRefused(stale, generation, int(r.number(1)))
	}
	return nil
}

// generationOf is stale's generation; one that came without is known by its
// value. Zero: it is not the current token.
func (s *Store) generationOf(ctx context.Context, stale wechat.Token) (int64, error) {
	if stale.Generation != 0 {
		return stale.Generation, nil
	}
	if s.view.Load().token.Generation == 0 {
		if err := s.peek(ctx); err != nil {
			return 0, err
		}
	}
	if cur := s.view.Load().token; cur.Value.Fingerprint() == stale.Value.Fingerprint() {
		return cur.Generation, nil
	}
	return 0, nil
}

func (s *Store) tellRefused(stale wechat.Token, generation int64, fresh int) {
	e := Event{
		Kind: EventRefused, Fingerprint: stale.Value.Fingerprint(), Generation: generation,
		Err: ErrRefused, Remedy: remedyRefused, Refusals: fresh,
	}
	s.tell(e)
	if fresh > s.cfg.WarThreshold {
		e.Kind, e.Err, e.Remedy = EventWar, ErrWar, remedyWar
		s.tell(e)
	}
}

func (s *Store) tell(e Event) {
	e.At, e.Mode = time.Now(), s.cfg.Mode
	s.cfg.OnEvent(e)
}

// flight is one lookup and those who wait for it.
type flight struct {
	done  chan struct{}
	token wechat.Token
	err   error
}

// join waits for the process's one lookup, beginning it if need be. The lookup
// goes on when the caller that began it leaves: the others still wait, and a
// fetch given up half way may have cost the fleet its token.
func (s *Store) join(ctx context.Context) (wechat.Token, error) {
	if err := ctx.Err(); err != nil {
		return wechat.Token{}, err
	}
	for {
		s.mu.Lock()
		f := s.flight
		if f == nil {
			f = &flight{done: make(chan struct{})}
			s.flight = f
			go s.fly(context.WithoutCancel(ctx), f)
		}
		s.mu.Unlock()
		select {
		case <-f.done:
		case <-ctx.Done():
			return wechat.Token{}, ctx.Err()
		}
		// A token refused while the lookup was on its way is none: look again.
		if f.err == nil && f.token.Generation <= s.refused.Load() {
			continue
		}
		return f.token, f.err
	}
}

func (s *Store) fly(ctx context.Context, f *flight) {
	f.token, f.err = s.lookup(ctx, modeWant, 0)
	s.mu.Lock()
	s.flight = nil
	s.mu.Unlock()
	close(f.done)
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}
