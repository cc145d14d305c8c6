package main

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redisconn"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

func hasHan(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return unicode.Is(unicode.Han, r) })
}

// TestWordsAboutMessagesFollowTheLanguage walks through the commands of a help desk
// that works in Chinese.
func TestWordsAboutMessagesFollowTheLanguage(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	w := newWorld(t, server.URL())
	env := maps.Clone(w.env)
	env["LANG"] = "zh_CN.UTF-8"
	run := func(code int, args ...string) string {
		t.Helper()
		r := inProcess(t, env, args...)
		if r.code != code {
			t.Fatalf("wxnotify %s: exit %d, want %d:\n%s%s", strings.Join(args, " "), r.code, code, r.stdout, r.stderr)
		}
		return r.stdout + r.stderr
	}
	has := func(text string, want ...string) {
		t.Helper()
		for _, one := range want {
			if !strings.Contains(text, one) {
				t.Errorf("%q is not in:\n%s", one, text)
			}
		}
	}
	const to = "oLanguage000000000000000001"
	rdb, err := redisconn.Dial(server.URL())
	check(t, err)
	defer func() { _ = rdb.Close() }()
	records, err := ledger.New(rdb, wechattest.AppID, nil, ledger.Config{})
	check(t, err)
	defer func() { _ = records.Close() }()

	has(run(0, "suppress", "list"), "没有被禁止发送的收件人")
	has(run(2, "suppress", "add", to, "--reason", strings.Repeat("长", 40)), "--reason: has 120 bytes")
	run(0, "suppress", "add", to, "--reason", "投诉 4711")
	has(run(0, "suppress", "list", "--unmasked"), to, "由管理员设置：投诉 4711", "自 20", "直到解除")
	_, err = records.Begin(t.Context(), job.Envelope{ID: "m-1", Class: job.Default, To: to, Template: "T", QueuedAt: time.Now()}, ledger.Delivery{N: 1})
	check(t, err)
	has(run(0, "status", "m-1"), "rejected 被拒绝", "suppressed 已禁止向该收件人发送：由管理员设置：投诉 4711（自 ", "请先询问管理员")
	has(run(0, "status", "m-1", "--lang", "en"), "state", "by an operator: 投诉 4711 (since ", "ask them")
	has(run(0, "status", "m-1", "-o", "json"), `"state": "rejected"`, "请先询问管理员")
	has(run(1, "status", "none"), "没有此 ID 的消息")

	e := job.Envelope{ID: "m-2", Class: job.Default, To: "oOther", Template: "T", QueuedAt: time.Now()}
	_, err = records.Begin(t.Context(), e, ledger.Delivery{N: 1})
	check(t, err)
	check(t, records.Failed(t.Context(), "m-2", 1, ledger.Outcome{
		State: ledger.Dead, Errcode: 43108, Reason: "concurrent-to-recipient", RID: "61725984-6126f6f9-040f19c4", Payload: []byte("x"), Attempt: true,
	}))
	has(run(0, "status", "m-2"), "dead 已放弃", "rid", "61725984-6126f6f9-040f19c4", "请逐条发送")
	has(run(0, "dead", "list"), "尝试 1 次")
	has(run(1, "dead", "retry", "m-1"), "不是死信")
	has(run(1, "cancel", "m-1"), "已无法取消：rejected 被拒绝")
	has(run(0, "quota"), "已用", "闸门")
	has(run(1, "send", "--to", to, "--template", wechattest.TemplateOrderPaid, "--id", "too-long", "--dry-run", "--data", "thing1="+strings.Repeat("长", 21)), "过长：计 21，最多 20")
	has(run(0, append(sendArgs("fine", "--dry-run"), "--lang", "en")...), "would be enqueued")
	env["WXNOTIFY_LANG"] = "en"
	if text := run(1, "status", "none"); hasHan(text) || strings.Contains(text, "WXNOTIFY_LANG") {
		t.Errorf("WXNOTIFY_LANG does not beat LANG:\n%s", text)
	}
	env["WXNOTIFY_LANG"] = "de"
	has(run(2, "status", "none"), "WXNOTIFY_LANG", "zh, en")
	has(run(2, "status", "none", "--lang", "klingon"), "--lang", "zh, en")
}

func TestErrorsAndClosuresFollowTheLanguage(t *testing.T) {
	t.Parallel()
	zh, en := &app{lang: wechat.Chinese}, &app{lang: wechat.English}
	refused := &wechat.Error{Op: wechat.SendPath, Code: 40164, Msg: "invalid ip 203.0.113.7, not in whitelist"}
	for _, err := range []error{
		fmt.Errorf("ask WeChat: %w", refused),
		fmt.Errorf("ask WeChat: %w; %s", refused, refused.Remedy()),
	} {
		if text := zh.errorText(err); !strings.Contains(text, "把 203.0.113.7 加入") || strings.Contains(text, "Add 203") {
			t.Errorf("in Chinese: %s", text)
		}
		if text := en.errorText(err); strings.Count(text, "Add 203.0.113.7 to") != 1 || strings.Contains(text, "加入") {
			t.Errorf("in English: %s", text)
		}
	}
	if text := zh.errorText(errors.New("ours")); text != "ours" {
		t.Errorf("got %s", text)
	}
	if text := zh.errorText(&producer.IDReusedError{ID: "x", State: producer.Delivered}); !strings.Contains(text, "delivered 已送达") {
		t.Errorf("got %s", text)
	}
	for _, detail := range []string{
		"errcode 48004: " + wechat.CodePunished.Remedy(), "no access token: errcode 40164: " + refused.Remedy(),
		"errcode 50002 for 3 recipients in a row: " + wechat.CodeUserLimited.Remedy(),
	} {
		if text := zh.closureDetail(detail); !hasHan(strings.ReplaceAll(text, "白名单", "")) || en.closureDetail(detail) != detail {
			t.Errorf("%s: %s", detail, text)
		}
	}
	if text := zh.closureDetail("stocktaking"); text != "stocktaking" {
		t.Errorf("got %s", text)
	}
	for _, r := range []ratelimit.Reason{
		ratelimit.ReasonQuota, ratelimit.ReasonRefused, ratelimit.ReasonMinute, ratelimit.ReasonUnreconciled,
		ratelimit.ReasonAccount, ratelimit.ReasonToken, ratelimit.ReasonAddress, ratelimit.ReasonBreaker, ratelimit.ReasonManual,
	} {
		if zhName := zh.closureName(r); !strings.HasPrefix(zhName, string(r)+" ") || !hasHan(zhName) || en.closureName(r) != string(r) {
			t.Errorf("%s is %q", r, zhName)
		}
	}
}
