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

// Error is such as
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

// Kind is the code's kind, with two exceptions: calls that fetch a token are
// refused for the account, never for a message, and calls of web authorization
// for one user or for the account.
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

// wrongAppID is the remedy where the account's own appid was refused.
func wrongAppID() words {
	return words{
		"Correct the account's appid in the configuration: no WeChat account has it.",
		"更正配置中账号的 appid：没有公众号使用它。",
	}
}

// Remedy is one sentence in English that tells an operator what to do, with the
// address or field that WeChat named.
func (e *Error) Remedy() string { return e.RemedyIn(English) }

// RemedyIn is Remedy in lang.
func (e *Error) RemedyIn(lang Lang) string { return e.remedy().in(lang) }

func (e *Error) remedy() words {
	if remedy, special := oauthRemedy(e.Op, e.Code); special {
		return remedy
	}
	switch fetch := fetchesToken(e.Op); {
	case fetch && e.Code == CodeInvalidCredential:
		return CodeInvalidSecret.row().remedy
	case fetch && e.Code == CodeInvalidAppID:
		return wrongAppID()
	case fetch && e.Code == CodeQuota:
		return words{
			"Find the program that fetches tokens in a loop, and use stable_token: the token fetches of the day are used up.",
			"找出循环获取 token 的程序，并改用 stable_token：当日获取 token 的次数已用完。",
		}
	}
	if ip := e.IP(); ip != "" {
		return words{
			"Add %s to API IP 白名单 under " + developerInfo + "; it takes about five minutes, then sending resumes automatically.",
			"把 %s 加入" + developerInfoZH + "的 API IP 白名单；约五分钟后生效，随后自动恢复发送。",
		}.with(ip)
	}
	if field := e.Field(); e.Code == CodeInvalidArgument && field != "" {
		return words{
			"Correct the value of %s so that it fits the key's type and limit: WeChat refused it.",
			"更正 %s 的值，使其符合该字段的类型和长度限制：微信拒绝了它。",
		}.with(field)
	}
	return e.Code.row().remedy
}

// TransportError is a call without an answer of WeChat: a network failure, an HTTP
// status other than 200, or a body that is not WeChat's JSON.
type TransportError struct {
	Op         string
	HTTPStatus int  // 0 without a status line
	Ambiguous  bool // true when WeChat may have acted on the request
	Err        error
}

// Error has the cause and whether WeChat may have acted on the request.
func (e *TransportError) Error() string {
	outcome := "nothing reached WeChat"
	switch {
	case e.Ambiguous:
		outcome = "WeChat may have acted on it"
	case e.HTTPStatus != 0:
		outcome = "WeChat did not act on it"
	}
	return fmt.Sprintf("wechat: %s: %v (%s)", e.Op, e.Err, outcome)
}

// Unwrap returns the cause. The chain has no *url.Error, since that has the access
// token.
func (e *TransportError) Unwrap() error { return e.Err }

// TokenError is a call that was not made, or not replayed, because the token source
// returned an error. WeChat has not acted on it.
type TokenError struct {
	Err error
	// Called means that WeChat refused a first call, which counts against the
	// quota, and the error is from getting another token for the replay.
	Called bool
}

// Error has the source's own text.
func (e *TokenError) Error() string { return "wechat: get access token: " + e.Err.Error() }

// Unwrap returns the token source's error.
func (e *TokenError) Unwrap() error { return e.Err }

// TokenRefusedError is a call that WeChat refused for its token after the client
// asked for another one. Its kind is KindAccount: no message of the account can be
// sent until an operator acts.
type TokenRefusedError struct {
	Last *Error // the last refusal
	// Replayed is false when the source returned the refused token again.
	Replayed bool
}

// Error has the last refusal and whether a second token was tried.
func (e *TokenRefusedError) Error() string {
	if e.Replayed {
		return e.Last.Error() + "; a second token was refused too"
	}
	return e.Last.Error() + "; the token source has no other token"
}

// Unwrap returns the last refusal.
func (e *TokenRefusedError) Unwrap() error { return e.Last }

// KindOf returns the kind of the *Error in err's chain, or KindUnknown. A
// *TokenRefusedError is KindAccount.
func KindOf(err error) Kind {
	if _, ok := errors.AsType[*TokenRefusedError](err); ok {
		return KindAccount
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind()
	}
	return KindUnknown
}

// CodeOf returns the errcode of the *Error in err's chain.
func CodeOf(err error) (Code, bool) {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return 0, false
	}
	return e.Code, true
}

// Ambiguous reports whether WeChat may have accepted the message in spite of err:
// for errcode -1, an answer lost after the request was written, HTTP 5xx, and an
// unreadable body. A *TokenError is never ambiguous.
func Ambiguous(err error) bool {
	if _, ok := errors.AsType[*TokenError](err); ok {
		return false
	}
	if transport, ok := errors.AsType[*TransportError](err); ok {
		return transport.Ambiguous
	}
	code, ok := CodeOf(err)
	return ok && code == CodeBusy
}
