package server

import (
	"strings"
	"testing"
)

func TestTracesEndpointFollowsOpenTelemetrysVariables(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		want, fault string
		env         map[string]string
	}{
		{"", "", nil},
		{"http://c:4318/v1/traces", "", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/"}},
		{"https://c/x", "", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://c/x"}},
		{"", "", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}},
		{"", "", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}},
		{"", "OTEL_EXPORTER_OTLP_ENDPOINT: ", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "c:4317"}},
		{"", "OTEL_EXPORTER_OTLP_ENDPOINT: ", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://me:canary@c"}},
		{"", "OTEL_EXPORTER_OTLP_PROTOCOL: ", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}},
	} {
		got, err := tracesEndpoint(c.env)
		switch {
		case c.fault == "" && (err != nil || got != c.want):
			t.Errorf("%v: %q, %v; want %q", c.env, got, err, c.want)
		case c.fault != "" && (err == nil || !strings.HasPrefix(err.Error(), c.fault) || strings.Contains(err.Error(), "canary")):
			t.Errorf("%v: %v, want %q", c.env, err, c.fault)
		}
	}
}
