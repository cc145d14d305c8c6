package producer_test

import (
	"bytes"
	"testing"

	"go.opentelemetry.io/otel/propagation"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/producer"
)

// The trace of the caller's context travels with the message when it is sampled; other
// messages are as long as ever, and either is the same message.
func TestOnlyASampledTraceTravels(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for traceparent, want := range map[string]bool{
		"": false,
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00": false,
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01": true,
	} {
		ctx := propagation.TraceContext{}.Extract(t.Context(), propagation.MapCarrier{"traceparent": traceparent})
		one, many := "one"+traceparent, "many"+traceparent
		_, err := b.Enqueue(ctx, one, message("x"))
		must(t, err)
		_, err = b.EnqueueMany(ctx, []producer.Message{{ID: many, Message: message("x")}})
		must(t, err)
		for _, id := range []string{one, many} {
			task, err := b.tasks.Task(t.Context(), account, job.Default, id)
			must(t, err)
			e, err := job.Parse(task.Payload)
			must(t, err)
			if got := e.Trace == traceparent && e.Trace != ""; got != want || bytes.Contains(task.Payload, []byte(`"tp"`)) != want {
				t.Errorf("%q: the task has the trace %q", traceparent, e.Trace)
			}
			again, err := b.Enqueue(t.Context(), id, message("x"))
			if err != nil || !again.Duplicate {
				t.Errorf("%q: enqueued again outside the trace: %+v, %v", traceparent, again, err)
			}
		}
	}
}
