package server

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	logs "go.uber.org/zap/zaptest/observer"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
	"github.com/wxnotify/wxnotify/worker"
)

// TestRepetitionsOfATokensFaultAreDropped: one line of a kind in ten seconds, for each
// account on its own.
func TestRepetitionsOfATokensFaultAreDropped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		core, seen := logs.New(zap.DebugLevel)
		watch, err := newObserver(zap.New(core))
		if err != nil {
			t.Fatal(err)
		}
		one, two := watch.token("wxone"), watch.token("wxtwo")
		failed := tokenstore.Event{Kind: tokenstore.EventFailed, Err: errors.New("no answer")}
		for range 5 {
			one(failed)
		}
		two(failed)
		one(tokenstore.Event{Kind: tokenstore.EventFetched})
		if n := seen.Len(); n != 3 {
			t.Errorf("%d lines, want one failure of each account and one success: %v", n, seen.All())
		}
		time.Sleep(10 * time.Second) // virtual
		one(failed)
		if n := seen.FilterMessage("token fetch failed").Len(); n != 3 {
			t.Errorf("%d failures logged, want the third after 10 s", n)
		}
	})
}

// TestEveryEndIsCountedAndLoggedOnce: ends in a worker and ends by a receipt, without
// one or by an erasure meet in one series and in lines of the same words.
func TestEveryEndIsCountedAndLoggedOnce(t *testing.T) {
	t.Parallel()
	core, seen := logs.New(zap.DebugLevel)
	watch, err := newObserver(zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	refused := worker.Event{Account: "wxone", Class: job.Critical, ID: "m1", State: ledger.Rejected, Errcode: 43004, Ended: true}
	watch.message(refused)
	refused.Ended = false // the task again: it ended before
	watch.message(refused)
	watch.message(worker.Event{Account: "wxone", Class: job.Critical, ID: "m2", Action: worker.Sent, State: ledger.Accepted})
	watch.enrolled(enroll.Event{Account: "wxone", Kind: enroll.KindEnded, Message: &enroll.Message{
		ID: "m2", Class: "critical", State: "delivered", To: "oABC…yz", MsgID: 7,
	}})
	watch.enrolled(enroll.Event{Account: "wxone", Kind: enroll.KindEnded, Message: &enroll.Message{
		ID: "m3", Class: "bulk", State: "accepted", To: "oABC…yz", Reason: ledger.ReasonNoReceipt,
	}})
	families, err := watch.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range families {
		if f.GetName() != "wxnotify_messages_ended_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			values := []string{fmt.Sprint(m.GetCounter().GetValue())}
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			got = append(got, strings.Join(values, " "))
		}
	}
	want := []string{"1 wxone bulk 0 accepted", "1 wxone critical 0 delivered", "1 wxone critical 43004 rejected"}
	if !slices.Equal(got, want) {
		t.Errorf("counted %q, want %q", got, want)
	}
	lines := seen.FilterMessage("message ended").All()
	if len(lines) != 2 || lines[0].ContextMap()["to"] != "oABC…yz" || lines[0].ContextMap()["msgid"] != int64(7) ||
		lines[1].ContextMap()["reason"] != ledger.ReasonNoReceipt {
		t.Errorf("lines %+v", lines)
	}
}

// Growth shows in a process's own figures, which operators watch.
func TestMetricsTellTheProcess(t *testing.T) {
	t.Parallel()
	watch, err := newObserver(zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	families, err := watch.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "go_goroutines" {
			return
		}
	}
	t.Error("no go_goroutines among the metrics")
}
