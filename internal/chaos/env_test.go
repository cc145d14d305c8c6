package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shell is a service that runs a script; it is ready when the script has made the
// file ready in its directory.
func shell(t *testing.T, script string) *service {
	t.Helper()
	dir := t.TempDir()
	s := &service{
		name: "script", log: filepath.Join(dir, "log"),
		command: func() (*exec.Cmd, error) {
			cmd := exec.Command("/bin/sh", "-c", script) //nolint:noctx // ended by signals
			cmd.Dir = dir
			return cmd, nil
		},
		ready: func(context.Context) bool { _, err := os.Stat(filepath.Join(dir, "ready")); return err == nil },
	}
	t.Cleanup(s.kill)
	return s
}

func TestAServiceIsStoppedInGoodOrder(t *testing.T) {
	t.Parallel()
	s := shell(t, `trap 'exit 0' TERM; echo started; touch ready; while :; do sleep 0.01; done`)
	must(t, s.start(t.Context()))
	if err := s.stop(t.Context()); err != nil || s.proc.Load() != nil {
		t.Errorf("stop: %v", err)
	}
	if text, _ := os.ReadFile(s.log); string(text) != "started\n" {
		t.Errorf("log: %q", text)
	}
	if err := s.start(t.Context()); err != nil {
		t.Errorf("start after stop: %v", err)
	}
}

func TestStopTellsOfAnEndThatIsNotClean(t *testing.T) {
	t.Parallel()
	s := shell(t, `trap 'exit 3' TERM; touch ready; while :; do sleep 0.01; done`)
	must(t, s.start(t.Context()))
	if err := s.stop(t.Context()); err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("exit 3 after SIGTERM: %v", err)
	}
	must(t, s.start(t.Context()))
	p := s.proc.Load()
	_ = p.Process.Kill()
	<-p.done
	if err := s.stop(t.Context()); err == nil || !strings.Contains(err.Error(), "without a signal") {
		t.Errorf("after a crash: %v", err)
	}
}

func TestAStoppedProcessIsKilled(t *testing.T) {
	t.Parallel()
	s := shell(t, `touch ready; while :; do sleep 0.01; done`)
	must(t, s.start(t.Context()))
	p := s.proc.Load()
	must(t, s.signal(syscall.SIGSTOP))
	s.kill()
	if p.running() || s.proc.Load() != nil {
		t.Error("the process runs after kill")
	}
}

// A worker that cannot reach Redis at its start ends, and is started again.
func TestAServiceThatEndsBeforeItIsReadyIsStartedAgain(t *testing.T) {
	t.Parallel()
	s := shell(t, `echo run; [ -e once ] || { touch once; exit 1; }; touch ready; exec sleep 60`)
	must(t, s.start(t.Context()))
	if text, _ := os.ReadFile(s.log); string(text) != "run\nrun\n" {
		t.Errorf("log: %q, want two runs", text)
	}
}

func TestAServiceThatIsKilledIsNotStartedAgain(t *testing.T) {
	t.Parallel()
	s := shell(t, `echo run; exec sleep 60`) // never ready
	done := make(chan error, 1)
	go func() { done <- s.start(t.Context()) }()
	if !until(t.Context(), 10*time.Second, time.Millisecond, func() bool { return s.proc.Load() != nil }) {
		t.Fatal("not started")
	}
	s.kill()
	if err := <-done; err != nil || s.proc.Load() != nil {
		t.Errorf("start returned %v after kill, process %v", err, s.proc.Load())
	}
	late, err := s.launch(&process{}) // in place of one that is gone
	must(t, err)
	<-late.done
	if s.proc.Load() != nil {
		t.Error("a late process took the place of a killed one")
	}
}

func TestStartSaysWhyAServiceDoesNotStart(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := shell(t, `exec sleep 60`)
	if err := s.start(ctx); err == nil || !strings.Contains(err.Error(), s.log) {
		t.Errorf("not ready: %v, want the path of its log", err)
	}
	s = shell(t, "")
	s.command = func() (*exec.Cmd, error) { return exec.Command("/no/such/program"), nil } //nolint:noctx // does not exist
	if err := s.start(t.Context()); err == nil {
		t.Error("a program that does not exist was started")
	}
}

func TestTheEnvironmentOfAChildHasNoSettingOfTheCaller(t *testing.T) {
	t.Setenv("WXNOTIFY_APPID", "wx-of-the-caller")
	got := environ(map[string]string{"WXNOTIFY_RATE": "500"})
	if len(got) != 3 || !slices.Contains(got, "WXNOTIFY_RATE=500") {
		t.Errorf("environment: %q", got)
	}
}

func TestEachPortIsHandedOutOnce(t *testing.T) {
	t.Parallel()
	var p ports
	p.next.Store(4_294_967_290) // overflows
	seen := map[string]bool{}
	for range 100 {
		addr := p.free()
		if seen[addr] {
			t.Errorf("%s twice", addr)
		}
		seen[addr] = true
	}
}

func TestRequestReturnsTheBodyOfA2xxAnswerOnly(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			http.Error(w, "why not", http.StatusTeapot)
			return
		}
		_, _ = w.Write([]byte("done"))
	}))
	t.Cleanup(srv.Close)
	if text, err := request(t.Context(), http.MethodPost, srv.URL, []byte("{}")); err != nil || string(text) != "done" {
		t.Errorf("POST: %q, %v", text, err)
	}
	if _, err := request(t.Context(), http.MethodGet, srv.URL, nil); err == nil || !strings.Contains(err.Error(), "418") || !strings.Contains(err.Error(), "why not") {
		t.Errorf("GET: %v, want the status and the text", err)
	}
}

func TestAMetricIsReadFromItsLine(t *testing.T) {
	t.Parallel()
	const text = "# HELP go_goroutines n\ngo_goroutines 42\ngo_goroutines_other 7\nprocess_resident_memory_bytes 6.5536e+07\n"
	if g, m, none := metric(text, "go_goroutines"), metric(text, "process_resident_memory_bytes"), metric(text, "no_such"); g != 42 || m != 65536000 || none != 0 {
		t.Errorf("%d goroutines, %d bytes, %d of nothing", g, m, none)
	}
}

func TestEditsStillFitTheirSources(t *testing.T) {
	t.Parallel()
	for build, list := range edits() {
		files := map[string]bool{}
		for _, e := range list {
			path, text, err := e.apply(t.Context())
			if err != nil {
				t.Errorf("%s: %v", build, err)
				continue
			}
			before, err := os.ReadFile(path)
			if err != nil || string(before) == text || !strings.Contains(text, e.new) || files[path] {
				t.Errorf("%s: %s is not edited, or edited twice (%v)", build, path, err)
			}
			files[path] = true
		}
	}
	if _, _, err := (edit{pkg: module + "/internal/job", old: "no such text"}).apply(t.Context()); err == nil {
		t.Error("a text that no file has was replaced")
	}
}
