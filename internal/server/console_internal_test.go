package server

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/ops"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/wiring"
)

// A change in the console is a line of the audit file, which no second process writes.
func TestChangesOfTheConsoleAreInTheAuditFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.ndjson")
	_, rdb := redistest.Mini(t)
	c, err := settings.Load("", nil, map[string]string{"appid": "wx1234567890abcdef", "appsecret": canarySecret, "audit_file": path}, settings.Everything)
	check(t, err)
	acct, err := wiring.Open(rdb, c, &c.Accounts[0], nil)
	check(t, err)
	t.Cleanup(func() { check(t, acct.Close()) })
	audit, err := openAudit(c, nil, "1.2.3")
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
	if _, err := openAudit(c, nil, "1.2.3"); err == nil || !strings.Contains(err.Error(), "another process writes this file") {
		t.Errorf("a second process on the file: %v", err)
	}
	o.console.Close()
	check(t, audit.Close())
	text, err := os.ReadFile(path)
	check(t, err)
	for _, want := range []string{"version 1.2.3, host ", `"action":"paused","actor":"console","from":"192.0.2.7"`, `"action":"resumed"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the file has no %s: %s", want, text)
		}
	}
}
