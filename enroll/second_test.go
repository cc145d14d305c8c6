package enroll_test

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// follow is a follow event, or its end.
func follow(follows bool, at time.Time) string {
	name := "unsubscribe"
	if follows {
		name = "subscribe"
	}
	return `<xml><ToUserName>gh_1</ToUserName><FromUserName>` + openID + `</FromUserName><CreateTime>` +
		strconv.FormatInt(at.Unix(), 10) + `</CreateTime><MsgType>event</MsgType><Event>` + name + `</Event></xml>`
}

// Each order in which WeChat may deliver what a person does in one second, tries
// that fail and repetitions included. F follows, U does not; a repetition is signed
// anew 5 s later, as is a first try that failed.
func TestFollowsOfOneSecondEndAsTheLastOneSaysWhateverIsRepeated(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name           string
		did            string // in this order
		first, repeats string // what arrives at once, what 5 s later: places in did
	}{
		{"in order", "FUF", "012", ""},
		{"the first is repeated", "FUF", "012", "0"},
		{"the second is repeated", "FUF", "012", "1"},
		{"all are repeated", "FUF", "012", "012"},
		{"the first try of the first fails", "FUF", "12", "0"},
		{"the first try of the second fails", "FUF", "02", "1"},
		{"the first try of the last fails", "FUF", "01", "2"},
		{"all first tries fail", "FUF", "", "012"},
		{"all first tries fail, and they come backwards", "FUF", "", "210"},
		{"in order, the other way round", "UFU", "012", ""},
		{"the second is repeated, the other way round", "UFU", "012", "1"},
		{"the first try of the second fails, the other way round", "UFU", "02", "1"},
		{"the first try of the last fails, the other way round", "UFU", "01", "2"},
		{"follow, unfollow", "FU", "01", "0"},
		{"unfollow, follow", "UF", "01", "0"},
		{"unfollow, follow, whose first try fails", "UF", "0", "1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			story(t, settings{mode: wechat.CallbackPlain}, func(t *testing.T, w *world) {
				w.p.Account(appID).SetCallback(wechattest.CallbackConfig{}) // the test delivers
				w.run()
				second := time.Now()
				for _, what := range tt.did {
					if what == 'F' {
						w.p.Account(appID).Subscribe(openID, "")
					} else {
						w.p.Account(appID).Unsubscribe(openID)
					}
				}
				deliver := func(places string) {
					for _, place := range places {
						body := follow(tt.did[place-'0'] == 'F', second)
						if resp := post(w.handler, w.signed(), strings.NewReader(body)); resp.Code != http.StatusOK {
							t.Fatalf("%d %q", resp.Code, resp.Body)
						}
						synctest.Wait()
					}
				}
				deliver(tt.first)
				time.Sleep(5 * time.Second) // virtual
				deliver(tt.repeats)
				settle()
				if follows := w.suppression(openID) == nil; follows != (tt.did[len(tt.did)-1] == 'F') {
					t.Errorf("follows: %v", follows)
				}
			})
		})
	}
}

// Without an answer of WeChat's a person counts as following: a message to one who
// does not is refused and suppresses them, a suppressed follower would get none.
func TestUnplacedFollowEventCountsAsFollowingWhenWeChatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	story(t, settings{mode: wechat.CallbackPlain, change: func(c *enroll.Config) { c.Accounts[0].Platform = nil }, run: true}, func(t *testing.T, w *world) {
		second := time.Now()
		post(w.handler, w.signed(), strings.NewReader(follow(true, second)))
		settle()
		time.Sleep(5 * time.Second) // virtual
		post(w.handler, w.signed(), strings.NewReader(follow(false, second)))
		settle()
		if w.suppression(openID) != nil {
			t.Error("suppressed")
		}
	})
}

// The business gets each follow event once, also when WeChat signs it anew.
func TestFollowEventsAreForwardedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		forwards := 0
		w := newWorld(t, settings{mode: wechat.CallbackPlain, change: forwarding(func(context.Context, *wechat.Push) ([]byte, error) {
			forwards++
			return nil, nil
		})})
		w.run()
		body := follow(true, time.Now())
		for _, wait := range []time.Duration{0, 5 * time.Second, 5 * time.Second} {
			time.Sleep(wait) // virtual
			post(w.handler, w.signed(), strings.NewReader(body))
		}
		if forwards != 1 {
			t.Errorf("one event was forwarded %d times", forwards)
		}
		time.Sleep(time.Minute) // virtual
		second := time.Now()
		for i := range 3 {
			post(w.handler, w.signed(), strings.NewReader(follow(i%2 == 0, second)))
		}
		if forwards != 4 {
			t.Errorf("three events of a second were forwarded %d times", forwards-1)
		}
	})
}

// A follow event that names no follower is acknowledged and changes nothing.
func TestFollowEventWithoutAFollower(t *testing.T) {
	t.Parallel()
	story(t, settings{mode: wechat.CallbackPlain, run: true}, func(t *testing.T, w *world) {
		if resp := post(w.handler, w.signed(), strings.NewReader(strings.Replace(follow(false, time.Now()), openID, "", 1))); resp.Code != http.StatusOK {
			t.Errorf("%d %q", resp.Code, resp.Body)
		}
		settle()
		if w.suppression("") != nil || w.suppression(openID) != nil {
			t.Error("suppressed")
		}
	})
}
