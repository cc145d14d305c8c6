package textfile_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/wxnotify/wxnotify/internal/textfile"
)

// TestReadTakesFilesAndPipesThatAreWritten: a secret may come from a file, a link to one,
// or a program, as in <(vault read …).
func TestReadTakesFilesAndPipesThatAreWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	regular, link := filepath.Join(dir, "secret"), filepath.Join(dir, "link")
	if err := os.WriteFile(regular, []byte("text\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(regular, link); err != nil {
		t.Fatal(err)
	}
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	go func() {
		_, _ = in.WriteString("text\n")
		_ = in.Close()
	}()
	for _, path := range []string{regular, link, fdPath(t, out)} {
		if text, err := textfile.Read(path); err != nil || string(text) != "text\n" {
			t.Errorf("%s: %q, %v", path, text, err)
		}
	}
}

// fdPath is how a shell names a pipe to a program.
func fdPath(t *testing.T, f *os.File) string {
	t.Helper()
	conn, err := f.SyscallConn()
	path := ""
	if err == nil {
		err = conn.Control(func(fd uintptr) { path = "/dev/fd/" + strconv.Itoa(int(fd)) })
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestReadNamesWhatIsNoFile: a wrong path ends with an error that names it, at once.
func TestReadNamesWhatIsNoFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe, big, loop := filepath.Join(dir, "pipe"), filepath.Join(dir, "big"), filepath.Join(dir, "loop")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(big, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(big, 1<<30); err != nil { // sparse
		t.Fatal(err)
	}
	if err := os.Symlink(loop, loop); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		pipe: "is a pipe that no program writes to", dir: "is a directory", big: "has more than 4 MB", "/dev/zero": "has more than 4 MB",
		loop: "too many levels", filepath.Join(dir, "missing"): "no such file",
	} {
		text, err := textfile.Read(path)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %d bytes, %v; want %q", path, len(text), err, want)
		}
	}
}
