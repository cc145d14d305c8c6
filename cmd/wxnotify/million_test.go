package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// millionEnv names how many messages wait, and as many have ended, in
// TestPagesAreFastAtAMillion. The figures of docs/deploy.md are of 1000000:
//
//	WXNOTIFY_TEST_MILLION=1000000 go test -run TestPagesAreFastAtAMillion -timeout 60m -v ./cmd/wxnotify
const millionEnv = "WXNOTIFY_TEST_MILLION"

// The bounds of a page, of a search and of what scrapes add to a GET's p99.
const pageBound, searchBound, scrapeBound = 300 * time.Millisecond, time.Second, 10 * time.Millisecond

func millionth(i int) string { return fmt.Sprintf("oMillion%020d", i%300_000) }

// fillMillion enqueues n messages, and n that end at once: all of them of one hour, the
// worst case of a search. 1 in 1000 is rejected, 1 in 2000 is dead.
func fillMillion(t *testing.T, rdb *redis.Client, n int) {
	t.Helper()
	p, err := producer.New(rdb, producer.Config{Account: wechattest.AppID})
	check(t, err)
	t.Cleanup(func() { check(t, p.Close()) })
	records, err := ledger.New(rdb, wechattest.AppID, nil, ledger.Config{})
	check(t, err)
	t.Cleanup(func() { check(t, records.Close()) })
	const call = 1000
	for from := 0; from < 2*n; from += call {
		list := make([]producer.Message, call)
		for i := range list {
			list[i] = producer.Message{ID: fmt.Sprintf("order-%07d", from+i), Message: sampleMessage(from + i)}
			list[i].Message.ToUser = millionth(from + i)
			if from >= n {
				list[i].Terms.Class = producer.Bulk
			}
		}
		results, err := p.EnqueueMany(t.Context(), list)
		check(t, err)
		check(t, results[0].Err)
		if from >= n {
			endAll(t, records, list, from)
		}
	}
	unqueue(t, rdb)
}

// endAll ends messages as workers and WeChat's receipts do.
func endAll(t *testing.T, records *ledger.Ledger, list []producer.Message, from int) {
	t.Helper()
	var all sync.WaitGroup
	for i := range list {
		all.Go(func() {
			n, m := from+i, list[i]
			e := job.Envelope{ID: m.ID, Class: job.Bulk, To: m.Message.ToUser, Template: m.Message.TemplateID}
			_, err := records.Begin(t.Context(), e, ledger.Delivery{N: 1})
			switch {
			case n%2000 == 1:
				err = records.Failed(t.Context(), m.ID, 1, ledger.Outcome{State: ledger.Dead, Class: job.Bulk, To: e.To, Errcode: 47003, Attempt: true, Payload: []byte("{}")})
			case n%1000 == 0:
				err = records.Failed(t.Context(), m.ID, 1, ledger.Outcome{State: ledger.Rejected, Class: job.Bulk, To: e.To, Errcode: 43004, Attempt: true})
			case err == nil:
				if _, err = records.Accepted(t.Context(), m.ID, 1, ledger.Acceptance{To: e.To, MsgID: wechat.MessageID(1_000_000 + n), Class: job.Bulk}); err == nil {
					_, err = records.Receipt(t.Context(), ledger.Receipt{MsgID: wechat.MessageID(1_000_000 + n), OpenID: e.To, Status: "success"})
				}
			}
			if err != nil {
				t.Errorf("%s: %v", m.ID, err)
			}
		})
	}
	all.Wait()
}

// unqueue removes the tasks of the messages that have ended.
func unqueue(t *testing.T, rdb *redis.Client) {
	t.Helper()
	prefix := "asynq:{" + wechattest.AppID + ":bulk}:"
	check(t, rdb.Unlink(t.Context(), prefix+"pending").Err())
	var keys []string
	scan := rdb.Scan(t.Context(), 0, prefix+"t:*", 10_000).Iterator()
	for scan.Next(t.Context()) {
		if keys = append(keys, scan.Val()); len(keys) == 10_000 {
			check(t, rdb.Unlink(t.Context(), keys...).Err())
			keys = keys[:0]
		}
	}
	check(t, scan.Err())
	if len(keys) > 0 {
		check(t, rdb.Unlink(t.Context(), keys...).Err())
	}
}

// clerk is an operator's browser without its screen.
type clerk struct{ base string }

// fetch makes a request and returns the answer's body and the time.
func (c clerk) fetch(t *testing.T, path string, form url.Values) (string, time.Duration) {
	t.Helper()
	began := time.Now()
	method, body := http.MethodGet, io.Reader(http.NoBody)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(t.Context(), method, c.base+path, body)
	check(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", c.base)
	resp, err := http.DefaultClient.Do(req)
	check(t, err)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	check(t, err)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d\n%.2000s", path, resp.StatusCode, text)
	}
	return string(text), time.Since(began)
}

