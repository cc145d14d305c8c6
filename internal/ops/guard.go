package ops

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
)

// maxAtOnce tasks may be run or deleted by one request. asynq does it in one
// script: at 10 000 Redis stands still for some 30 ms, at a million for seconds.
const maxAtOnce = 10_000

// action is a change that asynqmon offers.
type action struct {
	verb  string // pause, resume, delete_queue, run, delete, archive, cancel, or one with _all or batch_
	queue string
	state string // of the tasks; empty for a queue's own
	group string
	task  string
	tasks []string // of a batch
}

// routes of asynqmon v0.7.2 that change something; see its handler.go. A path
// that is none of them is refused: what we do not know we cannot guard.
type changeRoutes struct{ queue, tasks, task *regexp.Regexp }

func newChangeRoutes() changeRoutes {
	const tasks = `^/queues/([^/]+)/(?:groups/([^/]+)/)?(active|pending|scheduled|retry|archived|completed|aggregating)_tasks`
	return changeRoutes{
		queue: regexp.MustCompile(`^/queues/([^/]+?)(?::(pause|resume))?$`),
		tasks: regexp.MustCompile(tasks + `:((?:delete|run|archive|cancel)_all|batch_(?:delete|run|archive|cancel))$`),
		task:  regexp.MustCompile(tasks + `/([^/]+?)(?::(run|archive|cancel))?$`),
	}
}

func (c changeRoutes) parse(method, path string) (action, bool) {
	if m := c.tasks.FindStringSubmatch(path); m != nil {
		return action{queue: m[1], group: m[2], state: m[3], verb: m[4]}, (method == http.MethodDelete) == (m[4] == "delete_all")
	}
	if m := c.task.FindStringSubmatch(path); m != nil {
		a := action{queue: m[1], group: m[2], state: m[3], task: m[4], verb: m[5]}
		if method == http.MethodDelete { // an ID may end in ":run"
			_, a.task, _ = cutLast(path, "/")
			a.verb = "delete"
		}
		return a, a.verb != ""
	}
	if m := c.queue.FindStringSubmatch(path); m != nil {
		a := action{queue: m[1], verb: m[2]}
		if a.verb == "" {
			a.verb = "delete_queue"
		}
		return a, (method == http.MethodDelete) == (a.verb == "delete_queue")
	}
	return action{}, false
}

// refusal is why a change is not made, for the admin who asked.
type refusal struct {
	status   int
	sentence string
}

func (e *refusal) Error() string { return e.sentence }

func refuse(status int, format string, args ...any) error {
	return &refusal{status, fmt.Sprintf(format, args...)}
}

// change guards one change, makes it through asynqmon, and writes it down.
func (m *monitor) change(w http.ResponseWriter, r *http.Request, path string) {
	act, err := m.judge(w, r, path)
	if err == nil && (act.verb == "pause" || act.verb == "resume") {
		err = m.hold(r.Context(), act, who(r), true)
	}
	if err != nil {
		var refused *refusal
		if !errors.As(err, &refused) {
			refused = &refusal{http.StatusBadGateway, "Not done: " + m.h.mask.text(err.Error())}
		}
		m.audit(r, act, refused.status, refused.sentence)
		say(w, refused.status, refused.sentence)
		return
	}
	a := newAnswer()
	if act.tasks != nil {
		m.batch(a, act)
	} else {
		m.pass(a, m.rewrite(r, path))
	}
	m.settleHold(r, act, a)
	m.audit(r, act, a.status, strings.TrimSpace(failure(a)))
	a.send(w, m.filter)
}

func failure(a *answer) string {
	if a.done() {
		return ""
	}
	return a.body.String()
}

// judge reads what is asked and refuses what must not be done. Whoever is not
// admitted or comes from another site learns nothing about the queues.
func (m *monitor) judge(w http.ResponseWriter, r *http.Request, path string) (action, error) {
	act, known := newChangeRoutes().parse(r.Method, path)
	switch {
	case !m.h.login.sameOrigin(r):
		return act, refuse(http.StatusForbidden, wantsSameOrigin)
	case m.h.cfg.ReadOnly:
		return act, refuse(http.StatusMethodNotAllowed, "Refused: this listener is read-only (WXNOTIFY_OPS_READ_ONLY).")
	case r.Method != http.MethodPost && r.Method != http.MethodDelete, !known:
		return act, refuse(http.StatusMethodNotAllowed, "Refused: there is no such action.")
	}
	act.task = m.filter.aliases.open(act.task)
	act.group = m.filter.aliases.open(act.group)
	if strings.Contains(act.task+act.group, "/") {
		return act, refuse(http.StatusUnprocessableEntity, "Refused: the ID has a slash, and this page cannot address it. "+
			"Select the task with its box, and act on the selection.")
	}
	if strings.HasPrefix(act.verb, "batch_") {
		if err := m.readBatch(w, r, &act); err != nil {
			return act, err
		}
	}
	return act, m.allowed(r.Context(), act)
}

