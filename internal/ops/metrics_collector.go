package ops

import (
	"maps"
	"net/http"
	"slices"
	"sync/atomic"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/ratelimit"
)

// collector shows the latest snapshot. /metrics takes a new one before it
// gathers, within the request's own time; a collector alone has no context.
//
// The names asynq_… and their labels are those of asynq's own exporter, so that
// dashboards made for it work.
type collector struct {
	watch  *watcher
	latest atomic.Pointer[snapshot]
	serve  http.Handler

	tasks, size, latency, memory, paused, processed, failed *prometheus.Desc
	near, bare, readable, part, used, limit                 *prometheus.Desc
	quotaUsed, quotaCap, quotaLeft, reserve, rate           *prometheus.Desc
	closed, reopens                                         *prometheus.Desc
}

func newCollector(cfg Config, queues *queueReader) *collector {
	desc := prometheus.NewDesc
	q, a := []string{"queue"}, []string{"account"}
	return &collector{
		watch: newWatcher(cfg, queues),
		serve: promhttp.HandlerFor(cfg.Registry, promhttp.HandlerOpts{
			ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4,
		}),
		tasks:     desc("asynq_tasks_enqueued_total", "Number of tasks enqueued; broken down by queue and state.", []string{"queue", "state"}, nil),
		size:      desc("asynq_queue_size", "Number of tasks in a queue.", q, nil),
		latency:   desc("asynq_queue_latency_seconds", "Number of seconds the oldest pending task is waiting in pending state to be processed.", q, nil),
		memory:    desc("asynq_queue_memory_usage_approx_bytes", "Number of memory used by a given queue (approximated number by sampling).", q, nil),
		processed: desc("asynq_tasks_processed_total", "Number of tasks processed (both succeeded and failed); broken down by queue.", q, nil),
		failed:    desc("asynq_tasks_failed_total", "Number of tasks failed; broken down by queue.", q, nil),
		paused:    desc("asynq_queue_paused_total", "Number of queues paused.", q, nil),
		near:      desc("wxnotify_queue_archived_near_cap", "1 when over 5000 tasks are archived: asynq drops the oldest at 10000.", q, nil),
		bare:      desc("wxnotify_queue_entries_without_data", "Entries of a sample whose task is gone (evicted or deleted by hand). Should be 0.", q, nil),
		readable:  desc("wxnotify_queue_readable", "0 when the queue could not be read.", q, nil),
		part:      desc("wxnotify_scrape_ok", "0 when this part could not be read at this scrape.", []string{"part"}, nil),
		used:      desc("wxnotify_redis_memory_used_bytes", "Memory that Redis uses; of the fullest node of a cluster.", nil, nil),
		limit:     desc("wxnotify_redis_memory_max_bytes", "maxmemory of that node; 0 is no bound.", nil, nil),
		quotaUsed: desc("wxnotify_quota_used", "Calls counted against the day's quota.", a, nil),
		quotaCap:  desc("wxnotify_quota_cap", "The day's quota.", a, nil),
		quotaLeft: desc("wxnotify_quota_left", "What is left of the day's quota.", a, nil),
		reserve:   desc("wxnotify_quota_reserve", "The part of the quota that only critical messages may use.", a, nil),
		rate:      desc("wxnotify_rate_limit", "Sends a second allowed now, all processes together; 0 is no limit.", a, nil),
		closed:    desc("wxnotify_gate_closed", "1 while the gate is closed for this reason.", []string{"account", "reason"}, nil),
		reopens:   desc("wxnotify_gate_reopens_timestamp_seconds", "When a closed gate opens by itself.", []string{"account", "reason"}, nil),
	}
}

func (h *Handler) serveMetrics(w http.ResponseWriter, r *http.Request) {
	s, err := h.metrics.watch.look(r.Context())
	if err != nil {
		say(w, http.StatusServiceUnavailable, "Redis did not answer in time.")
		return
	}
	h.report(s)
	h.metrics.latest.Store(s)
	h.metrics.serve.ServeHTTP(w, r)
}

