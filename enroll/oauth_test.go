package enroll_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

func TestEnrolByOAuth(t *testing.T) {
	t.Parallel()
	story(t, settings{platform: wechattest.Config{UnionIDs: true}}, func(t *testing.T, w *world) {
		resp := w.enrolled(w.link("patient-401"), openID)
		if ended(resp) != "bound" || !strings.HasPrefix(resp.Header().Get("Location"), public+"/enroll/"+appID+"?done=bound&p=") {
			t.Fatalf("%d %s", resp.Code, resp.Header().Get("Location"))
		}
		page := w.get(resp.Header().Get("Location"), weChatUA)
		if page.Code != http.StatusOK || !strings.Contains(page.Body.String(), "示例医院") || !strings.Contains(page.Body.String(), "已完成") {
			t.Errorf("%d %s", page.Code, page.Body)
		}
		list, err := w.roster.Of(t.Context(), "patient-401")
		must(t, err)
		if len(list) != 1 || list[0].OpenID != openID || list[0].How != enroll.ByOAuth ||
			list[0].Follows == nil || !*list[0].Follows || list[0].UnionID == "" {
			t.Errorf("roster %+v", list)
		}
		// The same person may open the link again; another person may not use it.
		again := w.enrolled(w.link("patient-402"), openID)
		if again.Code != http.StatusSeeOther {
			t.Errorf("a second user of one openid: %d", again.Code)
		}
	})
}

// A link is for one person. A used link makes no call to WeChat, so its text must be true
// for the person who used it and for any other.
func TestLinkIsForOnePerson(t *testing.T) {
	t.Parallel()
	story(t, settings{}, func(t *testing.T, w *world) {
		link := w.link("patient-401")
		late := w.authorized(w.get(link, weChatUA), "oSIM6t0stranger000000000001") // on the way already
		w.enrolled(link, openID)
		calls := w.p.Calls(wechattest.OAuthTokenPath).Total
		for name, agent := range map[string]string{"in WeChat": weChatUA, "on a desktop": desktopUA} {
			resp := w.get(link, agent)
			if body := resp.Body.String(); resp.Code != http.StatusOK || !strings.Contains(body, "您已登记成功") || !strings.Contains(body, "p***401") ||
				strings.Contains(body, "已完成") {
				t.Errorf("%s: %d %s", name, resp.Code, body)
			}
		}
		if resp := w.agreed(late); !strings.Contains(resp.Body.String(), "如果不是您登记的") {
			t.Errorf("a person who comes second: %d %s", resp.Code, resp.Body)
		}
		if n := w.p.Calls(wechattest.OAuthTokenPath).Total - calls; n != 0 {
			t.Errorf("%d exchanges for a used link", n)
		}
		if got := w.bound("patient-401"); len(got) != 1 || got[0] != openID {
			t.Errorf("bound %v", got)
		}
	})
}

// oau-01: a WebView loads the address twice, 50 ms apart, and two processes get
// one each: one exchange at WeChat, both end enrolled.
func TestOau01OneExchangePerCode(t *testing.T) {
	t.Parallel()
	story(t, settings{platform: wechattest.Config{Latency: 300 * time.Millisecond}}, func(t *testing.T, w *world) {
		other := w.serve(nil).Handler()
		back := w.authorized(w.get(w.link("u-1"), weChatUA), openID)
		w.get(back, weChatUA)
		var answers [2]*httptest.ResponseRecorder
		var both sync.WaitGroup
		both.Go(func() { answers[0] = w.says("yes", back) })
		both.Go(func() {
			time.Sleep(50 * time.Millisecond) // virtual
			answers[1] = says(other, "yes", back)
		})
		both.Wait()
		for i, a := range answers {
			if to := ended(a); to != "bound" {
				t.Errorf("browser %d: %s %s", i, to, a.Body)
			}
		}
		if n := w.p.Calls(wechattest.OAuthTokenPath).Total; n != 1 {
			t.Errorf("%d exchanges, want 1", n)
		}
		if got := w.bound("u-1"); len(got) != 1 {
			t.Errorf("bound %v", got)
		}
	})
}

