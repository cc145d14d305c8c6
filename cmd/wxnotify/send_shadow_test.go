package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/shadow"
)

func TestShadowTellsWhatWouldDifferAndSendsNothing(t *testing.T) {
	t.Parallel()
	to := newSendTo(t)
	to.env["WXNOTIFY_DAILY_QUOTA"] = "100"
	name := filepath.Join(t.TempDir(), "calls.ndjson")
	body := func(id, openid string) string {
		return `{"id":"` + id + `","message":{"touser":"` + openid + `","template_id":"T1","data":{"thing1":{"value":"咖啡"}}}}` + "\n"
	}
	calls := body("sent", "oABC0000000000000000000001") + body("gone", "oABC0000000000000000000002") + body("sent", "oABC0000000000000000000001") +
		`{"id":"user","user":"patient-1","message":{"template_id":"T1","data":{"thing1":{"value":"咖啡"}}}}` + "\n" + "{\n"
	if err := os.WriteFile(name, []byte(calls), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := inProcess(t, to.env, "suppress", "add", "oABC0000000000000000000002", "--reason", "TD"); r.code != exitDone {
		t.Fatal(r.stderr)
	}
	r := inProcess(t, to.env, "send", "--shadow", "--json", name)
	for _, want := range []string{
		"line 2 (gone): would not be sent: the recipient is suppressed: TD", "line 3 (sent): would be refused: id is that of line 1",
		"line 4 (user): would not be sent: the user has not enrolled", "line 5: would be refused: ",
	} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("%s\nlacks %q", r.stdout, want)
		}
	}
	if want := "messages 5; would be sent 1, wait for quota 0, expire 0, refused 2, known already 0, suppressed 1, without a user 1"; r.code != exitDone || !strings.Contains(r.stderr, want) {
		t.Errorf("exit %d, %s; want %q", r.code, r.stderr, want)
	}
	if !strings.Contains(r.stderr, "quota: 100 left today") {
		t.Errorf("%s", r.stderr)
	}
	if s := inProcess(t, to.env, "status", "sent"); s.code == exitDone {
		t.Errorf("a message was enqueued: %s", s.stdout)
	}

	r = inProcess(t, to.env, "send", "--shadow", "--json", name, "-o", "json")
	var first shadowResult
	if err := json.Unmarshal([]byte(lines(r.stdout)[0]), &first); err != nil || first.Would != shadow.Send || first.Line != 1 {
		t.Errorf("%s %v", r.stdout, err)
	}
	if len(lines(r.stdout)) != 5 || !strings.Contains(r.stderr, `"forecast":{"messages":5`) {
		t.Errorf("%s%s", r.stdout, r.stderr)
	}
	if r := inProcess(t, to.env, "send", "--shadow", "--wait", "--json", name); r.code != exitUsage || !strings.Contains(r.stderr, "--wait beside --shadow") {
		t.Errorf("exit %d, %s", r.code, r.stderr)
	}
}
