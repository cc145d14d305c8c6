package producer_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

func TestEnqueue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := message("咖啡 & <cake>")
	m.MiniProgram = &wechat.MiniProgram{AppID: "wxabc", PagePath: "p?x=1"}
	end := time.Now().Add(time.Hour).Truncate(time.Millisecond).UTC()
	ticket, err := b.Enqueue(t.Context(), "order-1001-paid", m, producer.Class(producer.Critical), producer.NotAfter(end), producer.AtLeastOnce())
	must(t, err)
	want := producer.Ticket{ID: "order-1001-paid", Class: producer.Critical, State: producer.Queued, QueuedAt: ticket.QueuedAt}
	if diff := cmp.Diff(want, ticket); diff != "" {
		t.Errorf("ticket (-want +got):\n%s", diff)
	}
	s := b.status(t, ticket.ID, producer.Queued)
	if s.To == openid || s.To == "" || s.TemplateID != template || !s.NotAfter.Equal(end) || s.QueuedAt.IsZero() || s.QueuedAt != ticket.QueuedAt || s.Class != producer.Critical || s.Ended() {
		t.Errorf("status %+v", s)
	}
	e := b.envelope(t, producer.Critical, ticket.ID)
	if !e.AtLeastOnce || e.To != openid || !e.NotAfter.Equal(end) || e.Class != job.Critical || e.Template != template {
		t.Errorf("envelope %+v", e)
	}
	body := `{"touser":"` + openid + `","template_id":"` + template + `","url":"https://shop.example/o/1001?a=1&b=2",` +
		`"miniprogram":{"appid":"wxabc","pagepath":"p?x=1"},"client_msg_id":"order-1001-paid","data":{"thing1":{"value":"咖啡 & <cake>"}}}`
	if string(e.Body) != body {
		t.Errorf("body\n%s\nwant\n%s", e.Body, body)
	}
	if m.ClientMsgID != "" {
		t.Error("the caller's message was changed")
	}
	if start, err := b.records.Begin(t.Context(), e, ledger.Delivery{N: 1}); err != nil || start.Decision != ledger.Send {
		t.Errorf("the worker says %+v, %v", start, err)
	}
}

func TestEnqueueToUser(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := message("hello")
	m.ToUser = ""
	_, err := b.Enqueue(t.Context(), "u-1", m, producer.ToUser("user/17"))
	must(t, err)
	e := b.envelope(t, producer.Default, "u-1")
	if e.User != "user/17" || e.To != "" || strings.Contains(string(e.Body), "touser") {
		t.Errorf("got %+v: %s", e, e.Body)
	}
	if s := b.status(t, "u-1", producer.Queued); s.To != "" {
		t.Errorf("to %q before the user was resolved", s.To)
	}
	if _, err = b.Enqueue(t.Context(), "u-1", m, producer.ToUser("user/18")); !errors.Is(err, producer.ErrIDReused) {
		t.Errorf("another user under one ID: %v", err)
	}
}