// report logs what a scrape cannot say: why.
func (h *Handler) report(s *snapshot) {
	if h.metrics.latest.Load() == s {
		return // said already
	}
	warn := func(what string, err error) {
		if err != nil {
			h.log.Warn(what, zap.String("cause", h.mask.text(err.Error())))
		}
	}
	warn("queues cannot be listed", s.QueuesErr)
	warn("memory of redis cannot be read", s.MemoryErr)
	for _, q := range s.Queues {
		warn("queue cannot be read", q.Err)
	}
	for _, g := range s.Gates {
		warn("gate cannot be read", g.Err)
	}
}

// Describe sends nothing: Config.Gauges are not known beforehand.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect sends the latest snapshot, or nothing before the first.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := c.latest.Load()
	if s == nil {
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		for _, l := range labels {
			if !utf8.ValidString(l) {
				return
			}
		}
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(c.part, yes(s.QueuesErr == nil), "queues")
	gauge(c.part, yes(s.MemoryErr == nil), "redis")
	if s.MemoryErr == nil {
		gauge(c.used, float64(s.Memory.Used))
		gauge(c.limit, float64(s.Memory.Max))
	}
	for _, q := range s.Queues {
		c.queue(q, gauge, out)
	}
	for _, g := range s.Gates {
		c.gate(g, gauge)
	}
	for _, g := range s.Gauges {
		names := slices.Sorted(maps.Keys(g.Labels))
		values := make([]string, len(names))
		for i, n := range names {
			values[i] = g.Labels[n]
		}
		m, err := prometheus.NewConstMetric(prometheus.NewDesc(g.Name, g.Help, names, nil), prometheus.GaugeValue, g.Value, values...)
		if err != nil {
			m = prometheus.NewInvalidMetric(prometheus.NewInvalidDesc(err), err)
		}
		out <- m
	}
}

type gaugeFunc func(d *prometheus.Desc, v float64, labels ...string)

func (c *collector) queue(q *queueStat, gauge gaugeFunc, out chan<- prometheus.Metric) {
	gauge(c.readable, yes(q.Err == nil), q.Name)
	if q.Err != nil || !utf8.ValidString(q.Name) {
		return
	}
	for _, s := range states() {
		gauge(c.tasks, float64(q.Count[s.name]), q.Name, s.name)
	}
	gauge(c.size, float64(q.Size()), q.Name)
	gauge(c.latency, q.Latency.Seconds(), q.Name)
	gauge(c.memory, float64(q.Memory), q.Name)
	gauge(c.paused, yes(q.Paused), q.Name)
	gauge(c.near, yes(q.Count["archived"] > archiveNear), q.Name)
	gauge(c.bare, float64(len(q.Missing)), q.Name)
	out <- prometheus.MustNewConstMetric(c.processed, prometheus.CounterValue, float64(q.Processed), q.Name)
	out <- prometheus.MustNewConstMetric(c.failed, prometheus.CounterValue, float64(q.Failed), q.Name)
}

func (c *collector) gate(g gateStat, gauge gaugeFunc) {
	gauge(c.part, yes(g.Err == nil), "gate "+g.Account)
	if g.Err != nil {
		return
	}
	s := g.State
	gauge(c.quotaUsed, float64(s.Used), g.Account)
	gauge(c.quotaCap, float64(s.Cap), g.Account)
	gauge(c.quotaLeft, float64(max(0, s.Cap-s.Used)), g.Account)
	gauge(c.reserve, float64(s.Reserve), g.Account)
	gauge(c.rate, s.Rate, g.Account)
	until := map[ratelimit.Reason]float64{}
	for _, p := range s.Pauses {
		until[p.Reason] = 0
		if !p.Until.IsZero() {
			until[p.Reason] = float64(p.Until.Unix())
		}
	}
	for _, r := range reasons() {
		at, shut := until[r]
		gauge(c.closed, yes(shut), g.Account, string(r))
		if at > 0 {
			gauge(c.reopens, at, g.Account, string(r))
		}
	}
}

// reasons are all of them, so that an alert finds 0 and not an absent series.
func reasons() []ratelimit.Reason {
	return []ratelimit.Reason{
		ratelimit.ReasonQuota, ratelimit.ReasonRefused, ratelimit.ReasonMinute, ratelimit.ReasonUnreconciled,
		ratelimit.ReasonAccount, ratelimit.ReasonToken, ratelimit.ReasonBreaker, ratelimit.ReasonManual,
	}
}

func yes(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
