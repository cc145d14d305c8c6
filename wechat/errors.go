package wechat

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Error is an answer of WeChat with an errcode other than 0.
type Error struct {
	Op   string // the API path, without query
	Code Code
	Msg  string // errmsg without rid, credentials and openids
	RID  string // WeChat's request id, valid seven days for rid/get; may be empty
}

// Error reads like
// "wechat: /cgi-bin/message/template/send: 43004 require-subscribe: require subscribe (rid …)".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("wechat: ")
	if e.Op != "" {
		b.WriteString(e.Op + ": ")
	}
	b.WriteString(strconv.Itoa(int(e.Code)) + " " + e.Code.Name())
	if e.Msg != "" {
		b.WriteString(": " + e.Msg)
	}
	if e.RID != "" {
		b.WriteString(" (rid " + e.RID + ")")
	}
	return b.String()
}

// Kind is the code's kind, except on the calls that fetch a token: what they
// refuse concerns the account, never a message. On the calls of web
// authorization a refusal concerns the one user, or the account.
func (e *Error) Kind() Kind {
	kind := e.Code.Kind()
	if isOAuth(e.Op) {
		return oauthKind(e.Op, e.Code)
	}
	if fetchesToken(e.Op) && kind != KindBusy && kind != KindRate {
		return KindAccount
	}
	return kind
}

const wrongAppIDRemedy = "Correct the account's appid in the configuration: no WeChat account has it."

// Remedy is one sentence that tells an operator what to do, with the address or
// field that WeChat named.
func (e *Error) Remedy() string {
	if remedy := oauthRemedy(e.Op, e.Code); remedy != "" {
		return remedy
	}
	switch fetch := fetchesToken(e.Op); {
	case fetch && e.Code == CodeInvalidCredential:
		return CodeInvalidSecret.Remedy()
	case fetch && e.Code == CodeInvalidAppID:
		return wrongAppIDRemedy
	case fetch && e.Code == CodeQuota:
		return "The day's token fetches are used up: find what fetches in a loop, and use stable_token."
	}
	if ip := e.IP(); e.Code == CodeIPNotListed && ip != "" {
		return "Add " + ip + " to the IP whitelist under 设置与开发 > 开发接口管理 on mp.weixin.qq.com; it takes about five minutes, then sending resumes by itself."
	}
	if field := e.Field(); e.Code == CodeInvalidArgument && field != "" {
		return "Correct the value of " + field + " so that it fits the key's type and limit: WeChat refused it."
	}
	return e.Code.Remedy()
}

// TransportError is a call that did not come back with a WeChat answer:
// a network failure, an HTTP status other than 200, or a body that is not JSON.
type TransportError struct {
	Op         string
	HTTPStatus int  // 0 when no status line arrived
	Ambiguous  bool // true when WeChat may have acted on the request
	Err        error
}

// Error says what failed and whether WeChat may have acted on it.
func (e *TransportError) Error() string {
	outcome := "nothing reached WeChat"
	switch {
	case e.Ambiguous:
		outcome = "WeChat may have acted on it"
	case e.HTTPStatus != 0:
		outcome = "refused before it was acted on"
	}
	return fmt.Sprintf("wechat: %s: %v (%s)", e.Op, e.Err, outcome)
}

// Unwrap returns the cause; no *url.Error is ever in the chain, since it
// carries the access token.
func (e *TransportError) Unwrap() error { return e.Err }

// TokenError is a call that was not made, or not made again, because the token
// source gave no token. WeChat has not acted on it.
type TokenError struct {
	Err error
	// Called reports that a call was made with a token that WeChat refused, and
	// only the second try wants a token: the first counts against the quota.
	Called bool
}

// Error carries the source's own text.
func (e *TokenError) Error() string { return "wechat: get access token: " + e.Err.Error() }

// Unwrap returns the token source's error.
func (e *TokenError) Unwrap() error { return e.Err }

// TokenRefusedError is a call that WeChat refused for its token although the
// client asked for another one. Its kind is KindAccount: no message of the
// account can be sent until somebody looks.
type TokenRefusedError struct {
	Last *Error // the last refusal
	// Replayed is false when the source had only the refused token to give.
	Replayed bool
}

// Error says whether a second token was tried.
func (e *TokenRefusedError) Error() string {
	if e.Replayed {
		return e.Last.Error() + "; a second token was refused too"
	}
	return e.Last.Error() + "; the token source has no other token"
}

// Unwrap returns the last refusal.
func (e *TokenRefusedError) Unwrap() error { return e.Last }

// KindOf returns the kind of the *Error in err's chain, KindUnknown otherwise.
// A *TokenRefusedError is KindAccount.
func KindOf(err error) Kind {
	var refused *TokenRefusedError
	if errors.As(err, &refused) {
		return KindAccount
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Kind()
	}
	return KindUnknown
}

// CodeOf returns the errcode of the *Error in err's chain.
func CodeOf(err error) (Code, bool) {
	var e *Error
	if !errors.As(err, &e) {
		return 0, false
	}
	return e.Code, true
}

// Ambiguous reports whether WeChat may have accepted the message although err
// came back: errcode -1, an answer lost after the request was written, HTTP 5xx,
// an unreadable body. Trouble with getting a token is never ambiguous.
func Ambiguous(err error) bool {
	var token *TokenError
	if errors.As(err, &token) {
		return false
	}
	var transport *TransportError
	if errors.As(err, &transport) {
		return transport.Ambiguous
	}
	code, ok := CodeOf(err)
	return ok && code == CodeBusy
}
