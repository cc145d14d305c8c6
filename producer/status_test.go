package producer_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

func TestStatus(t *testing.T) {
	t.Parallel()
	b := setup(t)
	enqueue := func(id string, opts ...producer.Option) job.Envelope {
		t.Helper()
		ticket, err := b.Enqueue(t.Context(), id, message("x"), opts...)
		must(t, err)
		return b.envelope(t, ticket.Class, id)
	}
	begin := func(id string) {
		t.Helper()
		_, err := b.records.Begin(t.Context(), enqueue(id), ledger.Delivery{N: 1})
		must(t, err)
	}
	fail := func(id string, o ledger.Outcome) {
		t.Helper()
		must(t, b.records.Failed(t.Context(), id, 1, o))
	}
	steps := map[producer.State]func(id string){
		producer.Queued:    func(id string) { enqueue(id) },
		producer.Scheduled: func(id string) { enqueue(id, producer.NotBefore(time.Now().Add(time.Hour))) },
		producer.Sending:   begin,
		producer.Retrying: func(id string) {
			begin(id)
			fail(id, ledger.Outcome{State: ledger.Retrying, Errcode: 45011, Attempt: true})
		},
		producer.Accepted: func(id string) { begin(id); accepted(t, b.records, id, ledger.Acceptance{MsgID: 1}) },
		producer.Delivered: func(id string) {
			begin(id)
			accepted(t, b.records, id, ledger.Acceptance{MsgID: 2})
			_, err := b.records.Receipt(t.Context(), ledger.Receipt{MsgID: 2, Status: "success"})
			must(t, err)
		},
		producer.Rejected: func(id string) {
			begin(id)
			fail(id, ledger.Outcome{State: ledger.Rejected, Errcode: 43004, Attempt: true})
		},
		producer.Expired:   func(id string) { enqueue(id); fail(id, ledger.Outcome{State: ledger.Expired}) },
		producer.Cancelled: func(id string) { enqueue(id); must(t, b.Cancel(t.Context(), id)) },
		producer.Unknown:   func(id string) { begin(id); fail(id, ledger.Outcome{State: ledger.Unknown, Ambiguous: true}) },
		producer.Dead:      func(id string) { begin(id); fail(id, ledger.Outcome{State: ledger.Dead}) },
	}
	ended := map[producer.State]bool{
		producer.Delivered: true, producer.Rejected: true, producer.Expired: true, producer.Cancelled: true,
		producer.Unknown: true, producer.Dead: true,
	}
	var ids []string
	for state, make := range steps {
		id := "is-" + string(state)
		make(id)
		ids = append(ids, id)
		if s := b.status(t, id, state); s.Ended() != ended[state] {
			t.Errorf("%s: ended at %v", state, s.EndedAt)
		}
	}
	list, err := b.StatusMany(t.Context(), append(ids, "nobody"))
	must(t, err)
	for i, id := range ids {
		if list[i] == nil || list[i].ID != id {
			t.Errorf("%s: %+v", id, list[i])
		}
	}
	if list[len(ids)] != nil {
		t.Errorf("nobody: %+v", list[len(ids)])
	}
	for _, state := range []producer.State{producer.Rejected, producer.Unknown, producer.Dead} {
		if b.status(t, "is-"+string(state), state).Remedy == "" {
			t.Errorf("%s has no remedy", state)
		}
	}
	if _, err := b.Status(t.Context(), "nobody"); !errors.Is(err, producer.ErrNotFound) || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("got %v", err)
	}
}

