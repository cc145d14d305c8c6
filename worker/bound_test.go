package worker_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/worker"
)

// Calls share a context, but each has nine tenths of SendTimeout, and never more than all.
func TestEachCallHasSendTimeoutWheneverItBegins(t *testing.T) {
	t.Parallel()
	for name, trace := range map[string]string{"shared": "", "traced": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const limit, n = 4 * time.Second, 20
				contexts := map[context.Context]bool{}
				send := answers(nil)
				send.script[0] = func(ctx context.Context) (wechat.MessageID, error) {
					end, _ := ctx.Deadline()
					if left := time.Until(end); left < limit*9/10 || left > limit {
						t.Errorf("a call has %s, want %s and at least nine tenths of it", left, limit)
					}
					if len(contexts) == 0 {
						<-ctx.Done() // the other calls do not have what is left of the first
					}
					contexts[ctx] = true
					return 1, nil
				}
				b := setupWith(t, send, func(a *worker.Account) { a.Policy.SendTimeout = limit })
				for range n {
					if err := b.deliver(t, func(e *job.Envelope) { e.Trace = trace }); err != nil {
						t.Error(err)
					}
					time.Sleep(150 * time.Millisecond) // virtual
				}
				if len(contexts) != n {
					t.Errorf("%d calls, want %d", len(contexts), n)
				}
			})
		})
	}
}