// oau-02: back to the address with the code: a clean page, no error, no exchange.
func TestOau02BackToTheCallback(t *testing.T) {
	t.Parallel()
	story(t, settings{}, func(t *testing.T, w *world) {
		back := w.authorized(w.get(w.link("u-1"), weChatUA), openID)
		w.agreed(back)
		time.Sleep(10 * time.Minute) // virtual: the code itself is long dead
		resp := w.get(back, weChatUA)
		if ended(resp) != "bound" {
			t.Errorf("%d %s", resp.Code, resp.Header())
		}
		if page := w.get(resp.Header().Get("Location"), weChatUA); !strings.Contains(page.Body.String(), "已完成") {
			t.Errorf("%s", page.Body)
		}
		if n := w.p.Calls(wechattest.OAuthTokenPath).Total; n != 1 {
			t.Errorf("%d exchanges, want 1", n)
		}
	})
}

// oau-03: state missing, forged, with text appended, expired, or used with
// another code: 400, a friendly page with a way on, nothing stored.
func TestOau03BadStates(t *testing.T) {
	t.Parallel()
	story(t, settings{}, func(t *testing.T, w *world) {
		link := w.link("u-1")
		back := w.authorized(w.get(link, weChatUA), openID)
		u, err := url.Parse(back)
		must(t, err)
		with := func(state string) string {
			q := u.Query()
			q.Set("state", state)
			return u.Path + "?" + q.Encode()
		}
		genuine := u.Query().Get("state")
		before := w.rdb.DBSize(t.Context()).Val()
		for name, address := range map[string]string{
			"missing": u.Path + "?code=1", "empty": with(""), "forged": with(strings.Repeat("1", len(genuine))),
			"appended": with(genuine + "x"),
		} {
			resp := w.get(address, weChatUA)
			if resp.Code != http.StatusBadRequest || !strings.Contains(resp.Body.String(), "/enroll/"+appID) {
				t.Errorf("%s: %d %s", name, resp.Code, resp.Body)
			}
		}
		if after := w.rdb.DBSize(t.Context()).Val(); after != before {
			t.Errorf("%d keys became %d", before, after)
		}
		if n := w.p.Calls(wechattest.OAuthTokenPath).Total; n != 0 {
			t.Errorf("%d exchanges", n)
		}
		time.Sleep(31 * time.Minute) // virtual
		resp := w.get(back, weChatUA)
		if resp.Code != http.StatusBadRequest || !strings.Contains(resp.Body.String(), "retry=") {
			t.Errorf("expired: %d, and a link to try again is wanted: %s", resp.Code, resp.Body)
		}
		if got := w.bound("u-1"); len(got) != 0 {
			t.Errorf("bound %v", got)
		}
	})
}

// A state is good for one code: who captured it cannot come with a code of theirs.
func TestOau03StateIsGoodForOneCode(t *testing.T) {
	t.Parallel()
	story(t, settings{}, func(t *testing.T, w *world) {
		back := w.authorized(w.get(w.link("u-1"), weChatUA), openID)
		w.agreed(back)
		u, err := url.Parse(back)
		must(t, err)
		q := u.Query()
		q.Set("code", w.p.Account(appID).OAuthCode("oSIM6t0attacker00000000001", wechat.ScopeBase))
		if resp := w.get(u.Path+"?"+q.Encode(), weChatUA); resp.Code != http.StatusBadRequest {
			t.Errorf("%d %s", resp.Code, resp.Body)
		}
	})
}

// oau-05: no cookie is ever set or needed.
func TestOau05NoCookies(t *testing.T) {
	t.Parallel()
	story(t, settings{}, func(t *testing.T, w *world) {
		first := w.get(w.link("u-1"), weChatUA)
		last := w.agreed(w.authorized(first, openID))
		for _, r := range []*httptest.ResponseRecorder{first, last} {
			if c := r.Header().Values("Set-Cookie"); len(c) > 0 {
				t.Errorf("sets a cookie: %v", c)
			}
		}
		if got := w.bound("u-1"); len(got) != 1 {
			t.Errorf("bound %v", got)
		}
	})
}