// The JSON of a message is a contract (docs/design.md 3.1).
func TestStatusJSON(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.Enqueue(t.Context(), "order-1", message("x"))
	must(t, err)
	_, err = b.records.Begin(t.Context(), b.envelope(t, producer.Default, "order-1"), ledger.Delivery{N: 1})
	must(t, err)
	accepted(t, b.records, "order-1", ledger.Acceptance{MsgID: 9007199254740993, Duplicate: true})
	_, err = b.records.Receipt(t.Context(), ledger.Receipt{MsgID: 9007199254740993, Status: "failed:user block"})
	must(t, err)
	s := b.status(t, "order-1", producer.Rejected)
	s.Errcode = 43004
	at := time.Date(2026, 11, 22, 12, 0, 0, 5e6, time.UTC)
	s.QueuedAt, s.NotBefore, s.NotAfter, s.SentAt, s.EndedAt = at, at, at, at, at
	s.Remedy, s.OperatorRetries, s.OperatorRetriedAt = "…", 2, at
	got, err := json.Marshal(s)
	must(t, err)
	want := `{"id":"order-1","account":"wx1234567890abcdef","class":"default","state":"rejected","to":"oABC…Z0",` +
		`"template_id":"` + template + `","msgid":"9007199254740993","errcode":43004,"reason":"user-block","remedy":"…",` +
		`"attempts":1,"possible_duplicate":true,"queued_at":"2026-11-22T12:00:00.005Z","not_before":"2026-11-22T12:00:00.005Z",` +
		`"not_after":"2026-11-22T12:00:00.005Z","sent_at":"2026-11-22T12:00:00.005Z","ended_at":"2026-11-22T12:00:00.005Z",` +
		`"operator_retries":2,"operator_retried_at":"2026-11-22T12:00:00.005Z","receipt":"user-block"}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	s, err = b.Status(t.Context(), "order-1", producer.Unmasked())
	if err != nil || s.To != openid {
		t.Errorf("unmasked: %+v, %v", s, err)
	}
	lean, err := json.Marshal(&producer.Status{ID: "x", Account: "a", State: producer.Queued, Class: producer.Bulk})
	must(t, err)
	if want := `{"id":"x","account":"a","class":"bulk","state":"queued","to":"","template_id":"","attempts":0,"possible_duplicate":false}`; string(lean) != want {
		t.Errorf("got %s", lean)
	}
}

// What happens to a message beside its sending is told with what to do about it.
func TestStatusRemedies(t *testing.T) {
	t.Parallel()
	b := setup(t)
	begin := func(id string, opts ...producer.Option) job.Envelope {
		t.Helper()
		m := message("x")
		if len(opts) > 1 { // to a user
			m.ToUser = ""
		}
		ticket, err := b.Enqueue(t.Context(), id, m, opts...)
		must(t, err)
		e := b.envelope(t, ticket.Class, id)
		_, err = b.records.Begin(t.Context(), e, ledger.Delivery{N: 1})
		must(t, err)
		return e
	}
	remedy := func(id string, state producer.State, reason, text string) *producer.Status {
		t.Helper()
		s := b.status(t, id, state)
		if s.Reason != reason || !strings.Contains(s.Remedy, text) {
			t.Errorf("%s: reason %q, remedy %q", id, s.Reason, s.Remedy)
		}
		return s
	}
	e := begin("again", producer.Class(producer.Critical))
	payload, err := job.Encode(e)
	must(t, err)
	accepted(t, b.records, "again", ledger.Acceptance{To: e.To, MsgID: 1, Class: e.Class, Payload: payload})
	_, err = b.records.Receipt(t.Context(), ledger.Receipt{MsgID: 1, OpenID: e.To, Status: "failed: system failed"})
	must(t, err)
	remedy("again", producer.Retrying, "system-failed", "sent again automatically at "+time.Now().Add(11*time.Minute).UTC().Format("2006-01-02T15:"))

	begin("quiet")
	accepted(t, b.records, "quiet", ledger.Acceptance{To: openid, MsgID: 2})
	must(t, b.rdb.HSet(t.Context(), "wxn:{"+account+"}:m:quiet", "x", time.Now().Add(-25*time.Hour).UnixMilli()).Err())
	if s := remedy("quiet", producer.Accepted, "no-receipt", "消息推送配置"); !s.Ended() {
		t.Errorf("%+v", s)
	}

	must(t, b.rdb.HSet(t.Context(), b.records.UserKey("u-1"), openid, "5 oauth").Err())
	begin("user", producer.Class(producer.Default), producer.ToUser("u-1"))
	if s := b.status(t, "user", producer.Sending); s.To != "oABC…Z0" {
		t.Errorf("to %q, want the openid that it went to, masked", s.To)
	}
	must(t, b.records.Failed(t.Context(), "user", 1, ledger.Outcome{To: openid, State: ledger.Retrying}))
	_, err = b.records.Erase(t.Context(), ledger.Erasure{
		Users: []string{"u-1"}, Tasks: func(context.Context, []ledger.Ref) error { return nil },
	})
	must(t, err)
	if s := remedy("user", producer.Cancelled, "erased", "enrolled again"); s.To != "" || !s.Ended() {
		t.Errorf("%+v", s)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, opts := range [][]producer.Option{nil, {producer.NotBefore(time.Now().Add(time.Hour))}} {
		id := "gone" + string(rune('a'+len(opts)))
		_, err := b.Enqueue(t.Context(), id, message("x"), opts...)
		must(t, err)
		e := b.envelope(t, producer.Default, id)
		must(t, b.Cancel(t.Context(), id))
		must(t, b.Cancel(t.Context(), id))
		b.status(t, id, producer.Cancelled)
		if n := b.waiting(t, producer.Default); n != 0 {
			t.Errorf("%d tasks are left", n)
		}
		if start, err := b.records.Begin(t.Context(), e, ledger.Delivery{N: 1}); err != nil || start.Decision != ledger.Ended {
			t.Errorf("a worker that has it already: %+v, %v", start, err)
		}
	}
	if err := b.Cancel(t.Context(), "nobody"); !errors.Is(err, producer.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	_, err := b.Enqueue(t.Context(), "busy", message("x"))
	must(t, err)
	_, err = b.records.Begin(t.Context(), b.envelope(t, producer.Default, "busy"), ledger.Delivery{N: 1})
	must(t, err)
	err = b.Cancel(t.Context(), "busy")
	var late *producer.TooLateError
	if !errors.Is(err, producer.ErrTooLate) || !errors.As(err, &late) || late.State != producer.Sending {
		t.Errorf("got %v", err)
	}
}

// A message that is scheduled far ahead may wait for as long after its moment as any other:
// until it is sent it is known, and can be cancelled.
func TestAMessageScheduledFarAheadIsKnownWhileItWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		b := around(t, rdb)
		_, err := b.Enqueue(t.Context(), "later", message("x"), producer.NotBefore(time.Now().Add(40*24*time.Hour)))
		must(t, err)
		time.Sleep(50 * 24 * time.Hour) // virtual; the account is closed since its moment
		must(t, b.Cancel(t.Context(), "later"))
	})
}

// The story has each attempt, in the language asked for, and only when asked for.
func TestStatusTellsTheStory(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ticket, err := b.Enqueue(t.Context(), "m", message("x"))
	must(t, err)
	e := b.envelope(t, ticket.Class, "m")
	for n, o := range []ledger.Outcome{
		{State: ledger.Retrying, Errcode: -1, Reason: wechat.Code(-1).Name(), RID: "5f8d", Worker: "host-a:17", Latency: 42 * time.Millisecond},
		{State: ledger.Unknown, Reason: ledger.ReasonLost, Ambiguous: true, Worker: "host-b:9"},
	} {
		_, err = b.records.Begin(t.Context(), e, ledger.Delivery{N: int64(n + 1)})
		must(t, err)
		o.Attempt = true
		must(t, b.records.Failed(t.Context(), "m", int64(n+1), o))
	}
	plain, err := b.Status(t.Context(), "m")
	must(t, err)
	s, err := b.Status(t.Context(), "m", producer.Story(), producer.In(wechat.Chinese))
	must(t, err)
	if plain.Story != nil || len(s.Story) != 2 {
		t.Fatalf("got %+v and %+v", plain.Story, s.Story)
	}
	s.Story[0].At, s.Story[1].At = time.Time{}, time.Time{}
	want := []producer.Attempt{
		{N: 1, Errcode: -1, RID: "5f8d", Reason: wechat.Code(-1).Name(), Worker: "host-a:17", LatencyMS: 42},
		{N: 2, Reason: ledger.ReasonText(ledger.ReasonLost, wechat.Chinese), Worker: "host-b:9"},
	}
	if diff := cmp.Diff(want, s.Story); diff != "" {
		t.Error(diff)
	}
}
