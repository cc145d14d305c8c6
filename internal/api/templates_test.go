package api_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/api"
	"github.com/wxnotify/wxnotify/internal/apikey"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/templates"
	"github.com/wxnotify/wxnotify/wechat"
)

func TestTemplatesAreThoseThatWeChatTells(t *testing.T) {
	t.Parallel()
	for listed, fault := range map[string]error{
		`[{"template_id":"t1","title":"Report","primary_industry":"","deputy_industry":"","content":"{{thing1.DATA}}","example":"","keys":["thing1"]}],"as_of":"`: nil,
		`{"templates":[]}`: errors.New("away"),
	} {
		_, rdb := redistest.Mini(t)
		s := standWith(t, rdb, func(c *api.Config) {
			c.Accounts[0].Templates = &templates.Known{Ask: func(context.Context) ([]wechat.Template, error) {
				return []wechat.Template{{ID: "t1", Title: "Report", Content: "{{thing1.DATA}}"}}, fault
			}}
		})
		a := want(t, s.call(t, "GET", "/v1/templates", s.key(t, appid, func(*apikey.Key) {}), ""), http.StatusOK)
		if !strings.Contains(string(a.Body), listed) {
			t.Errorf("%s, want %s", a.Body, listed)
		}
	}
}
