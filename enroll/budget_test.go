package enroll_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// junk returns from WeChat's page with a made-up code.
func (w *world) junk(first *httptest.ResponseRecorder) *httptest.ResponseRecorder {
	w.t.Helper()
	to, _, _ := strings.Cut(first.Header().Get("Location"), "#")
	u, err := url.Parse(to)
	must(w.t, err)
	return w.says("yes", public+"/enroll/"+appID+"/callback?code=junk&state="+u.Query().Get("state"))
}

// A link allows a few states and exchanges; then it costs neither a call nor a key.
func TestLinkHasABudget(t *testing.T) {
	t.Parallel()
	story(t, settings{}, func(t *testing.T, w *world) {
		link := w.link("mallory")
		var last *httptest.ResponseRecorder
		for range 60 {
			if last = w.get(link, weChatUA); last.Code == http.StatusFound {
				w.junk(last)
			}
		}
		if last.Code != http.StatusGone || !strings.Contains(last.Body.String(), "E-LIMIT") {
			t.Errorf("%d %s", last.Code, last.Body)
		}
		calls := w.p.Calls(wechattest.OAuthTokenPath).Total
		if calls == 0 || calls > 10 {
			t.Errorf("%d exchanges, want 10 at most", calls)
		}
		keys, _ := w.stored()
		if len(keys) > 12 { // the ticket, the outcomes, the count of the minute
			t.Errorf("%d keys: %v", len(keys), keys)
		}
		for range 20 {
			w.get(link, weChatUA)
			w.get(link, desktopUA)
		}
		after, _ := w.stored()
		if len(after) != len(keys) || w.p.Calls(wechattest.OAuthTokenPath).Total != calls {
			t.Errorf("a used-up link costs: %v, then %v", keys, after)
		}
		for _, key := range after {
			if ttl := w.rdb.TTL(t.Context(), key).Val(); ttl <= 0 {
				t.Errorf("%s has no end", key)
			}
		}
	})
}

// stored are the keys of enrolling and the bytes in them.
func (w *world) stored() (keys []string, size int) {
	w.t.Helper()
	for _, entry := range w.dump() {
		key, _, _ := strings.Cut(entry, " = ")
		for _, mark := range []string{"}:t:", "}:x:", "}:h:", "}:q:", "}:l:"} {
			if strings.Contains(key, mark) {
				keys, size = append(keys, key), size+len(entry)
			}
		}
	}
	return keys, size
}

// Used, unbound and erased links cost no call and no key, and do not bind again.
func TestSpentLinksCostNothingAndStaySpent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		undo func(t *testing.T, w *world)
		page string
	}{
		"used": {func(*testing.T, *world) {}, "您已登记成功"},
		"unbound": {func(t *testing.T, w *world) {
			n, err := w.roster.Unbind(t.Context(), "patient-401", openID)
			if err != nil || n != 1 {
				t.Errorf("%d %v", n, err)
			}
		}, "E-SPENT"},
		"user unbound": {func(t *testing.T, w *world) {
			_, err := w.roster.Unbind(t.Context(), "patient-401", "")
			must(t, err)
		}, "E-SPENT"},
		"openid erased": {func(_ *testing.T, w *world) { w.erase(enroll.Person{OpenID: openID}) }, "E-SPENT"},
		"user erased":   {func(_ *testing.T, w *world) { w.erase(enroll.Person{User: "patient-401"}) }, "E-SPENT"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			story(t, settings{run: true}, func(t *testing.T, w *world) {
				link := w.link("patient-401", unasked)
				scene := w.shown(link)
				late := w.authorized(w.get(link, weChatUA), openID)
				done := w.enrolled(link, openID).Header().Get("Location")
				c.undo(t, w)
				if got := w.get(done, weChatUA).Body.String(); name != "used" && strings.Contains(got, "已完成") {
					t.Errorf("the last page still says that all is set")
				}
				calls, codes := w.p.Calls(wechattest.OAuthTokenPath).Total, w.p.Calls("/cgi-bin/qrcode/create").Total
				keys, _ := w.stored()
				for _, agent := range []string{weChatUA, desktopUA} {
					if body := w.get(link, agent).Body.String(); !strings.Contains(body, c.page) {
						t.Errorf("%s: %s", agent, body)
					}
				}
				bound := len(w.bound("patient-401"))
				w.get(late, weChatUA)
				w.says("yes", late)
				w.p.Account(appID).Push(wechattest.Event{Name: "SCAN", OpenID: openID, Key: scene, Ticket: "T"})
				settle()
				if got := w.bound("patient-401"); len(got) != bound {
					t.Errorf("bound again: %v", got)
				}
				after, _ := w.stored()
				if len(after) != len(keys) || w.p.Calls(wechattest.OAuthTokenPath).Total != calls || w.p.Calls("/cgi-bin/qrcode/create").Total != codes {
					t.Errorf("it costs: %v, then %v", keys, after)
				}
			})
		})
	}
}

