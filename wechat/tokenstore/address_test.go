package tokenstore_test

import (
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
)

// WeChat refuses the address of one process, and lists that of another: the listed one
// fetches for both, whoever asks first and whenever a refresh is due.
func TestListedProcessFetchesForTheOthers(t *testing.T) {
	t.Parallel()
	for _, code := range []wechat.Code{40164, 61004, 45035} {
		for _, mode := range []tokenstore.Mode{tokenstore.Stable, tokenstore.Classic} {
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
					t.Errorf("%d %v: generations %d and %d, want one token", code, mode, got.Generation, want.Generation)
				}
				for range 24 * 60 {
					pass(time.Minute)
					if err := f.wx.send(mustToken(t, unlisted)); err != nil {
						t.Fatalf("%d %v: the process that is not listed has no usable token: %v", code, mode, err)
					}
				}
				if n := refused.fetches(); n > 40 {
					t.Errorf("%d %v: %d requests from the address that is not listed in a day", code, mode, n)
				}
			})
		}
	}
}

// The address is listed while no other process runs.
func TestUnlistedProcessFetchesOnceItsAddressIsListed(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Stable, func(t *testing.T, f *fleet) {
		f.wx.fail = answer(61004, "access clientip is not registered, requestIP:198.51.100.9")
		s := f.store()
		f.run(s)
		pass(24 * time.Hour)
		if n := f.wx.fetches(); n > 24*60+10 {
			t.Errorf("%d requests in a day, want one a minute: classic mode has 2000", n)
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
