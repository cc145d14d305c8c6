package console

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wxnotify/wxnotify/internal/heartbeat"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/locale"
	"github.com/wxnotify/wxnotify/internal/mask"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
)

const (
	// freshFor is how long what was read of an account is shown to others.
	freshFor = time.Second
	// readLimit bounds one reading.
	readLimit = 5 * time.Second
	// speedWindow is over how long the speed of sending is measured.
	speedWindow = 10 * time.Minute
)

// reading is what was read of one account. Each part has its own error.
type reading struct {
	at       time.Time
	gate     ratelimit.State
	queues   []queue.State
	workers  []heartbeat.Worker
	lastSeen time.Time // of any worker
	token    tokenstore.State
	today    today
	dead     int
	users    int64
	errs     map[string]error // by the part
	speed    speed
}

// overviews reads accounts for all who look, once each freshFor.
type overviews struct {
	c  *Console
	by map[string]*watched
}

// watched is one account.
type watched struct {
	mu      sync.Mutex
	last    *reading
	samples []sample
}

func newOverviews(c *Console) *overviews {
	o := &overviews{c: c, by: map[string]*watched{}}
	for _, a := range c.cfg.Accounts {
		o.by[a.AppID] = &watched{}
	}
	return o
}

// of reads an account.
func (o *overviews) of(ctx context.Context, a *Account) *reading {
	w := o.by[a.AppID]
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last != nil && time.Since(w.last.at) < freshFor {
		return w.last
	}
	// Others are shown this reading: it must not fail because this client has gone.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readLimit)
	defer cancel()
	w.last = o.c.read(ctx, a)
	if w.last.errs["gate"] == nil {
		w.samples = addSample(w.samples, sample{w.last.at, w.last.gate.Used})
		w.last.speed = speedOf(w.samples, w.last.gate, w.last.today.recent)
	}
	return w.last
}

// forget has the next one who looks at an account read it again.
func (o *overviews) forget(a *Account) {
	w := o.by[a.AppID]
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = nil
}

func (c *Console) read(ctx context.Context, a *Account) *reading {
	r := &reading{at: time.Now(), errs: map[string]error{}}
	var mu sync.Mutex
	var g errgroup.Group
	part := func(name string, read func() error) {
		g.Go(func() error {
			if err := read(); err != nil {
				mu.Lock()
				defer mu.Unlock()
				r.errs[name] = err
			}
			return nil
		})
	}
	part("gate", func() (err error) { r.gate, err = a.Gate.State(ctx); return err })
	part("queues", func() (err error) { r.queues, err = c.queues.Queues(ctx, a.AppID); return err })
	part("workers", func() (err error) { r.workers, r.lastSeen, err = heartbeat.List(ctx, c.cfg.Redis, a.AppID); return err })
	part("token", func() (err error) { r.token, err = a.Tokens.State(ctx); return err })
	part("dead letters", func() (err error) { _, r.dead, err = a.Ledger.Dead(ctx, 0, 1); return err })
	part("history", func() (err error) { r.today, err = readToday(ctx, a.Ledger, r.at); return err })
	part("roster", func() (err error) { r.users, err = a.Roster.Count(ctx); return err })
	_ = g.Wait() // each part keeps its own error
	return r
}

// accountView is one account on the overview.
type accountView struct {
	AppID, Name      string
	Faults           []string // parts that could not be read
	Problems         []string
	Closures         []closureView
	Held             bool // closed by an admin
	Used, Cap, Left  int64
	Percent, Reserve int64
	Resets           time.Time
	Forecast         string
	ForecastBad      bool
	Limit, Speed     string // sends a second: permitted, and made now; empty: not known yet
	Queues           []queueView
	Waiting          int64
	Workers          []workerView
	NoWorker         string
	Token            tokenView
	Dead             int
	Today            *todayView // nil: it could not be read
	Users            int64
}

type closureView struct {
	Reason, Detail, By string
	Since, Until       time.Time
}