func (w *world) erase(p enroll.Person) {
	w.t.Helper()
	_, err := w.roster.Erase(w.t.Context(), p)
	must(w.t, err)
}

// After an erasure only a mark without personal data is left of the ticket.
func TestErasureLeavesABareMarkOfTheTicket(t *testing.T) {
	t.Parallel()
	story(t, settings{}, func(t *testing.T, w *world) {
		link := w.handOff("patient-401", "")
		w.shown(link)
		w.enrolled(link, openID)
		w.erase(enroll.Person{OpenID: openID})
		id := ticketOf(t, link).ID.String()
		for _, entry := range w.dump() {
			if strings.Contains(entry, openID) || strings.Contains(entry, id) && !strings.HasSuffix(entry, ":t:"+id+" = map[u:x]") {
				t.Errorf("left: %.200s", entry)
			}
		}
		if ttl := w.rdb.TTL(t.Context(), "wxn:{"+appID+"}:t:"+id).Val(); ttl <= 0 {
			t.Errorf("the mark has no end: %v", ttl)
		}
	})
}

// Beyond the account's limit per minute, the page says when to try again.
func TestAccountHasALimitPerMinute(t *testing.T) {
	t.Parallel()
	story(t, settings{}, func(t *testing.T, w *world) {
		must(t, w.rdb.Set(t.Context(), "wxn:{"+appID+"}:l:x", 3000, 40*time.Second).Err())
		link := w.link("u-1")
		back := w.authorized(w.get(link, weChatUA), openID)
		resp := w.agreed(back)
		if resp.Code != http.StatusServiceUnavailable || resp.Header().Get("Retry-After") != "40" || !strings.Contains(resp.Body.String(), "40 秒后") {
			t.Errorf("%d %v %s", resp.Code, resp.Header(), resp.Body)
		}
		if n := w.p.Calls(wechattest.OAuthTokenPath).Total; n != 0 {
			t.Errorf("%d exchanges", n)
		}
		time.Sleep(40 * time.Second) // virtual
		if to := ended(w.agreed(back)); to != "bound" {
			t.Errorf("a minute later: %s", to)
		}
		if ttl := w.rdb.TTL(t.Context(), "wxn:{"+appID+"}:l:x").Val(); ttl <= 0 || ttl > time.Minute {
			t.Errorf("the count lasts %v", ttl)
		}
	})
}

// Beyond the limit of QR codes per minute, the page shows a code with the link.
func TestCodesHaveALimitPerMinute(t *testing.T) {
	t.Parallel()
	story(t, settings{}, func(t *testing.T, w *world) {
		must(t, w.rdb.Set(t.Context(), "wxn:{"+appID+"}:l:q", 300, 40*time.Second).Err())
		resp := w.get(w.link("u-1", unasked), desktopUA)
		if resp.Code != http.StatusOK || !strings.Contains(resp.Body.String(), "data:image/png") || w.p.Calls("/cgi-bin/qrcode/create").Total != 0 {
			t.Errorf("%d %s", resp.Code, resp.Body)
		}
	})
}

