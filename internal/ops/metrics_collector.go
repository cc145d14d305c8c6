package ops

import (
	"context"
	"net/http"
	"sync/atomic"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/mask"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/ratelimit"
)

// collector exports the latest snapshot. /metrics takes a new snapshot before it
// gathers, within the request's context: Collect has no context.
//
// The metrics named asynq_… and their labels are those of asynq's own exporter,
// so that dashboards made for it work.
type collector struct {
	watch  *shared[*snapshot]
	latest atomic.Pointer[snapshot]
	serve  http.Handler

	tasks, size, latency, paused, processed, failed *prometheus.Desc
	missing, readable, part, used, limit            *prometheus.Desc
	quotaUsed, quotaCap, quotaLeft, reserve, rate   *prometheus.Desc
	closed, reopens, workers, workerSeen            *prometheus.Desc
}

func newCollector(cfg Config, inspector *queue.Inspector) *collector {
	desc := prometheus.NewDesc
	q, a := []string{"queue"}, []string{"account"}
	return &collector{
		watch:      share(freshFor, readTimeLimit, func(ctx context.Context) *snapshot { return takeSnapshot(ctx, cfg, inspector) }),
		tasks:      desc("asynq_tasks_enqueued_total", "Number of tasks enqueued; broken down by queue and state.", []string{"queue", "state"}, nil),
		size:       desc("asynq_queue_size", "Number of tasks in a queue.", q, nil),
		latency:    desc("asynq_queue_latency_seconds", "Number of seconds the oldest pending task is waiting in pending state to be processed.", q, nil),
		processed:  desc("asynq_tasks_processed_total", "Number of tasks processed (both succeeded and failed); broken down by queue.", q, nil),
		failed:     desc("asynq_tasks_failed_total", "Number of tasks failed; broken down by queue.", q, nil),
		paused:     desc("asynq_queue_paused_total", "Number of queues paused.", q, nil),
		missing:    desc("wxnotify_queue_entries_without_data", "Sampled tasks whose data is gone (evicted or deleted by hand). Should be 0.", q, nil),
		readable:   desc("wxnotify_queue_readable", "0 when the queue could not be read.", q, nil),
		part:       desc("wxnotify_scrape_ok", "0 when this part could not be read at this scrape.", []string{"part"}, nil),
		used:       desc("wxnotify_redis_memory_used_bytes", "Memory that Redis uses; of the fullest node of a cluster.", nil, nil),
		limit:      desc("wxnotify_redis_memory_max_bytes", "maxmemory of that node; 0 is no limit.", nil, nil),
		quotaUsed:  desc("wxnotify_quota_used", "Calls counted against the day's quota.", a, nil),
		quotaCap:   desc("wxnotify_quota_cap", "The day's quota.", a, nil),
		quotaLeft:  desc("wxnotify_quota_left", "What is left of the day's quota.", a, nil),
		reserve:    desc("wxnotify_quota_reserve", "The part of the quota that only critical messages may use.", a, nil),
		rate:       desc("wxnotify_rate_limit", "Sends a second allowed now, all processes together; 0 is no limit.", a, nil),
		closed:     desc("wxnotify_gate_closed", "1 while the gate is closed for this reason.", []string{"account", "reason"}, nil),
		workers:    desc("wxnotify_workers", "Workers of the account that reported within the last minute; suspended ones fetch nothing.", []string{"account", "state"}, nil),
		workerSeen: desc("wxnotify_worker_last_seen_timestamp_seconds", "When any worker of the account reported last; absent when none did for 90 days.", a, nil),
		reopens:    desc("wxnotify_gate_reopens_timestamp_seconds", "When a closed gate opens without an admin.", []string{"account", "reason"}, nil),
	}
}

func (h *Handler) serveMetrics(w http.ResponseWriter, r *http.Request) {
	s, err := h.metrics.watch.get(r.Context())
	if err != nil {
		writeText(w, http.StatusServiceUnavailable, "Redis did not answer in time.")
		return
	}
	if h.metrics.latest.Swap(s) != s {
		h.logFailures(s)
	}
	h.metrics.serve.ServeHTTP(w, r)
}

