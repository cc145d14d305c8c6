package tokenstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// The errors of Revoke that are not those of a fetch.
var (
	// ErrForcedRefreshes: too few of the day's forced refreshes are left for Revoke.
	ErrForcedRefreshes = errors.New("too few forced refreshes are left today")
	// ErrClassic: Revoke is for Stable mode.
	ErrClassic = errors.New("tokens of classic mode are not revoked by forced refreshes")
)

const (
	// revokeRefreshes is how many forced refreshes end a token (docs: 获取稳定版接口调用
	// 凭据, of sibling products: a leaked token needs two, 30 s apart or more).
	revokeRefreshes = 2
	// revokeGap is between them; a second more than WeChat asks for, since both clocks
	// count whole seconds.
	revokeGap = forcedGap + time.Second
)

// RevokeStep is one step of Revoke, for people who wait for it.
type RevokeStep struct {
	// Wait is the time until the next forced refresh; zero: one was made.
	Wait time.Duration
	// Refresh is the number of the forced refresh, from 1 to Of.
	Refresh, Of int
	Fingerprint string    // of the new token; empty while waiting
	ExpiresAt   time.Time // of the new token
	// ForcedToday counts the account's forced refreshes since midnight in China, of
	// ForcedLimit.
	ForcedToday, ForcedLimit int
}

// Revoke ends the current token, and all of Stable mode before it, by two forced
// refreshes 31 s apart: use it when a token leaked. All processes of this Redis go on
// with the new token; another system that uses stable_token is refused (40001) until
// it fetches again. step, which may be nil, is called before each wait and after each
// refresh. The forced refreshes are counted in Redis: 20 a day, 30 s apart, all
// processes together.
//
// The error wraps ErrForcedRefreshes, before anything was done, when fewer than two
// are left today, ErrClassic in Classic mode, else it is ctx's or an
// *UnavailableError. After an error between the two, call Revoke again: the token is
// still valid.
func (s *Store) Revoke(ctx context.Context, step func(RevokeStep)) error {
	if s.cfg.Mode == Classic {
		return fmt.Errorf("tokenstore: revoke: %w", ErrClassic)
	}
	if step == nil {
		step = func(RevokeStep) {}
	}
	if s.cfg.NeverFetch != nil {
		return fmt.Errorf("tokenstore: revoke: %w", s.cfg.NeverFetch)
	}
	st, err := s.State(ctx)
	if err != nil {
		return s.redisDown(err)
	}
	if left := maxForced - st.ForcedToday; left < revokeRefreshes {
		return fmt.Errorf("tokenstore: revoke: %w: %d of %d were made, and %d are needed",
			ErrForcedRefreshes, st.ForcedToday, maxForced, revokeRefreshes)
	}
	for n := 1; n <= revokeRefreshes; {
		wait, token, err := s.force(ctx)
		if err != nil {
			return err
		}
		report := RevokeStep{Refresh: n, Of: revokeRefreshes, ForcedLimit: maxForced, Wait: wait}
		if st, err = s.State(ctx); err == nil { // else the counts stay as they were
			report.ForcedToday = st.ForcedToday
		}
		if wait == 0 {
			report.Fingerprint, report.ExpiresAt = token.Value.Fingerprint(), token.ExpiresAt
			n++
		}
		step(report)
		if wait > 0 {
			if err := sleep(ctx, wait); err != nil {
				return err
			}
		}
	}
	return nil
}

// force makes one forced refresh and stores the token for all processes, or returns
// how long to wait until the next one may be made.
func (s *Store) force(ctx context.Context) (wait time.Duration, token wechat.Token, err error) {
	l, before, err := s.leaseForAdmin(ctx)
	if err != nil {
		return 0, token, err
	}
	r, err := s.askForce(ctx, l, revokeGap)
	if err != nil {
		return 0, token, s.redisDown(err)
	}
	if r.number("allowed") != 1 {
		s.releaseLease(ctx, l)
		if wait := r.millis("ms"); wait > 0 {
			return wait, token, nil
		}
		return 0, token, fmt.Errorf("tokenstore: revoke: %w", ErrForcedRefreshes)
	}
	ctx = context.WithoutCancel(ctx) // WeChat may have read the request
	begun := time.Now()
	token, err = s.call(ctx, func(ctx context.Context) (wechat.Token, error) { return s.fetcher.FetchStable(ctx, true) })
	if err != nil {
		_, err = s.failed(ctx, l, begun, err)
		return 0, token, err
	}
	same := before != "" && token.Value.Fingerprint() == before
	if token, err = s.keep(ctx, l, token, true, begun); err != nil {
		return 0, token, err
	}
	if same { // another system made a forced refresh within the last 30 s
		return revokeGap, wechat.Token{}, nil
	}
	return 0, token, nil
}

// leaseForAdmin gets the lease whatever token there is, and returns the fingerprint of
// that token.
func (s *Store) leaseForAdmin(ctx context.Context) (l lease, fingerprint string, err error) {
	deadline := time.Now().Add(s.cfg.Wait)
	for n := 0; ; n++ {
		st, err := s.State(ctx)
		if err != nil {
			return l, "", s.redisDown(err)
		}
		a, err := s.ask(ctx, modeAdmin, st.Generation)
		switch {
		case err != nil:
			return l, "", s.redisDown(err)
		case a.kind == "lease":
			return a.lease, st.Fingerprint, nil
		case !time.Now().Before(deadline):
			return l, "", &UnavailableError{Cause: ErrWaited, RetryAt: time.Now().Add(a.left), Remedy: remedyWaited}
		}
		if err := sleep(ctx, pollDelay(n)); err != nil { // another process fetches, or has just fetched
			return l, "", err
		}
	}
}

// releaseLease lets other processes fetch at once; without Redis the lease expires.
func (s *Store) releaseLease(ctx context.Context, l lease) {
	_, _ = s.eval(context.WithoutCancel(ctx), s.scripts.release, l.args(args{}))
}

func sleep(ctx context.Context, d time.Duration) error {
	wait[struct{}](ctx, d, nil)
	return ctx.Err()
}