// oau-06: a page in quick look names a person who does not exist.
func TestOau06Snapshot(t *testing.T) {
	t.Parallel()
	story(t, settings{}, func(t *testing.T, w *world) {
		w.enrolled(w.link("u-1"), openID)
		const virtual = "oSIM6t0virtual000000000001"
		w.p.Account(appID).SetSnapshot(virtual)
		link := w.link("u-1")
		resp := w.enrolled(link, virtual)
		page := w.get(resp.Header().Get("Location"), weChatUA)
		if !strings.HasSuffix(resp.Header().Get("Location"), "&done=snapshot") || !strings.Contains(page.Body.String(), "完整服务") ||
			!strings.Contains(page.Body.String(), `?retry=`) {
			t.Errorf("%s, and a way on is wanted: %s", resp.Header().Get("Location"), page.Body)
		}
		if got := w.bound("u-1"); len(got) != 1 || got[0] != openID {
			t.Errorf("bound %v, want the real one alone", got)
		}
		retry := resp.Header().Get("Location")
		if u, err := url.Parse(retry); err != nil || w.get(public+"/enroll/"+appID+"?retry="+u.Query().Get("retry"), weChatUA).Code != http.StatusFound {
			t.Errorf("the way on leads nowhere: %v", err)
		}
		// The link is not used up: the real person still enrols with it.
		if to := ended(w.enrolled(link, "oSIM6t0follower0000000000002")); to != "bound" {
			t.Errorf("afterwards: %s", to)
		}
	})
}

// oau-08: no follower is sent to an address that is not on the list.
func TestOau08ReturnTo(t *testing.T) {
	t.Parallel()
	story(t, settings{}, func(t *testing.T, w *world) {
		for _, evil := range []string{"https://evil.example/", shop + ".evil.example", shop + "/../x", "javascript:alert(1)", "//evil.example", shop + "?x"} {
			resp := w.get(w.link("u-1")+"&return_to="+url.QueryEscape(evil), weChatUA)
			if resp.Code != http.StatusBadRequest || resp.Header().Get("Location") != "" {
				t.Errorf("%s: %d %s", evil, resp.Code, resp.Header().Get("Location"))
			}
		}
		link := w.link("u-1", func(e *producer.Enrollment) { e.ReturnTo = shop })
		if to := w.enrolled(link, openID).Header().Get("Location"); to != shop {
			t.Errorf("sent to %s, want %s", to, shop)
		}
	})
}

// oau-09: two accounts on one domain: what one signed is nothing to the other.
func TestOau09TwoAccounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, settings{
			platform: wechattest.Config{Accounts: []wechattest.AccountConfig{{AppID: appID}, {AppID: otherID}}},
		})
		w.handler = w.serve(func(c *enroll.Config) { c.Accounts = append(c.Accounts, w.account(otherID)) }).Handler()
		back := w.authorized(w.get(w.link("u-1"), weChatUA), openID)
		moved := strings.Replace(back, "/enroll/"+appID, "/enroll/"+otherID, 1)
		if resp := w.get(moved, weChatUA); resp.Code != http.StatusBadRequest {
			t.Errorf("the state of one account at the other's address: %d", resp.Code)
		}
		ticket := strings.Replace(w.link("u-1"), "/enroll/"+appID, "/enroll/"+otherID, 1)
		if resp := w.get(ticket, weChatUA); resp.Code != http.StatusBadRequest {
			t.Errorf("the ticket of one account at the other's address: %d", resp.Code)
		}
		if got := w.agreed(back); got.Code != http.StatusSeeOther {
			t.Errorf("at its own: %d", got.Code)
		}
	})
}

