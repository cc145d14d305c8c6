package wechat

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Times of ReuseTokenSource.
const (
	// refreshEarly is how long before its expiry a token is replaced. From then
	// on WeChat returns the next one, and both are valid.
	refreshEarly = 5 * time.Minute
	// shortestKeep limits the fetches for a token that expires soon.
	shortestKeep = 30 * time.Second
	// forceGap and forcesPerDay are WeChat's limits for forced refreshes.
	forceGap     = 30 * time.Second
	forcesPerDay = 20
	// After a failed fetch the next one waits for retryFirst, then twice as long
	// each time, up to retryLast.
	retryFirst = time.Second
	retryLast  = time.Minute
)

var errNoFetch = errors.New("wechat: ReuseTokenSource has no fetch function: use one such as TokenFetcher.FetchStable")

// TokenFetch fetches a token from WeChat. force requests a new token in place of
// the current one, which was refused.
type TokenFetch func(ctx context.Context, force bool) (Token, error)

// ReuseTokenSource keeps one token in this process. It fetches a token with fetch,
// such as (*TokenFetcher).FetchStable, when it has none, when the current one
// expires soon, and when it was refused. Concurrent callers share one fetch, and
// each can give up through its own ctx. After a failed fetch it returns the same
// error for one second, then up to one minute. To share a token between processes
// use package tokenstore.
//
//nolint:ireturn // sources are decorators of one interface
func ReuseTokenSource(fetch TokenFetch) TokenSource {
	return &reuseSource{fetch: fetch, slot: make(chan struct{}, 1)}
}

type reuseSource struct {
	fetch TokenFetch
	// slot locks the fields below. It is a channel, so that a caller can give up
	// through its ctx during another caller's fetch.
	slot      chan struct{}
	current   Token
	refreshAt time.Time
	refused   Secret // the last token that WeChat refused
	forced    []time.Time
	failure   error
	retryAt   time.Time
	backoff   time.Duration
}

// Token returns the current token, or fetches one.
func (s *reuseSource) Token(ctx context.Context) (Token, error) {
	if s.fetch == nil {
		return Token{}, errNoFetch
	}
	if err := s.lock(ctx); err != nil {
		return Token{}, err
	}
	defer s.unlock()
	now := time.Now()
	usable := !s.current.Value.IsZero() && now.Before(s.current.ExpiresAt)
	if usable && now.Before(s.refreshAt) {
		return s.current, nil
	}
	if s.failure != nil && now.Before(s.retryAt) {
		return s.currentOr(usable, s.failure)
	}
	if err := s.refresh(ctx); err != nil {
		return s.currentOr(usable, err)
	}
	return s.current, nil
}

// currentOr returns a token that is still valid in place of an error.
func (s *reuseSource) currentOr(usable bool, err error) (Token, error) {
	if usable {
		return s.current, nil
	}
	return Token{}, err
}

// Invalidate drops the current token if it is stale.
func (s *reuseSource) Invalidate(ctx context.Context, stale Token) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.unlock()
	if s.current.Value == stale.Value {
		s.refused, s.current = stale.Value, Token{}
	}
	return nil
}

// refresh fetches a token, with force only when WeChat returns the refused one
// again.
func (s *reuseSource) refresh(ctx context.Context) error {
	token, err := s.fetch(ctx, false)
	if err == nil && !s.refused.IsZero() && token.Value == s.refused && s.mayForce() {
		s.forced = append(s.forced, time.Now())
		token, err = s.fetch(ctx, true)
	}
	if err != nil {
		// When the caller gave up, the error says nothing about WeChat.
		if ctx.Err() == nil {
			s.backoff = min(max(2*s.backoff, retryFirst), retryLast)
			s.failure, s.retryAt = err, time.Now().Add(s.backoff)
		}
		return err
	}
	s.failure, s.backoff = nil, 0
	s.current, s.refreshAt = token, refreshTime(time.Now(), token.ExpiresAt)
	return nil
}

// refreshTime is refreshEarly before the expiry, but at least shortestKeep from
// now.
func refreshTime(now, expires time.Time) time.Time {
	at := expires.Add(-refreshEarly)
	if soonest := now.Add(shortestKeep); at.Before(soonest) {
		at = soonest
	}
	return at
}

func (s *reuseSource) mayForce() bool {
	now := time.Now()
	for len(s.forced) > 0 && now.Sub(s.forced[0]) >= 24*time.Hour {
		s.forced = s.forced[1:]
	}
	if len(s.forced) == 0 {
		return true
	}
	return len(s.forced) < forcesPerDay && now.Sub(s.forced[len(s.forced)-1]) >= forceGap
}

func (s *reuseSource) lock(ctx context.Context) error {
	select {
	case s.slot <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wechat: wait for the access token: %w", ctx.Err())
	}
}

func (s *reuseSource) unlock() { <-s.slot }
