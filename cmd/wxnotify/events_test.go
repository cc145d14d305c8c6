package main

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"

	"github.com/wxnotify/wxnotify/internal/events"
	"github.com/wxnotify/wxnotify/internal/redistest"
)

// printedEvents are the events that the command printed.
func printedEvents(t *testing.T, text string) []events.Event {
	t.Helper()
	var out []events.Event
	for line := range strings.Lines(text) {
		var e events.Event
		check(t, json.Unmarshal([]byte(line), &e))
		out = append(out, e)
	}
	return out
}

func TestEventsPrintsOneJSONObjectALine(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	env := map[string]string{"WXNOTIFY_REDIS_URL": server.UserURL(t), "WXNOTIFY_APPID": "wx1234567890abcdef"}
	openid := "oCommand000000000000000000001"
	for _, id := range []string{"ev-1", "ev-2", "ev-3"} {
		for _, args := range [][]string{sendArgs(id), {"cancel", id}} {
			if r := inProcess(t, env, args...); r.code != 0 {
				t.Fatalf("%q: exit %d: %s", args, r.code, r.stderr)
			}
		}
	}
	run := func(code int, args ...string) string {
		t.Helper()
		r := inProcess(t, env, append([]string{"events"}, args...)...)
		if r.code != code {
			t.Fatalf("%q: exit %d: %s", args, r.code, r.stderr)
		}
		return r.stdout + r.stderr
	}
	text := run(0)
	list := printedEvents(t, text)
	if len(list) != 3 || list[0].Type != events.MessageCancelled || list[0].MessageID != "ev-1" || !strings.Contains(string(list[0].Data), `"state":"cancelled"`) {
		t.Errorf("got %s", text)
	}
	if strings.Contains(text, openid) || !strings.Contains(run(0, "--openids"), openid) {
		t.Error("openids are masked unless asked")
	}
	if got := printedEvents(t, run(0, "--after", list[0].ID, "--limit", "1")); len(got) != 1 || got[0].MessageID != "ev-2" {
		t.Errorf("after the first: %+v", got)
	}
	if got := run(0, "--types", "quota.*") + run(0, "--after", "now"); got != "" {
		t.Errorf("got %q", got)
	}
	for want, args := range map[string][]string{
		"--after": {"--after", "yesterday"}, `--types: "message.sent" is no type of event`: {"--types", "message.sent"}, "--limit": {"--limit", "-1"},
	} {
		if got := run(2, args...); !strings.Contains(got, want) {
			t.Errorf("%q: %s", args, got)
		}
	}

	p := start(t, env, "events", "--follow", "--after", list[1].ID)
	p.says(t, "ev-3")
	if r := inProcess(t, env, sendArgs("ev-4")...); r.code != 0 {
		t.Fatal(r.stderr)
	}
	if r := inProcess(t, env, "cancel", "ev-4"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	p.says(t, "ev-4")
	_ = p.cmd.Process.Signal(syscall.SIGINT)
	<-p.done
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit %d after Ctrl-C:\n%s", code, p.stderr)
	}
}