// WeChat busy at the exchange: a new code is asked for once, never the same code
// twice; then the follower is told, with a way on.
func TestExchangeIsNeverRepeated(t *testing.T) {
	t.Parallel()
	story(t, settings{}, func(t *testing.T, w *world) {
		w.p.Script(wechattest.Errcode(-1).On(wechattest.OAuthTokenPath).Forever())
		first := w.enrolled(w.link("u-1"), openID)
		second := w.agreed(w.authorized(first, openID))
		if second.Code != http.StatusServiceUnavailable || !strings.Contains(second.Body.String(), "retry=") {
			t.Errorf("%d %s", second.Code, second.Body)
		}
		if n := w.p.Calls(wechattest.OAuthTokenPath).Total; n != 2 {
			t.Errorf("%d exchanges, want 2", n)
		}
	})
}

// What WeChat tells beyond the openid is welcome and not needed.
func TestProfileIsBestEffort(t *testing.T) {
	t.Parallel()
	story(t, settings{}, func(t *testing.T, w *world) {
		w.p.Script(wechattest.Errcode(-1).On("/sns/userinfo").Forever(), wechattest.Errcode(-1).On("/cgi-bin/user/info").Forever())
		link := w.link("u-1", func(e *producer.Enrollment) { e.UserInfo = true })
		if to := ended(w.enrolled(link, openID)); to != "bound" {
			t.Errorf("sent to %s", to)
		}
	})
}

// A refusal on WeChat's page comes back without a code, or with authdeny; on our page it
// is the answer no. Nothing is bound, WeChat is not called, and there is no second question
// until the follower presses the button.
func TestRefusedConsent(t *testing.T) {
	t.Parallel()
	story(t, settings{}, func(t *testing.T, w *world) {
		back := w.authorized(w.get(w.link("u-1"), weChatUA), openID)
		u, err := url.Parse(back)
		must(t, err)
		keys := w.rdb.DBSize(t.Context()).Val()
		state := "state=" + u.Query().Get("state")
		for name, resp := range map[string]*httptest.ResponseRecorder{
			"no code": w.get(u.Path+"?"+state, weChatUA), "empty code": w.get(u.Path+"?code=&"+state, weChatUA),
			"authdeny": w.get(u.Path+"?code=authdeny&reason=&"+state, weChatUA), "no on our page": w.says("no", back),
		} {
			if resp.Code != http.StatusOK || !strings.Contains(resp.Body.String(), "您没有同意") || !strings.Contains(resp.Body.String(), "retry=") {
				t.Errorf("%s: %d %s", name, resp.Code, resp.Body)
			}
		}
		if n := w.p.Calls(wechattest.OAuthTokenPath).Total; n != 0 || len(w.bound("u-1")) != 0 || w.rdb.DBSize(t.Context()).Val() != keys {
			t.Errorf("%d exchanges, bound %v", n, w.bound("u-1"))
		}
		// The follower may still say yes.
		if to := ended(w.says("yes", back)); to != "bound" {
			t.Errorf("then yes: %s", to)
		}
	})
}

// A bound non-follower is shown how to follow.
func TestNonFollowerIsShownHow(t *testing.T) {
	t.Parallel()
	story(t, settings{platform: wechattest.Config{Strangers: true}}, func(t *testing.T, w *world) {
		resp := w.enrolled(w.link("u-1", func(e *producer.Enrollment) { e.ReturnTo = shop }), openID)
		page := w.get(resp.Header().Get("Location"), weChatUA)
		if !strings.Contains(page.Body.String(), "data:image/png") || !strings.Contains(page.Body.String(), shop) {
			t.Errorf("%s: %s", resp.Header().Get("Location"), page.Body)
		}
	})
}

