package tracing_test

import (
	"context"
	"testing"

	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/tracing"
)

const (
	sampled   = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
)

// Without a sampled trace there is no span, and no memory is allocated.
func TestUntracedMessagesCostNothing(t *testing.T) { //nolint:paralleltest // counts allocations
	ctx := t.Context()
	n := testing.AllocsPerRun(100, func() {
		started, span := tracing.Start(ctx, "x", trace.SpanKindProducer)
		continued, other := tracing.Continue(started, "", "x", trace.SpanKindConsumer)
		span.Text("a", "b")
		other.Number("a", 1)
		span.Fail("x")
		if continued != ctx || span.TraceID() != "" || tracing.Traceparent(ctx) != "" {
			t.Error("there is a trace")
		}
		span.End()
		other.End()
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestContinueReadsWhatTraceparentWrote(t *testing.T) { //nolint:paralleltest // sets the process' tracer
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	otel.SetTracerProvider(provider)
	for _, none := range []string{"", unsampled, "00-garbage", "\x00", sampled[:54]} {
		ctx, span := tracing.Continue(t.Context(), none, "x", trace.SpanKindConsumer)
		span.End()
		if tracing.Traceparent(ctx) != "" || span.TraceID() != "" {
			t.Errorf("%q is a trace", none)
		}
	}
	ctx, span := tracing.Continue(t.Context(), sampled, "first", trace.SpanKindConsumer)
	_, second := tracing.Continue(context.WithoutCancel(t.Context()), tracing.Traceparent(ctx), "second", trace.SpanKindConsumer)
	ids := []string{span.TraceID(), second.TraceID()} // a span that has ended is not exported any more
	second.End()
	span.End()
	ended := spans.Ended()
	if len(ended) != 2 || ended[0].Parent().SpanID() != ended[1].SpanContext().SpanID() || ids[0] != sampled[3:35] || ids[1] != sampled[3:35] {
		t.Errorf("%d spans, traces %q", len(ended), ids)
	}
}

// What is kept for a receipt ends, and its key does not show the ID.
func TestKeptTraceEnds(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	rdb := server.Client(t)
	ctx, _ := tracing.Continue(t.Context(), sampled, "x", trace.SpanKindConsumer)
	tracing.Keep(ctx, rdb, "wxa", "patient-401")
	if got := tracing.Kept(t.Context(), rdb, "wxa", "patient-401"); got != tracing.Traceparent(ctx) {
		t.Errorf("%q", got)
	}
	if got := tracing.Kept(t.Context(), rdb, "wxa", "other"); got != "" {
		t.Errorf("another message has the trace %q", got)
	}
	keys, err := rdb.Keys(t.Context(), "*").Result()
	if err != nil || len(keys) != 1 {
		t.Fatalf("%v %v", keys, err)
	}
	if ttl := rdb.TTL(t.Context(), keys[0]).Val(); ttl.Hours() < 24 || ttl.Hours() > 25 || len(keys[0]) != len("wxn:{wxa}:tp:")+16 {
		t.Errorf("%s ends in %s", keys[0], ttl)
	}
}
