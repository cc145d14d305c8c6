package ops

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/ratelimit"
)

//go:embed index.html
var indexHTML string

//go:embed index.css
var indexCSS string

// indexPage is the data of index.html.
type indexPage struct {
	T         words
	Prefix    string // before each link
	Style     template.CSS
	At        string
	Gates     []gateRow
	Queues    []queueRow
	Problems  []problem
	Workers   []workerRow
	Checks    []checkRow
	Used, Max string

	HasConsole bool
}

type gateRow struct {
	Account, Err, Resets, Rate string
	State                      ratelimit.State
	Low, High                  int64 // where the bar turns yellow and red
	Pauses                     []pauseRow
}

type pauseRow struct{ Reason, Detail, Until, Owner string }

type queueRow struct {
	Name, Link      string
	Broken, Failed  bool   // Failed: it could not be read
	Paused          string // by whom and why; empty when not paused
	States          []int64
	Waiting, Memory string
}

type problem struct {
	Name                           string // in /readyz; empty: not there
	Subject, Text, Detail, Command string
	fatal                          bool // /readyz fails; else it warns
}

type checkRow struct{ Name, Err string }

// index shows everything on one page. It needs no script.
func (h *Handler) index(w http.ResponseWriter, r *http.Request) {
	s, err := h.metrics.watch.read(r.Context())
	if err != nil {
		writeText(w, http.StatusServiceUnavailable, "Redis did not answer in time.")
		return
	}
	t := language(r)
	page := indexPage{T: t, HasConsole: h.cfg.Console != nil, Prefix: h.cfg.Prefix, Style: template.CSS(indexCSS), At: timeText(s.At), Problems: h.problems(s, t)}
	for _, g := range s.Gates {
		page.Gates = append(page.Gates, h.gateRow(g, t))
	}
	for i := range s.Queues {
		page.Queues = append(page.Queues, h.queueRow(&s.Queues[i], t))
	}
	for i := range s.Workers {
		page.Workers = append(page.Workers, h.workerRows(&s.Workers[i], t)...)
	}
	for i, err := range h.ready.run(r.Context()).checks {
		row := checkRow{Name: h.cfg.Checks[i].title()}
		if err != nil {
			row.Err = h.mask.text(err.Error())
		}
		page.Checks = append(page.Checks, row)
	}
	if s.ServerErr == nil {
		page.Used = bytesText(s.Server.Used)
		if s.Server.Max > 0 {
			page.Max = bytesText(s.Server.Max)
		}
	}
	tmpl, err := template.New("index").Parse(indexHTML)
	var body bytes.Buffer
	if err == nil {
		err = tmpl.Execute(&body, page)
	}
	if err != nil {
		h.log.Error("rendering the index page failed", zap.Error(err))
		writeText(w, http.StatusInternalServerError, "The page could not be rendered; see the log.")
		return
	}
	w.Header().Set("Content-Security-Policy", stylePolicy(hashSource([]byte(indexCSS))))
	w.Header().Set("Content-Language", t.Lang)
	w.Header().Set("Vary", "Accept-Language")
	writeBody(w, http.StatusOK, "text/html; charset=utf-8", body.Bytes())
}

func (h *Handler) gateRow(g gateState, t words) gateRow {
	row := gateRow{Account: g.Account, State: g.State, Rate: t.Unlimited}
	if g.Err != nil {
		row.Err = h.mask.text(g.Err.Error())
		return row
	}
	row.Low, row.High = g.State.Cap*8/10, g.State.Cap*95/100
	if g.State.Rate > 0 {
		row.Rate = strconv.FormatFloat(g.State.Rate, 'f', -1, 64) + "/s"
	}
	if !g.State.ResetsAt.IsZero() {
		row.Resets = timeText(g.State.ResetsAt)
	}
	for _, p := range g.State.Pauses {
		until := t.NoEnd
		if !p.Until.IsZero() {
			until = t.Until + " " + timeText(p.Until)
		}
		row.Pauses = append(row.Pauses, pauseRow{t.Reason(p.Reason), h.mask.text(p.Detail), until, h.mask.text(p.Owner)})
	}
	return row
}

func (h *Handler) queueRow(q *queue.State, t words) queueRow {
	row := queueRow{
		Name: h.mask.text(q.Name), Link: h.cfg.Prefix + monitorRoot + "/queues/" + url.PathEscape(q.Name),
		Failed: q.Err != nil, Broken: q.Err != nil || q.Missing > 0, Memory: bytesText(q.Memory),
	}
	switch {
	case q.Pause != nil:
		row.Paused = h.mask.text(t.By + " " + q.Pause.Owner + ": " + q.Pause.Reason)
	case q.Paused:
		row.Paused = t.OtherTool
	}
	for _, s := range statesOf(q) {
		row.States = append(row.States, s.tasks)
	}
	if q.Latency > 0 {
		row.Waiting = q.Latency.Round(time.Second).String()
	}
	return row
}

// problems lists what an admin must act on, each with its remedy.
func (h *Handler) problems(s *snapshot, t words) []problem {
	var out []problem
	if s.QueuesErr != nil {
		out = append(out, problem{Subject: t.Queues, Text: t.NotReadable, Detail: h.mask.text(s.QueuesErr.Error())})
	}
	out = append(out, faultsOf(s.Server, t)...) // none when it could not be read
	for i := range s.Queues {
		switch q := &s.Queues[i]; {
		case q.Err != nil:
			out = append(out, problem{Subject: h.mask.text(q.Name), Text: t.NotReadable, Detail: h.mask.text(q.Err.Error())})
		case q.Missing > 0:
			out = append(out, problem{Subject: h.mask.text(q.Name), Text: t.WithoutData})
		}
	}
	for i := range s.Workers {
		out = append(out, s.Workers[i].problem(h, t)...)
	}
	return out
}

func bytesText(n int64) string {
	const unit = 1024
	if n < unit {
		return strconv.FormatInt(n, 10) + " B"
	}
	v, names := float64(n), "KMGTP"
	i := -1
	for v >= unit && i < len(names)-1 {
		v /= unit
		i++
	}
	return strconv.FormatFloat(v, 'f', 1, 64) + " " + names[i:i+1] + "iB"
}
