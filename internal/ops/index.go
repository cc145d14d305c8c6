package ops

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/ratelimit"
)

//go:embed index.html
var indexHTML string

//go:embed index.css
var indexCSS string

// fullShare of Redis' memory is where enqueueing stops.
const fullShare = 0.75

// indexPage is what index.html shows.
type indexPage struct {
	T        words
	Style    template.CSS
	At       string
	ReadOnly bool
	Gates    []gateRow
	Queues   []queueRow
	Troubles []trouble
	Checks   []checkRow
	Used     string
	Max      string
}

type gateRow struct {
	Account, Err, Resets, Rate string
	State                      ratelimit.State
	Low, High                  int64 // where the bar turns yellow and red
	Pauses                     []pauseRow
}

type pauseRow struct{ Reason, Detail, Until, Owner string }

type queueRow struct {
	*queueStat
	Link   string
	Counts []int64 // pending active scheduled retry archived completed
	Oldest string
	Bytes  string
}

type trouble struct {
	Subject, Text, More string
	Commands            []string
}

type checkRow struct{ Name, Err string }

// index shows everything at a glance. It needs no script.
func (h *Handler) index(w http.ResponseWriter, r *http.Request) {
	s, err := h.metrics.watch.look(r.Context())
	if err != nil {
		say(w, http.StatusServiceUnavailable, "Redis did not answer in time.")
		return
	}
	page := indexPage{
		T: language(r), Style: template.CSS(indexCSS), At: s.At.Format("2006-01-02 15:04:05 -07:00"), ReadOnly: h.cfg.ReadOnly,
	}
	page.Troubles = h.troubles(s, page.T)
	for _, g := range s.Gates {
		page.Gates = append(page.Gates, h.gateRow(g, page.T))
	}
	for _, q := range s.Queues {
		page.Queues = append(page.Queues, queueRowOf(q, h.mask))
	}
	for i, err := range h.ready.run(r.Context()) {
		row := checkRow{Name: h.cfg.Checks[i].Name}
		if err != nil {
			row.Err = h.mask.text(err.Error())
		}
		page.Checks = append(page.Checks, row)
	}
	if s.MemoryErr == nil {
		page.Used = bytesText(s.Memory.Used)
		if s.Memory.Max > 0 {
			page.Max = bytesText(s.Memory.Max)
		}
	}
	tmpl, err := template.New("index").Parse(indexHTML)
	var body bytes.Buffer
	if err == nil {
		err = tmpl.Execute(&body, page)
	}
	if err != nil {
		h.log.Error("index page", zap.Error(err))
		say(w, http.StatusInternalServerError, "The page could not be made; see the log.")
		return
	}
	w.Header().Set("Content-Security-Policy", ownPolicy(hash([]byte(indexCSS))))
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", page.T.Lang)
	w.Header().Set("Vary", "Accept-Language")
	_, _ = w.Write(body.Bytes()) // the reader may be gone: nothing to do about it
}

func (h *Handler) gateRow(g gateStat, t words) gateRow {
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
		row.Resets = g.State.ResetsAt.Format("01-02 15:04 -07:00")
	}
	for _, p := range g.State.Pauses {
		until := t.NoEnd
		if !p.Until.IsZero() {
			until = t.Until + " " + p.Until.Format("01-02 15:04:05 -07:00")
		}
		row.Pauses = append(row.Pauses, pauseRow{t.Reason(p.Reason), h.mask.text(p.Detail), until, h.mask.text(p.Owner)})
	}
	return row
}

func queueRowOf(q *queueStat, m *masker) queueRow {
	row := queueRow{queueStat: q, Link: monitorRoot + "/queues/" + url.PathEscape(q.Name), Bytes: bytesText(q.Memory)}
	shown := *q
	shown.Name = m.text(q.Name)
	row.queueStat = &shown
	for _, s := range []string{"pending", "active", "scheduled", "retry", "archived", "completed"} {
		row.Counts = append(row.Counts, q.Count[s])
	}
	if q.Latency > 0 {
		row.Oldest = q.Latency.Round(time.Second).String()
	}
	return row
}

// troubles lists what needs a hand, each with its remedy.
func (h *Handler) troubles(s *snapshot, t words) []trouble {
	var out []trouble
	if s.QueuesErr != nil {
		out = append(out, trouble{Subject: t.Queues, Text: t.NotReadable, More: h.mask.text(s.QueuesErr.Error())})
	}
	if s.MemoryErr == nil && s.Memory.Policy != "" && s.Memory.Policy != "noeviction" {
		out = append(out, trouble{Subject: "Redis", Text: t.Evicts, Commands: []string{"CONFIG SET maxmemory-policy noeviction"}})
	}
	if s.Memory.share() > fullShare {
		out = append(out, trouble{Subject: "Redis", Text: t.NearFull})
	}
	for _, q := range s.Queues {
		if q.Count["archived"] > archiveNear {
			out = append(out, trouble{Subject: h.mask.text(q.Name), Text: t.NearCap})
		}
	}
	for _, q := range s.broken() {
		tr := trouble{Subject: h.mask.text(q.Name), Text: t.NotReadable}
		if q.Err != nil {
			tr.More = h.mask.text(q.Err.Error())
		} else {
			tr.Text, tr.More, tr.Commands = t.WithoutData, t.WhyWithoutData, h.repairs(q, t)
		}
		out = append(out, tr)
	}
	return out
}

func (h *Handler) repairs(q *queueStat, t words) []string {
	var commands []string
	for _, m := range q.Missing {
		command := m.repair(q.Name)
		if h.mask.text(command) != command {
			command = fmt.Sprintf("# %s: %s", t.Hidden, m.list(q.Name))
		}
		if !slices.Contains(commands, command) {
			commands = append(commands, command)
		}
	}
	return commands
}

// list is the command that shows a state's sampled IDs.
func (m missing) list(queue string) string {
	key := quoted(queueKey(queue, m.State))
	switch m.State {
	case "pending":
		return "LRANGE " + key + " -" + strconv.Itoa(sampled) + " -1"
	case "active":
		return "LRANGE " + key + " 0 " + strconv.Itoa(sampled-1)
	default:
		return "ZRANGE " + key + " 0 " + strconv.Itoa(sampled-1)
	}
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
