package wechat_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

const (
	answerOK      = `{"errcode":0,"errmsg":"ok","msgid":2918131553548107776}`
	answer40001   = `{"errcode":40001,"errmsg":"invalid credential, access_token is invalid or not latest rid: 5dc4e0ae-0ed2bb2b-6a1e4a1c"}`
	answer42001   = `{"errcode":42001,"errmsg":"access_token expired rid: 5dc4e0ae-0ed2bb2b-6a1e4a1c"}`
	answer41001   = `{"errcode":41001,"errmsg":"access_token missing rid: 5dc4e0ae-0ed2bb2b-6a1e4a1c"}`
	answer48001   = `{"errcode":48001,"errmsg":"api unauthorized rid: 5dc4e0ae-0ed2bb2b-6a1e4a1c"}`
	answer43004   = `{"errcode":43004,"errmsg":"require subscribe rid: 5dc4e0ae-0ed2bb2b-6a1e4a1c"}`
	answerBusy    = `{"errcode":-1,"errmsg":"system error"}`
	answerOfProxy = `<html><body>502</body></html>`
)

func TestSendTemplatePostsTheBody(t *testing.T) {
	t.Parallel()
	p := answers(t, answerOK)
	c := newClient(t, p, wechat.StaticToken(canaryToken))
	id, err := c.SendTemplate(t.Context(), orderPaid())
	if err != nil || id != 2918131553548107776 {
		t.Fatalf("SendTemplate = %v, %v; the msgid must survive beyond 2^53", id, err)
	}
	call := p.calls()[0]
	if call.method != http.MethodPost || call.path != wechat.SendPath || call.token != canaryToken {
		t.Errorf("called %s %s with token %q", call.method, call.path, call.token)
	}
	if want := "application/json; charset=utf-8"; call.contentType != want {
		t.Errorf("Content-Type %q, want %q", call.contentType, want)
	}
	for _, part := range []string{"商品 <A&B>", "a=1&b=2", `"value":"¥100.21"`} {
		if !strings.Contains(call.body, part) {
			t.Errorf("the body lacks raw %s: %s", part, call.body)
		}
	}
}

func TestSnd01ReplayIsByteEqual(t *testing.T) {
	t.Parallel()
	for _, refusal := range []string{answer40001, answer42001, answer41001, strings.ReplaceAll(answer40001, "40001", "40014")} {
		p := answers(t, refusal, answerOK)
		tokens := newSource()
		c := newClient(t, p, tokens)
		body := []byte(`{ "touser":"o1",  "data":{"thing1":{"value":"& < > \u4e2d \ud83d\ude00"}}, "x": 1.0 }` + "\n")
		id, err := c.SendTemplateBody(t.Context(), body)
		if err != nil || id != 2918131553548107776 {
			t.Fatalf("after %s: %v, %v", refusal, id, err)
		}
		calls := p.calls()
		if len(calls) != 2 || calls[0].body != string(body) || calls[1].body != string(body) {
			t.Errorf("want the same bytes twice, got %q", calls)
		}
		if calls[0].token != canaryToken || calls[1].token != canaryToken2 {
			t.Errorf("tokens %q then %q", calls[0].token, calls[1].token)
		}
		if len(tokens.invalidated) != 1 || tokens.invalidated[0] != canaryToken {
			t.Errorf("invalidated %q, want the refused token once", tokens.invalidated)
		}
	}
}

func TestSnd04RefusalIsTypedError(t *testing.T) {
	t.Parallel()
	p := answers(t, answer43004)
	id, err := newClient(t, p, newSource()).SendTemplate(t.Context(), orderPaid())
	var e *wechat.Error
	if !errors.As(err, &e) || id != 0 {
		t.Fatalf("got %v, %v; want *wechat.Error", id, err)
	}
	want := wechat.Error{Op: wechat.SendPath, Code: 43004, Msg: "require subscribe", RID: "5dc4e0ae-0ed2bb2b-6a1e4a1c"}
	if *e != want {
		t.Errorf("got %+v, want %+v", *e, want)
	}
	if wechat.KindOf(err) != wechat.KindRecipient || wechat.Ambiguous(err) {
		t.Errorf("kind %v, ambiguous %v", wechat.KindOf(err), wechat.Ambiguous(err))
	}
	wantText := "wechat: /cgi-bin/message/template/send: 43004 require-subscribe: require subscribe (rid 5dc4e0ae-0ed2bb2b-6a1e4a1c)"
	if err.Error() != wantText {
		t.Errorf("text %q\nwant %q", err, wantText)
	}
	if len(p.calls()) != 1 {
		t.Errorf("%d calls: only a refused token is replayed", len(p.calls()))
	}
}