// While WeChat refuses, one link requests at most three codes, a minute apart.
func TestCodesOfALinkHaveABudget(t *testing.T) {
	t.Parallel()
	story(t, settings{}, func(t *testing.T, w *world) {
		w.p.Script(wechattest.Errcode(45009).On("/cgi-bin/qrcode/create").Forever())
		link := w.link("u-1", unasked)
		for range 10 {
			w.get(link, desktopUA)
			w.get(link, desktopUA)
			time.Sleep(time.Minute) // virtual
		}
		if n := w.p.Calls("/cgi-bin/qrcode/create").Total; n != 3 {
			t.Errorf("asked %d times", n)
		}
	})
}

// Additions to a link are not stored: a long claim, other parameters.
func TestLinkStoresLittle(t *testing.T) {
	t.Parallel()
	story(t, settings{}, func(t *testing.T, w *world) {
		long := strings.Repeat("c", 30_000)
		user := strings.Repeat("u", 128)
		w.get(w.link(user)+"&claim="+long+"&x="+long, weChatUA)
		w.get(w.handOff(user, "")+long, weChatUA)
		if _, size := w.stored(); size > 1500 {
			t.Errorf("%d bytes", size)
		}
		for _, entry := range w.dump() {
			if strings.Contains(entry, "ccccc") {
				t.Errorf("stored: %.100s", entry)
			}
		}
	})
}

// HEAD, as link previews send it, makes no state, no code and no key, and a wrong claim
// is not counted.
func TestHeadWritesNothing(t *testing.T) {
	t.Parallel()
	story(t, settings{platform: wechattest.Config{Strangers: true}}, func(t *testing.T, w *world) {
		handOff := w.handOff("u-2", "")
		asks := w.authorized(w.get(w.link("u-1"), weChatUA), openID)
		follow := w.enrolled(w.link("u-3"), openID).Header().Get("Location")
		before := strings.Join(w.dump(), "\n")
		for _, address := range []string{w.link("u-1"), w.link("u-1", unasked), handOff, handOff[:len(handOff)-64] + strings.Repeat("0", 64), asks, follow, public + "/enroll/" + appID + "?done=follow"} {
			for _, agent := range []string{weChatUA, desktopUA} {
				r := httptest.NewRequestWithContext(t.Context(), http.MethodHead, address, nil)
				r.Header.Set("User-Agent", agent)
				resp := httptest.NewRecorder()
				w.handler.ServeHTTP(resp, r)
				if resp.Code != http.StatusOK || resp.Body.Len() != 0 {
					t.Errorf("HEAD %s: %d %s", address, resp.Code, resp.Body)
				}
			}
		}
		if after := strings.Join(w.dump(), "\n"); after != before || w.p.Calls("/cgi-bin/qrcode/create").Total != 0 {
			t.Errorf("before:\n%s\nafter:\n%s", before, after)
		}
		if to := ended(w.enrolled(handOff, "oSIM6t0follower0000000000002")); to != "follow" {
			t.Errorf("the hand-off afterwards: %s", to)
		}
	})
}

// A link that was made with the previous key is valid while that key is set.
func TestLinksOfThePreviousKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, settings{change: func(c *enroll.Config) {
			c.Key, c.PreviousKey = secretOf("fedcba9876543210fedcba9876543210"), secretOf(enrollKey)
		}})
		if to := ended(w.enrolled(w.link("u-1"), openID)); to != "bound" {
			t.Errorf("%s", to)
		}
		if to := ended(w.enrolled(w.handOff("u-2", ""), openID)); to != "bound" {
			t.Errorf("hand-off: %s", to)
		}
		w.handler = w.serve(func(c *enroll.Config) { c.Key = secretOf("fedcba9876543210fedcba9876543210") }).Handler()
		if resp := w.get(w.link("u-3", func(*producer.Enrollment) {}), weChatUA); resp.Code != http.StatusBadRequest {
			t.Errorf("without it: %d", resp.Code)
		}
		if _, err := enroll.New(enroll.Config{PreviousKey: secretOf("short"), Accounts: []enroll.Account{{Roster: w.roster}}}); err == nil {
			t.Error("a short previous key is accepted")
		}
	})
}
