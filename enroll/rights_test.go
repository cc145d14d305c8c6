package enroll_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/wechat"
)

// The scripts of enrolment run with the rights of docs/redis.md and use only keys that they
// declare.
func TestRosterOnARedisWithFewRights(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Strict(t)
	forwarded, changed := 0, make(chan struct{}, 10)
	w := newWorld(t, settings{redis: rdb.Client, mode: wechat.CallbackPlain, change: func(c *enroll.Config) {
		c.OnChange = func(context.Context, enroll.Change) error {
			changed <- struct{}{}
			return nil
		}
		forwarding(func(context.Context, *wechat.Push) ([]byte, error) {
			forwarded++
			return nil, nil
		})(c)
	}})
	must(t, rdb.XGroupCreateMkStream(t.Context(), "wxn:{"+appID+"}:changes", "exists", "$").Err())
	w.get(w.link("patient-402", unasked), desktopUA) // a QR code
	w.enrolled(w.link("patient-401"), openID)
	if got := w.bound("patient-401"); len(got) != 1 || got[0] != openID {
		t.Errorf("bound %v", got)
	}
	if said, err := w.roster.Bind(t.Context(), binding("patient-402", openID), nil); err != nil || said != enroll.BoundNow {
		t.Errorf("bind: %s %v", said, err)
	}
	if _, err := w.roster.Unbind(t.Context(), "patient-402", openID); err != nil {
		t.Error(err)
	}
	for range 2 {
		post(w.handler, w.signed(), strings.NewReader(follow(true, time.Now())))
	}
	if forwarded != 2 || w.p.Calls("/cgi-bin/qrcode/create").Total != 1 {
		t.Errorf("%d forwards, %d QR codes", forwarded, w.p.Calls("/cgi-bin/qrcode/create").Total)
	}
	w.run()
	for range 3 { // bound, bound, unbound
		<-changed
	}
}
