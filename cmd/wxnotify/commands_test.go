package main

import (
	"encoding/json"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// TestDemoOnce: nothing is installed or configured; all messages end; exit 0.
func TestDemoOnce(t *testing.T) {
	t.Parallel()
	r := inProcess(t, nil, "demo", "--once", "--messages", "12")
	if r.code != 0 {
		t.Fatalf("exit %d: %s", r.code, r.stderr)
	}
	for _, want := range []string{"http://127.0.0.1:", "demo-12", "retrying", "lost after the request", "require-subscribe", "All ended: 11 delivered, 1 rejected"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("the demo does not show %q:\n%s", want, r.stdout)
		}
	}
}

// TestDemoStays: until Ctrl-C, and other commands may use it until then.
func TestDemoStays(t *testing.T) {
	t.Parallel()
	p := start(t, nil, "demo", "--messages", "3")
	p.says(t, "Ctrl-C ends the demo")
	_, rest, _ := strings.Cut(p.stderr.String(), "export WXNOTIFY_REDIS_URL=")
	redisURL, _, _ := strings.Cut(rest, " ")
	env := map[string]string{"WXNOTIFY_REDIS_URL": redisURL, "WXNOTIFY_APPID": wechattest.AppID}
	if r := inProcess(t, env, "send", "--samples", "2", "--wait"); r.code != 0 || strings.Count(r.stdout, "accepted")+strings.Count(r.stdout, "delivered") != 2 {
		t.Errorf("send into the demo: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	_ = p.cmd.Process.Signal(syscall.SIGINT)
	<-p.done
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit %d after Ctrl-C:\n%s", code, p.stderr)
	}
}

// message is the least that `send` takes for the simulator's own template.
func sendArgs(id string, more ...string) []string {
	return append([]string{
		"send", "--to", "oCommand000000000000000000001", "--template", wechattest.TemplateOrderPaid, "--id", id,
		"--data", "thing1=咖啡 & <司康>", "--data", "time2=2026-11-22 10:00", "--data", "amount3=¥10.00",
	}, more...)
}

// replaced returns args with one of them replaced.
func replaced(args []string, old, replacement string) []string {
	args = slices.Clone(args)
	args[slices.Index(args, old)] = replacement
	return args
}

// TestCommands walks through what an operator does, against one Redis and one
// simulated WeChat.
func TestCommands(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	w := newWorld(t, server.UserURL(t))
	expect := func(code int, want string, args ...string) result {
		t.Helper()
		r := inProcess(t, w.env, args...)
		if r.code != code || !strings.Contains(strings.Join(strings.Fields(r.stdout+r.stderr), " "), want) {
			t.Fatalf("wxnotify %s: exit %d, want %d with %q:\n%s%s", strings.Join(args, " "), r.code, code, want, r.stdout, r.stderr)
		}
		return r
	}

	expect(0, "would be enqueued", sendArgs("dry", "--dry-run")...)
	expect(1, "dry", "status", "dry")
	expect(1, "thing1", replaced(sendArgs("too-long", "--dry-run"), "thing1=咖啡 & <司康>", "thing1=一二三四五六七八九十一二三四五六七八九十一")...)

	// No worker runs yet: cancelled before it is sent, scheduled, expired.
	expect(0, "queued", sendArgs("to-cancel")...)
	expect(0, "cancelled", "cancel", "to-cancel")
	expect(0, "state cancelled", "status", "to-cancel")
	expect(0, "scheduled", sendArgs("tomorrow", "--not-before", "24h")...)
	expect(0, "cancelled", "cancel", "tomorrow")
	expect(0, "queued", sendArgs("held", "--class", "bulk")...)
	expect(0, "known already: nothing was enqueued; it is queued", sendArgs("held", "--class", "bulk")...)
	expect(1, "another message", replaced(sendArgs("held"), "thing1=咖啡 & <司康>", "thing1=茶")...)
	expect(0, "", "queues", "pause", "bulk", "--reason", "stocktaking")
	expect(0, "stocktaking", "queues")
	expect(0, "oCom…09 - by an operator: asked-us since 20", "suppress", "add", "oCommand000000000000000000009", "--reason", "asked-us", "--for", "1h")
	expect(0, "asked-us", "suppress", "list")

	worker := start(t, w.env, "worker")
	worker.says(t, "worker started")
	expect(0, "accepted", sendArgs("first", "--wait")...)
	expect(1, "suppressed", replaced(sendArgs("to-nobody", "--wait"), "oCommand000000000000000000001", "oCommand000000000000000000009")...)
	expect(0, "oCom…09 is written to again", "suppress", "lift", "oCommand000000000000000000009")
	expect(0, "accepted", replaced(sendArgs("to-somebody", "--wait"), "oCommand000000000000000000001", "oCommand000000000000000000009")...)
	expect(0, "state queued", "status", "held")
	expect(0, "bulk: resumed", "queues", "resume", "bulk")
	testutil.Until(t, "the held message goes", func() bool {
		return strings.Contains(inProcess(t, w.env, "status", "held").stdout, "accepted")
	})
	expect(0, "known already: nothing was sent; it ended as cancelled", sendArgs("to-cancel")...)
	expect(0, "known already: nothing was sent; WeChat has accepted it", sendArgs("first")...)
	expect(1, "too late", "cancel", "first")
	expect(0, "fingerprint", "token")
	expect(0, "generation", "token", "refresh")
	expect(0, "WeChat says", "quota", "--ask")

	var shown map[string]any
	r := expect(0, "", "status", "first", "--output", "json")
	if err := json.Unmarshal([]byte(r.stdout), &shown); err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"id", "account", "class", "state", "to", "template_id", "msgid", "attempts", "possible_duplicate", "queued_at", "sent_at"} {
		if _, ok := shown[field]; !ok {
			t.Errorf("status --output json has no %s: %s", field, r.stdout)
		}
	}
	if _, isText := shown["msgid"].(string); !isText {
		t.Errorf("msgid is %T, want text: a number loses digits in other languages", shown["msgid"])
	}
	if code := worker.terminate(t); code != 0 {
		t.Errorf("worker: exit %d\n%s", code, worker.stderr)
	}
}

