package worker_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

const appid = wechattest.AppID

func TestStorySendsEverything(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, wechattest.Config{Latency: 20 * time.Millisecond}, terms{})
		all := slices.Concat(ids("crit", 20), ids("norm", 100), ids("bulk", 200))
		p.enqueue(appid, job.Critical, all[:20]...)
		p.enqueue(appid, job.Default, all[20:120]...)
		p.enqueue(appid, job.Bulk, all[120:]...)
		w := p.start()
		p.drained(100*time.Millisecond, time.Minute)
		p.seenOnce(all...)
		if got := p.records(appid, all...); got[ledger.Accepted] != len(all) {
			t.Errorf("records %v, want all accepted", got)
		}
		if calls := p.p.Calls(wechattest.SendPath).Total; calls != len(all) {
			t.Errorf("%d calls for %d messages", calls, len(all))
		}
		if err := w.stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
}
