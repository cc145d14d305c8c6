package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/auditlog"
	"github.com/wxnotify/wxnotify/internal/ops"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/wiring"
)

// auditOf opens a console with an audit file, pauses and resumes the account, and closes it.
func auditOf(t *testing.T, path string) {
	t.Helper()
	_, rdb := redistest.Mini(t)
	c, err := settings.Load("", nil, map[string]string{"appid": "wx1234567890abcdef", "appsecret": canarySecret, "audit_file": path}, settings.Everything)
	check(t, err)
	acct, err := wiring.Open(rdb, c, &c.Accounts[0], nil)
	check(t, err)
	t.Cleanup(func() { check(t, acct.Close()) })
	audit, err := openAudit(c, nil)
	check(t, err)
	o, err := newConsole(rdb, c, []*wiring.Account{acct}, audit, zap.NewNop())
	check(t, err)
	for _, do := range []string{"pause", "resume"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/console/gate", strings.NewReader("confirm=yes&do="+do))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		o.serve(w, r, ops.Operator{Address: "192.0.2.7"})
		if w.Code != http.StatusSeeOther {
			t.Fatalf("%s: %d %s", do, w.Code, w.Body)
		}
	}
	if _, err := openAudit(c, nil); err == nil || !strings.Contains(err.Error(), "another process writes this file") {
		t.Errorf("a second process on the file: %v", err)
	}
	o.console.Close()
	check(t, audit.Close())
}

func TestAuditVerifyNamesTheFirstBrokenLine(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.ndjson")
	auditOf(t, path)
	auditOf(t, path)
	whole, err := os.ReadFile(path)
	check(t, err)
	if !strings.Contains(string(whole), `"action":"paused","actor":"console","from":"192.0.2.7"`) {
		t.Errorf("the file has no pause: %s", whole)
	}
	verify := func(args ...string) result {
		t.Helper()
		return inProcess(t, nil, append([]string{"audit", "verify", path}, args...)...)
	}
	verify().has(t, exitDone, "lines 1 to 8 hold")
	r := verify("--output", "json")
	var chain auditlog.Chain
	if json.Unmarshal([]byte(r.stdout), &chain) != nil || r.code != exitDone || chain.Last != 8 {
		t.Errorf("JSON: %+v", r)
	}
	verify("--expect", chain.Hash).has(t, exitDone)
	verify("--expect", strings.Repeat("0", 64)).has(t, exitFailed, "lines are missing")
	verify(path+".none").has(t, exitUsage, "no such file")
	check(t, os.WriteFile(path, []byte(strings.Replace(string(whole), `"paused"`, `"resumed"`, 1)), 0o600))
	if r = verify(); r.code != exitFailed || !strings.Contains(r.stderr, "line 2: was changed") || r.stdout != "" {
		t.Errorf("a changed line: %+v", r)
	}
}
