package enroll_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// After WeChat's page the follower must confirm the user, also if the link was WeChat's
// own. Before the answer nothing is bound or stored, and WeChat is not called.
func TestFollowerMustConfirmTheUser(t *testing.T) {
	t.Parallel()
	story(t, settings{}, func(t *testing.T, w *world) {
		back := w.authorized(w.get(w.link("patient-401"), weChatUA), openID)
		keys := w.rdb.DBSize(t.Context()).Val()
		for range 3 { // a page may be loaded again
			page := w.get(back, weChatUA)
			body := page.Body.String()
			if page.Code != http.StatusOK || !strings.Contains(body, "p***401") || !strings.Contains(body, "示例医院") || strings.Contains(body, "patient-401") {
				t.Fatalf("%d %s", page.Code, body)
			}
			if policy := page.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "form-action 'self' https:;") {
				t.Errorf("%s", policy)
			}
		}
		if n := w.p.Calls(wechattest.OAuthTokenPath).Total; n != 0 || len(w.bound("patient-401")) != 0 || w.rdb.DBSize(t.Context()).Val() != keys {
			t.Errorf("%d exchanges before the answer", n)
		}
		if to := ended(w.says("yes", back)); to != "bound" {
			t.Errorf("yes: %s", to)
		}
		if to := ended(w.says("yes", back)); to != "bound" || w.p.Calls(wechattest.OAuthTokenPath).Total != 1 {
			t.Errorf("yes, pressed twice: %s", to)
		}
	})
}

// Links made WithoutConfirm and hand-offs with a verified claim have no confirmation page.
// The ticket decides that, not the address.
func TestOnlyTheTicketOmitsTheConfirmation(t *testing.T) {
	t.Parallel()
	story(t, settings{}, func(t *testing.T, w *world) {
		for user, link := range map[string]string{"u-1": w.link("u-1", unasked), "u-2": w.handOff("u-2", "")} {
			if to := ended(w.get(w.authorized(w.get(link, weChatUA), openID), weChatUA)); to != "bound" {
				t.Errorf("%s: %s", user, to)
			}
		}
		back := w.authorized(w.get(w.link("u-3")+"&confirm=false&answer=yes&claim="+strings.Repeat("0", 64), weChatUA), openID)
		for _, address := range []string{back + "&answer=yes", back + "&answer=1&confirm=0"} {
			if resp := w.get(address, weChatUA); !strings.Contains(resp.Body.String(), "<form") || len(w.bound("u-3")) != 0 {
				t.Errorf("%s: %d", address, resp.Code)
			}
		}
	})
}

// The form needs a valid state and has a bounded size.
func TestFormNeedsAState(t *testing.T) {
	t.Parallel()
	story(t, settings{}, func(t *testing.T, w *world) {
		back := w.authorized(w.get(w.link("u-1"), weChatUA), openID)
		u, err := url.Parse(back)
		must(t, err)
		state, code := u.Query().Get("state"), u.Query().Get("code")
		post := func(query, contentType, body string) *httptest.ResponseRecorder {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, u.Path+query, strings.NewReader(body))
			r.Header.Set("Content-Type", contentType)
			r.Header.Set("User-Agent", weChatUA)
			out := httptest.NewRecorder()
			w.handler.ServeHTTP(out, r)
			return out
		}
		const form = "application/x-www-form-urlencoded"
		for name, resp := range map[string]*httptest.ResponseRecorder{
			"in the address":     post("?state="+state+"&code="+code+"&answer=yes", form, ""),
			"no state":           post("", form, "answer=yes&code="+code),
			"forged":             post("", form, "answer=yes&code="+code+"&state="+strings.Repeat("1", 73)),
			"no form":            post("", "application/json", `{"state":"`+state+`","code":"`+code+`","answer":"yes"}`),
			"large":              post("", form, "answer=yes&code="+code+"&state="+state+"&x="+strings.Repeat("x", 5000)),
			"broken":             post("", form, "answer=%zz&code="+code+"&state="+state),
			"impossible code":    post("", form, "answer=yes&code=a%0Ab&state="+state),
			"code of 30 kB":      post("", form, "answer=yes&code="+strings.Repeat("c", 3000)+"&state="+state),
			"another answer":     post("", form, "answer=maybe&code="+code+"&state="+state),
			"state to try again": post("", form, "answer=yes&code="+code+"&state="+w.retryState(u)),
		} {
			if want := http.StatusBadRequest; resp.Code != want && name != "another answer" || resp.Code >= 300 && resp.Code < 400 {
				t.Errorf("%s: %d", name, resp.Code)
			}
		}
		if got := w.bound("u-1"); len(got) != 0 || w.p.Calls(wechattest.OAuthTokenPath).Total != 0 {
			t.Errorf("bound %v", got)
		}
	})
}

