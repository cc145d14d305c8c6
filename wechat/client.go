package wechat

import (
	"context"
	"errors"
	"net/url"
	"sync/atomic"
)

// SendPath is the API path of template sends, also for Client.Quota.
const SendPath = "/cgi-bin/message/template/send"

// Client calls WeChat's server API for one account. Safe for concurrent use.
type Client struct {
	caller    *caller
	tokens    TokenSource
	appSecret Secret // only to keep it out of errors
	// unauthorized is the token of the last replay that got 48001 too. A call
	// with it is not replayed again: the account lacks the permission, and each
	// replay would cost a token fetch.
	unauthorized atomic.Pointer[Secret]
}

type replayKey struct{}

// WithBeforeReplay returns a context for calls that ask before a replay with another
// token, which is one more call of the day's quota. An error of ask stops the replay and
// is returned joined with the first answer. Package worker sends with such a context.
func WithBeforeReplay(ctx context.Context, ask func(context.Context) error) context.Context {
	return context.WithValue(ctx, replayKey{}, ask)
}

// BeforeReplay asks the function of WithBeforeReplay; nil: there is none, or the call may
// be replayed. A Sender that is no Client calls it before its own replay.
func BeforeReplay(ctx context.Context) error {
	if ask, ok := ctx.Value(replayKey{}).(func(context.Context) error); ok {
		return ask(ctx)
	}
	return nil
}

// NewClient checks cfg and reports all its faults at once.
func NewClient(cfg Config, tokens TokenSource) (*Client, error) {
	err := cfg.validate(false)
	if tokens == nil {
		err = errors.Join(err, errors.New("wechat: NewClient needs a TokenSource: use a tokenstore, ReuseTokenSource or StaticToken"))
	}
	if err != nil {
		return nil, err
	}
	caller, err := newCaller(cfg)
	if err != nil {
		return nil, err
	}
	return &Client{caller: caller, tokens: tokens, appSecret: cfg.AppSecret}, nil
}

// CloseIdleConnections closes the idle connections of the client's HTTP client.
func (c *Client) CloseIdleConnections() { c.caller.client.CloseIdleConnections() }

// SendTemplate sends m (docs: 发送模板消息). The error is *Error,
// *TransportError, *TokenRefusedError, *TokenError, or *InvalidError when m
// cannot be encoded. It does not call m.Validate.
func (c *Client) SendTemplate(ctx context.Context, m *TemplateMessage) (MessageID, error) {
	body, err := MarshalBody(m)
	if err != nil {
		return 0, err
	}
	return c.SendTemplateBody(ctx, body)
}

// SendTemplateBody sends body, an encoded TemplateMessage, byte for byte, also
// when the call is replayed with another token. Errors are those of SendTemplate.
// A MessageID of 0 without an error means that WeChat accepted the message and
// did not return its msgid.
func (c *Client) SendTemplateBody(ctx context.Context, body []byte) (MessageID, error) {
	if body == nil {
		body = []byte{}
	}
	var sent sendAnswer
	if err := c.do(ctx, call{op: SendPath, body: body}, &sent); err != nil {
		return 0, err
	}
	if sent.Errcode == nil && sent.MsgID == nil {
		// Another server's JSON. To treat it as success would lose the message.
		return 0, unreadable(SendPath, "the answer has neither errcode nor msgid")
	}
	if sent.MsgID == nil {
		return 0, nil
	}
	return MessageID(*sent.MsgID), nil
}

// get makes a GET.
func (c *Client) get(ctx context.Context, op string, query url.Values, a answer) error {
	return c.do(ctx, call{op: op, query: query}, a)
}

// post makes a POST with a JSON body.
func (c *Client) post(ctx context.Context, op string, request any, a answer) error {
	body, err := marshalRaw(request)
	if err != nil {
		return err
	}
	return c.do(ctx, call{op: op, body: body}, a)
}

// do makes the call, and replays it once with another token when the first was
// refused.
func (c *Client) do(ctx context.Context, k call, a answer) error {
	token, err := c.tokens.Token(ctx)
	if err != nil {
		return &TokenError{Err: err}
	}
	k.token, k.appSecret = token.Value.Reveal(), c.appSecret
	first := c.caller.do(ctx, k, a)
	refusal, ok := errors.AsType[*Error](first)
	if !ok || !refusal.Code.otherTokenMayHelp() || c.isUnauthorized(refusal.Code, token) {
		return first
	}
	another, err := c.anotherToken(ctx, token)
	if err != nil {
		return &TokenError{Err: err, Called: true}
	}
	if another.Value == token.Value {
		return tokenRefused(refusal, false)
	}
	if err := BeforeReplay(ctx); err != nil {
		return errors.Join(first, err)
	}
	k.token = another.Value.Reveal()
	second := c.caller.do(ctx, k, a)
	refusal, ok = errors.AsType[*Error](second)
	if !ok || !refusal.Code.otherTokenMayHelp() {
		return second
	}
	if refusal.Code == CodeUnauthorized {
		c.unauthorized.Store(&another.Value)
	}
	return tokenRefused(refusal, true)
}

// tokenRefused returns a 48001 unchanged: after another token got it too, it is
// about the account and not about the token.
func tokenRefused(refusal *Error, replayed bool) error {
	if refusal.Kind() != KindToken {
		return refusal
	}
	return &TokenRefusedError{Last: refusal, Replayed: replayed}
}

// isUnauthorized reports whether an earlier call found that another token does
// not help against 48001.
func (c *Client) isUnauthorized(code Code, token Token) bool {
	known := c.unauthorized.Load()
	return code == CodeUnauthorized && known != nil && *known == token.Value
}

func (c *Client) anotherToken(ctx context.Context, stale Token) (Token, error) {
	if err := c.tokens.Invalidate(ctx, stale); err != nil {
		return Token{}, err
	}
	return c.tokens.Token(ctx)
}
