package wechat_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

func TestSceneOfAQRCodeReturnsWithTheScan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, wechat.CallbackSecure, "success")
		p := simulate(s, wechattest.CallbackSecure, nil)
		defer p.Close()
		a := p.Account(wechattest.AppID)
		c, err := wechat.NewClient(wechat.Config{AppID: wechattest.AppID, BaseURL: p.BaseURL(), HTTPClient: p.Client()},
			wechat.StaticToken(a.FetchToken().Reveal()))
		must(t, err)
		q, err := c.CreateQR(t.Context(), "绑定-1", 90*time.Second+time.Millisecond)
		if err != nil || time.Until(q.ExpiresAt) != 90*time.Second || !strings.HasPrefix(q.URL, "http") {
			t.Fatalf("code %+v, %v", q, err)
		}
		for _, event := range []string{wechat.EventSubscribe, wechat.EventScan} {
			if !a.Scan("oA", q.Ticket) {
				t.Fatal("the ticket is not known")
			}
			synctest.Wait()
			if e := s.got[len(s.got)-1].Event; !e.Is(event) || e.Scene() != "绑定-1" || e.Ticket != q.Ticket || e.OpenID != "oA" {
				t.Errorf("%s: %+v", event, e)
			}
		}
		time.Sleep(91 * time.Second)
		if a.Scan("oA", q.Ticket) {
			t.Error("the code outlived its life")
		}
	})
}

func TestCreateQRChecksItsLimits(t *testing.T) {
	t.Parallel()
	p := answers(t, `{"ticket":"T","expire_seconds":60,"url":"https://weixin.qq.com/q/x"}`)
	c := newClient(t, p, newSource())
	for _, scene := range []string{"a", strings.Repeat("a", 64), "a b&<c>"} {
		for _, life := range []time.Duration{time.Second, time.Minute, 30 * 24 * time.Hour} {
			if _, err := c.CreateQR(t.Context(), scene, life); err != nil {
				t.Errorf("%q for %v: %v", scene, life, err)
			}
		}
	}
	if body := p.calls()[len(p.calls())-1].body; body != `{"expire_seconds":2592000,"action_name":"QR_STR_SCENE","action_info":{"scene":{"scene_str":"a b&<c>"}}}` {
		t.Errorf("body %s", body)
	}
	asked := len(p.calls())
	for _, tt := range []struct {
		scene string
		life  time.Duration
	}{
		{"", time.Minute},
		{strings.Repeat("canary", 11), time.Minute},
		{"canary\n", time.Minute},
		{"canary\xff", time.Minute},
		{"canary", 0},
		{"canary", time.Second - 1},
		{"canary", 30*24*time.Hour + 1},
		{"canary", -time.Minute},
	} {
		_, err := c.CreateQR(t.Context(), tt.scene, tt.life)
		if err == nil {
			t.Errorf("%q for %v was accepted", tt.scene, tt.life)
		}
		noCanary(t, err)
	}
	if len(p.calls()) != asked {
		t.Error("WeChat was asked in vain")
	}
}

func TestCreateQRChecksTheAnswer(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{}`, `{"ticket":"T"}`, `{"url":"https://x.example"}`, `{"ticket":"T","url":"javascript:alert(1)"}`} {
		if q, err := newClient(t, answers(t, body), newSource()).CreateQR(t.Context(), "s", time.Minute); err == nil {
			t.Errorf("%s: %+v", body, q)
		}
	}
	for _, seconds := range []string{"0", `""`, "-5", "99999999999"} {
		c := newClient(t, answers(t, `{"ticket":"T","url":"https://weixin.qq.com/q/x","expire_seconds":`+seconds+`}`), newSource())
		if q, err := c.CreateQR(t.Context(), "s", time.Minute); err != nil || time.Until(q.ExpiresAt) > time.Minute {
			t.Errorf("expire_seconds %s: %+v, %v; want what was asked for", seconds, q, err)
		}
	}
}
