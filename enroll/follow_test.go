package enroll_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"html"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

const desktopUA = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/130.0 Safari/537.36"

// shown opens a link on a desktop and returns the scene of the QR code on it.
func (w *world) shown(link string) (qrScene string) {
	w.t.Helper()
	body := w.get(link, desktopUA)
	if body.Code != http.StatusOK || !strings.Contains(body.Body.String(), "data:image/png") {
		w.t.Fatalf("%d %s", body.Code, body.Body)
	}
	codes := w.p.Account(appID).QRCodes()
	return codes[len(codes)-1].Scene
}

// A desktop shows a code. If the link needs no confirmation it is a parametric one: the
// scan binds followers and others, and the page continues.
func TestEnrolByQR(t *testing.T) {
	t.Parallel()
	for name, stranger := range map[string]bool{"SCAN of a follower": false, "subscribe of a stranger": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			story(t, settings{platform: wechattest.Config{Strangers: stranger}, run: true}, func(t *testing.T, w *world) {
				link := w.link("u-1", unasked)
				scene := w.shown(link)
				for range 3 { // the page looks again: no code is made anew
					w.get(link, desktopUA)
				}
				if n := w.p.Calls("/cgi-bin/qrcode/create").Total; n != 1 {
					t.Errorf("%d codes made", n)
				}
				if stranger {
					w.p.Account(appID).Subscribe(openID, scene)
				} else {
					w.p.Account(appID).Push(wechattest.Event{Name: "SCAN", OpenID: openID, Key: scene, Ticket: "T"})
				}
				settle()
				list, err := w.roster.Of(t.Context(), "u-1")
				must(t, err)
				if len(list) != 1 || list[0].OpenID != openID || list[0].How != enroll.ByQR || list[0].Follows == nil || !*list[0].Follows {
					t.Errorf("roster %+v", list)
				}
				// The reader of the page may not be the person who scanned.
				resp := w.get(link, desktopUA)
				if body := resp.Body.String(); resp.Code != http.StatusOK || strings.Contains(body, "data:image/png") ||
					!strings.Contains(body, "您已登记成功") || !strings.Contains(body, "如果不是您登记的") || strings.Contains(body, "已完成") {
					t.Errorf("the page after the scan: %d %s", resp.Code, body)
				}
				if resp := w.get(w.link("u-2")+"x", desktopUA); resp.Code != http.StatusBadRequest {
					t.Errorf("a damaged link: %d", resp.Code)
				}
			})
		})
	}
}

// Another account's scene, an old one and a forged one bind no user.
func TestOtherScenes(t *testing.T) {
	t.Parallel()
	story(t, settings{run: true}, func(t *testing.T, w *world) {
		for _, scene := range []string{"123", "campaign-7", "wxn-", "wxn-follow", "wxn-000000000000000000000000", "wxn-zz"} {
			w.p.Account(appID).Push(wechattest.Event{Name: "SCAN", OpenID: openID, Key: scene})
		}
		settle()
		if n, err := w.roster.Count(t.Context()); err != nil || n != 0 {
			t.Errorf("%d users, %v", n, err)
		}
		if len(w.logs.FilterMessageSnippet("tried again").All()) > 0 {
			t.Errorf("%v", w.logs.All())
		}
	})
}

