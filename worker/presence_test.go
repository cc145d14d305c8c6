package worker_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/internal/heartbeat"
	"github.com/wxnotify/wxnotify/internal/job"
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

// The registry says that WeChat refuses a template, until the template works again.
func TestRefusedTemplatesStandInTheRegistry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, wechattest.Config{}, terms{concurrency: 8})
		held := func() (out []heartbeat.Held) {
			workers, _, err := heartbeat.List(t.Context(), p.admin, appid)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range workers {
				out = append(out, w.Held...)
			}
			return out
		}
		p.p.Script(wechattest.Errcode(40037).Times(5))
		p.enqueue(appid, job.Default, ids("m", 5)...)
		p.start()
		begun := time.Now()
		time.Sleep(30 * time.Second) // virtual
		got := held()
		if len(got) != 1 || got[0].Errcode != 40037 || got[0].Template != p.record(appid, "m-00000").Template {
			t.Fatalf("held: %+v", got)
		}
		if got[0].Since.Sub(begun).Abs() > 10*time.Second || got[0].Until.Sub(begun).Abs() > 90*time.Second {
			t.Errorf("held since %v until %v, begun at %v", got[0].Since, got[0].Until, begun)
		}
		p.p.ClearScript()
		p.drained(time.Second, time.Hour)
		time.Sleep(15 * time.Second) // virtual: the next report
		if got := held(); len(got) != 0 {
			t.Errorf("held after the template worked: %+v", got)
		}
	})
}
