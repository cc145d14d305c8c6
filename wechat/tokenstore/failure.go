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

// failure is a failed fetch as it lies in Redis for the whole fleet to read. It
// is rebuilt into the error that the fetching process saw, so that callers in
// every process can ask for the errcode.
type failure struct {
	Op         string      `json:"op,omitempty"`
	Code       wechat.Code `json:"code,omitempty"`
	Msg        string      `json:"msg,omitempty"`
	RID        string      `json:"rid,omitempty"`
	Transport  bool        `json:"transport,omitempty"`
	HTTPStatus int         `json:"http,omitempty"`
	Ambiguous  bool        `json:"ambiguous,omitempty"`
	Text       string      `json:"text,omitempty"` // of anything but an answer
}

// newFailure keeps what is fit for text. Of an error that is neither WeChat's
// answer nor a transport error only the type is told, for a fetcher of another
// make may have the secret in its words.
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

// transportText leaves out the URL, in which the classic endpoint takes the secret.
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
		return "check the network, DNS and any proxy between here and WeChat's API host; the next try comes by itself"
	}
	return "look into the token fetcher; the next try comes by itself"
}

func (f failure) encode() string {
	b, err := json.Marshal(f)
	if err != nil { // strings, numbers and booleans always encode
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

// steps says how long the fleet leaves WeChat alone after the first, second …
// failure in a row; the last one repeats. docs: 获取接口调用凭据 § 错误码.
func (f failure) steps() []time.Duration {
	switch f.Code {
	case wechat.CodeIPNotListed: // heals within five minutes of the console's change
		return doubling(5*time.Second, 5*time.Minute)
	case 40001, 40002, 40013, 40125, 40243, 41002, 41004, 43002, 50004, 50007: // somebody must act
		return doubling(time.Second, 10*time.Minute)
	case 89501, 89503: // an administrator was asked to confirm
		return []time.Duration{10 * time.Minute}
	case 89506: // refused: again after 24 h
		return []time.Duration{24 * time.Hour}
	case 89507: // refused: again after 1 h
		return []time.Duration{time.Hour}
	case 45009: // the day's fetches are gone; one probe an hour is allowed
		return []time.Duration{time.Hour}
	case 45011: // the minute's
		return []time.Duration{time.Minute}
	case -1, 0: // busy, or the network: it may be over any moment
		return doubling(time.Second, time.Minute)
	}
	return doubling(time.Second, 5*time.Minute)
}

// doubling is first, 2·first, 4·first … up to most.
func doubling(first, most time.Duration) []time.Duration {
	var steps []time.Duration
	for d := first; d < most; d *= 2 {
		steps = append(steps, d)
	}
	return append(steps, most)
}
