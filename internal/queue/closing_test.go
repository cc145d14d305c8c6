package queue_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/ratelimit"
)

// TestGateClosesBeforeThePermitsMoment: a permit that waits for its moment, in
// a fetch or parked between two, is not used once the gate has closed (quo-04).
func TestGateClosesBeforeThePermitsMoment(t *testing.T) {
	t.Parallel()
	for name, ahead := range map[string]time.Duration{
		"awaited": 1500 * time.Millisecond,
		"parked":  6500 * time.Millisecond, // longer than a fetch holds it
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				_, rdb := redistest.Mini(t)
				g, h := &gate{}, patient()
				stop := serve(t, queue.ServerConfig{Redis: rdb, Gate: g, Handler: h.handle})
				list := items(6, job.Default)
				put(t, rdb, job.Default, list[0])
				h.wait(t, 1)
				testutil.Until(t, "idle, without a permit of an earlier moment", func() bool {
					synctest.Wait()
					taken, returned := g.counts()
					return taken-returned == 1 && rdb.Exists(t.Context(), "wxn:{"+account+":default}:idle").Val() == 1
				})
				moment := time.Now().Add(ahead)
				before, _ := g.counts()
				g.mu.Lock()
				g.at = func() time.Time { return moment }
				g.mu.Unlock()
				put(t, rdb, job.Default, list[1:]...)
				testutil.Until(t, "a permit is taken", func() bool { taken, _ := g.counts(); return taken > before })
				if name == "parked" {
					time.Sleep(5200 * time.Millisecond) // virtual
				}
				g.set(&ratelimit.ClosedError{Reason: ratelimit.ReasonRefused}, ratelimit.General, ratelimit.Reserved)
				time.Sleep(time.Until(moment) + 700*time.Millisecond)
				synctest.Wait()
				if n := len(h.ids()) - 1; n != 0 {
					t.Errorf("%d tasks were fetched after the gate had closed", n)
				}
				g.set(nil, ratelimit.General, ratelimit.Reserved)
				h.wait(t, 5)
				testutil.Until(t, "every permit but those of the six tasks is back", func() bool {
					taken, returned := g.counts()
					return taken-returned == 6
				})
				_ = stop()
			})
		})
	}
}
