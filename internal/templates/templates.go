// Package templates keeps what WeChat last said of an account's templates, for the
// console and the HTTP API.
package templates

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

const (
	// life is how long WeChat's answer is used: it allows few such calls a day.
	life = time.Hour
	// retry is how long a failure is.
	retry = time.Minute
)

// ErrNotAsked is the error of a process without the account's AppSecret.
var ErrNotAsked = errors.New("this process does not ask WeChat")

// Template is a template with the keys of its fields.
type Template struct {
	wechat.Template
	Keys []string `json:"keys"`
}

// Of returns the templates with their keys.
func Of(list []wechat.Template) []Template {
	out := make([]Template, len(list))
	for i, t := range list {
		out[i] = Template{t, t.Keys()}
	}
	return out
}

// Known is WeChat's last answer for one account. Safe for concurrent use.
type Known struct {
	// Ask asks WeChat. Nil: ErrNotAsked.
	Ask func(context.Context) ([]wechat.Template, error)

	mu    sync.Mutex
	list  []Template
	at    time.Time // of list
	err   error     // of the last question
	asked time.Time
}

// List asks WeChat unless its last answer is less than an hour old. at is when the list
// was read; zero: there is none. After a failure it returns the list before, with the
// error, which is ErrNotAsked, that of Ask, or ctx's. Concurrent callers wait for one call.
func (k *Known) List(ctx context.Context) (list []Template, at time.Time, err error) {
	if k == nil || k.Ask == nil {
		return nil, time.Time{}, ErrNotAsked
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	wait := life
	if k.err != nil {
		wait = retry
	}
	if k.asked.IsZero() || time.Since(k.asked) > wait {
		got, err := k.Ask(ctx)
		if ctx.Err() != nil {
			return k.list, k.at, err
		}
		if k.err, k.asked = err, time.Now(); err == nil {
			k.list, k.at = Of(got), k.asked
		}
	}
	return k.list, k.at, k.err
}