type queueView struct {
	Class                             job.Class
	Pending, Active, Scheduled, Retry int64
	Oldest, Paused                    string
	IsPaused                          bool
}

type workerView struct {
	Host, Version, Clock, Suspended string
	Started, Seen                   time.Time
	Concurrency                     int
	Held                            []string
	Bad                             bool
}

type tokenView struct {
	Fingerprint, Age, Error, Remedy string
	Expires                         time.Time
	Fetches, Forced                 int
	Bad                             bool
}

func (c *Console) overview(r *request) error {
	return c.render(r, 200, "overview", r.text("Overview"), c.overviewOf(r))
}

// overviewView is the overview.
type overviewView struct {
	Problems []string // beside those of the accounts
	Accounts []accountView
}

func (c *Console) overviewOf(r *request) overviewView {
	views := make([]accountView, len(c.cfg.Accounts))
	var g errgroup.Group
	for i := range c.cfg.Accounts {
		g.Go(func() error {
			a := &c.cfg.Accounts[i]
			views[i] = viewOf(r, a, c.live.of(r.ctx(), a))
			return nil
		})
	}
	_ = g.Wait() // no error is returned
	return overviewView{c.problems(r), views}
}

func viewOf(r *request, a *Account, d *reading) accountView {
	v := accountView{AppID: a.AppID, Name: a.Name, Dead: d.dead, Users: d.users}
	for _, part := range slices.Sorted(maps.Keys(d.errs)) {
		v.Faults = append(v.Faults, part+": "+mask.Text(d.errs[part].Error()))
	}
	if d.errs["gate"] == nil {
		v.setGate(r, d)
	}
	for i := range d.queues {
		q := queueViewOf(r, &d.queues[i])
		v.Queues, v.Waiting = append(v.Queues, q), v.Waiting+q.Pending+q.Scheduled+q.Retry
		switch {
		case d.queues[i].Err != nil:
			v.Faults = append(v.Faults, "queue "+string(q.Class)+": "+mask.Text(d.queues[i].Err.Error()))
		case d.queues[i].Missing > 0:
			v.Problems = append(v.Problems, r.text("Queue %s has tasks whose data is gone: Redis evicted it, or it was deleted by hand. Running workers remove such tasks. Set maxmemory-policy noeviction.", string(q.Class)))
		}
	}
	for i := range d.workers {
		v.Workers = append(v.Workers, workerViewOf(r, &d.workers[i]))
	}
	if len(d.workers) == 0 && d.errs["workers"] == nil {
		v.NoWorker = r.text("No worker of this account runs: nothing is sent. Start one: wxnotify worker.")
		if !d.lastSeen.IsZero() {
			v.NoWorker = r.text("No worker of this account has been seen since %s: nothing is sent. Start one: wxnotify worker.", moment(d.lastSeen))
		}
	}
	if d.errs["token"] == nil {
		v.Token = tokenViewOf(r, d)
	}
	if d.errs["history"] == nil {
		view := todayOf(r, &d.today, d.speed.runsOut)
		v.Today = &view
	}
	if d.errs["gate"] == nil {
		v.setForecast(r, d)
	}
	return v
}

func (v *accountView) setGate(r *request, d *reading) {
	s := d.gate
	v.Used, v.Cap, v.Reserve, v.Resets = s.Used, s.Cap, s.Reserve, s.ResetsAt
	if s.Cap > 0 {
		v.Left, v.Percent = max(s.Cap-s.Used, 0), min(100*s.Used/s.Cap, 100)
	}
	v.Limit = r.text("no limit")
	if s.Rate > 0 {
		v.Limit = decimal(s.Rate)
	}
	if d.speed.known {
		v.Speed = decimal(d.speed.now)
	}
	for _, p := range s.Closures() {
		v.Closures = append(v.Closures, closureView{
			Reason: locale.GateReason(p.Reason, r.lang), Detail: mask.Text(p.Detail), By: mask.Text(p.Owner), Since: p.Since, Until: p.Until,
		})
		v.Held = v.Held || p.Reason == ratelimit.ReasonManual
	}
}