// The seed's hand-off: the link is good only with the claim, and for the person.
func TestHandOffIsCompared(t *testing.T) {
	t.Parallel()
	story(t, settings{platform: wechattest.Config{UnionIDs: true}}, func(t *testing.T, w *world) {
		p, err := producer.New(w.rdb, producer.Config{Account: appID})
		must(t, err)
		t.Cleanup(func() { _ = p.Close() })
		probe := w.enrolled(w.link("probe"), openID) // to learn the unionid
		_ = probe
		list, err := w.roster.Of(t.Context(), "probe")
		must(t, err)
		data := map[string]string{"phone": "13800000000"}
		e := producer.Enrollment{PublicURL: public, Key: wechat.NewSecret(enrollKey), User: "u-1"}
		link, err := p.HandOff(t.Context(), e, producer.HandOff{Data: data, UnionID: list[0].UnionID})
		must(t, err)
		for name, claim := range map[string]string{"none": "", "other": producer.Claim(wechat.NewSecret(enrollKey), link, map[string]string{"phone": "1"})} {
			if resp := w.get(link+"&claim="+claim, weChatUA); resp.Code != http.StatusForbidden {
				t.Errorf("claim %s: %d", name, resp.Code)
			}
		}
		open := link + "&claim=" + producer.Claim(wechat.NewSecret(enrollKey), link, data)
		if to := ended(w.enrolled(open, "oSIM6t0somebody000000000001")); to != "mismatch" {
			t.Errorf("another person: %s", to)
		}
		if got := w.bound("u-1"); len(got) != 0 {
			t.Errorf("bound %v", got)
		}
		if to := ended(w.enrolled(open, openID)); to != "bound" {
			t.Errorf("the person: %s", to)
		}
	})
}

// To try again after WeChat's trouble is no wrong claim: the button leads on without one.
func TestHandOffMayBeTriedAgain(t *testing.T) {
	t.Parallel()
	story(t, settings{}, func(t *testing.T, w *world) {
		p, err := producer.New(w.rdb, producer.Config{Account: appID})
		must(t, err)
		t.Cleanup(func() { _ = p.Close() })
		data := map[string]string{"phone": "13800000000"}
		link, err := p.HandOff(t.Context(), producer.Enrollment{PublicURL: public, Key: wechat.NewSecret(enrollKey), User: "u-1"}, producer.HandOff{Data: data})
		must(t, err)
		for range 7 { // who opens the bare link guesses nothing
			w.get(link, weChatUA)
		}
		open := link + "&claim=" + producer.Claim(wechat.NewSecret(enrollKey), link, data)
		u, err := url.Parse(w.authorized(w.get(open, weChatUA), openID))
		must(t, err)
		refused := w.get(u.Path+"?state="+u.Query().Get("state"), weChatUA).Body.String() // said no
		if strings.Contains(refused, "claim=") || strings.Contains(refused, "ticket=") {
			t.Errorf("the way on shows ticket or claim: %s", refused)
		}
		again := public + "/enroll/" + appID + "?retry=" + between(t, refused, "?retry=", `"`)
		if to := ended(w.agreed(w.authorized(w.get(again, weChatUA), openID))); to != "bound" {
			t.Errorf("the second time: %s", to)
		}
	})
}

func TestLinkThatIsNone(t *testing.T) {
	t.Parallel()
	story(t, settings{}, func(t *testing.T, w *world) {
		expired := w.link("u-1", func(e *producer.Enrollment) { e.Life = time.Minute })
		time.Sleep(time.Minute) // virtual
		for name, c := range map[string]struct {
			address string
			code    int
		}{
			"no ticket":       {public + "/enroll/" + appID, http.StatusBadRequest},
			"damaged":         {w.link("u-1") + "x", http.StatusBadRequest},
			"expired":         {expired, http.StatusBadRequest},
			"unknown account": {public + "/enroll/wx0", http.StatusNotFound},
			"unknown path":    {public + "/admin", http.StatusNotFound},
			"unknown end":     {public + "/enroll/" + appID + "?done=%3Cscript%3E", http.StatusBadRequest},
		} {
			resp := w.get(c.address, weChatUA)
			if resp.Code != c.code || !strings.Contains(resp.Header().Get("Content-Security-Policy"), "default-src 'none'") {
				t.Errorf("%s: %d %s", name, resp.Code, resp.Header())
			}
		}
	})
}
