package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// collector keeps the spans that are exported to it, and their bytes.
type collector struct {
	*httptest.Server
	mu    sync.Mutex
	raw   bytes.Buffer
	spans []*tracepb.Span
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		var in collectorpb.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(text, &in)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL.Path, err)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.raw.Write(text)
		for _, resource := range in.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				c.spans = append(c.spans, scope.GetSpans()...)
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(c.Close)
	return c
}

// trace is the spans of a trace by name, and all bytes that came.
func (c *collector) trace(id string) (spans map[string]*tracepb.Span, raw string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	spans = map[string]*tracepb.Span{}
	for _, s := range c.spans {
		if hex.EncodeToString(s.GetTraceId()) == id {
			spans[s.GetName()] = s
		}
	}
	return spans, c.raw.String()
}

// A message is one trace, from the caller's request to WeChat's receipt, and no span of it
// holds what is secret or names a person. A metric leads to the trace.
func TestTraceFromTheCallerToTheReceipt(t *testing.T) {
	t.Parallel()
	w := publicWorld(t)
	spans := newCollector(t)
	apiAddr, opsAddr := testutil.FreeAddr(t), testutil.FreeAddr(t)
	w.env = w.with("WXNOTIFY_API_ADDR", apiAddr, "WXNOTIFY_OPS_ADDR", opsAddr,
		"OTEL_EXPORTER_OTLP_ENDPOINT", spans.URL, "OTEL_BSP_SCHEDULE_DELAY", "100", "OTEL_EXPORTER_OTLP_HEADERS", "x-canary=canary-header")
	serve := start(t, w.env, "serve")
	serve.says(t, "api started")
	_, key := newKey(t, w.env)
	const traceID = "0af7651916cd43dd8448eb211c80319c"
	body := `{"id":"canary-id-7","message":{"touser":"` + storyOpenID + `","template_id":"` + wechattest.TemplateOrderPaid +
		`","data":{"thing1":{"value":"canary值"},"time2":{"value":"2026-11-25 10:00"},"amount3":{"value":"¥10.00"}}}}`
	post := func(key, trace, query string, want int) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+apiAddr+"/v1/messages"+query, strings.NewReader(body))
		check(t, err)
		req.Header.Set("Authorization", "Bearer "+key)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Traceparent", "00-"+trace+"-b7ad6b7169203331-01")
		resp, err := http.DefaultClient.Do(req)
		check(t, err)
		answer, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Fatalf("%d %s", resp.StatusCode, answer)
		}
	}
	const strangersTrace, queryTrace = "0af7651916cd43dd8448eb211c803100", "0af7651916cd43dd8448eb211c803200"
	post("wxn_live_no-such-key", strangersTrace, "", http.StatusUnauthorized)
	post(key, queryTrace, "?canary=query", http.StatusBadRequest)
	post(key, traceID, "", http.StatusAccepted)
	w.state(t, "canary-id-7", "delivered")
	names := []string{"wxnotify api POST /v1/messages", "wxnotify enqueue", "wxnotify process", "wechat template/send", "wxnotify receipt"}
	var found map[string]*tracepb.Span
	var raw string
	testutil.Until(t, "all spans are exported", func() bool {
		found, raw = spans.trace(traceID)
		return len(found) >= len(names)
	})
	if strangers, _ := spans.trace(strangersTrace); len(strangers) > 0 {
		t.Errorf("a request without a key is exported: %v", strangers)
	}
	testutil.Until(t, "the span of a call with a query is exported", func() bool {
		refused, text := spans.trace(queryTrace)
		if strings.Contains(text, "canary") || strings.Contains(fmt.Sprint(refused[names[0]].GetAttributes()), "?") {
			t.Fatalf("the span of a call holds its query: %v", refused)
		}
		return refused[names[0]] != nil
	})
	for i, name := range names {
		if found[name] == nil {
			t.Fatalf("no span %q, but %v", name, found)
		}
		if i > 0 && i != 4 && !bytes.Equal(found[name].GetParentSpanId(), found[names[i-1]].GetSpanId()) {
			t.Errorf("%q is no child of %q", name, names[i-1])
		}
	}
	if !bytes.Equal(found[names[4]].GetParentSpanId(), found[names[2]].GetSpanId()) {
		t.Errorf("the receipt is no child of %q", names[2])
	}
	for _, secret := range []string{
		storyOpenID, storyOpenID[:12], "canary", "值", key, wechattest.AppSecret, callbackToken, callbackKey, "access_token", "evalsha", "EVALSHA", apiAddr,
	} {
		if strings.Contains(raw, secret) {
			t.Errorf("the exported spans hold %q", secret)
		}
	}
	for name, span := range found { // not the raw bytes: IDs and times may hold the byte of a question mark
		if text := fmt.Sprint(name, span.GetAttributes(), span.GetStatus(), span.GetEvents()); strings.Contains(text, "?") {
			t.Errorf("a span holds a query: %s", text)
		}
	}
	exemplar := func(accept string) bool {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+opsAddr+"/metrics", http.NoBody)
		check(t, err)
		req.Header.Set("Accept", accept)
		resp, err := http.DefaultClient.Do(req)
		check(t, err)
		defer func() { _ = resp.Body.Close() }()
		text, err := io.ReadAll(resp.Body)
		check(t, err)
		if strings.Contains(string(text), "canary") {
			t.Error("the metrics name the message")
		}
		return strings.Contains(string(text), `trace_id="`+traceID+`"`)
	}
	if !exemplar("application/openmetrics-text; version=1.0.0") {
		t.Error("no exemplar names the trace")
	}
	if exemplar("text/plain") {
		t.Error("the text form has an exemplar, which Prometheus refuses")
	}
	if code := serve.terminate(t); code != exitDone {
		t.Errorf("exit code %d", code)
	}
}

// A collector that is away does not hold up sending, and is named in the log.
func TestSendingGoesOnWithoutACollector(t *testing.T) {
	t.Parallel()
	w := publicWorld(t)
	apiAddr := testutil.FreeAddr(t)
	w.env = w.with("WXNOTIFY_API_ADDR", apiAddr, "OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+testutil.FreeAddr(t), "OTEL_BSP_SCHEDULE_DELAY", "100")
	serve := start(t, w.env, "serve")
	serve.says(t, "api started")
	_, key := newKey(t, w.env)
	if a := ask(t, "POST", "http://"+apiAddr+"/v1/messages", key, strings.Replace(hello("m1", "wxn-sim-delivered"), "T1", wechattest.TemplateOrderPaid, 1)); a.status != http.StatusAccepted {
		t.Fatalf("%d %s", a.status, a.body)
	}
	w.state(t, "m1", "delivered")
	serve.says(t, "traces are not exported")
	if code := serve.terminate(t); code != exitDone {
		t.Errorf("exit code %d", code)
	}
}

// What programs import has OpenTelemetry's API, and no SDK or exporter of it.
func TestPackagesImportNoSDKOfOpenTelemetry(t *testing.T) {
	t.Parallel()
	for _, pkg := range []string{"producer", "worker", "enroll"} {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "../../"+pkg).Output()
		check(t, err)
		for _, dep := range lines(string(out)) {
			if strings.HasPrefix(dep, "go.opentelemetry.io/otel/sdk") || strings.Contains(dep, "/exporters/") || strings.Contains(dep, "grpc") {
				t.Errorf("%s imports %s", pkg, dep)
			}
		}
	}
}
