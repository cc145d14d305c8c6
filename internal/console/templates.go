package console

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/wxnotify/wxnotify/internal/mask"
	"github.com/wxnotify/wxnotify/wechat"
)

const (
	// templatesLife is how long WeChat's answer is shown: it allows few such calls a day.
	templatesLife = time.Hour
	// templatesRetry is how long a failure is shown.
	templatesRetry = time.Minute
)

var errNoTemplates = errors.New("this process does not ask WeChat")

// knownTemplates is WeChat's last answer for an account. Safe for concurrent use.
type knownTemplates struct {
	mu   sync.Mutex
	list []wechat.Template
	err  error
	at   time.Time
}

// of asks WeChat unless the last answer is fresh. Concurrent requests wait for one call.
func (k *knownTemplates) of(ctx context.Context, ask func(context.Context) ([]wechat.Template, error)) ([]wechat.Template, time.Time, error) {
	if ask == nil {
		return nil, time.Time{}, errNoTemplates
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	life := templatesLife
	if k.err != nil {
		life = templatesRetry
	}
	if k.at.IsZero() || time.Since(k.at) > life {
		list, err := ask(ctx)
		if ctx.Err() != nil {
			return nil, time.Time{}, err
		}
		k.list, k.err, k.at = list, err, time.Now()
	}
	return k.list, k.at, k.err
}

// templatesView is the page of templates.
type templatesView struct {
	Rows  []templateRow
	At    time.Time
	Fault string
}

type templateRow struct {
	wechat.Template
	Keys []string
}

func (c *Console) templates(r *request) error {
	list, at, err := c.known[r.account.AppID].of(r.ctx(), r.account.Templates)
	v := templatesView{At: at}
	switch {
	case errors.Is(err, errNoTemplates):
		v.Fault = r.text("This process has no AppSecret and does not ask WeChat: open the console of a worker or of serve.")
	case err != nil:
		v.Fault = r.text("WeChat could not be asked: %s", mask.Text(faultText(err, r.lang)))
	}
	for _, t := range list {
		v.Rows = append(v.Rows, templateRow{t, t.Keys()})
	}
	return c.render(r, http.StatusOK, "templates", r.text("Templates"), v)
}

// faultText is the error with WeChat's remedy, if it has one.
func faultText(err error, lang wechat.Lang) string {
	var answer *wechat.Error
	if errors.As(err, &answer) && answer.Code.RemedyIn(lang) != "" {
		return err.Error() + "; " + answer.Code.RemedyIn(lang)
	}
	return err.Error()
}
