package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/gateway"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/logging"
	"github.com/wxnotify/wxnotify/internal/ops"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/wiring"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
	"github.com/wxnotify/wxnotify/worker"
)

// observer writes the log lines and metrics of what the packages report.
type observer struct {
	registry *prometheus.Registry
	metrics  *ops.Metrics
	log      *zap.Logger
	// traceEnd is told of each message that ended outside a worker. Nil: spans are not
	// exported.
	traceEnd func(appid, id, state string)
}

func newObserver(log *zap.Logger) (*observer, error) {
	registry := prometheus.NewRegistry()
	// Goroutines, memory and processor time, under the names that dashboards know.
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	metrics, err := ops.NewMetrics(registry)
	if err != nil {
		return nil, err
	}
	return &observer{registry: registry, metrics: metrics, log: log}, nil
}

// message counts one delivery; the worker logs it.
func (o *observer) message(e worker.Event) {
	if e.Called {
		code := strconv.Itoa(int(e.Errcode))
		if e.Errcode == 0 && e.Action != worker.Sent {
			code = ops.SentUnknown
			if !e.Reached {
				code = ops.SentNowhere
			}
		}
		o.metrics.ObserveSend(e.Account, e.Class, code, e.Latency, e.TraceID)
		o.metrics.ObserveAge(e.Account, e.Class, e.Age, e.TraceID)
	}
	if e.Ended {
		o.metrics.ObserveEnd(e.Account, e.Class, e.State, e.Errcode)
	}
}

// ended counts and logs a message that ended outside a worker, in the words of the
// worker's line.
func (o *observer) ended(appid string, m *enroll.Message) {
	o.metrics.ObserveEnd(appid, job.Class(m.Class), ledger.State(m.State), 0)
	fields := []zap.Field{
		zap.String("account", appid), zap.String("id", m.ID), zap.String("class", m.Class), zap.String("state", m.State),
	}
	if m.To != "" {
		fields = append(fields, zap.String("to", m.To))
	}
	if m.Reason != "" {
		fields = append(fields, zap.String("reason", m.Reason))
	}
	if m.MsgID != 0 {
		fields = append(fields, zap.Int64("msgid", int64(m.MsgID)))
	}
	o.log.Info("message ended", fields...)
	if o.traceEnd != nil {
		o.traceEnd(appid, m.ID, m.State)
	}
}

// token logs and counts what happens to an account's token.
func (o *observer) token(appid string) func(tokenstore.Event) {
	log := logging.FirstOfKind(o.log.With(zap.String("account", appid)))
	return func(e tokenstore.Event) {
		fields := []zap.Field{zap.String("token", e.Fingerprint)}
		if e.Err != nil {
			fields = append(fields, zap.Error(e.Err))
		}
		if e.Remedy != "" {
			fields = append(fields, zap.String("remedy", e.Remedy))
		}
		switch e.Kind {
		case tokenstore.EventFetched, tokenstore.EventForced:
			o.metrics.ObserveTokenFetch(appid, string(e.Kind), e.ExpiresAt, e.Took)
			log.Info("token fetched", append(fields, zap.Bool("forced", e.Kind == tokenstore.EventForced), zap.Time("expires", e.ExpiresAt))...)
		case tokenstore.EventFailed:
			o.metrics.ObserveTokenFetch(appid, string(e.Kind), e.ExpiresAt, e.Took)
			log.Error("token fetch failed", append(fields, zap.Time("retry_at", e.RetryAt))...)
		case tokenstore.EventRefused:
			log.Warn("token refused by WeChat", fields...)
		case tokenstore.EventWar:
			log.Error("token war: another system fetches tokens of this account", append(fields, zap.Int("refusals", e.Refusals))...)
		}
	}
}

// enrolled counts what followers and WeChat did.
func (o *observer) enrolled(e enroll.Event) {
	switch e.Kind {
	case enroll.KindPush, enroll.KindRepeated, enroll.KindUnreadable:
		o.metrics.ObserveCallback(e.Account, string(e.Kind), e.Name, e.Took)
	case enroll.KindRefused:
		o.metrics.ObserveCallback(e.Account, string(e.Kind), e.Name, 0)
	case enroll.KindEnded:
		o.ended(e.Account, e.Message)
	case enroll.KindForwarded:
		o.metrics.ObserveForward(e.Account, e.Name, e.Took)
	case enroll.KindEnrolled, enroll.KindErased, enroll.KindSettled, enroll.KindUnmatched, enroll.KindMissing, enroll.KindVerified, enroll.KindLimited:
		o.metrics.ObserveFollower(e.Account, string(e.Kind), e.Name, max(e.Count, 1))
	}
}

// passed counts a call of the gateway, whose status is 200 always: by errcode.
func (o *observer) passed(c gateway.Call) {
	status := http.StatusOK
	switch {
	case c.Errcode == wechat.CodeBusy:
		status = http.StatusBadGateway
	case c.Errcode != wechat.CodeOK:
		status = http.StatusBadRequest
	}
	o.metrics.ObserveAPI("gateway "+c.Route, status, c.Took)
}

// newOps builds the operators' listener of these accounts. w is nil where the process
// does not send.
func newOps(rdb redis.UniversalClient, c *settings.Config, accounts []*wiring.Account, w *worker.Worker, o *observer, con *operators) (*ops.Handler, error) {
	byID := map[string]*wiring.Account{}
	checks := []ops.Check{{Name: "redis", Run: func(ctx context.Context) error { return rdb.Ping(ctx).Err() }}}
	for _, a := range accounts {
		byID[a.AppID] = a
		checks = append(checks, ops.Check{Name: "token", Account: a.AppID, Run: func(ctx context.Context) error {
			s, err := a.Tokens.State(ctx)
			if err != nil {
				return err
			}
			return s.LastError
		}})
		if w != nil {
			checks = append(checks, ops.Check{Name: "worker", Account: a.AppID, Run: func(context.Context) error { return named(w.Check(a.AppID)) }})
		}
	}
	logins, roles, err := loginsOf(c)
	if err != nil {
		return nil, err
	}
	single := oidcOf(c, roles)
	con.roles, con.guarded = roles, len(logins) > 0 || single != nil
	var shared http.HandlerFunc
	if c.Ops.LinkKey.Reveal() != "" {
		shared = con.console.ServeShared
	}
	return ops.New(ops.Config{
		Redis: rdb, Addr: c.Ops.Addr, Hosts: c.Ops.Hosts, Prefix: c.Ops.Prefix, TrustedProxies: c.Public.TrustedProxies, Logins: logins, OIDC: single,
		Registry: o.registry, Exemplars: o.traceEnd != nil, Checks: checks, Accounts: c.AppIDs(), Logger: o.log, Console: con.serve, Shared: shared,
		Gate: func(ctx context.Context, appid string) (ratelimit.State, error) { return byID[appid].Gate.State(ctx) },
	})
}

// named is an error whose text has settings and flags for the names of Go fields.
func named(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(settings.WithNames(err.Error()))
}
