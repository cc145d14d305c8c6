package wechat

import (
	"context"
	"time"
)

// Token is an access token.
type Token struct {
	Value     Secret
	ExpiresAt time.Time
	// Generation orders the tokens of one account: a higher one is newer. Zero:
	// the source does not number tokens.
	Generation int64
}

// TokenSource returns the account's access token.
type TokenSource interface {
	// Token returns a token. WeChat may refuse it, see Invalidate.
	Token(ctx context.Context) (Token, error)
	// Invalidate reports that WeChat refused stale. A source that has another
	// token already ignores it.
	Invalidate(ctx context.Context, stale Token) error
}

// StaticToken is a source of one token, for tests and scripts. Its Invalidate does
// nothing, so a refused call is not replayed.
//
//nolint:ireturn // sources are decorators of one interface
func StaticToken(value string) TokenSource { return staticToken{Token{Value: NewSecret(value)}} }

type staticToken struct{ token Token }

func (s staticToken) Token(context.Context) (Token, error)  { return s.token, nil }
func (staticToken) Invalidate(context.Context, Token) error { return nil }