func TestScheduled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	at := time.Now().Add(time.Hour).Truncate(time.Millisecond).UTC()
	ticket, err := b.Enqueue(t.Context(), "later", message("x"), producer.NotBefore(at))
	must(t, err)
	if ticket.State != producer.Scheduled {
		t.Errorf("ticket %+v", ticket)
	}
	if s := b.status(t, "later", producer.Scheduled); !s.NotBefore.Equal(at) {
		t.Errorf("status %+v", s)
	}
	queues, err := b.tasks.Queues(t.Context(), account)
	must(t, err)
	if queues[1].Scheduled != 1 || queues[1].Pending != 0 {
		t.Errorf("queues %+v", queues)
	}
	ticket, err = b.Enqueue(t.Context(), "now", message("x"), producer.NotBefore(time.Now().Add(-time.Hour)))
	if err != nil || ticket.State != producer.Queued {
		t.Errorf("a past not-before means at once: %+v, %v", ticket, err)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *producer.Config) { c.Templates = registry{template: {"thing1", "time2"}} })
	now := time.Now()
	good := func() *wechat.TemplateMessage {
		m := message("x")
		m.Data["time2"] = wechat.Field{Value: "2026-11-22 12:00"}
		return m
	}
	for name, tc := range map[string]struct {
		id     string
		change func(*wechat.TemplateMessage)
		opts   []producer.Option
		want   map[string]wechat.FaultCode
	}{
		"no id":              {"", nil, nil, map[string]wechat.FaultCode{"id": producer.FaultIDMissing}},
		"id with a space":    {"a b", nil, nil, map[string]wechat.FaultCode{"id": producer.FaultIDInvalid}},
		"id with a brace":    {"a{b", nil, nil, map[string]wechat.FaultCode{"id": producer.FaultIDInvalid}},
		"id with a letter Ü": {"aÜ", nil, nil, map[string]wechat.FaultCode{"id": producer.FaultIDInvalid}},
		"id of a dot":        {".", nil, nil, map[string]wechat.FaultCode{"id": producer.FaultIDInvalid}},
		"id of two dots":     {"..", nil, nil, map[string]wechat.FaultCode{"id": producer.FaultIDInvalid}},
		"id of 129":          {strings.Repeat("i", 129), nil, nil, map[string]wechat.FaultCode{"id": producer.FaultIDInvalid}},
		"class":              {"i", nil, []producer.Option{producer.Class("urgent")}, map[string]wechat.FaultCode{"class": producer.FaultClassUnknown}},
		"not-after past":     {"i", nil, []producer.Option{producer.NotAfter(now.Add(-time.Second))}, map[string]wechat.FaultCode{"not_after": producer.FaultNotAfterPast}},
		"empty window": {
			"i", nil,
			[]producer.Option{producer.NotBefore(now.Add(time.Hour)), producer.NotAfter(now.Add(time.Minute))},
			map[string]wechat.FaultCode{"not_after": producer.FaultWindowEmpty},
		},
		"window of no length": {
			"i", nil,
			[]producer.Option{producer.NotBefore(now.Add(time.Hour)), producer.NotAfter(now.Add(time.Hour))},
			map[string]wechat.FaultCode{"not_after": producer.FaultWindowEmpty},
		},
		"too far": {"i", nil, []producer.Option{producer.NotBefore(now.Add(400 * 24 * time.Hour))}, map[string]wechat.FaultCode{"not_before": producer.FaultTooFarAhead}},
		"both":    {"i", nil, []producer.Option{producer.ToUser("u")}, map[string]wechat.FaultCode{"touser": producer.FaultAddressTwice}},
		"bad user": {
			"i", func(m *wechat.TemplateMessage) { m.ToUser = "" },
			[]producer.Option{producer.ToUser("u\n")},
			map[string]wechat.FaultCode{"user": producer.FaultUserInvalid},
		},
		"user of two dots": {
			"i", func(m *wechat.TemplateMessage) { m.ToUser = "" },
			[]producer.Option{producer.ToUser("..")},
			map[string]wechat.FaultCode{"user": producer.FaultUserInvalid},
		},
		"bad key":           {"i", nil, []producer.Option{func(t *producer.Terms) { t.Key = "a b" }}, map[string]wechat.FaultCode{"key": producer.FaultUserInvalid}},
		"nobody":            {"i", func(m *wechat.TemplateMessage) { m.ToUser = "" }, nil, map[string]wechat.FaultCode{"touser": wechat.FaultOpenIDMissing}},
		"unknown template":  {"i", func(m *wechat.TemplateMessage) { m.TemplateID = "other" }, nil, map[string]wechat.FaultCode{"template_id": producer.FaultTemplateUnknown}},
		"missing key":       {"i", func(m *wechat.TemplateMessage) { delete(m.Data, "time2") }, nil, map[string]wechat.FaultCode{"data.time2": wechat.FaultKeyMissing}},
		"snd-02 NUL":        {"i", func(m *wechat.TemplateMessage) { m.Data["thing1"] = wechat.Field{Value: "a\x00"} }, nil, map[string]wechat.FaultCode{"data.thing1.value": wechat.FaultControl}},
		"snd-14 two people": {"i", func(m *wechat.TemplateMessage) { m.ToUser = "o1,o2" }, nil, map[string]wechat.FaultCode{"touser": wechat.FaultOpenIDSeveral}},
		"all at once": {
			"a b", func(m *wechat.TemplateMessage) { m.URL = "ftp://x"; m.Data["thing1"] = wechat.Field{} },
			[]producer.Option{producer.Class("x"), producer.NotAfter(now.Add(-1))},
			map[string]wechat.FaultCode{
				"id": producer.FaultIDInvalid, "class": producer.FaultClassUnknown, "not_after": producer.FaultNotAfterPast,
				"url": wechat.FaultURLInvalid, "data.thing1.value": wechat.FaultValueEmpty,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := good()
			if tc.change != nil {
				tc.change(m)
			}
			_, err := b.Enqueue(t.Context(), tc.id, m, tc.opts...)
			if diff := cmp.Diff(tc.want, faultsOf(t, err)); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("no message", func(t *testing.T) {
		t.Parallel()
		_, err := b.Enqueue(t.Context(), "i", nil)
		faultsOf(t, err)
	})
	t.Run("too large", func(t *testing.T) {
		t.Parallel()
		m := good()
		m.URL = "https://x.example/" + strings.Repeat("y", 17<<10)
		_, err := b.Enqueue(t.Context(), "i", m)
		if codes := faultsOf(t, err); codes[""] != wechat.FaultBodyTooLarge {
			t.Errorf("got %v", codes)
		}
	})
	t.Cleanup(func() {
		if keys := b.rdb.Keys(context.WithoutCancel(t.Context()), "*").Val(); len(keys) > 0 {
			t.Errorf("a refused message left %v", keys)
		}
	})
}

type registry map[string][]string

func (r registry) Keys(id string) ([]string, bool) {
	keys, known := r[id]
	return keys, known
}

func TestTruncate(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("很", 30)
	b := setup(t, func(c *producer.Config) { c.Truncate = true })
	m := message(long)
	ticket, err := b.Enqueue(t.Context(), "cut", m)
	must(t, err)
	if diff := cmp.Diff([]string{"data.thing1.value"}, ticket.Truncated); diff != "" {
		t.Error(diff)
	}
	if m.Data["thing1"].Value != long {
		t.Error("the caller's message was changed")
	}
	if body := string(b.envelope(t, producer.Default, "cut").Body); strings.Contains(body, long) || !strings.Contains(body, "…") {
		t.Errorf("body %s", body)
	}
	again, err := b.Enqueue(t.Context(), "cut", m)
	if err != nil || !again.Duplicate || len(again.Truncated) != 1 {
		t.Errorf("again: %+v, %v", again, err)
	}
}

func TestDuplicate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 3 {
		ticket, err := b.Enqueue(t.Context(), "same", message("x"), producer.NotAfter(time.Now().Add(time.Duration(i+1)*time.Hour)))
		must(t, err)
		if ticket.Duplicate != (i > 0) || ticket.State != producer.Queued || ticket.Class != producer.Default {
			t.Errorf("call %d: %+v", i, ticket)
		}
	}
	if n := b.waiting(t, producer.Default); n != 1 {
		t.Errorf("%d tasks", n)
	}
	_, err := b.Enqueue(t.Context(), "same", message("another"))
	var reused *producer.IDReusedError
	if !errors.Is(err, producer.ErrIDReused) || !errors.As(err, &reused) || reused.ID != "same" || reused.State != producer.Queued {
		t.Errorf("got %v", err)
	}
	if e := b.envelope(t, producer.Default, "same"); !strings.Contains(string(e.Body), `"x"`) {
		t.Errorf("the first message was replaced: %s", e.Body)
	}
}

// A reused ID leaves nothing behind that could be sent later.
func TestReusedIDOfAnEndedMessage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.Enqueue(t.Context(), "sent", message("x"))
	must(t, err)
	e := b.envelope(t, producer.Default, "sent")
	must(t, b.tasks.Delete(t.Context(), account, job.Default, "sent")) // a worker took it
	_, err = b.records.Begin(t.Context(), e, ledger.Delivery{N: 1})
	must(t, err)
	accepted(t, b.records, "sent", ledger.Acceptance{MsgID: 9})
	if ticket, err := b.Enqueue(t.Context(), "sent", message("x")); err != nil || !ticket.Duplicate || ticket.State != producer.Accepted {
		t.Errorf("the same again: %+v, %v", ticket, err)
	}
	if start, err := b.records.Begin(t.Context(), e, ledger.Delivery{N: 1}); err != nil || start.Decision != ledger.Ended {
		t.Errorf("the worker would send it again: %+v, %v", start, err)
	}
	if n := b.waiting(t, producer.Default); n != 0 {
		t.Errorf("%d tasks of a message that was sent", n)
	}
	for _, class := range []producer.ClassName{producer.Default, producer.Bulk} {
		if _, err := b.Enqueue(t.Context(), "sent", message("y"), producer.Class(class)); !errors.Is(err, producer.ErrIDReused) {
			t.Errorf("got %v", err)
		}
		if n := b.waiting(t, class); n != 0 {
			t.Errorf("%d tasks of the refused message wait in %s", n, class)
		}
	}
}