func TestRefusedTokenIsReplayedOnce(t *testing.T) {
	t.Parallel()
	quotaGone := errors.New("no permit for a replay")
	tests := []struct {
		name        string
		answers     []string
		tokens      []string
		replayErr   error
		tokenErr    error
		calls       int
		asked       int // calls of BeforeReplay
		kind        wechat.Kind
		code        wechat.Code
		refused     bool // *TokenRefusedError
		is          error
		explanation string
	}{
		{
			name: "second refusal", answers: []string{answer40001, answer42001}, calls: 2, asked: 1,
			kind: wechat.KindAccount, code: 42001, refused: true, explanation: "two tokens refused: an account problem, with the last answer",
		},
		{
			name: "token missing twice", answers: []string{answer41001}, calls: 2, asked: 1,
			kind: wechat.KindAccount, code: 41001, refused: true, explanation: "41001 is a client bug after one replay",
		},
		{
			name: "no other token", answers: []string{answer40001}, tokens: []string{canaryToken}, calls: 1,
			kind: wechat.KindAccount, code: 40001, refused: true, explanation: "the same token again would be one call wasted",
		},
		{
			name: "permit denied", answers: []string{answer40001}, replayErr: quotaGone, calls: 1, asked: 1,
			kind: wechat.KindToken, code: 40001, is: quotaGone, explanation: "the first answer joined with the gate's",
		},
		{
			name: "token source fails", answers: []string{answer40001}, tokenErr: context.DeadlineExceeded, calls: 1,
			kind: wechat.KindUnknown, is: context.DeadlineExceeded, explanation: "what is wrong now is the source",
		},
		{
			name: "other refusal on the replay", answers: []string{answer40001, answer43004}, calls: 2, asked: 1,
			kind: wechat.KindRecipient, code: 43004, explanation: "the second answer counts",
		},
		{
			name: "unauthorized twice", answers: []string{answer48001}, calls: 2, asked: 1,
			kind: wechat.KindAccount, code: 48001, explanation: "48001 keeps its own code: the token is not to blame",
		},
		{
			name: "busy", answers: []string{answerBusy}, calls: 1,
			kind: wechat.KindBusy, code: -1, explanation: "only a refused token is replayed here",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := answers(t, tt.answers...)
			tokens := newSource()
			if tt.tokens != nil {
				tokens.tokens = tt.tokens
			}
			tokens.tokenErr = tt.tokenErr
			asked := 0
			ctx := wechat.WithBeforeReplay(t.Context(), func(context.Context) error { asked++; return tt.replayErr })
			_, err := newClient(t, p, tokens).SendTemplate(ctx, orderPaid())
			if err == nil {
				t.Fatal("no error")
			}
			code, _ := wechat.CodeOf(err)
			var refused *wechat.TokenRefusedError
			if wechat.KindOf(err) != tt.kind || code != tt.code || errors.As(err, &refused) != tt.refused {
				t.Errorf("%v: kind %v code %d refused %v; %s", err, wechat.KindOf(err), code, refused, tt.explanation)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("%v is not %v; %s", err, tt.is, tt.explanation)
			}
			if ambiguous := tt.code == wechat.CodeBusy; wechat.Ambiguous(err) != ambiguous {
				t.Errorf("%v: ambiguous %v, want %v", err, !ambiguous, ambiguous)
			}
			if len(p.calls()) != tt.calls || asked != tt.asked {
				t.Errorf("%d calls, BeforeReplay %d times; want %d and %d", len(p.calls()), asked, tt.calls, tt.asked)
			}
			noCanary(t, err)
		})
	}
}

