package tokenstore_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
)

// WeChat refuses the address of one process, and lists that of another: the listed one
// fetches for both, at the start and at each refresh.
func TestListedProcessFetchesForTheOthers(t *testing.T) {
	t.Parallel()
	hours := 24
	if testing.Short() {
		hours = 5 // two refreshes
	}
	for code, mode := range map[wechat.Code]tokenstore.Mode{40164: tokenstore.Stable, 61004: tokenstore.Classic, 45035: tokenstore.Stable} {
		t.Run(fmt.Sprint(code, mode), func(t *testing.T) {
			t.Parallel()
			bubble(t, mode, func(t *testing.T, f *fleet) {
				refused := &platform{fail: answer(code, "invalid ip 198.51.100.9, not in whitelist")}
				unlisted, listed := newStore(t, f.rdb, refused, f.cfg), f.store()
				f.run(unlisted)
				pass(time.Minute)
				if down := unavailable(t, unlisted); !contains(down.Error(), "198.51.100.9") {
					t.Errorf("the error does not name the address: %v", down)
				}
				f.run(listed)
				pass(time.Second)
				if got, want := mustToken(t, unlisted), mustToken(t, listed); got.Generation != want.Generation {
					t.Errorf("generations %d and %d, want one token", got.Generation, want.Generation)
				}
				for range hours * 60 {
					pass(time.Minute)
					if err := f.wx.send(mustToken(t, unlisted)); err != nil {
						t.Fatalf("the process that is not listed has no usable token: %v", err)
					}
				}
				if n := refused.fetches(); n > 10+5*hours/4 {
					t.Errorf("%d requests from the address that is not listed in %d hours", n, hours)
				}
			})
		})
	}
}

// The address is listed while no other process runs.
func TestUnlistedProcessFetchesOnceItsAddressIsListed(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Stable, func(t *testing.T, f *fleet) {
		f.wx.fail = answer(61004, "access clientip is not registered, requestIP:198.51.100.9")
		s := f.store()
		f.run(s)
		hours := 24
		if testing.Short() {
			hours = 4
		}
		pass(time.Duration(hours) * time.Hour)
		if n := f.wx.fetches(); n > hours*60+10 {
			t.Errorf("%d requests in %d hours, want one a minute: classic mode has 2000 a day", n, hours)
		}
		if st := mustState(t, s); !contains(st.Error, "61004") || !contains(st.Error, "198.51.100.9") || st.RetryAt.Before(time.Now()) {
			t.Errorf("state %+v does not say why there is no token", st)
		}
		f.wx.set(func(p *platform) { p.fail = nil })
		pass(61 * time.Second)
		mustToken(t, s)
		if st := mustState(t, s); st.Error != "" {
			t.Errorf("the state still says %q", st.Error)
		}
	})
}
