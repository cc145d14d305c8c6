package console

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/wxnotify/wxnotify/internal/mask"
)

const (
	// maxRuns bounds the runs that are remembered.
	maxRuns = 20
	// abreast is how many messages of a run are changed at once.
	abreast = 16
)

// run is one action in the background of this process.
type run struct {
	id      int
	account string
	what    string
	by      string
	total   atomic.Int64 // 0: not known yet
	began   time.Time
	stop    context.CancelFunc
	done    atomic.Int64 // changed
	failed  atomic.Int64
	mu      sync.Mutex
	ended   time.Time
	stopped bool
	first   string // the first failure
}

// runs are those of the process.
type runs struct {
	mu   sync.Mutex
	all  []*run
	last int
	wg   sync.WaitGroup
}

// start does d to all messages of the selection in the background.
func (s *runs) start(ctx context.Context, c *Console, a *Account, who Operator, d deed, of selection) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &run{account: a.AppID, what: d.name + ": " + of.String(), by: who.title(), began: time.Now(), stop: cancel}
	s.add(r)
	s.wg.Go(func() {
		defer cancel()
		ids, err := c.gather(ctx, a, of, d)
		if err != nil && ctx.Err() == nil {
			r.fail(err)
		}
		r.do(ctx, a, d, ids)
		result := count(int(r.done.Load())) + " of " + count(len(ids)) + ", " + count(int(r.failed.Load())) + " failed"
		if r.wasStopped() {
			result += ", stopped"
		}
		if err := c.note(ctx, a, who, change{action: d.past + " all", count: int(r.done.Load()), detail: result + "; " + of.String()}); err != nil {
			c.log.Error("audit trail not written", zap.String("account", a.AppID), zap.String("detail", result), zap.Error(err))
		}
	})
}

// add numbers a run and forgets the oldest one that has ended.
func (s *runs) add(r *run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	r.id = s.last
	s.all = append(s.all, r)
	if len(s.all) > maxRuns {
		if i := slices.IndexFunc(s.all, func(r *run) bool { return !r.running() }); i >= 0 {
			s.all = slices.Delete(s.all, i, i+1)
		}
	}
}

func (r *run) do(ctx context.Context, a *Account, d deed, ids []string) {
	r.total.Store(int64(len(ids)))
	var g errgroup.Group
	g.SetLimit(abreast)
	for _, id := range ids {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			switch err := d.do(ctx, a, id); {
			case err == nil:
				r.done.Add(1)
			case ctx.Err() == nil || !errors.Is(err, ctx.Err()):
				r.fail(err)
			}
			return nil
		})
	}
	_ = g.Wait() // failures are counted
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended, r.stopped = time.Now(), ctx.Err() != nil
}

func (r *run) fail(err error) {
	r.failed.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.first == "" {
		r.first = mask.Text(err.Error())
	}
}

func (r *run) running() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ended.IsZero()
}

func (r *run) wasStopped() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stopped
}

// close stops all and waits.
func (s *runs) close() {
	s.mu.Lock()
	for _, r := range s.all {
		r.stop()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// active counts those that run.
func (s *runs) active() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.all {
		if r.running() {
			n++
		}
	}
	return n
}

// runView is one run on its page.
type runView struct {
	ID                  int
	Account, What, By   string
	Total, Done, Failed int
	Began, Ended        time.Time
	Stopped             bool
	First               string
}

// Handled counts what is done or has failed.
func (v runView) Handled() int { return v.Done + v.Failed }

// list shows the runs, the latest first.
func (s *runs) list() []runView {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []runView
	for _, r := range slices.Backward(s.all) {
		r.mu.Lock()
		out = append(out, runView{
			ID: r.id, Account: r.account, What: r.what, By: r.by, Total: int(r.total.Load()), Done: int(r.done.Load()), Failed: int(r.failed.Load()),
			Began: r.began, Ended: r.ended, Stopped: r.stopped, First: r.first,
		})
		r.mu.Unlock()
	}
	return out
}

func (c *Console) listRuns(r *request) error {
	return c.render(r, http.StatusOK, "runs", r.text("Background"), c.runs.list())
}

// stopRun stops a run. What it has done stays done.
func (c *Console) stopRun(r *request) error {
	id, _ := strconv.Atoi(r.PostForm.Get("id"))
	c.runs.mu.Lock()
	i := slices.IndexFunc(c.runs.all, func(r *run) bool { return r.id == id })
	if i >= 0 {
		c.runs.all[i].stop()
	}
	c.runs.mu.Unlock()
	if i < 0 {
		return wrong("The form is not one of this page.")
	}
	c.redirect(r, "/runs", nil, "stopped")
	return nil
}