// Unsubscribe suppresses, subscribe lifts; an older event does not overrule a
// newer one.
func TestFollowAndUnfollow(t *testing.T) {
	t.Parallel()
	story(t, settings{run: true}, func(t *testing.T, w *world) {
		w.enrolled(w.link("u-1"), openID)
		suppressed := func() bool {
			return w.suppression(openID) != nil
		}
		w.p.Account(appID).Unsubscribe(openID)
		settle()
		if !suppressed() {
			t.Error("not suppressed after unsubscribe")
		}
		if list, _ := w.roster.Of(t.Context(), "u-1"); len(list) != 1 || list[0].Follows == nil || *list[0].Follows {
			t.Errorf("roster %+v", list)
		}
		w.p.Account(appID).Subscribe(openID, "")
		settle()
		if suppressed() {
			t.Error("still suppressed after subscribe")
		}
		// An unsubscribe of an hour ago that comes late.
		old := strconv.FormatInt(time.Now().Add(-5*time.Minute).Unix(), 10)
		body := `<xml><ToUserName>g</ToUserName><FromUserName>` + openID + `</FromUserName><CreateTime>` + old +
			`</CreateTime><MsgType>event</MsgType><Event>unsubscribe</Event></xml>`
		plain := newCallback(t, wechat.CallbackPlain)
		late := w.serve(func(c *enroll.Config) { c.Accounts[0].Callback = plain })
		if resp := post(late.Handler(), plain.Sign(openID, time.Now()), strings.NewReader(body)); resp.Code != http.StatusOK {
			t.Fatalf("%d %q", resp.Code, resp.Body)
		}
		settle()
		if suppressed() {
			t.Error("an old unsubscribe overruled a newer subscribe")
		}
	})
}

// cbk-11: consent revoked, account cancelled: the OpenID element is erased, not
// the sender; nothing readable remains, a line in the audit trail does.
func TestCbk11ConsentEnds(t *testing.T) {
	t.Parallel()
	for _, name := range []string{wechat.EventAuthorizationRevoked, wechat.EventAuthorizationCancelled} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			story(t, settings{run: true}, func(t *testing.T, w *world) {
				const sender = "oSIM6t0sender00000000000001"
				w.enrolled(w.link("u-1"), openID)
				w.enrolled(w.link("u-2"), sender)
				w.message("order-1", openID, job.Critical, 1)
				must(t, w.records.Suppress(t.Context(), ledger.Suppression{OpenID: openID, Reason: "by-admin"}))
				p, err := producer.New(w.rdb, producer.Config{Account: appID})
				must(t, err)
				t.Cleanup(func() { _ = p.Close() })
				_, err = p.Enqueue(t.Context(), "order-2", &wechat.TemplateMessage{
					ToUser: openID, TemplateID: wechattest.TemplateOrderPaid, Data: map[string]wechat.Field{"thing1": {Value: "苹果"}},
				})
				must(t, err)

				w.p.Account(appID).Push(wechattest.Event{Name: name, OpenID: sender, Extra: "< OpenID>" + openID + "</ OpenID>"})
				w.p.Account(appID).Push(wechattest.Event{Name: name, OpenID: sender, Subject: openID})
				settle()
				time.Sleep(time.Minute) // virtual: the marks of the events themselves
				settle()
				for _, key := range w.dump() {
					if strings.Contains(key, openID) {
						t.Errorf("still readable: %.300s", key)
					}
				}
				if got := w.bound("u-2"); len(got) != 1 {
					t.Errorf("the sender was erased: %v", got)
				}
				if r := w.record("order-2"); r.State != ledger.Cancelled {
					t.Errorf("the waiting message: %+v", r)
				}
				trail, err := w.records.Audited(t.Context(), "", 10)
				must(t, err)
				if len(trail) == 0 || trail[0].Action != "erased" {
					t.Errorf("audit %+v", trail)
				}
			})
		})
	}
}

// dump lists every key of Redis with its content.
func (w *world) dump() []string {
	w.t.Helper()
	return redistest.Dump(w.t, w.rdb)
}