func (v *accountView) setForecast(r *request, d *reading) {
	switch out := d.speed.runsOut; {
	case v.Cap == 0:
		v.Forecast = r.text("The day's cap is not known.")
	case v.Left == 0:
		v.Forecast, v.ForecastBad = r.text("The quota of the day is used up."), true
	case v.Waiting > v.Left:
		v.Forecast, v.ForecastBad = r.text("Waiting messages: %s, more than the day has left.", grouped(strconv.FormatInt(v.Waiting, 10))), true
	case out.IsZero():
		v.Forecast = r.text("At the speed of the last ten minutes it lasts until the reset.")
	default:
		v.Forecast, v.ForecastBad = r.text("At the speed of the last ten minutes it runs out at about %s.", out.Local().Format("15:04 -07:00")), true
	}
}

func queueViewOf(r *request, q *queue.State) queueView {
	v := queueView{Class: q.Class, Pending: q.Pending, Active: q.Active, Scheduled: q.Scheduled, Retry: q.Retry, IsPaused: q.Paused}
	if q.Latency > 0 {
		v.Oldest = q.Latency.Round(time.Second).String()
	}
	switch {
	case q.Pause != nil:
		v.Paused = r.text("by %s since %s: %s", mask.Text(q.Pause.Owner), moment(q.Pause.Since), mask.Text(q.Pause.Reason))
	case q.Paused:
		v.Paused = r.text("by another tool")
	}
	return v
}

func workerViewOf(r *request, w *heartbeat.Worker) workerView {
	v := workerView{
		Host: mask.Text(w.Host), Version: w.Version, Started: w.Started, Seen: w.Seen, Concurrency: w.Concurrency,
		Clock: r.text("right"),
	}
	if w.ClockAhead.Abs() >= time.Second {
		v.Clock = w.ClockAhead.Round(time.Second).String()
	}
	if w.ClockAhead.Abs() > redisx.ClockLimit {
		v.Bad, v.Clock = true, r.text("%s off Redis': it fetches nothing; set it by NTP", v.Clock)
	}
	if s := w.Suspended; s != nil {
		v.Bad = true
		v.Suspended = r.text("WeChat refuses its address %s (%d) since %s: put it on the account's IP list", s.Address, s.Errcode, moment(s.Since))
	}
	for _, h := range w.Held {
		v.Held = append(v.Held, heldText(r, h))
	}
	return v
}

// heldText says which messages a worker leaves waiting.
func heldText(r *request, h heartbeat.Held) string {
	if h.SealKey != "" {
		return r.text("Messages that are sealed with the key %s wait: this worker does not have it.", h.SealKey)
	}
	return r.text("WeChat refuses the template %s since %s (errcode %d): its messages wait, one of them is tried at %s.", mask.Text(h.Template), moment(h.Since), h.Errcode, moment(h.Until)) +
		" " + wechat.Code(h.Errcode).RemedyIn(r.lang)
}

func tokenViewOf(r *request, d *reading) tokenView {
	t := d.token
	v := tokenView{
		Fingerprint: t.Fingerprint, Expires: t.ExpiresAt, Fetches: t.FetchesToday, Forced: t.ForcedToday,
		Error: mask.Text(t.Error), Remedy: t.Remedy, Bad: t.Error != "" || t.Refused || t.War,
	}
	if t.Fingerprint != "" {
		v.Age = t.Age.Round(time.Second).String()
	}
	if refused, ok := errors.AsType[*wechat.Error](t.LastError); ok {
		v.Remedy = refused.RemedyIn(r.lang)
	}
	switch {
	case t.War:
		v.Error, v.Remedy = r.text("Another system fetches tokens of this account"), cmp.Or(t.WarRemedy, v.Remedy)
	case t.Refused && v.Error == "":
		v.Error = r.text("WeChat refuses this token; another one is being fetched")
	}
	return v
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', 1, 64) }
