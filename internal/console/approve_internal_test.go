package console

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestRequestsExpireAndAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s approvals
		for range maxApprovals {
			if !s.add(&approval{asked: time.Now()}) {
				t.Fatal("refused below the bound")
			}
		}
		if s.add(&approval{asked: time.Now()}) {
			t.Error("accepted above the bound")
		}
		time.Sleep(approvalLife)
		if n := len(s.live()); n != maxApprovals {
			t.Errorf("%d wait after the whole hour", n)
		}
		time.Sleep(time.Second)
		if n := len(s.live()); n != 0 {
			t.Errorf("%d wait after more than an hour", n)
		}
		a := &approval{asked: time.Now()}
		if !s.add(a) || !s.take(a) || s.take(a) {
			t.Error("a request is taken other than once")
		}
	})
}
