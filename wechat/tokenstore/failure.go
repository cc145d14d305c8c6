package tokenstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// failure is a failed fetch as stored in Redis. Every process rebuilds from it the
// error that the fetching process saw, including the errcode.
type failure struct {
	Op         string      `json:"op,omitempty"`
	Code       wechat.Code `json:"code,omitempty"`
	Msg        string      `json:"msg,omitempty"`
	RID        string      `json:"rid,omitempty"`
	Transport  bool        `json:"transport,omitempty"`
	HTTPStatus int         `json:"http,omitempty"`
	Ambiguous  bool        `json:"ambiguous,omitempty"`
	Text       string      `json:"text,omitempty"` // unless WeChat answered
}

// newFailure keeps only text without secrets. Of an error that is neither WeChat's
// answer nor a transport error it keeps the type alone, because another Fetcher may
// put the secret into its text.
func newFailure(op string, err error) failure {
	var answer *wechat.Error
	if errors.As(err, &answer) {
		f := failure{Op: answer.Op, Code: answer.Code, Msg: answer.Msg, RID: answer.RID}
		if f.Op == "" {
			f.Op = op
		}
		return f
	}
	var transport *wechat.TransportError
	if errors.As(err, &transport) {
		return failure{
			Op: transport.Op, Transport: true, HTTPStatus: transport.HTTPStatus,
			Ambiguous: transport.Ambiguous, Text: transportText(transport.Err),
		}
	}
	switch {
	case errors.Is(err, ErrEmpty):
		return failure{Op: op, Text: ErrEmpty.Error()}
	case errors.Is(err, context.DeadlineExceeded):
		return failure{Op: op, Transport: true, Ambiguous: true, Text: "no answer in time"}
	}
	return failure{Op: op, Text: fmt.Sprintf("the fetch failed with a %T, whose text is withheld", err)}
}

// transportText omits the URL, which holds the secret for the classic endpoint.
func transportText(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if err == nil {
		return "no answer"
	}
	return err.Error()
}

func (f failure) err() error {
	switch {
	case f.Code != 0:
		return &wechat.Error{Op: f.Op, Code: f.Code, Msg: f.Msg, RID: f.RID}
	case f.Transport:
		return &wechat.TransportError{
			Op: f.Op, HTTPStatus: f.HTTPStatus, Ambiguous: f.Ambiguous, Err: errors.New(f.Text),
		}
	case f.Text == ErrEmpty.Error():
		return fmt.Errorf("%s: %w", f.Op, ErrEmpty)
	}
	return fmt.Errorf("%s: %s", f.Op, f.Text)
}

func (f failure) remedy() string {
	switch {
	case f.Code != 0:
		return (&wechat.Error{Op: f.Op, Code: f.Code, Msg: f.Msg}).Remedy()
	case f.Transport:
		return "check the network, DNS and any proxy between here and WeChat's API host; the next attempt is automatic"
	}
	return "check the token fetcher; the next attempt is automatic"
}

func (f failure) encode() string {
	b, err := json.Marshal(f)
	if err != nil { // cannot happen: strings, numbers and booleans always encode
		return "{}"
	}
	return string(b)
}

func decodeFailure(text string) failure {
	var f failure
	if err := json.Unmarshal([]byte(text), &f); err != nil {
		return failure{Text: "the record of the failure is unreadable"}
	}
	return f
}

// steps returns how long no process asks WeChat after the first failure, and at most
// after several in a row; each doubles the step. docs: 获取接口调用凭据 § 错误码.
func (f failure) steps() (first, most time.Duration) {
	if f.Code.RefusesAddress() { // of this process; a change in the console takes some minutes
		return 5 * time.Second, time.Minute
	}
	switch f.Code {
	case 40001, 40002, 40013, 40125, 40243, 41002, 41004, 43002, 50004, 50007: // an administrator must act
		return time.Second, 10 * time.Minute
	case 89501, 89503: // an administrator was asked to confirm
		return 10 * time.Minute, 10 * time.Minute
	case 89506: // the administrator refused: allowed again after 24 h
		return 24 * time.Hour, 24 * time.Hour
	case 89507: // the administrator refused: allowed again after 1 h
		return time.Hour, time.Hour
	case 45009: // the day's quota is used up; try once an hour
		return time.Hour, time.Hour
	case 45011: // the minute's quota is used up
		return time.Minute, time.Minute
	case -1, 0: // WeChat is busy, or the network failed
		return time.Second, time.Minute
	}
	return time.Second, 5 * time.Minute
}