func TestHealing(t *testing.T) { //nolint:tparallel // counts what waits
	t.Parallel()
	b := setup(t)
	t.Run("the record is there, the task is not", func(t *testing.T) {
		_, err := b.Enqueue(t.Context(), "half", message("x"))
		must(t, err)
		must(t, b.tasks.Delete(t.Context(), account, job.Default, "half"))
		ticket, err := b.Enqueue(t.Context(), "half", message("x"))
		if err != nil || !ticket.Duplicate {
			t.Errorf("got %+v, %v", ticket, err)
		}
		b.envelope(t, producer.Default, "half")
	})
	t.Run("another class goes to the class of the record", func(t *testing.T) {
		before := b.waiting(t, producer.Critical)
		_, err := b.Enqueue(t.Context(), "moved", message("x"), producer.Class(producer.Bulk))
		must(t, err)
		must(t, b.tasks.Delete(t.Context(), account, job.Bulk, "moved"))
		ticket, err := b.Enqueue(t.Context(), "moved", message("x"), producer.Class(producer.Critical))
		if err != nil || !ticket.Duplicate || ticket.Class != producer.Bulk {
			t.Errorf("got %+v, %v", ticket, err)
		}
		e := b.envelope(t, producer.Bulk, "moved")
		if start, err := b.records.Begin(t.Context(), e, ledger.Delivery{N: 1}); err != nil || start.Decision != ledger.Send {
			t.Errorf("the healed task is dropped: %+v, %v", start, err)
		}
		if n := b.waiting(t, producer.Critical); n != before {
			t.Errorf("%d strays wait", n-before)
		}
	})
	t.Run("the task is there, the record is not", func(t *testing.T) {
		old, err := job.Encode(job.Envelope{ID: "old", Class: job.Default, To: "oOLD", Body: []byte(`{"touser":"oOLD"}`)})
		must(t, err)
		_, err = queue.Put(t.Context(), b.rdb, account, job.Default, queue.Item{ID: "old", Payload: old})
		must(t, err)
		ticket, err := b.Enqueue(t.Context(), "old", message("new"))
		if err != nil || ticket.Duplicate {
			t.Errorf("got %+v, %v", ticket, err)
		}
		if e := b.envelope(t, producer.Default, "old"); e.To != openid {
			t.Errorf("the message is lost behind an old task: %+v", e)
		}
	})
}

