package worker_test

import (
	"testing"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
)

// A message is sent whatever its trace is, also where this process exports none.
func TestTraceDoesNotChangeTheOutcome(t *testing.T) {
	t.Parallel()
	for _, trace := range []string{
		"", "garbage", "\x01", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	} {
		b := setup(t, answers(nil))
		if err := b.deliver(t, func(e *job.Envelope) { e.Trace = trace }); err != nil {
			t.Fatal(err)
		}
		if len(b.events) != 1 || b.events[0].State != ledger.Accepted || b.events[0].TraceID != "" {
			t.Errorf("%q: %+v", trace, b.events)
		}
	}
}
