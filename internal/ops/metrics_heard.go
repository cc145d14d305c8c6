package ops

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// hear makes the metrics of what WeChat pushes and followers do.
func (m *Metrics) hear(counter func(name, help string, labels ...string) *prometheus.CounterVec) {
	seconds := func(name, help string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: name, Help: help, Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"account"})
	}
	m.callbacks = counter("wxnotify_callbacks_total",
		"Calls of the callback address: push and repeated by event, refused by fault.", "account", "result", "event")
	m.callback = seconds("wxnotify_callback_seconds", "Time until a push was acknowledged; WeChat hangs up after 5.")
	m.forwards = counter("wxnotify_forwards_total", "Pushes handed to the business's own server: ok, failed, late.", "account", "result")
	m.forward = seconds("wxnotify_forward_seconds", "Time that the business's own server took for a push.")
	m.followers = counter("wxnotify_enroll_total",
		"What else became of followers and receipts: enrolled, settled, unmatched, missing, erased, verified, with details.", "account", "kind", "detail")
}

// ObserveCallback counts one call of the callback address. result and event are
// words of the enroll room: a few each. took is zero for a refused one.
func (m *Metrics) ObserveCallback(account, result, event string, took time.Duration) {
	m.callbacks.WithLabelValues(account, result, event).Inc()
	if took > 0 {
		m.callback.WithLabelValues(account).Observe(took.Seconds())
	}
}

// ObserveForward counts a push that was handed to the business.
func (m *Metrics) ObserveForward(account, result string, took time.Duration) {
	m.forwards.WithLabelValues(account, result).Inc()
	m.forward.WithLabelValues(account).Observe(took.Seconds())
}

// ObserveFollower counts n of the other things that the enroll room tells of.
func (m *Metrics) ObserveFollower(account, kind, detail string, n int) {
	m.followers.WithLabelValues(account, kind, detail).Add(float64(n))
}
