package wechat

import (
	"context"
	"time"
)

// Token is an access token with the moment it stops working.
type Token struct {
	Value     Secret
	ExpiresAt time.Time
	// Generation orders tokens of one account: a higher one is newer. Zero: the
	// source does not count.
	Generation int64
}

// TokenSource hands out the account's access token.
type TokenSource interface {
	// Token returns a token believed valid.
	Token(ctx context.Context) (Token, error)
	// Invalidate says that WeChat refused stale. A source whose current token
	// is another one ignores it: somebody refreshed already.
	Invalidate(ctx context.Context, stale Token) error
}

// TokenFetcher asks WeChat for an access token. It needs no TokenSource.
type TokenFetcher struct{ cfg Config }

// NewTokenFetcher checks cfg as NewClient does.
func NewTokenFetcher(cfg Config) (*TokenFetcher, error) { panic("not built") }

// FetchClassic calls GET /cgi-bin/token. Each call supersedes the token before.
func (f *TokenFetcher) FetchClassic(ctx context.Context) (Token, error) { panic("not built") }

// FetchStable calls POST /cgi-bin/stable_token. With force the current token
// is dropped at once: at most 20 a day, 30 s apart.
func (f *TokenFetcher) FetchStable(ctx context.Context, force bool) (Token, error) {
	panic("not built")
}
