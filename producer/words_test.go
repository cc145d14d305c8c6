package producer_test

import (
	"context"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

func hasHan(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return unicode.Is(unicode.Han, r) })
}

// begun enqueues a message and begins its first attempt.
func (b *bundle) begun(t *testing.T, id string, opts ...producer.Option) ledger.Start {
	t.Helper()
	m := message("x")
	if len(opts) > 0 {
		m.ToUser = ""
	}
	_, err := b.Enqueue(t.Context(), id, m, opts...)
	must(t, err)
	start, err := b.records.Begin(t.Context(), b.envelope(t, producer.Default, id), ledger.Delivery{N: 1})
	must(t, err)
	return start
}

func TestRejectionNamesFieldCauseAndRID(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.begun(t, "bad-value")
	must(t, b.records.Failed(t.Context(), "bad-value", 1, ledger.Outcome{
		State: ledger.Rejected, Errcode: 47003, Reason: "invalid-argument", Detail: "data.time2.value is empty", RID: "61725984-6126f6f9-040f19c4", Attempt: true,
	}))
	s, err := b.Status(t.Context(), "bad-value")
	must(t, err)
	if s.Reason != "invalid-argument: data.time2.value is empty" || s.RID != "61725984-6126f6f9-040f19c4" || !strings.Contains(s.Remedy, "data.time2.value") {
		t.Errorf("got %+v", s)
	}
	s, err = b.Status(t.Context(), "bad-value", producer.In(wechat.Chinese))
	must(t, err)
	if s.State != producer.Rejected || s.Reason != "invalid-argument：data.time2.value is empty" || !hasHan(s.Remedy) || !strings.Contains(s.Remedy, "data.time2.value") {
		t.Errorf("in Chinese: %+v", s)
	}
}

// Lifting a suppression helps only where an operator asked for it, or where the
// follower has allowed messages again.
func TestSuppressedSaysWhySinceWhenAndWhatHelps(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tests := []struct {
		id      string
		s       ledger.Suppression
		reason  string
		chinese string
		remedy  string
	}{
		{"unfollowed", ledger.Suppression{Reason: "unsubscribed"}, "suppressed: unsubscribed (since ", "已取消关注", "must follow it again"},
		{"no-follower", ledger.Suppression{Reason: "require-subscribe"}, "suppressed: require-subscribe (since ", "require-subscribe", "must follow it again"},
		{"blocked", ledger.Suppression{Reason: "user-block"}, "suppressed: user-block (since ", "拒收", "refuses this account's messages"},
		{"muted", ledger.Suppression{Reason: "recipient-blocks-messages"}, "suppressed: recipient-blocks-messages (since ", "自 ", "refuses this account's messages"},
		{"template", ledger.Suppression{Reason: "recipient-refused-template"}, "suppressed: recipient-refused-template (since ", "自 ", "--template"},
		{"blacklist", ledger.Suppression{Reason: "recipient-blacklisted"}, "suppressed: recipient-blacklisted (since ", "自 ", "blacklist"},
		{"gone", ledger.Suppression{Reason: "user-not-found"}, "suppressed: user-not-found (since ", "自 ", "No WeChat user"},
		{"complaint", ledger.Suppression{Reason: "complaint 4711", ByAdmin: true}, "suppressed: by an operator: complaint 4711 (since ", "由管理员设置", "ask them"},
		{"looks-like", ledger.Suppression{Reason: "unsubscribed", ByAdmin: true}, "suppressed: by an operator: unsubscribed (since ", "由管理员设置", "ask them"},
		{"other", ledger.Suppression{Reason: "of a newer version"}, "suppressed: of a newer version (since ", "自 ", "suppress list"},
	}
	for _, tt := range tests {
		tt.s.OpenID = openid
		must(t, b.records.Suppress(t.Context(), tt.s))
		b.begun(t, tt.id)
		s := b.status(t, tt.id, producer.Rejected)
		if !strings.HasPrefix(s.Reason, tt.reason) || !strings.Contains(s.Remedy, tt.remedy) || !strings.Contains(s.Remedy, "new ID") {
			t.Errorf("%s: %q, %q", tt.id, s.Reason, s.Remedy)
		}
		since, err := time.Parse(time.RFC3339, strings.TrimSuffix(strings.TrimPrefix(s.Reason, tt.reason), ")"))
		if err != nil || time.Since(since) > time.Minute {
			t.Errorf("%s: since %s, %v", tt.id, since, err)
		}
		zh, err := b.Status(t.Context(), tt.id, producer.In(wechat.Chinese))
		must(t, err)
		if !strings.HasPrefix(zh.Reason, "suppressed 已禁止") || !strings.Contains(zh.Reason, tt.chinese) || !hasHan(zh.Remedy) {
			t.Errorf("%s in Chinese: %q, %q", tt.id, zh.Reason, zh.Remedy)
		}
		_, err = b.records.Lift(t.Context(), openid, "")
		must(t, err)
	}
}