// TestDeadLetters: what WeChat keeps refusing for no known reason is given up,
// listed, and sent again when an operator says so.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	w := newWorld(t, server.UserURL(t))
	w.control(t, "POST", "/_sim/script", map[string]any{"replies": []map[string]any{
		{"do": "errcode", "errcode": 777777, "openid": "oCommand000000000000000000001", "times": 3},
	}}, nil)
	start(t, w.env, "worker").says(t, "worker started")
	if r := inProcess(t, w.env, sendArgs("doomed", "--wait")...); r.code != 1 {
		t.Fatalf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	r := inProcess(t, w.env, "dead", "list")
	if r.code != 0 || !strings.Contains(r.stdout, "doomed") {
		state := inProcess(t, w.env, "status", "doomed")
		t.Fatalf("dead list: exit %d\n%s%s\n%s", r.code, r.stdout, r.stderr, state.stdout)
	}
	if r := inProcess(t, w.env, "dead", "retry", "doomed", "--output", "json"); r.code != 0 || strings.Join(strings.Fields(r.stdout), "") != `{"done":1,"failed":0}` {
		t.Fatalf("dead retry: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	inProcess(t, w.env, "status", "doomed").has(t, 0, "sent again by an operator 1 ×, last 20")
	testutil.Until(t, "the dead letter is sent", func() bool {
		return strings.Contains(inProcess(t, w.env, "status", "doomed").stdout, "accepted")
	})
	if r := inProcess(t, w.env, "dead", "retry", "doomed"); r.code != 1 || !strings.Contains(r.stderr, "is not dead") {
		t.Errorf("retry of a living message: exit %d\n%s", r.code, r.stderr)
	}
}

// TestSeveralAccounts: one worker, two accounts from a file; each message goes
// out under its own.
func TestSeveralAccounts(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	one, two := newWorld(t, server.URL(), "--appid", "wxone", "--appsecret", "secret-of-one"), newWorld(t, server.URL(), "--appid", "wxtwo", "--appsecret", "secret-of-two")
	file := testutil.File(t, "wxnotify.yaml", "redis_url: "+server.URL()+`
ops_addr: "-"
accounts:
  - {appid: wxone, appsecret: env:ONE, wechat_base_url: `+one.base+`}
  - {appid: wxtwo, appsecret: env:TWO, wechat_base_url: `+two.base+`, rate: 100}
`)
	env := map[string]string{"WXNOTIFY_CONFIG": file, "ONE": "secret-of-one", "TWO": "secret-of-two"}
	start(t, env, "worker").says(t, "worker started")
	if r := inProcess(t, env, sendArgs("x")...); r.code != 2 || !strings.Contains(r.stderr, "--account") {
		t.Errorf("send without an account: exit %d\n%s", r.code, r.stderr)
	}
	for _, appid := range []string{"wxone", "wxtwo"} {
		r := inProcess(t, env, sendArgs("same-id", "--account", appid, "--wait")...)
		if r.code != 0 {
			t.Errorf("%s: exit %d\n%s%s", appid, r.code, r.stdout, r.stderr)
		}
	}
	if a, b := one.stats(t).Seen, two.stats(t).Seen; a != 1 || b != 1 {
		t.Errorf("seen %d and %d, want one each", a, b)
	}
}