// row prints a line of the table, and fails a figure beyond its bound.
func row(t *testing.T, out io.Writer, what string, times []time.Duration, bound time.Duration) {
	t.Helper()
	slices.Sort(times)
	median, worst := times[len(times)/2], times[len(times)-1]
	_, _ = fmt.Fprintf(out, "| %s | %.1f | %.1f | %d |\n", what, milliseconds(median), milliseconds(worst), bound.Milliseconds())
	if median > bound {
		t.Errorf("%s: %s, at most %s", what, median, bound)
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// Each page, each search and the scrapes, with a million messages that wait and a million
// that have ended on one redis-server. The median of the looks counts: a page is read in
// the middle of other work.
func TestPagesAreFastAtAMillion(t *testing.T) { //nolint:paralleltest // measures
	n, _ := strconv.Atoi(os.Getenv(millionEnv))
	if n < 1000 {
		t.Skip("takes minutes; run with " + millionEnv + "=1000000")
	}
	server := redistest.Start(t)
	rdb := server.Client(t)
	gate, err := ratelimit.New(rdb, ratelimit.Config{Key: "wxn:{" + wechattest.AppID + "}:", Rate: 50, DailyQuota: 100_000, Owner: "test"})
	check(t, err)
	check(t, gate.Close(t.Context(), ratelimit.Pause{Reason: ratelimit.ReasonManual, Detail: "test"}))
	began := time.Now()
	fillMillion(t, rdb, n)
	t.Logf("%d wait and %d have ended after %s", n, n, time.Since(began).Round(time.Second))
	w := newWorld(t, server.UserURL(t))
	ops := testutil.FreeAddr(t)
	start(t, w.with("WXNOTIFY_OPS_ADDR", ops), "worker").says(t, "worker started")
	c := clerk{"http://" + ops}
	out := &bytes.Buffer{}
	_, _ = fmt.Fprintf(out, "| %d wait, %d have ended | median ms | worst ms | bound |\n| --- | --: | --: | --: |\n", n, n)
	const looks = 7
	for _, page := range millionPages(n) {
		times := make([]time.Duration, looks)
		for i := range times {
			_, times[i] = c.fetch(t, page, nil)
		}
		row(t, out, "`"+page+"`", times, pageBound)
	}
	for _, search := range millionSearches(n) {
		times := make([]time.Duration, looks)
		for i := range times {
			var body string
			body, times[i] = c.fetch(t, "/console/messages", search)
			finds := !slices.ContainsFunc([]string{"Nobody", "patient", "none", "sending"}, func(nothing string) bool { return strings.Contains(search.Encode(), nothing) })
			// A search that is cut off by its time shows how to go on.
			if strings.Contains(body, "order-") != finds && !strings.Contains(body, "searched so far") {
				t.Errorf("search %v: found %v, want %v", search, !finds, finds)
			}
		}
		what := search.Encode()
		row(t, out, "search by `"+what+"`", times, searchBound)
	}
	scrapeRow(t, out, rdb, c)
	t.Log("\n" + out.String())
}

// scrapeRow compares the p99 of a GET beside a scrape each second with that without.
func scrapeRow(t *testing.T, out io.Writer, rdb *redis.Client, c clerk) {
	t.Helper()
	var without, with []time.Duration
	for range 3 {
		without = append(without, p99(t, rdb, func() {}))
		with = append(with, p99(t, rdb, func() { c.fetch(t, "/metrics", nil) }))
	}
	slices.Sort(without)
	slices.Sort(with)
	_, _ = fmt.Fprintf(out, "| p99 of a GET, without scrapes | %.2f | %.2f | |\n", milliseconds(without[1]), milliseconds(without[2]))
	row(t, out, "p99 of a GET, beside a scrape each second", with, without[1]+scrapeBound)
}

// p99 times GETs for ten seconds, while do is called each second.
func p99(t *testing.T, rdb *redis.Client, do func()) time.Duration {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	var busy sync.WaitGroup
	busy.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				do()
			}
		}
	})
	var times []time.Duration
	for ctx.Err() == nil {
		began := time.Now()
		check(t, rdb.Exists(t.Context(), "wxn:{"+wechattest.AppID+"}:m:order-0000000").Err())
		times = append(times, time.Since(began))
	}
	busy.Wait()
	slices.Sort(times)
	return times[len(times)*99/100]
}

// millionPages are the pages of the console and asynqmon's lists.
func millionPages(n int) []string {
	queue := "/asynqmon/api/queues/" + wechattest.AppID + ":default"
	return []string{
		"/", "/console/", "/console/messages", "/console/message?id=order-0000777", fmt.Sprintf("/console/message?id=order-%07d", n+777),
		"/console/dead", "/console/suppressions", "/console/roster", "/console/webhooks", "/console/keys", "/console/runs", "/console/audit",
		"/asynqmon/", "/asynqmon/api/queues", queue, queue + "/pending_tasks?page=1&size=20", queue + "/pending_tasks?page=" + strconv.Itoa(n/20) + "&size=20",
		queue + "/scheduled_tasks?page=1&size=20", queue + "/completed_tasks?page=1&size=20", "/asynqmon/api/queue_stats", "/asynqmon/api/servers", "/asynqmon/api/redis_info",
		"/readyz", "/metrics",
	}
}

// millionSearches are what an operator looks for.
func millionSearches(n int) []url.Values {
	return []url.Values{
		{"openid": {millionth(777)}},
		{"openid": {"oNobody000000000000000000000"}},
		{"user": {"patient-401"}},
		{"errcode": {"43004"}},
		{"errcode": {"47003"}},
		{"state": {"queued"}},
		{"state": {"delivered"}},
		{"state": {"dead"}},
		{"state": {"rejected"}},
		{"state": {"sending"}},
		{"template": {wechattest.TemplateDelivery}},
		{"template": {"none"}},
		{"id": {fmt.Sprintf("order-%07d", n+1)}},
		{"msgid": {strconv.Itoa(1_000_000 + n + 2)}},
	}
}
