package auditlog_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/auditlog"
)

// Names come from an issuer of logins: a line that is too long could not be read back, and
// the program would not start again.
func TestALineIsNeverTooLongToBeReadBack(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.ndjson")
	l := open(t, path)
	long := strings.Repeat("\x01名", 50_000)
	if _, err := l.Write(auditlog.Entry{Account: long, Action: long, Actor: long, From: long, OpenID: long, User: long, Detail: long}); err != nil {
		t.Fatal(err)
	}
	closed(t, l)
	closed(t, open(t, path))
	var v auditlog.Verifier
	if n, err := v.Read(strings.NewReader(read(t, path))); err != nil || n != 5 {
		t.Errorf("%d lines, %v", n, err)
	}
}
