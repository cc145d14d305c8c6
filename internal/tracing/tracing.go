// Package tracing has the spans of messages, by the API of OpenTelemetry alone: a program
// that imports the producer decides which SDK it uses, and whether. A message that was
// enqueued outside a sampled trace has none and costs nothing.
//
// A span holds no openid, no data of the message, no ID of the caller's, no query of a URL
// and no statement of Redis: only the account, the class, states, errcodes and numbers.
package tracing

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/wxnotify/wxnotify/internal/redisx"
)

// scope names our spans in what is exported.
const scope = "github.com/wxnotify/wxnotify"

// header is the field that carries a trace, of W3C Trace Context.
const header = "traceparent"

// Span is a span that may not be there. The zero Span does nothing.
type Span struct{ span trace.Span }

// Start starts a span in the sampled trace of ctx; without one it returns ctx and the
// zero Span.
func Start(ctx context.Context, name string, kind trace.SpanKind) (context.Context, Span) {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return ctx, Span{}
	}
	ctx, span := otel.Tracer(scope).Start(ctx, name, trace.WithSpanKind(kind))
	return ctx, Span{span}
}

// Continue is Start in the trace that traceparent names. An empty or unreadable one is
// none.
func Continue(ctx context.Context, traceparent, name string, kind trace.SpanKind) (context.Context, Span) {
	if traceparent == "" {
		return ctx, Span{}
	}
	return Start(propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{header: traceparent}), name, kind)
}

// Traceparent names the sampled trace of ctx in 55 bytes; empty: there is none.
func Traceparent(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier[header]
}

// Text gives the span an attribute.
func (s Span) Text(key, value string) {
	if s.span != nil {
		s.span.SetAttributes(attribute.String("wxnotify."+key, value))
	}
}

// Number gives the span an attribute.
func (s Span) Number(key string, value int64) {
	if s.span != nil {
		s.span.SetAttributes(attribute.Int64("wxnotify."+key, value))
	}
}

// Fail marks the span as failed. what is one of few words, no text of an error: those may
// hold an openid.
func (s Span) Fail(what string) {
	if s.span != nil {
		s.span.SetStatus(codes.Error, what)
	}
}

// End ends the span.
func (s Span) End() {
	if s.span != nil {
		s.span.End()
	}
}

// TraceID is the id of the trace where this process exports the span; empty: it does not.
func (s Span) TraceID() string {
	if s.span == nil || !s.span.IsRecording() {
		return ""
	}
	return s.span.SpanContext().TraceID().String()
}

const (
	// receiptLife is how long WeChat's receipt of a message may continue its trace.
	receiptLife = 25 * time.Hour
	// receiptWait bounds what a message or a receipt waits for its trace.
	receiptWait = time.Second
)

// receiptKey holds the traceparent of a message until its receipt. The ID is hashed, since
// it may name a person, whose erasure does not find this key.
func receiptKey(account, id string) string {
	sum := sha256.Sum256([]byte(id))
	return redisx.Prefix(account) + "tp:" + hex.EncodeToString(sum[:8])
}

// Keep stores the trace of ctx for the receipt of the message. A failure is not told: the
// trace ends without the receipt then.
func Keep(ctx context.Context, rdb redis.UniversalClient, account, id string) {
	ctx, cancel := context.WithTimeout(ctx, receiptWait)
	defer cancel()
	_ = rdb.Set(ctx, receiptKey(account, id), Traceparent(ctx), receiptLife).Err()
}

// Kept is the traceparent that Keep stored for the message; empty: there is none, or
// Redis failed.
func Kept(ctx context.Context, rdb redis.UniversalClient, account, id string) string {
	ctx, cancel := context.WithTimeout(ctx, receiptWait)
	defer cancel()
	traceparent, _ := rdb.Get(ctx, receiptKey(account, id)).Result()
	return traceparent
}
