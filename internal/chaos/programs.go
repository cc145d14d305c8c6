package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/wxnotify/wxnotify/internal/chaos/verdict"
)

const module = "github.com/wxnotify/wxnotify"

// Builds of the program: as it is, and with edited source files.
const (
	plainBuild = "plain"
	// newerBuild writes and reads the next version of the envelope.
	newerBuild = "newer"
	// skewedBuild has a wall clock that is off by the seconds in CHAOS_CLOCK_SECONDS: see skew.
	skewedBuild = "skewed"
	// offsetBuild accepts any UTC offset for the quota's day: see shiftDay.
	offsetBuild = "offset"
)

// edit replaces a text in the one file of a package that has it once.
type edit struct{ pkg, old, new string }

func edits() map[string][]edit {
	return map[string][]edit{
		plainBuild: {},
		newerBuild: {{module + "/internal/job", "\nconst Version = 1\n", "\nconst Version = 2\n"}},
		offsetBuild: {
			{module + "/ratelimit", "14*time.Hour", "24*time.Hour"},
			{module + "/internal/settings", "14*time.Hour", "24*time.Hour"},
		},
	}
}

// apply returns the path of the file and its new text.
func (e edit) apply(ctx context.Context) (path, text string, err error) {
	dir, err := goTool(ctx, "list", "-f", "{{.Dir}}", e.pkg)
	if err != nil {
		return "", "", err
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.go"))
	for _, path := range files {
		source, _ := os.ReadFile(path)
		if text := string(source); strings.Count(text, e.old) == 1 && !strings.HasSuffix(path, "_test.go") {
			return path, strings.Replace(text, e.old, e.new, 1), nil
		}
	}
	return "", "", fmt.Errorf("no file of %s contains %q exactly once: adapt edits", e.pkg, e.old)
}

// builds returns the path of each build. It is made when it is first needed.
type builds map[string]func() (string, error)

func newBuilds(ctx context.Context, dir string) builds {
	b := builds{skewedBuild: sync.OnceValues(func() (string, error) {
		texts, modfile, err := skew(ctx, dir)
		if err != nil {
			return "", err
		}
		return compile(ctx, filepath.Join(dir, "wxnotify-"+skewedBuild), texts, "-modfile", modfile)
	})}
	for name, list := range edits() {
		b[name] = sync.OnceValues(func() (string, error) {
			texts := map[string]string{}
			for _, e := range list {
				path, text, err := e.apply(ctx)
				if err != nil {
					return "", err
				}
				texts[path] = text
			}
			return compile(ctx, filepath.Join(dir, "wxnotify-"+name), texts)
		})
	}
	return b
}

// compile builds the program with other texts of source files, by their paths.
func compile(ctx context.Context, out string, texts map[string]string, flags ...string) (string, error) {
	replace := map[string]string{}
	for path, text := range texts {
		replace[path] = fmt.Sprintf("%s-%d.go.txt", out, len(replace))
		if err := os.WriteFile(replace[path], []byte(text), 0o600); err != nil {
			return "", fmt.Errorf("edit: %w", err)
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err = errors.Join(err, os.WriteFile(out+".json", overlay, 0o600)); err != nil {
		return "", fmt.Errorf("overlay: %w", err)
	}
	_, err = goTool(ctx, append(append([]string{"build", "-o", out, "-overlay", out + ".json"}, flags...), module+"/cmd/wxnotify")...)
	return out, err
}

// goTool runs go at a low priority and returns what it printed.
func goTool(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "nice", append([]string{"go"}, args...)...).Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		err = fmt.Errorf("go %s: %w: %s", args[0], err, failed.Stderr)
	}
	return strings.TrimSpace(string(out)), err
}

// The account of every scenario.
const (
	appID     = "wxchaos00000000001"
	appSecret = "chaos0123456789abcdef0123456789ab"
	sendPath  = "/cgi-bin/message/template/send"
)

// simulator is `wxnotify simulate`, steered by its control API.
type simulator struct {
	*service
	url string
}

func newSimulator(e *env, flags []string) *simulator {
	addr := e.ports.free()
	s := &simulator{url: "http://" + addr}
	args := append([]string{
		"simulate", "--addr", addr, "--appid", appID, "--appsecret", appSecret, "--any-template",
		"--seed", strconv.FormatUint(e.seed, 10), "--daily-quota", e.settings["WXNOTIFY_DAILY_QUOTA"],
	}, flags...)
	if !slices.Contains(flags, "--latency") { // a scenario may have one of its own
		args = append(args, "--latency", "5ms")
	}
	s.service = e.add("simulate",
		func() (*exec.Cmd, error) { return e.program(e.scenario.Workers[0].Build, args...) },
		func(ctx context.Context) bool { _, err := s.stats(ctx); return err == nil })
	return s
}

// set changes how the platform behaves; calls are by path.
func (s *simulator) set(ctx context.Context, calls map[string]settings) error {
	var errs []error
	for path, body := range calls {
		text, err := json.Marshal(body)
		if err == nil {
			_, err = request(ctx, http.MethodPost, s.url+"/_sim/"+path, text)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (s *simulator) get(ctx context.Context, path string, out any) error {
	text, err := request(ctx, http.MethodGet, s.url+"/_sim/"+path, nil)
	if err == nil {
		err = json.Unmarshal(text, out)
	}
	if err != nil {
		return fmt.Errorf("simulator: %s: %w", path, err)
	}
	return nil
}

// seen lists what recipients saw.
func (s *simulator) seen(ctx context.Context) ([]verdict.Seen, error) {
	var all []verdict.Seen
	for after := int64(0); ; {
		var page struct {
			Messages []verdict.Seen `json:"messages"`
			Last     int64          `json:"last"`
		}
		if err := s.get(ctx, fmt.Sprintf("messages?limit=1000&after=%d", after), &page); err != nil {
			return nil, err
		}
		if len(page.Messages) == 0 {
			return all, nil
		}
		all, after = append(all, page.Messages...), page.Last
	}
}

// simulatorStats is what the simulator counted.
type simulatorStats struct {
	Calls map[string]struct {
		Total     int64            `json:"total"`
		ByErrcode map[string]int64 `json:"by_errcode"`
	} `json:"calls"`
	Accounts []struct {
		Used int64 `json:"used"` // sends of the day that it is now
	} `json:"accounts"`
}

func (s *simulator) stats(ctx context.Context) (simulatorStats, error) {
	var out simulatorStats
	err := s.get(ctx, "stats", &out)
	return out, err
}

// workerSpec is a worker of a scenario.
type workerSpec struct {
	Build    string            `json:"build"`
	Settings map[string]string `json:"settings"` // beside those of all workers
}

// worker is one `wxnotify worker`, and its successors.
type worker struct {
	*service
	build string
	url   string // of its operators' listener

	sampled            *process // that the first sample is of; nil: none
	goroutines, memory int64    // of that sample
}

func newWorker(e *env, name string, spec workerSpec) *worker {
	addr := e.ports.free()
	w := &worker{build: spec.Build, url: "http://" + addr}
	w.service = e.add(name,
		func() (*exec.Cmd, error) {
			cmd, err := e.program(w.build, "worker")
			cmd.Env = append(append(cmd.Env, environ(spec.Settings)...), "WXNOTIFY_OPS_ADDR="+addr)
			return cmd, err
		},
		func(ctx context.Context) bool {
			_, err := request(ctx, http.MethodGet, w.url+"/healthz", nil)
			return err == nil
		})
	return w
}

// sample remembers how much the worker needs under load.
func (w *worker) sample(ctx context.Context) {
	p := w.proc.Load()
	goroutines, memory, err := w.metrics(ctx)
	if err == nil { // else it is down or stopped at this moment
		w.sampled, w.goroutines, w.memory = p, goroutines, memory
	}
}

// growth compares with the sample; false when the process is another one.
func (w *worker) growth(ctx context.Context) (verdict.Growth, bool) {
	goroutines, memory, err := w.metrics(ctx)
	return verdict.Growth{
		Worker: w.name, GoroutinesAt: w.goroutines, Goroutines: goroutines, MemoryAt: w.memory, Memory: memory,
	}, err == nil && w.sampled == w.proc.Load()
}

func (w *worker) metrics(ctx context.Context) (goroutines, memory int64, err error) {
	text, err := request(ctx, http.MethodGet, w.url+"/metrics", nil)
	return metric(string(text), "go_goroutines"), metric(string(text), "process_resident_memory_bytes"), err
}

// metric returns a gauge without labels; 0: there is none.
func metric(text, name string) int64 {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			v, _ := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return int64(v)
		}
	}
	return 0
}