// retryState is the state in the button of the page that one sees after a no.
func (w *world) retryState(back *url.URL) string {
	w.t.Helper()
	body := w.get(back.Path+"?state="+back.Query().Get("state"), weChatUA).Body.String()
	return between(w.t, body, "?retry=", `"`)
}

func TestStateOfOneKindIsInvalidForAnother(t *testing.T) {
	t.Parallel()
	story(t, settings{}, func(t *testing.T, w *world) {
		link := w.link("u-1")
		u, err := url.Parse(w.authorized(w.get(link, weChatUA), openID))
		must(t, err)
		first, retry := u.Query().Get("state"), w.retryState(u)
		done, err := url.Parse(w.enrolled(link, openID).Header().Get("Location"))
		must(t, err)
		base := public + "/enroll/" + appID
		for name, address := range map[string]string{
			"first as retry": base + "?retry=" + first, "done as retry": base + "?retry=" + done.Query().Get("p"),
			"retry as first": base + "/callback?code=1&state=" + retry, "done as first": base + "/callback?code=1&state=" + done.Query().Get("p"),
		} {
			if resp := w.get(address, weChatUA); resp.Code != http.StatusBadRequest {
				t.Errorf("%s: %d", name, resp.Code)
			}
		}
		for _, p := range []string{first, retry} {
			if body := w.get(base+"?done=bound&p="+p, weChatUA).Body.String(); strings.Contains(body, "已完成") {
				t.Errorf("a state of another kind is accepted as proof")
			}
		}
	})
}

// The last page says "all set" to the browser that enrolled, also after a reload. Another
// browser that opens the same or a made-up address gets the text for every reader.
func TestLastPageSaysAllSetToThatBrowserOnly(t *testing.T) {
	t.Parallel()
	story(t, settings{}, func(t *testing.T, w *world) {
		link := w.link("patient-401")
		done := w.enrolled(link, openID).Header().Get("Location")
		for range 2 {
			if body := w.get(done, weChatUA).Body.String(); !strings.Contains(body, "已完成") || !strings.Contains(body, "p***401") {
				t.Errorf("the person: %s", body)
			}
		}
		base := public + "/enroll/" + appID
		other := strings.Replace(weChatUA, "iPhone OS 17_0", "iPhone OS 18_2", 1)
		for name, c := range map[string]struct{ address, agent string }{
			"shared to a desktop": {done, desktopUA}, "shared to a phone": {done, other}, "made up": {base + "?done=bound", weChatUA},
			"made up, follow": {base + "?done=follow", weChatUA}, "made up, again": {base + "?done=again", weChatUA}, "forged": {base + "?done=bound&p=" + strings.Repeat("1", 73), weChatUA},
		} {
			body := w.get(c.address, c.agent).Body.String()
			if strings.Contains(body, "已完成") || strings.Contains(body, "401") || !strings.Contains(body, "如果是您用这个链接登记的") || strings.Contains(body, "<img") {
				t.Errorf("%s: %s", name, body)
			}
		}
		if n := w.p.Calls("/cgi-bin/qrcode/create").Total; n != 0 {
			t.Errorf("%d QR codes made without a proof", n)
		}
		time.Sleep(31 * time.Minute) // virtual
		if body := w.get(done, weChatUA).Body.String(); strings.Contains(body, "已完成") || !strings.Contains(body, "您已登记成功") {
			t.Errorf("half an hour later: %s", body)
		}
	})
}

// The proof stays valid when a phone changes from WLAN to mobile data.
func TestLastPageSurvivesAnotherNetwork(t *testing.T) {
	t.Parallel()
	story(t, settings{}, func(t *testing.T, w *world) {
		ask := func(address, net string) *httptest.ResponseRecorder {
			return w.get(address, weChatUA+" NetType/"+net+" Language/zh_CN")
		}
		back := w.authorized(ask(w.link("u-1", unasked), "WIFI"), openID)
		done := ask(back, "WIFI").Header().Get("Location")
		if body := ask(done, "4G").Body.String(); !strings.Contains(body, "已完成") {
			t.Errorf("%s", body)
		}
	})
}

