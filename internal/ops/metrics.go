package ops

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/wechat"
)

// Values of ObserveSend's errcode.
const (
	SentOK      = "0"        // accepted
	SentNowhere = "not-sent" // did not reach WeChat: no connection
	SentUnknown = "unknown"  // the answer was lost
)

// Metrics counts what the program does. No label names a person or a message:
// each has few values. Safe for concurrent use.
type Metrics struct {
	sends     *prometheus.CounterVec
	latency   *prometheus.HistogramVec
	age       *prometheus.HistogramVec
	gateWait  *prometheus.HistogramVec
	ended     *prometheus.CounterVec
	fetches   *prometheus.CounterVec
	fetch     *prometheus.HistogramVec
	fetched   *prometheus.GaugeVec
	expires   *prometheus.GaugeVec
	callbacks *prometheus.CounterVec
	callback  *prometheus.HistogramVec
	forwards  *prometheus.CounterVec
	forward   *prometheus.HistogramVec
	followers *prometheus.CounterVec
	calls     *prometheus.CounterVec
	call      *prometheus.HistogramVec
	reloaded  prometheus.Gauge
	errcodes  *regexp.Regexp
}

// NewMetrics registers the metrics. It returns an error when reg has them already.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	var faults []error
	register := func(c prometheus.Collector) { faults = append(faults, reg.Register(c)) }
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		register(c)
		return c
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"account"})
		register(g)
		return g
	}
	seconds := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
		register(h)
		return h
	}
	sends := []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	pushes := []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}
	// A message may wait for hours: for the quota's next day.
	waits := []float64{.05, .25, 1, 5, 30, 120, 600, 3600, 4 * 3600, 24 * 3600}
	m := &Metrics{
		sends: counter("wxnotify_sends_total",
			"Calls of template/send by WeChat's errcode; 0: accepted; not-sent, unknown: no answer.", "account", "class", "errcode"),
		latency: seconds("wxnotify_send_seconds", "Duration of a call of template/send, with or without an answer.", sends, "account", "class"),
		age: seconds("wxnotify_queue_age_seconds",
			"Age of a message when WeChat is called, since Enqueue or its not-before; of a later attempt with the waits before it.", waits, "account", "class"),
		gateWait: seconds("wxnotify_gate_wait_seconds",
			"Time from when a permit is wanted for a waiting message until its slot, by the rate and while the gate is closed.",
			append([]float64{.001, .01}, waits...), "account"),
		ended: counter("wxnotify_messages_ended_total",
			"Messages by the state in which they ended, and WeChat's errcode (0: none); accepted: no receipt came within 24 h.",
			"account", "class", "state", "errcode"),
		fetches:   counter("wxnotify_token_fetches_total", "Access tokens fetched from WeChat, by cause and result.", "account", "cause", "result"),
		fetch:     seconds("wxnotify_token_fetch_seconds", "Duration of a call to WeChat for an access token, with or without success.", sends, "account"),
		fetched:   gauge("wxnotify_token_fetched_timestamp_seconds", "When the access token in use was fetched."),
		expires:   gauge("wxnotify_token_expires_timestamp_seconds", "When the access token in use expires."),
		callbacks: counter("wxnotify_callbacks_total", "Requests to the callback URL: push, repeated and unreadable by event, refused by fault.", "account", "result", "event"),
		callback:  seconds("wxnotify_callback_seconds", "Time until a push was acknowledged; WeChat closes the connection after 5.", pushes, "account"),
		forwards:  counter("wxnotify_forwards_total", "Pushes forwarded to the business's own server: ok, failed, late.", "account", "result"),
		forward:   seconds("wxnotify_forward_seconds", "Time in which the business's own server answered a push.", pushes, "account"),
		followers: counter("wxnotify_enroll_total",
			"Other events of followers and receipts: enrolled, settled, unmatched, missing, erased, verified, limited, with details.", "account", "kind", "detail"),
		calls: counter("wxnotify_api_calls_total",
			"Calls of the HTTP API by route and class of status; of the gateway 2xx: errcode 0, 4xx: refused, 5xx: errcode -1.", "route", "status"),
		call: seconds("wxnotify_api_seconds", "Time in which a call of the HTTP API or the gateway was answered.", pushes, "route"),
		reloaded: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "wxnotify_config_last_reload_successful", Help: "1: the configuration was read at the start or at the last SIGHUP; 0: that one had a fault.",
		}),
		// WeChat's errcodes are -1 and numbers of up to seven digits.
		errcodes: regexp.MustCompile(`^-?\d{1,9}$`),
	}
	register(m.reloaded)
	m.reloaded.Set(1)
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return m, nil
}

