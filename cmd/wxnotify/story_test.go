package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redisconn"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// seenMessage is one message as the simulator's control API lists it.
type seenMessage struct {
	Seq         int64           `json:"seq"`
	OpenID      string          `json:"openid"`
	ClientMsgID string          `json:"client_msg_id"`
	Body        json.RawMessage `json:"body"`
}

// seen lists all that recipients saw.
func (w *world) seen(tb testing.TB) []seenMessage {
	tb.Helper()
	var all []seenMessage
	for after := int64(0); ; {
		var page struct {
			Messages []seenMessage `json:"messages"`
			Last     int64         `json:"last"`
		}
		w.control(tb, "GET", fmt.Sprintf("/_sim/messages?limit=1000&after=%d", after), nil, &page)
		if len(page.Messages) == 0 {
			return all
		}
		all = append(all, page.Messages...)
		after = page.Last
	}
}

type simStats struct {
	Seen         int `json:"seen"`
	TokenFetches int `json:"token_fetches"`
	Calls        map[string]struct {
		Total    int            `json:"total"`
		OK       int            `json:"ok"`
		ByErrode map[string]int `json:"by_errcode"`
	} `json:"calls"`
}

func (w *world) stats(tb testing.TB) simStats {
	tb.Helper()
	var s simStats
	w.control(tb, "GET", "/_sim/stats", nil, &s)
	return s
}

// publishedBodies are the bodies of WeChat's documentation and of SDK tests,
// and one with the characters that encoders like to escape.
func publishedBodies(tb testing.TB) []*wechat.TemplateMessage {
	tb.Helper()
	text, err := os.ReadFile("testdata/template-send.json")
	if err != nil {
		tb.Fatal(err)
	}
	var bodies []*wechat.TemplateMessage
	if err := json.Unmarshal(text, &bodies); err != nil {
		tb.Fatal(err)
	}
	for _, b := range bodies {
		b.ClientMsgID = ""
	}
	return bodies
}

// published makes the nth message out of them.
func published(bodies []*wechat.TemplateMessage, n int) *wechat.TemplateMessage {
	m := *bodies[n%len(bodies)]
	m.ToUser = fmt.Sprintf("oPublished%018d", n)
	return &m
}

// scale is how many messages a story takes; -short and the race detector take a
// tenth.
func scale(n int) int {
	if testing.Short() {
		return n / 10
	}
	return n
}

// newTestProducer opens the library as a business app does.
func newTestProducer(tb testing.TB, server *redistest.Server) *producer.Producer {
	tb.Helper()
	rdb, err := redisconn.Dial(server.URL())
	if err != nil {
		tb.Fatal(err)
	}
	p, err := producer.New(rdb, producer.Config{Account: wechattest.AppID})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = p.Close()
		_ = rdb.Close()
	})
	return p
}

