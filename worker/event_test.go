package worker_test

import (
	"strings"
	"testing"

	"go.uber.org/zap/zaptest/observer"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/wechat"
)

// lines are the log lines about messages, and each names its keys once.
func lines(t *testing.T, logs *observer.ObservedLogs) []observer.LoggedEntry {
	t.Helper()
	var found []observer.LoggedEntry
	for _, line := range logs.All() {
		seen := map[string]bool{}
		for _, f := range line.Context {
			if seen[f.Key] {
				t.Errorf("%q has the key %s twice", line.Message, f.Key)
			}
			seen[f.Key] = true
		}
		if strings.HasPrefix(line.Message, "message ") || line.Message == "task dropped" {
			found = append(found, line)
		}
	}
	return found
}

func TestEveryEndHasOneLogLineWithTheMaskedRecipient(t *testing.T) {
	t.Parallel()
	refused := &wechat.Error{Op: wechat.SendPath, Code: 47003, Msg: "argument invalid! data.time2.value is empty", RID: "61725984-6126f6f9-040f19c4"}
	tests := []struct {
		name  string
		err   error
		start ledger.Start
		text  string
		want  map[string]any
	}{
		{"accepted", nil, ledger.Start{Decision: ledger.Send}, "message accepted", map[string]any{"state": "accepted", "msgid": int64(200228332)}},
		{"rejected", refused, ledger.Start{Decision: ledger.Send}, "message ended", map[string]any{
			"state": "rejected", "errcode": int64(47003), "rid": refused.RID, "reason": "invalid-argument: data.time2.value is empty",
		}},
		{"suppressed", nil, ledger.Start{Decision: ledger.Suppressed, Reason: "unsubscribed"}, "message ended", map[string]any{
			"state": "rejected", "reason": "suppressed: unsubscribed",
		}},
		{"no user", nil, ledger.Start{Decision: ledger.NoUser}, "message ended", map[string]any{"state": "rejected", "reason": "no-user"}},
		{"cancelled", nil, ledger.Start{Decision: ledger.Ended, State: ledger.Cancelled}, "message ended", map[string]any{"state": "cancelled"}},
		{"delivered before", nil, ledger.Start{Decision: ledger.Ended, State: ledger.Delivered}, "task dropped", map[string]any{"state": "delivered"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, answers(tt.err))
			b.ledger.start = tt.start
			if err := b.deliver(t, nil); err != nil {
				t.Fatal(err)
			}
			found := lines(t, b.logs)
			if len(found) != 1 || found[0].Message != tt.text {
				t.Fatalf("lines %+v, want one: %s", found, tt.text)
			}
			fields := found[0].ContextMap()
			if fields["to"] != wechat.MaskOpenID(openid) || fields["id"] != "m1" || fields["account"] != "wx1" {
				t.Errorf("fields %v", fields)
			}
			for key, want := range tt.want {
				if fields[key] != want {
					t.Errorf("%s is %v, want %v", key, fields[key], want)
				}
			}
			if _, isNumber := fields["latency_ms"].(float64); isNumber != (tt.start.Decision == ledger.Send) {
				t.Errorf("latency_ms is %v", fields["latency_ms"])
			}
		})
	}
}

// The particulars of a refusal reach the record, where status reads them.
func TestRecordGetsFieldCauseAndRID(t *testing.T) {
	t.Parallel()
	b := setup(t, answers(&wechat.Error{Op: wechat.SendPath, Code: 47003, Msg: "argument invalid! data.time2.value is empty", RID: "r-1"}))
	if err := b.deliver(t, nil); err != nil {
		t.Fatal(err)
	}
	o := b.lastOutcome(t)
	if o.Reason != "invalid-argument" || o.Detail != "data.time2.value is empty" || o.RID != "r-1" || o.NoCall {
		t.Errorf("got %+v", o)
	}
	if e := b.lastEvent(t); !e.Ended || e.To != wechat.MaskOpenID(openid) {
		t.Errorf("got %+v", e)
	}
}
