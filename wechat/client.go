package wechat

import (
	"context"
	"errors"
	"net/url"
	"sync/atomic"
)

// SendPath is the path of template sends, and its cgi_path for Quota.
const SendPath = "/cgi-bin/message/template/send"

// Client calls WeChat's server API for one account. Safe for concurrent use.
type Client struct {
	caller       *caller
	tokens       TokenSource
	secret       Secret // only to keep it out of errors
	beforeReplay func(context.Context) error
	// hopeless is the token that was the second one to get 48001: asking for a
	// third would burn token fetches on an account that lacks the permission.
	hopeless atomic.Pointer[Secret]
}

// NewClient checks cfg and names all faults at once.
func NewClient(cfg Config, tokens TokenSource) (*Client, error) {
	err := cfg.validate(false)
	if tokens == nil {
		err = errors.Join(err, errors.New("wechat: NewClient needs a TokenSource: give a tokenstore, ReuseTokenSource or StaticToken"))
	}
	if err != nil {
		return nil, err
	}
	caller, err := newCaller(cfg)
	if err != nil {
		return nil, err
	}
	return &Client{caller: caller, tokens: tokens, secret: cfg.AppSecret, beforeReplay: cfg.BeforeReplay}, nil
}

// CloseIdleConnections closes the kept connections of the client's HTTP client.
func (c *Client) CloseIdleConnections() { c.caller.http.CloseIdleConnections() }

// SendTemplate sends m (docs: 发送模板消息). The error is *Error,
// *TransportError, *TokenRefusedError, *TokenError with the token source's own,
// or *InvalidError when m cannot be encoded. It does not call m.Validate.
func (c *Client) SendTemplate(ctx context.Context, m *TemplateMessage) (MessageID, error) {
	body, err := MarshalBody(m)
	if err != nil {
		return 0, err
	}
	return c.SendTemplateBody(ctx, body)
}

// SendTemplateBody sends body, an encoded TemplateMessage, byte for byte: the
// replay with another token carries the very same bytes. Errors as of
// SendTemplate. A MessageID of 0 without error is an accepted message whose
// number WeChat did not tell.
func (c *Client) SendTemplateBody(ctx context.Context, body []byte) (MessageID, error) {
	var sent sendAnswer
	if body == nil {
		body = []byte{}
	}
	err := c.do(ctx, call{op: SendPath, body: body}, &sent, c.beforeReplay)
	if err != nil {
		return 0, err
	}
	if sent.Errcode == nil && sent.MsgID == nil {
		// Some JSON of somebody between us and WeChat: believing it would lose
		// the message.
		return 0, unreadable(SendPath, "the answer has neither errcode nor msgid")
	}
	if sent.MsgID == nil {
		return 0, nil
	}
	return MessageID(*sent.MsgID), nil
}

// get calls a reading API, post one that takes a JSON body.
func (c *Client) get(ctx context.Context, op string, query url.Values, result any) error {
	return c.do(ctx, call{op: op, query: query}, result, nil)
}

func (c *Client) post(ctx context.Context, op string, request, result any) error {
	body, err := marshalRaw(request)
	if err != nil {
		return err
	}
	return c.do(ctx, call{op: op, body: body}, result, nil)
}

// do makes the call, and once more with another token when the first was
// refused. result is written by a successful answer only.
func (c *Client) do(ctx context.Context, k call, result any, beforeReplay func(context.Context) error) error {
	token, err := c.tokens.Token(ctx)
	if err != nil {
		return &TokenError{Err: err}
	}
	first := c.once(ctx, k, token, result)
	var refusal *Error
	if !errors.As(first, &refusal) || !refusal.Code.otherTokenMayHelp() || c.isHopeless(refusal.Code, token) {
		return first
	}
	another, err := c.anotherToken(ctx, token)
	if err != nil {
		return &TokenError{Err: err, Called: true}
	}
	if another.Value == token.Value {
		return refusedForGood(refusal, false)
	}
	if beforeReplay != nil {
		if err := beforeReplay(ctx); err != nil {
			return errors.Join(first, err)
		}
	}
	second := c.once(ctx, k, another, result)
	if errors.As(second, &refusal) && refusal.Code.otherTokenMayHelp() {
		if refusal.Code == CodeUnauthorized {
			c.hopeless.Store(&another.Value)
		}
		return refusedForGood(refusal, true)
	}
	return second
}

// refusedForGood keeps 48001 as it is: with another token refused as well, it
// is an answer about the account.
func refusedForGood(refusal *Error, replayed bool) error {
	if refusal.Kind() != KindToken {
		return refusal
	}
	return &TokenRefusedError{Last: refusal, Replayed: replayed}
}

// isHopeless reports whether token already is the other token of an account
// that WeChat does not authorise.
func (c *Client) isHopeless(code Code, token Token) bool {
	known := c.hopeless.Load()
	return code == CodeUnauthorized && known != nil && *known == token.Value
}

func (c *Client) anotherToken(ctx context.Context, stale Token) (Token, error) {
	if err := c.tokens.Invalidate(ctx, stale); err != nil {
		return Token{}, err
	}
	return c.tokens.Token(ctx)
}

// once makes one HTTP call with one token.
func (c *Client) once(ctx context.Context, k call, token Token, result any) error {
	k.token = token.Value.Reveal()
	k.known = k.alsoKnown(func() []string {
		return []string{k.token, url.QueryEscape(k.token), c.secret.Reveal(), k.query.Get("openid"), recipientOf(k.body)}
	})
	data, err := c.caller.do(ctx, k)
	if err != nil {
		return err
	}
	return decodeAnswer(k, data, result)
}