// Every end that is not a success has a remedy, in both languages.
func TestEveryBadEndHasARemedyInBothLanguages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	end := func(id string, o ledger.Outcome) {
		t.Helper()
		b.begun(t, id)
		must(t, b.records.Failed(t.Context(), id, 1, o))
	}
	end("expired", ledger.Outcome{State: ledger.Expired, Reason: ledger.ReasonNotAfter})
	end("dead", ledger.Outcome{State: ledger.Dead, Reason: ledger.ReasonUnreachable})
	end("unknown", ledger.Outcome{State: ledger.Unknown, Reason: ledger.ReasonLost, Ambiguous: true})
	end("template", ledger.Outcome{State: ledger.Rejected, Errcode: 40037, Reason: ledger.ReasonTemplate})
	if s := b.begun(t, "no-user", producer.ToUser("u-9"), producer.Class(producer.Default)); s.Decision != ledger.NoUser {
		t.Fatalf("%+v", s)
	}
	for i, status := range []string{"failed:user block", "failed: system failed", "failed: something new", "success"} {
		id, msgid := "receipt"+string(rune('0'+i)), wechat.MessageID(100+i)
		b.begun(t, id)
		accepted(t, b.records, id, ledger.Acceptance{To: openid, MsgID: msgid})
		_, err := b.records.Receipt(t.Context(), ledger.Receipt{MsgID: msgid, OpenID: "oOTHER", Status: status})
		must(t, err)
	}
	b.begun(t, "retry")
	must(t, b.records.Failed(t.Context(), "retry", 1, ledger.Outcome{To: openid, State: ledger.Retrying}))
	_, err := b.records.Erase(t.Context(), ledger.Erasure{OpenIDs: []string{openid}, Tasks: func(context.Context, []ledger.Ref) error { return nil }})
	must(t, err)
	for _, id := range []string{"expired", "dead", "unknown", "template", "no-user", "receipt0", "receipt1", "receipt2", "retry"} {
		en, err := b.Status(t.Context(), id)
		must(t, err)
		zh, err := b.Status(t.Context(), id, producer.In(wechat.Chinese))
		must(t, err)
		if en.Reason == "" || en.Remedy == "" || !strings.HasSuffix(en.Remedy, ".") || hasHan(en.Reason) {
			t.Errorf("%s: %q, %q", id, en.Reason, en.Remedy)
		}
		if !hasHan(zh.Remedy) || !hasHan(zh.Reason) && id != "receipt2" || !hasHan(zh.State.In(wechat.Chinese)) || zh.State != en.State {
			t.Errorf("%s in Chinese: %q, %q, %q", id, zh.State, zh.Reason, zh.Remedy)
		}
	}
	if s := b.status(t, "receipt3", producer.Delivered); s.Reason != "" || s.Remedy != "" {
		t.Errorf("delivered: %q, %q", s.Reason, s.Remedy)
	}
}