// Of many callers with one ID exactly one is the first.
func TestConcurrentDuplicates(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var all sync.WaitGroup
	var first atomic.Int32
	for range 100 {
		all.Go(func() {
			ticket, err := b.Enqueue(t.Context(), "once", message("x"))
			if err != nil {
				t.Error(err)
			}
			if !ticket.Duplicate {
				first.Add(1)
			}
		})
	}
	all.Wait()
	if n, m := first.Load(), b.waiting(t, producer.Default); n != 1 || m != 1 {
		t.Errorf("%d were first, %d tasks", n, m)
	}
}

func TestRedisErrors(t *testing.T) {
	t.Parallel()
	t.Run("an ended context", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := b.Enqueue(ctx, "x", message("x")); !errors.Is(err, context.Canceled) {
			t.Errorf("Enqueue: %v", err)
		}
		if _, err := b.Status(ctx, "x"); !errors.Is(err, context.Canceled) {
			t.Errorf("Status: %v", err)
		}
		if err := b.Cancel(ctx, "x"); !errors.Is(err, context.Canceled) {
			t.Errorf("Cancel: %v", err)
		}
	})
	t.Run("Redis is gone", func(t *testing.T) {
		t.Parallel()
		server := redistest.Start(t)
		rdb := redis.NewClient(&redis.Options{Addr: server.Addr, Protocol: 2, MaxRetries: -1, DialerRetries: 1})
		t.Cleanup(func() { _ = rdb.Close() })
		b := around(t, rdb)
		_, err := b.Enqueue(t.Context(), "before", message("x"))
		must(t, err)
		server.Kill()
		_, err = b.Enqueue(t.Context(), "x", message("x"))
		if err == nil || !strings.HasPrefix(err.Error(), "producer: ") || strings.Contains(err.Error(), openid) {
			t.Errorf("got %v", err)
		}
		server.Restart(t)
		ticket, err := b.Enqueue(t.Context(), "x", message("x")) // the script is gone, too
		if err != nil || ticket.Duplicate {
			t.Errorf("after the restart: %+v, %v", ticket, err)
		}
		b.status(t, "x", producer.Queued)
	})
	t.Run("Redis is full", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		used, err := b.rdb.InfoMap(t.Context(), "memory").Result()
		must(t, err)
		bytes, err := strconv.Atoi(used["Memory"]["used_memory"])
		must(t, err)
		must(t, b.rdb.ConfigSet(t.Context(), "maxmemory", strconv.Itoa(bytes+bytes/6)).Err())
		if _, err := b.Enqueue(t.Context(), "x", message("x")); !errors.Is(err, producer.ErrRedisFull) {
			t.Errorf("got %v", err)
		}
	})
}

func TestNew(t *testing.T) {
	t.Parallel()
	rdb := redis.NewClient(&redis.Options{})
	defer func() { _ = rdb.Close() }()
	_, err := producer.New(nil, producer.Config{Keep: -1, Class: "fast"})
	for _, want := range []string{"Redis client", "appid", "Keep", "critical, default or bulk"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %q", err, want)
		}
	}
	p, err := producer.New(rdb, producer.Config{Account: "wx1"})
	must(t, err)
	must(t, p.Close())
	if _, err = p.Enqueue(t.Context(), "x", message("x")); !errors.Is(err, producer.ErrClosed) {
		t.Errorf("a closed producer says %v", err)
	}
}

func TestATestMessageIsMarkedForTheWorker(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.Enqueue(t.Context(), "order-1001-paid", message("x"), producer.Test())
	must(t, err)
	if !b.envelope(t, producer.Default, "order-1001-paid").Test {
		t.Error("the worker would call WeChat")
	}
}