func TestUnauthorizedAccountFetchesNoMoreTokens(t *testing.T) {
	t.Parallel()
	p := answers(t, answer48001)
	tokens := &source{tokens: []string{"token-number-1", "token-number-2", "token-number-3", "token-number-4"}}
	c := newClient(t, p, tokens)
	for range 5 {
		if _, err := c.SendTemplate(t.Context(), orderPaid()); wechat.KindOf(err) != wechat.KindAccount {
			t.Fatalf("got %v", err)
		}
	}
	if len(tokens.invalidated) != 1 || len(p.calls()) != 6 {
		t.Errorf("invalidated %q, %d calls: one token is tried beside the first, then no more", tokens.invalidated, len(p.calls()))
	}
}

func TestEmptyBodyIsSentAsSuch(t *testing.T) {
	t.Parallel()
	var lengths []int64
	p := newPlatform(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		lengths = append(lengths, r.ContentLength)
		_, _ = io.WriteString(w, `{"errcode":44002,"errmsg":"empty post data"}`)
	})
	c := newClient(t, p, newSource())
	for _, body := range [][]byte{nil, {}} {
		if _, err := c.SendTemplateBody(t.Context(), body); wechat.KindOf(err) != wechat.KindMessage {
			t.Errorf("got %v", err)
		}
	}
	for i, call := range p.calls() {
		if call.method != http.MethodPost || lengths[i] != 0 {
			t.Errorf("%s with length %d", call.method, lengths[i])
		}
	}
}

func TestTokenErrorsAreNeverAmbiguous(t *testing.T) {
	t.Parallel()
	p := answers(t, answerOK)
	for _, cause := range []error{
		&wechat.TransportError{Op: "/cgi-bin/stable_token", Ambiguous: true, Err: context.DeadlineExceeded},
		&wechat.Error{Op: "/cgi-bin/stable_token", Code: wechat.CodeBusy},
	} {
		c := newClient(t, p, failing{cause})
		_, err := c.SendTemplate(t.Context(), orderPaid())
		var token *wechat.TokenError
		if !errors.As(err, &token) || !errors.Is(err, cause) || wechat.Ambiguous(err) {
			t.Errorf("%v: no message was sent, so nothing is ambiguous", err)
		}
	}
	if len(p.calls()) != 0 {
		t.Errorf("%d calls without a token", len(p.calls()))
	}
}

// A call that was refused for its token counts against the quota, also when there
// is no other token.
func TestTokenErrorReportsTheFirstCall(t *testing.T) {
	t.Parallel()
	p := answers(t, `{"errcode":40001,"errmsg":"invalid credential"}`)
	c := newClient(t, p, &oneToken{})
	_, err := c.SendTemplate(t.Context(), orderPaid())
	var token *wechat.TokenError
	if !errors.As(err, &token) || !token.Called {
		t.Errorf("%v: the first call is not reported", err)
	}
	_, err = newClient(t, p, failing{errors.New("none")}).SendTemplate(t.Context(), orderPaid())
	if !errors.As(err, &token) || token.Called {
		t.Errorf("%v: no call was made", err)
	}
	if len(p.calls()) != 1 {
		t.Errorf("%d calls, want 1", len(p.calls()))
	}
}

// oneToken returns one token, then errors.
type oneToken struct{ given bool }

func (o *oneToken) Token(context.Context) (wechat.Token, error) {
	if o.given {
		return wechat.Token{}, errors.New("no other token")
	}
	o.given = true
	return wechat.Token{Value: wechat.NewSecret("the-only-token"), ExpiresAt: time.Now().Add(time.Hour)}, nil
}

func (o *oneToken) Invalidate(context.Context, wechat.Token) error { return nil }

type failing struct{ err error }

func (f failing) Token(context.Context) (wechat.Token, error)    { return wechat.Token{}, f.err }
func (f failing) Invalidate(context.Context, wechat.Token) error { return nil }

// noCanary fails when err prints a secret with any verb.
func noCanary(t *testing.T, err error) {
	t.Helper()
	for _, text := range allTexts(err) {
		for _, canary := range []string{"canary", "CANARY"} {
			if strings.Contains(text, canary) {
				t.Errorf("error text has %q: %s", canary, text)
				return
			}
		}
	}
}