func (m *monitor) allowed(ctx context.Context, act action) error {
	switch act.verb {
	case "pause", "resume":
		names, err := m.h.queues.names(ctx)
		if err != nil {
			return err
		}
		if !slices.Contains(names, act.queue) { // asynq would make a key for it
			return refuse(http.StatusNotFound, "Refused: there is no such queue.")
		}
	case "archive_all":
		return refuse(http.StatusForbidden, "Refused: archiving all tasks keeps the last 10 000 and leaves the data of the rest "+
			"in Redis for good, with their IDs taken. Pause the queue, or cancel the messages (wxnotify cancel).")
	case "run_all", "delete_all":
		n, err := m.count(ctx, act)
		if err != nil {
			return err
		}
		if n > maxAtOnce {
			return refuse(http.StatusForbidden, "Refused: %d tasks at once would stop Redis for everybody; the limit is %d. "+
				"Select tasks on the page instead, page by page.", n, maxAtOnce)
		}
	case "archive", "batch_archive":
		n, err := m.h.queues.count(ctx, act.queue, "archived")
		if err != nil {
			return err
		}
		if more := max(1, len(act.tasks)); n+int64(more) >= archiveCap-1 {
			return refuse(http.StatusForbidden, "Refused: %d tasks are archived and asynq keeps fewer than %d: archiving more would lose "+
				"the oldest and leave their data behind. Run or delete archived tasks first.", n, archiveCap)
		}
	}
	return nil
}

func (m *monitor) count(ctx context.Context, act action) (int64, error) {
	if act.state == "aggregating" {
		return m.h.queues.group(ctx, act.queue, act.group)
	}
	return m.h.queues.count(ctx, act.queue, act.state)
}

// hold tells the program of an admin's pause before asynq knows of it, so that
// nothing opens the queue in between.
func (m *monitor) hold(ctx context.Context, act action, who string, made bool) error {
	if m.h.cfg.OnManualHold == nil {
		return nil
	}
	paused := (act.verb == "pause") == made
	if err := m.h.cfg.OnManualHold(ctx, act.queue, paused, who); err != nil {
		return fmt.Errorf("the hold of %s could not be recorded: %w", act.queue, err)
	}
	return nil
}

// settleHold takes the hold back when asynq refused. A queue that is in the
// wanted state already is no refusal: the program may have paused it before, and
// now an admin holds it.
func (m *monitor) settleHold(r *http.Request, act action, a *answer) {
	if act.verb != "pause" && act.verb != "resume" || a.done() {
		return
	}
	text := a.body.String()
	if strings.Contains(text, "is already paused") || strings.Contains(text, "is not paused") {
		*a = *newAnswer()
		a.WriteHeader(http.StatusNoContent)
		return
	}
	if err := m.hold(context.WithoutCancel(r.Context()), act, who(r), false); err != nil {
		m.h.log.Error("a hold that was not made could not be taken back",
			zap.String("queue", act.queue), zap.String("cause", m.h.mask.text(err.Error())))
	}
}

// audit writes down a change, done or refused.
func (m *monitor) audit(r *http.Request, act action, status int, detail string) {
	e := AuditEvent{
		At: time.Now(), Who: who(r), Remote: remote(r), Action: act.verb, Queue: m.h.mask.text(act.queue),
		Task: m.h.mask.text(act.task), Tasks: len(act.tasks), Status: status, Detail: m.h.mask.text(strings.TrimSpace(detail)),
	}
	m.h.log.Info("admin action", zap.String("who", e.Who), zap.String("remote", e.Remote), zap.String("action", e.Action),
		zap.String("queue", e.Queue), zap.String("task", e.Task), zap.Int("tasks", e.Tasks), zap.Int("status", status),
		zap.String("detail", e.Detail))
	if m.h.cfg.Audit != nil {
		m.h.cfg.Audit(e)
	}
}
