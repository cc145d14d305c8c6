package api

import (
	"errors"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/heartbeat"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/templates"
)

// accountView is the state of one account.
type accountView struct {
	Account string      `json:"account"`
	Gate    gateView    `json:"gate"`
	Quota   quotaView   `json:"quota"`
	Rate    float64     `json:"rate"` // sends a second in force now; 0: no limit
	Queues  []queueView `json:"queues"`
	// Workers are those alive; WorkersSeen is when any worker reported last, absent
	// when none did for 90 days.
	Workers     []heartbeat.Worker `json:"workers"`
	WorkersSeen time.Time          `json:"workers_seen,omitzero"`
}

type gateView struct {
	Open     bool          `json:"open"`
	Closures []closureView `json:"closures"`
}

type closureView struct {
	Reason string    `json:"reason"`
	Detail string    `json:"detail,omitempty"`
	Until  time.Time `json:"until,omitzero"` // absent: until it is resumed
}

type quotaView struct {
	Day      string    `json:"day"`
	Used     int64     `json:"used"`
	Limit    int64     `json:"limit"` // 0: not known yet
	Reserve  int64     `json:"reserve"`
	ResetsAt time.Time `json:"resets_at"`
}

type queueView struct {
	Class     job.Class `json:"class"`
	Pending   int64     `json:"pending"`
	Active    int64     `json:"active"`
	Scheduled int64     `json:"scheduled"`
	Retry     int64     `json:"retry"`
	WaitingMS int64     `json:"waiting_ms"` // of the oldest pending message
}

func (s *server) getAccount(c *call) error {
	if err := c.ofAccount(c.r.PathValue("appid")); err != nil {
		return err
	}
	a := c.account
	state, err := a.Gate.State(c.r.Context())
	if err != nil {
		return err
	}
	view := accountView{
		Account: a.AppID, Rate: state.Rate,
		Quota: quotaView{state.Day, state.Used, state.Cap, state.Reserve, state.ResetsAt},
		Gate:  gateView{Closures: []closureView{}},
	}
	for _, p := range state.Closures() {
		view.Gate.Closures = append(view.Gate.Closures, closureView{string(p.Reason), p.Detail, p.Until})
	}
	view.Gate.Open = len(view.Gate.Closures) == 0
	view.Workers, view.WorkersSeen, err = heartbeat.List(c.r.Context(), s.cfg.Redis, a.AppID)
	if err != nil {
		return err
	}
	if view.Workers == nil {
		view.Workers = []heartbeat.Worker{}
	}
	queues, err := queue.NewInspector(s.cfg.Redis).Queues(c.r.Context(), a.AppID)
	if err != nil {
		return err
	}
	for _, q := range queues {
		view.Queues = append(view.Queues, queueView{q.Class, q.Pending, q.Active, q.Scheduled, q.Retry, q.Latency.Milliseconds()})
	}
	return c.answer(http.StatusOK, view)
}

// templatesView is the answer of GET /v1/templates.
type templatesView struct {
	Templates []templates.Template `json:"templates"`
	AsOf      *time.Time           `json:"as_of,omitempty"` // absent: WeChat has not told any
}

// getTemplates lists what WeChat last said of the account's templates.
func (s *server) getTemplates(c *call) error {
	list, at, err := c.account.Templates.List(c.r.Context())
	if err != nil && !errors.Is(err, templates.ErrNotAsked) {
		s.log.Warn("WeChat cannot be asked for the templates; its last answer is listed", append(c.fields(), zap.NamedError("cause", err))...)
	}
	view := templatesView{Templates: append([]templates.Template{}, list...)}
	if !at.IsZero() {
		view.AsOf = &at
	}
	return c.answer(http.StatusOK, view)
}
