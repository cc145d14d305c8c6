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

// StaticToken is a source of one token that never changes, for tests and
// scripts. Invalidate does nothing, so a refused token is not replayed.
//
//nolint:ireturn // sources are decorators of one interface
func StaticToken(value string) TokenSource { return staticToken{Token{Value: NewSecret(value)}} }

type staticToken struct{ token Token }

func (s staticToken) Token(context.Context) (Token, error)  { return s.token, nil }
func (staticToken) Invalidate(context.Context, Token) error { return nil }
