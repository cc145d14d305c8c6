package wechat_test

import (
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/wechat"
)

func TestNewClientReportsEveryFault(t *testing.T) {
	t.Parallel()
	_, err := wechat.NewClient(wechat.Config{AppID: "wx 1", BaseURL: "ftp://user:canary-password@host", Timeout: -1}, nil)
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{"AppID", "BaseURL", "Timeout", "TokenSource"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not name %s", err, part)
		}
	}
	if strings.Contains(err.Error(), "canary") {
		t.Errorf("%q quotes the URL", err)
	}
	if _, err := wechat.NewTokenFetcher(wechat.Config{}); err == nil || !strings.Contains(err.Error(), "AppSecret") || !strings.Contains(err.Error(), "AppID") {
		t.Errorf("NewTokenFetcher: %v", err)
	}
	for _, base := range []string{"api.weixin.qq.com", "https://", "https://h/?a=b", "https://u:p@h", "http://h\x7f/", "https://h#f"} {
		if _, err := wechat.NewClient(wechat.Config{AppID: "wx1", BaseURL: base}, newSource()); err == nil {
			t.Errorf("BaseURL %q was accepted", base)
		}
	}
}

func TestBaseURLMayHaveAPath(t *testing.T) {
	t.Parallel()
	p := answers(t, answerOK)
	c := newClient(t, p, newSource(), func(cfg *wechat.Config) { cfg.BaseURL = p.URL + "/wechat/" })
	if _, err := c.SendTemplate(t.Context(), orderPaid()); err != nil {
		t.Fatal(err)
	}
	if got := p.calls()[0].path; got != "/wechat"+wechat.SendPath {
		t.Errorf("called %s", got)
	}
}
