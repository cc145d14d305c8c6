package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/logging"
	"github.com/wxnotify/wxnotify/internal/mask"
	"github.com/wxnotify/wxnotify/internal/tracing"
	"github.com/wxnotify/wxnotify/internal/usage"
)

// tracesEndpoint is where spans go, by OpenTelemetry's own variables; empty: nowhere.
func tracesEndpoint(env map[string]string) (string, error) {
	name, endpoint := "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", env["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]
	if endpoint == "" {
		name = "OTEL_EXPORTER_OTLP_ENDPOINT"
		if base := env[name]; base != "" {
			endpoint = strings.TrimSuffix(base, "/") + "/v1/traces"
		}
	}
	if endpoint == "" || strings.EqualFold(env["OTEL_SDK_DISABLED"], "true") || env["OTEL_TRACES_EXPORTER"] == "none" {
		return "", nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return "", usage.Errorf("%s: is not an http:// or https:// address without a user, such as http://127.0.0.1:4318", name)
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"} {
		if protocol := env[name]; protocol != "" && protocol != "http/protobuf" {
			return "", usage.Errorf("%s: %s is not supported: set http/protobuf, whose port is 4318 mostly", name, usage.Quote(protocol))
		}
	}
	return endpoint, nil
}

// flushTimeout is how long the end of a process waits for its last spans.
const flushTimeout = 5 * time.Second

// StartTracing exports the spans of this process where an endpoint is set. Without one
// nothing is started, and stop does nothing. OpenTelemetry's variables hold for the rest:
// OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS.
func StartTracing(ctx context.Context, env map[string]string, version string, log *zap.Logger) (on bool, stop func(), err error) {
	endpoint, err := tracesEndpoint(env)
	if endpoint == "" || err != nil {
		return false, func() {}, err
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(endpoint))
	if err != nil {
		return false, nil, fmt.Errorf("export traces: %w", err)
	}
	// Neither the host nor the arguments of the process: those may hold what no span should.
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithFromEnv(), resource.WithAttributes(
		attribute.String("service.name", cmp.Or(env["OTEL_SERVICE_NAME"], "wxnotify")), attribute.String("service.version", version)))
	if err != nil {
		return false, nil, usage.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))
	failures := logging.FirstOfKind(log)
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		failures.Warn("traces are not exported; sending goes on", zap.String("cause", mask.Text(err.Error())))
	}))
	otel.SetTracerProvider(provider)
	return true, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil && !errors.Is(err, context.Canceled) {
			otel.Handle(err)
		}
	}, nil
}

// traceRequests gives each request a span, in the caller's trace where the request has a
// traceparent. The span has the pattern of the route, and neither path nor query.
func traceRequests(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		ctx, span := otel.Tracer("github.com/wxnotify/wxnotify").Start(ctx, "wxnotify api", trace.WithSpanKind(trace.SpanKindServer))
		r = r.WithContext(ctx)
		answer := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		defer func() {
			if answer.status != http.StatusUnauthorized { // strangers write no traces: a span that does not end is not exported
				span.End()
			}
		}()
		h.ServeHTTP(answer, r)
		if r.Pattern != "" {
			span.SetName("wxnotify api " + r.Pattern)
		}
		span.SetAttributes(attribute.Int("http.response.status_code", answer.status))
		if answer.status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, "")
		}
	})
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// traceEnd continues the trace of a message whose end its receipt told.
func (s *Server) traceEnd(appid, id, state string) {
	ctx := context.Background() //nolint:forbidigo // of enroll, whose events have none
	_, span := tracing.Continue(ctx, tracing.Kept(ctx, s.rdb, appid, id), "wxnotify receipt", trace.SpanKindConsumer)
	span.Text("account", appid)
	span.Text("state", state)
	span.End()
}
