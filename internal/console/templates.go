package console

import (
	"errors"
	"net/http"
	"time"

	"github.com/wxnotify/wxnotify/internal/mask"
	"github.com/wxnotify/wxnotify/internal/templates"
	"github.com/wxnotify/wxnotify/wechat"
)

// templatesView is the page of templates.
type templatesView struct {
	Rows  []templates.Template
	At    time.Time
	Fault string
}

func (c *Console) templates(r *request) error {
	list, at, err := r.account.Templates.List(r.ctx())
	v := templatesView{Rows: list, At: at}
	switch {
	case errors.Is(err, templates.ErrNotAsked):
		v.Fault = r.text("This process has no AppSecret and does not ask WeChat: open the console of a worker or of serve.")
	case err != nil:
		v.Fault = r.text("WeChat could not be asked: %s", mask.Text(faultText(err, r.lang)))
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
