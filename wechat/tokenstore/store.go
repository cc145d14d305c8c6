package tokenstore

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/singleflight"

	"github.com/wxnotify/wxnotify/wechat"
)

// Store provides the access token that all processes of an account share; it is a
// wechat.TokenSource. Safe for concurrent use.
type Store struct {
	rdb     redis.UniversalClient
	fetcher Fetcher
	cfg     Config
	keys    []string
	scripts scripts
	asked   atomic.Int64 // makes this process's lease ids unique
	// unlisted: WeChat refused this process's address at its last fetch.
	unlisted atomic.Bool
	began    atomic.Bool // this process has asked Redis once

	view    atomic.Pointer[view]
	peeking atomic.Bool
	calls   singleflight.Group

	mu      sync.Mutex
	changed chan struct{} // closed when view changes
}

// New checks cfg and names all its faults at once. It does not call Redis.
func New(rdb redis.UniversalClient, fetcher Fetcher, cfg Config) (*Store, error) {
	cfg = cfg.withDefaults()
	faults := cfg.validate()
	if rdb == nil {
		faults = errors.Join(faults, errors.New("tokenstore: the redis client is nil: the token is shared through it"))
	}
	if fetcher == nil && cfg.NeverFetch == nil {
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
		changed: make(chan struct{}),
	}
	s.view.Store(&view{})
	return s, nil
}

// Token returns the shared token: from memory while it works, without a Redis call;
// else from Redis; else from WeChat, fetched by one process while the others wait.
// The error is ctx's or an *UnavailableError, which is returned at once during a
// back-off.
func (s *Store) Token(ctx context.Context) (wechat.Token, error) {
	for {
		now := time.Now()
		v := s.view.Load()
		if v.usable(now) {
			if now.Sub(v.checked) > s.cfg.Reread {
				s.peekInBackground(ctx)
			}
			return v.token, nil
		}
		if v.down != nil && now.Before(v.down.RetryAt) && now.Sub(v.checked) <= s.cfg.Reread {
			return wechat.Token{}, v.down
		}
		if err := ctx.Err(); err != nil {
			return wechat.Token{}, err
		}
		token, err := s.share(ctx, "lookup", func(ctx context.Context) (wechat.Token, error) {
			return s.lookup(ctx, modeWant, 0)
		})
		if err != nil || token.Generation != s.view.Load().refused {
			return token, err
		}
		// The token was refused during the lookup: look again.
	}
}

// Invalidate reports that WeChat refused stale. If stale is the current token, the
// next Token fetches another one: by a normal fetch, and in Stable mode by a forced
// refresh if WeChat returns the refused token again and the day's budget allows it.
// Any other token is ignored because it has been replaced already. The error is
// Redis' or ctx's; also then this process does not use the token again.
func (s *Store) Invalidate(ctx context.Context, stale wechat.Token) error {
	generation, err := s.generationOf(ctx, stale)
	if err != nil || generation == 0 {
		return err
	}
	v := s.view.Load()
	if v.refused == generation || v.token.Generation != generation && v.token.Generation != 0 {
		return nil
	}
	// Hundreds of sends may be refused at once; one of them tells Redis.
	_, err = s.share(ctx, "refuse/"+strconv.FormatInt(generation, 10), func(ctx context.Context) (wechat.Token, error) {
		return wechat.Token{}, s.markRefused(ctx, stale, generation)
	})
	return err
}

func (s *Store) markRefused(ctx context.Context, stale wechat.Token, generation int64) error {
	r, err := s.eval(ctx, s.scripts.refuse, args{
		"generation": generation, "classic": flag(s.cfg.Mode == Classic), "young_ms": young, "window_ms": warWindow,
		"gap_ms": s.cfg.RefusedGap, "max_gap_ms": maxRefusedGap, "spread": rand.IntN(50),
	})
	// Only now: a concurrent lookup must not mark the token before refuse.lua counts it.
	s.refuse(generation)
	if err != nil {
		return err // the next ask tells Redis of the refusal
	}
	if r.number("marked") == 1 {
		s.tellRefused(stale, generation, int(r.number("recent")))
	}
	return nil
}

// generationOf returns stale's generation. A token without one is recognised by its
// value. 0: it is not the current token.
func (s *Store) generationOf(ctx context.Context, stale wechat.Token) (int64, error) {
	if stale.Generation != 0 {
		return stale.Generation, nil
	}
	if s.view.Load().token.Generation == 0 {
		if err := s.peek(ctx); err != nil {
			return 0, err
		}
	}
	if current := s.view.Load().token; current.Value.Fingerprint() == stale.Value.Fingerprint() {
		return current.Generation, nil
	}
	return 0, nil
}

func (s *Store) tellRefused(stale wechat.Token, generation int64, recent int) {
	e := Event{
		Kind: EventRefused, Fingerprint: stale.Value.Fingerprint(), Generation: generation,
		Err: ErrRefused, Remedy: remedyRefused, Refusals: recent,
	}
	s.tell(e)
	if recent > s.cfg.WarThreshold {
		e.Kind, e.Err, e.Remedy = EventWar, ErrWar, remedyWar
		s.tell(e)
	}
}

func (s *Store) tell(e Event) {
	e.At, e.Mode = time.Now(), s.cfg.Mode
	s.cfg.OnEvent(e)
}

// share runs f once for all concurrent callers with the same key. f goes on when the
// caller that started it leaves: the others still wait for it, and in classic mode an
// abandoned fetch may already have superseded the token of all processes.
func (s *Store) share(ctx context.Context, key string, f func(context.Context) (wechat.Token, error)) (wechat.Token, error) {
	shared := context.WithoutCancel(ctx)
	result := s.calls.DoChan(key, func() (any, error) { return f(shared) })
	select {
	case r := <-result:
		token, _ := r.Val.(wechat.Token)
		return token, r.Err
	case <-ctx.Done():
		return wechat.Token{}, ctx.Err()
	}
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}
