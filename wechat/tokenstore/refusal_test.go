package tokenstore_test

import (
	"sync"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
)

func TestFetchesAfterRefusalsAtOnceSlowDown(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Classic, func(t *testing.T, f *fleet) {
		s := f.store()
		f.wx.refuse = true
		for begun := time.Now(); time.Since(begun) < time.Hour; pass(100 * time.Millisecond) {
			if token, err := s.Token(t.Context()); err == nil {
				mustInvalidate(t, s, token)
			}
		}
		for i, at := range f.wx.fetched[1:] {
			want := min(2*time.Second<<i, 5*time.Minute)
			if gap := at.Sub(f.wx.fetched[i]); gap < want {
				t.Errorf("fetch %d came %v after the one before, want at least %v", i+2, gap, want)
			}
		}
		if n := f.wx.fetches(); n < 15 || n > 20 {
			t.Errorf("%d fetches in the hour, want a probe every five minutes after the first ones", n)
		}
	})
}

func TestRefusalsNeverUseUpTheClassicQuota(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Classic, func(t *testing.T, f *fleet) {
		s := f.store()
		for begun := time.Now(); time.Since(begun) < 100*time.Minute; pass(5 * time.Second) {
			if token, err := s.Token(t.Context()); err == nil {
				pass(5 * time.Second)
				mustInvalidate(t, s, token)
			}
		}
		if n := f.wx.fetches(); n < 130 || n > 161 {
			t.Errorf("%d fetches in 100 minutes of refusals, want 60 and one a minute: WeChat allows 2000 a day", n)
		}
	})
}

func TestSendsContinueWhenTheTokenDiesEveryTwoSeconds(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Classic, func(t *testing.T, f *fleet) {
		s := f.store()
		f.run(s)
		stop := time.After(100 * time.Second)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				select {
				case <-stop:
					return
				case <-time.After(2 * time.Second):
					f.wx.kill()
				}
			}
		}()
		sent, lost := 0, 0
		for begun := time.Now(); time.Since(begun) < 100*time.Second; pass(70 * time.Millisecond) {
			if err := deliver(t.Context(), s, f.wx.send); err != nil {
				lost++
				continue
			}
			sent++
		}
		<-done
		if sent < 1000 || lost > sent/20 {
			t.Errorf("%d sent, %d came back: such chaos must not stop the account", sent, lost)
		}
	})
}

// Found by the property test: a failure was forgotten if a newer lease was out, so
// processes whose every fetch outlasted its lease asked WeChat without a pause.
func TestFailedFetchesThatOutlastTheLeaseStartABackOff(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Classic, func(t *testing.T, f *fleet) {
		f.wx.after = func(int, wechat.Token) error {
			pass(45 * time.Second)
			return &wechat.Error{Op: "/cgi-bin/token", Code: -1, Msg: "system error"}
		}
		stop := time.Now().Add(30 * time.Minute)
		var wg sync.WaitGroup
		for range 3 {
			s := f.store()
			wg.Go(func() {
				for time.Now().Before(stop) {
					begun := time.Now()
					unavailable(t, s)
					if took := time.Since(begun); took > 2*time.Minute {
						t.Errorf("a caller waited %v", took)
					}
					pass(500 * time.Millisecond)
				}
			})
		}
		wg.Wait()
		if n := f.wx.fetches(); n > 60 { // the step is a minute in the end
			t.Errorf("%d fetches in half an hour", n)
		}
	})
}