// The scope in the address can be changed by the visitor: only the scope of WeChat's
// answer counts.
func TestConsentIsReadFromTheAnswer(t *testing.T) {
	t.Parallel()
	story(t, settings{}, func(t *testing.T, w *world) {
		link := w.link("u-1", func(e *producer.Enrollment) { e.UserInfo = true })
		first := w.get(link, weChatUA)
		first.Header().Set("Location", strings.Replace(first.Header().Get("Location"), wechat.ScopeUserInfo, wechat.ScopeBase, 1))
		resp := w.agreed(w.authorized(first, openID))
		if resp.Code != http.StatusOK || !strings.Contains(resp.Body.String(), "E-CONSENT") || !strings.Contains(resp.Body.String(), "您没有同意") {
			t.Errorf("%d %s", resp.Code, resp.Body)
		}
		if got := w.bound("u-1"); len(got) != 0 {
			t.Errorf("bound %v without consent", got)
		}
		if to := ended(w.enrolled(link, openID)); to != "bound" {
			t.Errorf("with consent: %s", to)
		}
	})
}

// WeCom's browser has WeChat's name in its User-Agent, but cannot use WeChat's OAuth page.
func TestWeComGetsTheCode(t *testing.T) {
	t.Parallel()
	story(t, settings{}, func(t *testing.T, w *world) {
		for _, agent := range []string{
			"Mozilla/5.0 (Windows NT 10.0; WOW64) AppleWebKit/537.36 Chrome/108.0 Safari/537.36 wxwork/4.1.20 (MicroMessenger/6.2) WindowsWechat",
			weChatUA + " wxwork/4.1.20 MicroMessenger/7.0.1", weChatUA + " WXWork/4",
		} {
			if resp := w.get(w.link("u-1"), agent); resp.Code != http.StatusOK || !strings.Contains(resp.Body.String(), "data:image/png") {
				t.Errorf("%s: %d", agent, resp.Code)
			}
		}
	})
}

// After yes the follower is redirected to return_to, which the page's policy allows.
func TestAnswerLeadsToReturnTo(t *testing.T) {
	t.Parallel()
	story(t, settings{}, func(t *testing.T, w *world) {
		link := w.link("u-1", func(e *producer.Enrollment) { e.ReturnTo = shop })
		back := w.authorized(w.get(link, weChatUA), openID)
		if policy := w.get(back, weChatUA).Header().Get("Content-Security-Policy"); !strings.Contains(policy, "form-action 'self' https:;") {
			t.Errorf("%s", policy)
		}
		if to := w.says("yes", back).Header().Get("Location"); to != shop {
			t.Errorf("sent to %s", to)
		}
	})
}

// With BindFirst a further openid of a user is refused until the first is unbound.
func TestFirstBindingStays(t *testing.T) {
	t.Parallel()
	story(t, settings{roster: func(c *enroll.RosterConfig) { c.Bind = enroll.BindFirst }}, func(t *testing.T, w *world) {
		const thief = "oSIM6t0thief0000000000000001"
		w.enrolled(w.link("vera"), openID)
		stolen := w.link("vera")
		resp := w.enrolled(stolen, thief)
		page := w.get(resp.Header().Get("Location"), weChatUA)
		if ended(resp) != "taken" || page.Code != http.StatusConflict || !strings.Contains(page.Body.String(), "E-TAKEN") {
			t.Errorf("%s %d %s", ended(resp), page.Code, page.Body)
		}
		if to := ended(w.enrolled(w.link("vera"), openID)); to != "bound" {
			t.Errorf("the same openid with a new link: %s", to)
		}
		if got := w.bound("vera"); len(got) != 1 || got[0] != openID {
			t.Errorf("bound %v", got)
		}
		_, err := w.roster.Unbind(t.Context(), "vera", "")
		must(t, err)
		if to := ended(w.enrolled(w.link("vera"), thief)); to != "bound" {
			t.Errorf("after unbinding: %s", to)
		}
		if _, err := enroll.NewRoster(enroll.RosterConfig{Redis: w.rdb, Account: appID, Bind: "last"}); err == nil {
			t.Error("an unknown policy is accepted")
		}
	})
}
