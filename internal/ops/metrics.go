package ops

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
)

// What ObserveSend takes besides WeChat's errcode.
const (
	// SentOK is errcode 0: accepted.
	SentOK = "0"
	// SentNowhere is a send that surely did not reach WeChat: no connection.
	SentNowhere = "not-sent"
	// SentUnknown is a send whose answer was lost.
	SentUnknown = "unknown"
)

// Metrics is what the program reports as it happens. No label names a person or a
// message: each has few values. Safe for concurrent use.
type Metrics struct {
	sends    *prometheus.CounterVec
	latency  *prometheus.HistogramVec
	ended    *prometheus.CounterVec
	leases   *prometheus.CounterVec
	fetches  *prometheus.CounterVec
	fetched  *prometheus.GaugeVec
	expires  *prometheus.GaugeVec
	errcodes *regexp.Regexp

	callbacks *prometheus.CounterVec
	callback  *prometheus.HistogramVec
	forwards  *prometheus.CounterVec
	forward   *prometheus.HistogramVec
	followers *prometheus.CounterVec
}

// NewMetrics registers them: once for each registry.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	}
	m := &Metrics{
		sends: counter("wxnotify_sends_total",
			"Calls of template/send by WeChat's errcode; 0 is accepted, not-sent and unknown are without an answer.", "account", "class", "errcode"),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "wxnotify_send_seconds", Help: "Time that a call of template/send took, with or without an answer.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"account", "class"}),
		ended: counter("wxnotify_messages_ended_total", "Messages by the state in which they ended.", "account", "class", "state"),
		leases: counter("wxnotify_leases_expired_total",
			"Tasks that were taken back from a worker that fell silent.", "account"),
		fetches: counter("wxnotify_token_fetches_total", "Access tokens asked of WeChat, by cause and result.", "account", "cause", "result"),
		fetched: gauge("wxnotify_token_fetched_timestamp_seconds", "When the access token in use was fetched.", "account"),
		expires: gauge("wxnotify_token_expires_timestamp_seconds", "When the access token in use ends.", "account"),
		// WeChat's errcodes are -1 and numbers of up to seven digits.
		errcodes: regexp.MustCompile(`^-?\d{1,9}$`),
	}
	m.hear(counter)
	var faults []error
	for _, c := range []prometheus.Collector{
		m.sends, m.latency, m.ended, m.leases, m.fetches, m.fetched, m.expires,
		m.callbacks, m.callback, m.forwards, m.forward, m.followers,
	} {
		faults = append(faults, reg.Register(c))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return m, nil
}

// ObserveSend counts one call of template/send. errcode is WeChat's in decimal, or
// SentNowhere or SentUnknown; anything else counts as "other", so that no text
// from outside becomes a label.
func (m *Metrics) ObserveSend(account string, class job.Class, errcode string, took time.Duration) {
	if errcode != SentNowhere && errcode != SentUnknown && !m.errcodes.MatchString(errcode) {
		errcode = "other"
	}
	m.sends.WithLabelValues(account, string(class), errcode).Inc()
	m.latency.WithLabelValues(account, string(class)).Observe(took.Seconds())
}

// ObserveEnd counts a message that reached an end.
func (m *Metrics) ObserveEnd(account string, class job.Class, state ledger.State) {
	m.ended.WithLabelValues(account, string(class), string(state)).Inc()
}

// ObserveLeaseExpired counts a task taken back from a silent worker.
func (m *Metrics) ObserveLeaseExpired(account string) { m.leases.WithLabelValues(account).Inc() }

// ObserveTokenFetch counts a token asked of WeChat. cause is one of a few words
// of the caller ("due", "refused", "forced"); expires is zero when it failed.
func (m *Metrics) ObserveTokenFetch(account, cause string, expires time.Time) {
	result := "ok"
	if expires.IsZero() {
		result = "failed"
	}
	m.fetches.WithLabelValues(account, cause, result).Inc()
	if !expires.IsZero() {
		m.fetched.WithLabelValues(account).Set(float64(time.Now().UnixMilli()) / 1000)
		m.expires.WithLabelValues(account).Set(float64(expires.UnixMilli()) / 1000)
	}
}

// Gauge is a value that the program reads when it is asked. Name and the names of
// Labels are Prometheus'; values of Labels must not name a person or a message.
type Gauge struct {
	Name, Help string
	Labels     map[string]string
	Value      float64
}
