package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/auditlog"
)

// auditOf writes a file as a process does in which the account is paused and resumed.
func auditOf(t *testing.T, path string) {
	t.Helper()
	log, err := auditlog.Open(path, nil, "version 1, host h, process 1")
	check(t, err)
	for _, action := range []string{"paused", "resumed"} {
		_, err := log.Write(auditlog.Entry{Account: "wx1234567890abcdef", Action: action, Actor: "console", From: "192.0.2.7"})
		check(t, err)
	}
	check(t, log.Close())
}

func TestAuditVerifyNamesTheFirstBrokenLine(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.ndjson")
	auditOf(t, path)
	auditOf(t, path)
	whole, err := os.ReadFile(path)
	check(t, err)
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
