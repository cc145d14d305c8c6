package main

import (
	"bytes"
	"encoding/json"
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
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
	"github.com/wxnotify/wxnotify/worker"
)

func TestLogFormats(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		format string
		isJSON bool
	}{{"", true}, {"json", true}, {"console", false}} { // a buffer is no terminal
		var out bytes.Buffer
		newLogger(&out, settings.Log{Level: "info", Format: c.format}).Info("sent", zap.Duration("latency", 1500*time.Microsecond))
		var line struct {
			Level   string  `json:"level"`
			Msg     string  `json:"msg"`
			Latency float64 `json:"latency"`
		}
		err := json.Unmarshal(out.Bytes(), &line)
		if c.isJSON && (err != nil || line.Level != "info" || line.Msg != "sent" || line.Latency != 0.0015) {
			t.Errorf("%q: %v, want JSON with the latency in seconds: %s", c.format, err, &out)
		}
		if !c.isJSON && (err == nil || !strings.Contains(out.String(), "sent") || !strings.Contains(out.String(), "1.5ms")) {
			t.Errorf("%q: want a line for people: %s", c.format, &out)
		}
	}
}

func TestLogLevelDropsWhatIsBelow(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := newLogger(&out, settings.Log{Level: "warn"})
	log.Info("less")
	log.Warn("more")
	if strings.Contains(out.String(), "less") || !strings.Contains(out.String(), "more") {
		t.Errorf("at warn: %s", &out)
	}
}

func TestLogFormatIsASetting(t *testing.T) {
	t.Parallel()
	vars := environ("WXNOTIFY_APPID", "wxa", "WXNOTIFY_APPSECRET", canarySecret, "WXNOTIFY_LOG_FORMAT", "xml")
	if r := inProcess(t, vars, "worker"); r.code != exitUsage || !strings.Contains(r.stderr, `WXNOTIFY_LOG_FORMAT: "xml" is not one of json, console`) {
		t.Errorf("exit %d:\n%s", r.code, r.stderr)
	}
	vars["WXNOTIFY_LOG_FORMAT"], vars["WXNOTIFY_REDIS_URL"] = "json", "redis://127.0.0.1:1/0"
	if r := inProcess(t, vars, "worker", "--log-format", "console"); !strings.Contains(r.stderr, "WARN") && !strings.Contains(r.stderr, "warn\t") {
		t.Errorf("a flag does not beat the environment:\n%s", r.stderr)
	}
}

// TestFirstOfKindDropsRepetitions: one line of a kind in ten seconds, for each
// account on its own.
func TestFirstOfKindDropsRepetitions(t *testing.T) {
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
		time.Sleep(repeatAfter) // virtual
		one(failed)
		if n := seen.FilterMessage("token fetch failed").Len(); n != 3 {
			t.Errorf("%d failures logged, want the third after %s", n, repeatAfter)
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