// ObserveSend counts one call of template/send. errcode is WeChat's in decimal,
// SentNowhere or SentUnknown; any other text counts as "other", so that no text
// from outside becomes a label. traceID, if there is one, is the observation's exemplar.
func (m *Metrics) ObserveSend(account string, class job.Class, errcode string, took time.Duration, traceID string) {
	if errcode != SentNowhere && errcode != SentUnknown && !m.errcodes.MatchString(errcode) {
		errcode = "other"
	}
	m.sends.WithLabelValues(account, string(class), errcode).Inc()
	observe(m.latency.WithLabelValues(account, string(class)), took, traceID)
}

// ObserveAge counts the age of a message for which WeChat is called. A class outside our
// table is left out. traceID, if there is one, is the observation's exemplar.
func (m *Metrics) ObserveAge(account string, class job.Class, age time.Duration, traceID string) {
	if slices.Contains(job.Classes(), class) {
		observe(m.age.WithLabelValues(account, string(class)), max(age, 0), traceID)
	}
}

// observe counts took. An exemplar names the trace alone: an ID of a message may name a
// person.
func observe(h prometheus.Observer, took time.Duration, traceID string) {
	if exemplars, ok := h.(prometheus.ExemplarObserver); ok && traceID != "" {
		exemplars.ObserveWithExemplar(took.Seconds(), prometheus.Labels{"trace_id": traceID})
		return
	}
	h.Observe(took.Seconds())
}

// ObserveGateWait counts the wait for one permit.
func (m *Metrics) ObserveGateWait(account string, wait time.Duration) {
	m.gateWait.WithLabelValues(account).Observe(wait.Seconds())
}

// ObserveEnd counts a message that reached an end. An errcode, class or state outside
// our tables counts as "other", so that no text from outside becomes a label.
func (m *Metrics) ObserveEnd(account string, class job.Class, state ledger.State, errcode wechat.Code) {
	name, code := string(state), "other"
	if !slices.Contains(ledger.States(), state) {
		name = "other"
	}
	if errcode == wechat.CodeOK || errcode.Known() {
		code = strconv.Itoa(int(errcode))
	}
	if class != "" && !slices.Contains(job.Classes(), class) { // empty: the task could not be read
		class = "other"
	}
	m.ended.WithLabelValues(account, string(class), name, code).Inc()
}

// ObserveTokenFetch counts a token fetched from WeChat. cause is one of a few
// words of the caller ("due", "refused", "forced"); expires is zero when the fetch
// failed. took is the duration of the call.
func (m *Metrics) ObserveTokenFetch(account, cause string, expires time.Time, took time.Duration) {
	result := "ok"
	if expires.IsZero() {
		result = "failed"
	}
	m.fetches.WithLabelValues(account, cause, result).Inc()
	m.fetch.WithLabelValues(account).Observe(took.Seconds())
	if !expires.IsZero() {
		m.fetched.WithLabelValues(account).Set(float64(time.Now().UnixMilli()) / 1000)
		m.expires.WithLabelValues(account).Set(float64(expires.UnixMilli()) / 1000)
	}
}

// ObserveReload tells whether the process took over the configuration at a SIGHUP.
func (m *Metrics) ObserveReload(succeeded bool) {
	m.reloaded.Set(map[bool]float64{true: 1}[succeeded])
}

// Forget removes the gauges of an account that this process no longer serves. Its
// counters stay.
func (m *Metrics) Forget(account string) {
	m.fetched.DeleteLabelValues(account)
	m.expires.DeleteLabelValues(account)
}

// ObserveCallback counts one request to the callback URL. result and event each
// have few values. took is zero for a refused request.
func (m *Metrics) ObserveCallback(account, result, event string, took time.Duration) {
	m.callbacks.WithLabelValues(account, result, event).Inc()
	if took > 0 {
		m.callback.WithLabelValues(account).Observe(took.Seconds())
	}
}

// ObserveForward counts a push that was forwarded to the business.
func (m *Metrics) ObserveForward(account, result string, took time.Duration) {
	m.forwards.WithLabelValues(account, result).Inc()
	m.forward.WithLabelValues(account).Observe(took.Seconds())
}

// ObserveFollower counts n other events of followers and receipts.
func (m *Metrics) ObserveFollower(account, kind, detail string, n int) {
	m.followers.WithLabelValues(account, kind, detail).Add(float64(n))
}

// ObserveAPI counts one call of the HTTP API. route is one of the patterns that it
// serves, or "other". status is HTTP's; it counts by its class.
func (m *Metrics) ObserveAPI(route string, status int, took time.Duration) {
	class := "other"
	if status >= 100 && status < 600 {
		class = strconv.Itoa(status/100) + "xx"
	}
	m.calls.WithLabelValues(route, class).Inc()
	m.call.WithLabelValues(route).Observe(took.Seconds())
}