// CreateTime has whole seconds: pushes of one second are not taken for repetitions of
// one push, and the last one decides.
func TestFollowsWithinOneSecondEndAsTheLastOneSays(t *testing.T) {
	t.Parallel()
	for name, last := range map[string]bool{"follows": true, "does not follow": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			story(t, settings{run: true}, func(t *testing.T, w *world) {
				w.enrolled(w.link("u-1"), openID)
				acct := w.p.Account(appID)
				began := time.Now()
				for i := range 3 { // follow, unfollow, follow; or the other way round
					if follow := i%2 == 0; follow == last {
						acct.Subscribe(openID, "")
					} else {
						acct.Unsubscribe(openID)
					}
					synctest.Wait() // pushed and taken
				}
				if time.Since(began) >= time.Second {
					t.Fatal("the pushes are of several seconds: the test tests nothing")
				}
				settle()
				if suppressed := w.suppression(openID) != nil; suppressed == last {
					t.Errorf("suppressed: %v", suppressed)
				}
			})
		})
	}
}

// Erasing a user takes the openids that no other user has.
func TestEraseUser(t *testing.T) {
	t.Parallel()
	story(t, settings{}, func(t *testing.T, w *world) {
		const shared = "oSIM6t0shared00000000000001"
		w.enrolled(w.link("child"), openID)
		w.enrolled(w.link("child"), shared)
		w.enrolled(w.link("parent"), shared)
		found, err := w.roster.Erase(t.Context(), enroll.Person{User: "child"})
		must(t, err)
		if found.Bindings != 2 {
			t.Errorf("%+v", found)
		}
		if len(w.bound("child")) != 0 || len(w.bound("parent")) != 1 {
			t.Errorf("child %v, parent %v", w.bound("child"), w.bound("parent"))
		}
		for _, bad := range []enroll.Person{{}, {OpenID: "o", User: "u"}} {
			if _, err := w.roster.Erase(t.Context(), bad); err == nil {
				t.Errorf("accepted %+v", bad)
			}
		}
	})
}

// The ID of an erased message stays taken for as long as those of others.
func TestAnErasedMessageIsRememberedForKeep(t *testing.T) {
	t.Parallel()
	const keep = 7 * 24 * time.Hour
	story(t, settings{roster: func(c *enroll.RosterConfig) { c.Keep = keep }}, func(t *testing.T, w *world) {
		p, err := producer.New(w.rdb, producer.Config{Account: appID, Keep: keep})
		must(t, err)
		t.Cleanup(func() { _ = p.Close() })
		_, err = p.Enqueue(t.Context(), "order-1", &wechat.TemplateMessage{
			ToUser: openID, TemplateID: wechattest.TemplateOrderPaid, Data: map[string]wechat.Field{"thing1": {Value: "苹果"}},
		})
		must(t, err)
		_, err = w.roster.Erase(t.Context(), enroll.Person{OpenID: openID})
		must(t, err)
		if left := w.rdb.PTTL(t.Context(), w.records.RecordKey("order-1")).Val(); left != keep {
			t.Errorf("remembered for %v, want %v", left, keep)
		}
	})
}

// With the setting, who unfollows is forgotten.
func TestEraseUnsubscribed(t *testing.T) {
	t.Parallel()
	story(t, settings{roster: func(c *enroll.RosterConfig) { c.EraseUnsubscribed = true }, run: true}, func(t *testing.T, w *world) {
		w.enrolled(w.link("u-1"), openID)
		w.p.Account(appID).Unsubscribe(openID)
		settle()
		if got := w.bound("u-1"); len(got) != 0 {
			t.Errorf("bound %v", got)
		}
	})
}

