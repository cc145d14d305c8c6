package worker_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/internal/heartbeat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// A worker is listed from its start to its stop, and for a minute after it was killed.
func TestWorkersReportToTheRegistry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, wechattest.Config{}, terms{concurrency: 8})
		alive := func() []heartbeat.Worker {
			workers, _, err := heartbeat.List(t.Context(), p.admin, appid)
			if err != nil {
				t.Fatal(err)
			}
			return workers
		}
		stops, killed := p.start(), p.start()
		time.Sleep(5 * time.Minute) // virtual
		workers := alive()
		if len(workers) != 2 || workers[0].Concurrency != 8 || workers[0].Host == "" || workers[0].Suspended != nil {
			t.Fatalf("listed %+v, want two", workers)
		}
		if workers[0].ID == workers[1].ID || time.Since(workers[0].Seen) > 11*time.Second {
			t.Errorf("listed %+v", workers)
		}
		_ = stops.stop()
		if n := len(alive()); n != 1 {
			t.Errorf("%d workers listed after one has stopped", n)
		}
		killed.kill()
		time.Sleep(time.Minute + 15*time.Second) // virtual
		_, last, err := heartbeat.List(t.Context(), p.admin, appid)
		if n := len(alive()); n != 0 || err != nil || time.Since(last) > 90*time.Second {
			t.Errorf("%d workers listed a minute after the kill, last seen %v, %v", n, last, err)
		}
	})
}
