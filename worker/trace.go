package worker

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/trace"

	"github.com/wxnotify/wxnotify/internal/tracing"
	"github.com/wxnotify/wxnotify/wechat"
)

// startSpan continues the trace that enqueued the message, if there is one.
func (d *delivery) startSpan(ctx context.Context) context.Context {
	ctx, d.span = tracing.Continue(ctx, d.env.Trace, "wxnotify process", trace.SpanKindConsumer)
	d.span.Text("account", d.appID)
	d.span.Text("class", string(d.env.Class))
	d.span.Number("age_ms", d.event.Age.Milliseconds())
	d.event.TraceID = d.span.TraceID()
	return ctx
}

// endSpan tells what became of the delivery.
func (d *delivery) endSpan() {
	d.span.Text("state", string(d.event.State))
	d.span.Number("attempts", int64(d.event.Attempts))
	if d.event.Action != Sent {
		d.span.Fail(d.event.Action.String())
	}
	d.span.End()
}

// startSendSpan is around the call of WeChat. The receipt continues the trace, which is
// kept before the call: a receipt may come before its answer.
func (d *delivery) startSendSpan(ctx context.Context) (context.Context, tracing.Span) {
	if d.event.TraceID != "" {
		tracing.Keep(ctx, d.redis, d.appID, d.env.ID)
	}
	return tracing.Start(ctx, "wechat template/send", trace.SpanKindClient)
}

// endSendSpan tells WeChat's answer, by its errcode.
func endSendSpan(span tracing.Span, err error) {
	switch refused, ok := errors.AsType[*wechat.Error](err); {
	case ok:
		span.Number("errcode", int64(refused.Code))
		span.Fail("refused")
	case err != nil:
		span.Fail("no answer")
	default:
		span.Number("errcode", 0)
	}
	span.End()
}
