package enroll_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/wxnotify/wxnotify/enroll"
)

func TestVerifyFilesAreServedAtTheRoot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		files := map[string][]byte{"MP_verify_abc123.txt": []byte("abc123")}
		w := newWorld(t, settings{change: func(c *enroll.Config) { c.VerifyFiles = files }})
		resp := w.get("/MP_verify_abc123.txt", "")
		if resp.Code != http.StatusOK || resp.Body.String() != "abc123" || !strings.HasPrefix(resp.Header().Get("Content-Type"), "text/plain") {
			t.Errorf("%d %q %v", resp.Code, resp.Body, resp.Header())
		}
		for _, path := range []string{"/MP_verify_other.txt", "/MP_verify_abc123.txt/", "/mp_verify_abc123.txt", "/x/MP_verify_abc123.txt", "/%2e%2e/MP_verify_abc123.txt"} {
			if resp := w.get(path, ""); resp.Code == http.StatusOK {
				t.Errorf("%s is served", path)
			}
		}
		out := httptest.NewRecorder()
		w.handler.ServeHTTP(out, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/MP_verify_abc123.txt", nil))
		if out.Code == http.StatusOK {
			t.Error("POST is answered")
		}
	})
	_, err := enroll.New(enroll.Config{VerifyFiles: map[string][]byte{"../etc/passwd": nil}})
	if err == nil || !strings.Contains(err.Error(), "VerifyFiles") {
		t.Errorf("a name that leads elsewhere: %v", err)
	}
}

func TestReadVerifyFiles(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(outside, []byte("secret"), 0o600))
	folder := func(fill func(at func(string) string)) string {
		dir := t.TempDir()
		fill(func(name string) string { return filepath.Join(dir, name) })
		return dir
	}
	write := func(path, content string) { must(t, os.WriteFile(path, []byte(content), 0o600)) }
	good := folder(func(at func(string) string) {
		write(at("MP_verify_abc123.txt"), "abc123")
		write(at("real"), "def456")
		must(t, os.Symlink("real", at("MP_verify_def456.txt"))) // as Kubernetes mounts a ConfigMap
		write(at("other.txt"), "x")
		write(at("MP_verify_a.b.txt"), "x")
		must(t, os.Mkdir(at("sub"), 0o700))
	})
	files, err := enroll.ReadVerifyFiles(good)
	if err != nil || len(files) != 2 || string(files["MP_verify_abc123.txt"]) != "abc123" || string(files["MP_verify_def456.txt"]) != "def456" {
		t.Errorf("%q, %v", files, err)
	}
	for want, dir := range map[string]string{
		"cannot be opened":      filepath.Join(good, "missing"),
		"not a directory":       filepath.Join(good, "real"),
		"holds no file":         folder(func(at func(string) string) { write(at("other.txt"), "x") }),
		"escapes":               folder(func(at func(string) string) { must(t, os.Symlink(outside, at("MP_verify_abc123.txt"))) }),
		"is not a regular file": folder(func(at func(string) string) { must(t, syscall.Mkfifo(at("MP_verify_abc123.txt"), 0o600)) }),
		"longer than 4 KB":      folder(func(at func(string) string) { write(at("MP_verify_abc123.txt"), strings.Repeat("x", 4<<10+1)) }),
		"no such file": folder(func(at func(string) string) {
			must(t, os.Symlink("gone", at("MP_verify_abc123.txt")))
		}),
	} {
		if files, err := enroll.ReadVerifyFiles(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %q, %v", want, files, err)
		}
	}
}