// Follow and unfollow that wait together, a backlog after a restart, are applied
// side by side by two processes: what the later one says is what stays.
func TestBacklogOfFollows(t *testing.T) {
	t.Parallel()
	story(t, settings{mode: wechat.CallbackPlain}, func(t *testing.T, w *world) {
		at := time.Now()
		push := func(openid, name string, at time.Time) {
			body := fmt.Sprintf("<xml><ToUserName>g</ToUserName><FromUserName>%s</FromUserName><CreateTime>%d</CreateTime>"+
				"<MsgType>event</MsgType><Event>%s</Event></xml>", openid, at.Unix(), name)
			if resp := post(w.handler, w.callback.Sign(openid, time.Now()), strings.NewReader(body)); resp.Code != http.StatusOK {
				t.Fatalf("%d %q", resp.Code, resp.Body)
			}
		}
		const followers = 60
		name := func(i int) string { return fmt.Sprintf("oSIM6t0backlog%014d", i) }
		for i := range followers { // each leaves and comes back; half of the pairs in the wrong order
			events := []string{"unsubscribe", "subscribe"}
			for j := range events {
				k := (j + i) % 2
				push(name(i), events[k], at.Add(time.Duration(k)*time.Second))
			}
		}
		w.run()
		second := w.serve(nil)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- second.Run(ctx) }()
		settle()
		for i := range followers {
			if s := w.suppression(name(i)); s != nil {
				t.Errorf("follower %d came back and is suppressed: %+v", i, s)
			}
		}
		stop()
		must(t, <-ended)
	})
}

// A scan has no confirmation page: if a link needs confirmation or consent, its code holds
// the link. That costs no call, and a scan event for such a ticket is ignored.
func TestCodeHoldsTheLinkIfAQuestionIsNeeded(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*producer.Enrollment){
		"asks for the user": func(*producer.Enrollment) {},
		"asks for consent":  func(e *producer.Enrollment) { e.WithoutConfirm, e.UserInfo = true, true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			story(t, settings{run: true}, func(t *testing.T, w *world) {
				link := w.link("u-1", change, func(e *producer.Enrollment) { e.ReturnTo = shop })
				picture, err := enroll.QRPNG(sorted(t, link))
				must(t, err)
				for range 2 {
					if body := html.UnescapeString(w.get(link+"&utm=x", desktopUA).Body.String()); !strings.Contains(body, base64.StdEncoding.EncodeToString(picture)) {
						t.Errorf("the page has no code with the link: %s", body)
					}
				}
				if n := w.p.Calls("/cgi-bin/qrcode/create").Total; n != 0 {
					t.Errorf("%d codes made", n)
				}
				w.get(link, weChatUA) // now the ticket lies in Redis
				w.p.Account(appID).Push(wechattest.Event{Name: "SCAN", OpenID: openID, Key: "wxn-" + ticketOf(t, link).ID.String(), Ticket: "T"})
				settle()
				if got := w.bound("u-1"); len(got) != 0 || w.count(enroll.KindEnrolled, "E-CONFIRM") != 1 {
					t.Errorf("bound %v by a scan", got)
				}
			})
		})
	}
}

// A verified claim replaces the confirmation: the scan of a hand-off's code binds, unless
// the hand-off is for a unionid, which needs consent.
func TestScanOfHandOff(t *testing.T) {
	t.Parallel()
	story(t, settings{run: true}, func(t *testing.T, w *world) {
		link := w.handOff("u-1", "")
		w.p.Account(appID).Push(wechattest.Event{Name: "SCAN", OpenID: openID, Key: w.shown(link), Ticket: "T"})
		settle()
		if got := w.bound("u-1"); len(got) != 1 {
			t.Errorf("bound %v", got)
		}
		made := w.p.Calls("/cgi-bin/qrcode/create").Total
		w.get(w.handOff("u-2", "unionid-1"), desktopUA)
		if n := w.p.Calls("/cgi-bin/qrcode/create").Total; n != made {
			t.Error("a code was made that binds any person who scans it")
		}
	})
}

// handOff is a link with its claim.
func (w *world) handOff(user, unionID string) string {
	w.t.Helper()
	p, err := producer.New(w.rdb, producer.Config{Account: appID})
	must(w.t, err)
	defer func() { _ = p.Close() }()
	key, data := wechat.NewSecret(enrollKey), map[string]string{"phone": "13800000000"}
	link, err := p.HandOff(w.t.Context(), producer.Enrollment{PublicURL: public, Key: key, User: user}, producer.HandOff{Data: data, UnionID: unionID})
	must(w.t, err)
	return link + "&claim=" + producer.Claim(key, link, data)
}
