//go:build unix

package auditlog_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/wxnotify/wxnotify/internal/auditlog"
)

func TestMain(m *testing.M) {
	signal.Ignore(syscall.SIGXFSZ) // of a write beyond the limit
	os.Exit(m.Run())
}

func TestAFileThatCannotBeReadAgainIsRefused(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	must(t, syscall.Mkfifo(pipe, 0o600))
	for _, path := range []string{pipe, t.TempDir(), os.DevNull} {
		if _, err := auditlog.Open(path, nil, ""); err == nil || !strings.Contains(err.Error(), path+" is not a regular file") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestAFullDiskLeavesNoPartOfALine(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAWriteThatFailsLeavesNoPartOfALine$", "-test.v")
	cmd.Env = append(os.Environ(), "AUDITLOG_TEST_PATH="+filepath.Join(t.TempDir(), "audit.ndjson"))
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "ran to its end") {
		t.Errorf("%v\n%s", err, out)
	}
}

// The program runs itself under a limit of the size of files, so that a write fails
// half-way.
func TestAWriteThatFailsLeavesNoPartOfALine(t *testing.T) {
	t.Parallel()
	path := os.Getenv("AUDITLOG_TEST_PATH")
	if path == "" {
		t.Skip("runs as TestAFullDiskLeavesNoPartOfALine")
	}
	l := open(t, path)
	var limit syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit))
	size := len(read(t, path))
	limit.Cur = uint64(size + 100)
	must(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit))
	_, err := l.Write(auditlog.Entry{Action: "a", Actor: "li"})
	if err == nil || len(read(t, path)) != size {
		t.Errorf("%v, %d bytes, want %d", err, len(read(t, path)), size)
	}
	limit.Cur = limit.Max
	must(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit))
	write(t, l, "b")
	closed(t, l)
	var v auditlog.Verifier
	if n, err := v.Read(bytes.NewReader([]byte(read(t, path)))); err != nil || n != 3 {
		t.Errorf("%d lines, %v", n, err)
	}
	_, _ = fmt.Fprintln(os.Stdout, "ran to its end")
}