// logFailures logs the causes, which metrics cannot hold.
func (h *Handler) logFailures(s *snapshot) {
	warn := func(what string, err error) {
		if err != nil {
			h.log.Warn(what, zap.String("cause", mask.Text(err.Error())))
		}
	}
	warn("listing the queues failed", s.QueuesErr)
	warn("reading the memory of redis failed", s.ServerErr)
	for i := range s.Queues {
		warn("reading a queue failed", s.Queues[i].Err)
	}
	for _, g := range s.Gates {
		warn("reading a gate failed", g.Err)
	}
	for i := range s.Workers {
		warn("reading the registry of workers failed", s.Workers[i].Err)
	}
}

// Describe sends nothing: Collect sends nothing before the first snapshot, and
// leaves out what could not be read.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect sends the latest snapshot, or nothing before the first.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := c.latest.Load()
	if s == nil {
		return
	}
	send := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		for _, l := range labels {
			if !utf8.ValidString(l) {
				return
			}
		}
		out <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) { send(d, prometheus.GaugeValue, v, labels...) }
	counter := func(d *prometheus.Desc, v int64, labels ...string) {
		send(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge(c.part, number(s.QueuesErr == nil), "queues")
	gauge(c.part, number(s.ServerErr == nil), "redis")
	if s.ServerErr == nil {
		gauge(c.used, float64(s.Server.Used))
		gauge(c.limit, float64(s.Server.Max))
	}
	for i := range s.Queues {
		c.queue(&s.Queues[i], gauge, counter)
	}
	for _, g := range s.Gates {
		c.gate(g, gauge)
	}
	for i := range s.Workers {
		w := &s.Workers[i]
		gauge(c.part, number(w.Err == nil), "workers "+w.Account)
		if w.Err != nil {
			continue
		}
		gauge(c.workers, float64(len(w.Alive)-w.suspended()), w.Account, "sending")
		gauge(c.workers, float64(w.suspended()), w.Account, "suspended")
		if !w.Seen.IsZero() {
			gauge(c.workerSeen, float64(w.Seen.Unix()), w.Account)
		}
	}
}

func (c *collector) queue(
	q *queue.State,
	gauge func(d *prometheus.Desc, v float64, labels ...string),
	counter func(d *prometheus.Desc, v int64, labels ...string),
) {
	gauge(c.readable, number(q.Err == nil), q.Name)
	if q.Err != nil {
		return
	}
	var size int64
	for _, s := range statesOf(q) {
		gauge(c.tasks, float64(s.tasks), q.Name, s.name)
		size += s.tasks
	}
	gauge(c.size, float64(size), q.Name)
	gauge(c.latency, q.Latency.Seconds(), q.Name)
	gauge(c.paused, number(q.Paused), q.Name)
	gauge(c.missing, float64(q.Missing), q.Name)
	counter(c.processed, q.Processed, q.Name)
	counter(c.failed, q.Failed, q.Name)
}

func (c *collector) gate(g gateState, gauge func(d *prometheus.Desc, v float64, labels ...string)) {
	gauge(c.part, number(g.Err == nil), "gate "+g.Account)
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
		at, closed := until[r]
		gauge(c.closed, number(closed), g.Account, string(r))
		if at > 0 {
			gauge(c.reopens, at, g.Account, string(r))
		}
	}
}

// reasons lists all reasons, so that an alert finds 0 and not an absent series.
func reasons() []ratelimit.Reason {
	return []ratelimit.Reason{
		ratelimit.ReasonQuota, ratelimit.ReasonRefused, ratelimit.ReasonMinute, ratelimit.ReasonUnreconciled,
		ratelimit.ReasonAccount, ratelimit.ReasonToken, ratelimit.ReasonAddress, ratelimit.ReasonBreaker, ratelimit.ReasonManual,
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