// TestMainJob: two worker processes drain what the library and the command line
// enqueued; each is seen once, unescaped, and Status answers for each.
func TestMainJob(t *testing.T) {
	t.Parallel()
	total := scale(10000)
	server := redistest.Start(t, redistest.AOF()...)
	w := newWorld(t, server.URL(), "--any-template")
	workers := []*process{start(t, w.env, "worker"), start(t, w.env, "worker")}
	bodies := publishedBodies(t)
	p := newTestProducer(t, server)

	var ids []string
	var batch []producer.Message
	byCommand := &strings.Builder{}
	for i := range total {
		id := fmt.Sprintf("order-%d-paid", i)
		ids = append(ids, id)
		if i%10 == 9 { // each tenth by the command line
			line, err := json.Marshal(map[string]any{"id": id, "class": "critical", "message": published(bodies, i)})
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(byCommand, "%s\n", line)
			continue
		}
		batch = append(batch, producer.Message{ID: id, Message: published(bodies, i)})
	}
	tickets, err := p.EnqueueMany(t.Context(), batch)
	for repeats := 0; err != nil && repeats < 5; repeats++ { // as a caller does whose Redis was busy for 5 s
		tickets, err = p.EnqueueMany(t.Context(), batch)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, ticket := range tickets {
		if ticket.Err != nil { // on a busy machine the driver asks again, and the ticket says duplicate
			t.Fatalf("%s: %v", ticket.ID, ticket.Err)
		}
	}
	r := runProcess(t, w.env, strings.NewReader(byCommand.String()), "send", "--json", "-", "--wait")
	if r.code != 0 || len(lines(r.stdout)) != total/10 {
		t.Fatalf("send: exit %d, %d lines of %d: %s", r.code, len(lines(r.stdout)), total/10, r.stderr)
	}
	settle(t, w, p, ids)

	exactlyOnce(t, w, ids)
	for _, m := range w.seen(t) {
		if body := string(m.Body); strings.Contains(body, `\u`) {
			t.Fatalf("the body was escaped on its way: %s", body)
		}
	}
	for i, s := range statuses(t, p, ids) {
		if s.State != producer.Accepted && s.State != producer.Delivered || s.MsgID == 0 || s.Attempts != 1 {
			t.Fatalf("%s: %+v", ids[i], s)
		}
	}
	for _, worker := range workers {
		if code := worker.terminate(t); code != 0 {
			t.Errorf("worker: exit %d after SIGTERM", code)
		}
	}
	r = inProcess(t, w.env, "status", ids[9], "--output", "json")
	var shown map[string]any
	if err := json.Unmarshal([]byte(r.stdout), &shown); err != nil || shown["class"] != "critical" || shown["state"] != "accepted" {
		t.Errorf("status: %v\n%s%s", err, r.stdout, r.stderr)
	}
	if to, _ := shown["to"].(string); !strings.Contains(to, "…") && !strings.Contains(to, "*") {
		t.Errorf("status shows the whole openid: %v", shown["to"])
	}
}

// settle waits until every message was accepted or ended. When that does not
// come, it tells what the rest waits for.
func settle(tb testing.TB, w *world, p *producer.Producer, ids []string) {
	tb.Helper()
	left := ids
	tb.Cleanup(func() {
		if !tb.Failed() || len(left) == 0 {
			return
		}
		r := inProcess(tb, w.env, append([]string{"status"}, left[:min(len(left), 5)]...)...)
		q := inProcess(tb, w.env, "queues")
		tb.Logf("%d messages did not settle:\n%s\n%s%s", len(left), r.stdout, q.stdout, q.stderr)
	})
	testutil.Until(tb, "all messages settled", func() bool {
		var still []string
		for len(left) > 0 {
			n := min(len(left), 1000)
			states, err := p.StatusMany(tb.Context(), left[:n])
			if err != nil {
				return false
			}
			for i, s := range states {
				if s == nil || !settled(s.State) {
					still = append(still, left[i])
				}
			}
			left = left[n:]
		}
		left = still
		return len(left) == 0
	})
}

func statuses(tb testing.TB, p *producer.Producer, ids []string) []*producer.Status {
	tb.Helper()
	var all []*producer.Status
	for len(ids) > 0 {
		n := min(len(ids), 1000)
		page, err := p.StatusMany(tb.Context(), ids[:n])
		if err != nil {
			tb.Fatal(err)
		}
		for i, s := range page {
			if s == nil {
				tb.Fatalf("no status for %s", ids[i])
			}
		}
		all = append(all, page...)
		ids = ids[n:]
	}
	return all
}

// exactlyOnce compares what was enqueued with what recipients saw.
func exactlyOnce(tb testing.TB, w *world, ids []string) {
	tb.Helper()
	count := map[string]int{}
	for _, m := range w.seen(tb) {
		count[m.ClientMsgID]++
	}
	lost, twice := 0, 0
	for _, id := range ids {
		switch n := count[job.ClientMsgID(id)]; {
		case n == 0:
			lost++
		case n > 1:
			twice++
		}
		delete(count, job.ClientMsgID(id))
	}
	if lost > 0 || twice > 0 || len(count) > 0 {
		tb.Errorf("of %d messages %d lost, %d seen twice; %d seen that were not enqueued", len(ids), lost, twice, len(count))
	}
}

// TestExactlyOnceVisible: answers lost, WeChat busy, gateways failing, and with each sixth
// of the messages the token and a worker killed: none lost, none seen twice, none left
// active. Once all were tried, WeChat is well: the later waits of the few that failed five
// times take minutes, and the worker's tests look at those in virtual time.
func TestExactlyOnceVisible(t *testing.T) {
	t.Parallel()
	total := scale(5000)
	server := redistest.Start(t, redistest.AOF()...)
	w := newWorld(t, server.URL(), "--any-template", "--fault-cut", "0.20", "--fault-busy", "0.05", "--fault-502", "0.02", "--latency", "20ms")
	env := w.with("WXNOTIFY_RATE", strconv.Itoa(total/12))
	steady, victim := start(t, env, "worker"), start(t, env, "worker")
	victim.says(t, "worker started")
	p := newTestProducer(t, server)
	bodies := publishedBodies(t)
	var ids []string
	var batch []producer.Message
	for i := range total {
		ids = append(ids, fmt.Sprintf("once-%d", i))
		batch = append(batch, producer.Message{ID: ids[i], Message: published(bodies, i)})
	}
	if _, err := p.EnqueueMany(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	kills := 0
	for left := int64(total); left > 0; left = pending(t, server) {
		goal := max(left-int64(total)/6, 0)
		testutil.Until(t, "a sixth of the messages was fetched", func() bool { return pending(t, server) <= goal })
		w.control(t, "POST", "/_sim/tokens/kill", nil, nil)
		victim.kill()
		kills++
		victim = start(t, env, "worker")
		victim.says(t, "worker started")
	}
	t.Logf("killed a worker %d times", kills)
	w.control(t, "POST", "/_sim/faults", map[string]any{"faults": []any{}}, nil)
	settle(t, w, p, ids)
	exactlyOnce(t, w, ids)
	for i, s := range statuses(t, p, ids) {
		if s.State != producer.Accepted && s.State != producer.Delivered {
			t.Errorf("%s: %s %s after %d attempts", ids[i], s.State, s.Reason, s.Attempts)
		}
	}
	inspector := queue.NewInspector(server.Client(t))
	testutil.Until(t, "no task left active", func() bool {
		states, err := inspector.Queues(t.Context(), wechattest.AppID)
		return err == nil && sum(states, func(q queue.State) int64 { return q.Active + q.Pending + q.Retry + q.Archived }) == 0
	})
	if code := steady.terminate(t); code != 0 {
		t.Errorf("worker: exit %d after SIGTERM\n%s", code, steady.stderr)
	}
}

func pending(tb testing.TB, server *redistest.Server) int64 {
	tb.Helper()
	states, err := queue.NewInspector(server.Client(tb)).Queues(tb.Context(), wechattest.AppID)
	if err != nil {
		tb.Fatal(err)
	}
	return sum(states, func(q queue.State) int64 { return q.Pending })
}

func sum(states []queue.State, of func(queue.State) int64) int64 {
	var n int64
	for _, q := range states {
		n += of(q)
	}
	return n
}

// TestQuo01QuotaOverTwoWorkers: a cap of 1 000 and 3 060 messages: never a call
// beyond the cap, every critical sent, nothing fetched that may not be sent.
func TestQuo01QuotaOverTwoWorkers(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	w := newWorld(t, server.URL(), "--any-template", "--daily-quota", "1000")
	env := w.with("WXNOTIFY_DAILY_QUOTA", "1000", "WXNOTIFY_RESERVE_CRITICAL", "0.1", "WXNOTIFY_RATE", "500")
	start(t, env, "worker")
	start(t, env, "worker")
	p := newTestProducer(t, server)
	bodies := publishedBodies(t)
	var bulk []producer.Message
	for i := range 3000 {
		bulk = append(bulk, producer.Message{ID: fmt.Sprintf("bulk-%d", i), Message: published(bodies, i), Terms: producer.Terms{Class: producer.Bulk}})
	}
	if _, err := p.EnqueueMany(t.Context(), bulk); err != nil {
		t.Fatal(err)
	}
	testutil.Until(t, "the general share is used up", func() bool {
		r := inProcess(t, env, "queues")
		return strings.Contains(r.stdout, "closed: quota") || pending(t, server) <= 2100
	})
	var critical []string
	for i := range 60 {
		critical = append(critical, fmt.Sprintf("critical-%d", i))
		if _, err := p.Enqueue(t.Context(), critical[i], published(bodies, i), producer.Class(producer.Critical)); err != nil {
			t.Fatal(err)
		}
	}
	settle(t, w, p, critical)
	for i, s := range statuses(t, p, critical) {
		if s.State != producer.Accepted {
			t.Errorf("%s is %s (%s)", critical[i], s.State, s.Reason)
		}
	}
	calls := w.stats(t).Calls[wechattest.SendPath]
	if calls.Total > 1000 {
		t.Errorf("WeChat saw %d calls, the cap is 1000", calls.Total)
	}
	if calls.Total < 900 {
		t.Errorf("WeChat saw %d calls: the general share of 900 was not used", calls.Total)
	}
	states, err := queue.NewInspector(server.Client(t)).Queues(t.Context(), wechattest.AppID)
	if err != nil {
		t.Fatal(err)
	}
	waiting := sum(states, func(q queue.State) int64 { return q.Pending })
	if bounced := sum(states, func(q queue.State) int64 { return q.Retry + q.Active + q.Archived }); bounced != 0 {
		t.Errorf("%d tasks were fetched that could not be sent", bounced)
	}
	if accepted := int64(calls.OK); waiting+accepted != 3060 {
		t.Errorf("%d waiting and %d accepted of 3060", waiting, accepted)
	}
	r := inProcess(t, env, "queues", "--output", "json")
	var shown struct {
		Closed []closedView `json:"closed"`
		Resets time.Time    `json:"resets_at"`
	}
	if err := json.Unmarshal([]byte(r.stdout), &shown); err != nil {
		t.Fatalf("queues: %v\n%s%s", err, r.stdout, r.stderr)
	}
	china := time.FixedZone("", 8*3600)
	if h := shown.Resets.In(china); h.Hour() != 0 || h.Minute() != 0 {
		t.Errorf("resets at %s, want midnight in China", h)
	}
	if len(shown.Closed) == 0 || shown.Closed[0].Reason != "quota" {
		t.Errorf("queues does not say that the quota closed the gate: %s", r.stdout)
	}
	if order := w.seen(t); !inOrder(t, order, "bulk-") {
		t.Error("the order of the bulk messages was not kept")
	}
}

// inOrder allows for what is in flight at once.
func inOrder(tb testing.TB, seen []seenMessage, prefix string) bool {
	tb.Helper()
	last := -1
	for _, m := range seen {
		var n int
		if _, err := fmt.Sscanf(strings.TrimPrefix(m.ClientMsgID, prefix), "%d", &n); err != nil || !strings.HasPrefix(m.ClientMsgID, prefix) {
			continue
		}
		if n < last-300 {
			tb.Logf("%s was seen after %d", m.ClientMsgID, last)
			return false
		}
		last = max(last, n)
	}
	return true
}

// TestCanary: neither the secret, nor the token, nor an openid appears in what
// people read, whatever goes wrong.
func TestCanary(t *testing.T) {
	t.Parallel()
	const openid = "oCanaryCanaryCanaryCanary000"
	server := redistest.Start(t)
	w := newWorld(t, server.URL(), "--any-template")
	ops := testutil.FreeAddr(t)
	env := w.with("WXNOTIFY_OPS_ADDR", ops, "WXNOTIFY_LOG_LEVEL", "debug")
	w.control(t, "POST", "/_sim/script", map[string]any{"replies": []map[string]any{
		{"do": "errcode", "errcode": 40003, "errmsg": "invalid openid " + openid},
		{"do": "garbage", "text": "<html>" + openid},
		{"do": "cut_after_accept"},
		{"do": "http_status", "status": 502},
		{"do": "errcode", "errcode": 40001},
	}}, nil)
	worker := start(t, env, "worker")
	worker.says(t, "worker started")
	p := newTestProducer(t, server)
	var ids []string
	for i := range 20 {
		ids = append(ids, fmt.Sprintf("canary-%d", i))
		m := published(publishedBodies(t), i)
		m.ToUser = openid
		if _, err := p.Enqueue(t.Context(), ids[i], m); err != nil {
			t.Fatal(err)
		}
	}
	settle(t, w, p, ids)
	token := currentToken(t, server)
	texts := map[string]string{"log": worker.stderr.String()}
	for _, path := range []string{
		"/", "/healthz", "/readyz", "/metrics", "/asynqmon/", "/asynqmon/api/queues",
		"/asynqmon/api/queues/" + url.PathEscape(wechattest.AppID+":default") + "/pending_tasks", "/asynqmon/api/queues/" + url.PathEscape(wechattest.AppID+":default") + "/retry_tasks",
	} {
		texts[path] = get(t, "http://"+ops+path)
	}
	for _, args := range [][]string{append([]string{"status"}, ids...), {"token"}, {"quota", "--ask"}, {"queues"}, {"suppress", "list"}, {"dead", "list"}, {"config"}} {
		r := inProcess(t, env, args...)
		if r.code != 0 {
			t.Errorf("%v: exit %d: %s", args, r.code, r.stderr)
		}
		texts["wxnotify "+args[0]] = r.stdout + r.stderr
	}
	for _, q := range job.Classes() {
		for _, id := range ids {
			key := queue.TaskKey(wechattest.AppID, q, id)
			texts["msg of "+key] = server.Client(t).HGet(t.Context(), key, "last_err").Val()
		}
	}
	for where, text := range texts {
		for name, canary := range map[string]string{"secret": wechattest.AppSecret, "token": token, "openid": openid} {
			if strings.Contains(text, canary) {
				t.Errorf("%s shows the %s", where, name)
			}
		}
	}
	if token == "" {
		t.Fatal("found no token in Redis to look for")
	}
}

// currentToken reads the token that the simulator's clients share.
func currentToken(tb testing.TB, server *redistest.Server) string {
	tb.Helper()
	rdb := server.Client(tb)
	key := "wxn:{" + wechattest.AppID + "}:token"
	if fields := rdb.HGetAll(tb.Context(), key).Val(); len(fields) > 0 {
		longest := ""
		for _, v := range fields {
			if len(v) > len(longest) {
				longest = v
			}
		}
		return longest
	}
	return rdb.Get(tb.Context(), key).Val()
}

func get(tb testing.TB, url string) string {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, url, nil)
	if err != nil {
		tb.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}
