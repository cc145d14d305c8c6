package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// shell is a bash that runs the lines of a document or of a printed hint, in which
// wxnotify is this program.
type shell struct {
	*testing.T
	in   io.Writer
	out  *logBuffer
	done int // lines
}

func newShell(t *testing.T, env map[string]string) *shell {
	t.Helper()
	bash := exec.Command("bash") //nolint:noctx // ended below
	bash.Env = append(command(env).Env, "WXNOTIFY="+os.Args[0], "WXNOTIFY_OPS_ADDR=-")
	bash.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // its children end with it
	s := &shell{T: t, out: new(logBuffer)}
	in, err := bash.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	bash.Stdout, bash.Stderr, s.in = s.out, s.out, in
	if err := bash.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-bash.Process.Pid, syscall.SIGKILL)
		_ = bash.Wait()
	})
	s.run(`wxnotify() { "$WXNOTIFY" "$@"; }`)
	return s
}

// try runs a line and returns what was printed since the line before, and the exit code.
func (s *shell) try(line string) (out string, code int) {
	s.Helper()
	s.done++
	before := len(s.out.String())
	mark := fmt.Sprintf("line-%d-ended-with ", s.done)
	if _, err := fmt.Fprintf(s.in, "%s\necho; echo '%s'$?\n", line, mark); err != nil {
		s.Fatal(err)
	}
	testutil.Until(s, "the end of "+line, func() bool {
		text, rest, ended := strings.Cut(s.out.String()[before:], mark)
		if ended = ended && strings.Contains(rest, "\n"); ended {
			out = text
			_, _ = fmt.Sscan(rest, &code)
		}
		return ended
	})
	return out, code
}

// run runs a line that must succeed.
func (s *shell) run(line string) string {
	s.Helper()
	out, code := s.try(line)
	if code != 0 {
		s.Fatalf("exit %d: %s\n%s", code, line, out)
	}
	return out
}

// hints are the indented lines that a process printed after text.
func hints(t *testing.T, p *process, text string) []string {
	t.Helper()
	_, after, ok := strings.Cut(p.stderr.String(), text)
	if !ok {
		t.Fatalf("not printed: %q\n%s", text, p.stderr)
	}
	var out []string
	for _, line := range lines(after) {
		if line, ok := strings.CutPrefix(line, "  "); ok {
			out = append(out, line)
		}
	}
	return out
}

func TestDemoPrintsLinesThatRunAsPrinted(t *testing.T) {
	t.Parallel()
	p := start(t, nil, "demo", "--messages", "3")
	p.says(t, "Ctrl-C ends the demo")
	sh := newShell(t, nil)
	var all strings.Builder
	for _, line := range hints(t, p, "Send more from another terminal") {
		if strings.HasSuffix(line, "enroll list") {
			// The scan is pushed and applied within milliseconds; a reader takes longer.
			testutil.Until(t, "bound", func() bool { return strings.Contains(sh.run(line), "patient-401") })
		}
		all.WriteString(sh.run(line))
	}
	for _, want := range []string{"sample-", "state", "demo-1", "patient-401"} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("the lines do not print %q:\n%s", want, all.String())
		}
	}
	if n := strings.Count(all.String(), `"id":"hello-1"`); n != 2 {
		t.Errorf("%d answers of the HTTP API, want 2:\n%s", n, all.String())
	}
	p.says(t, "delivered  demo-3")
	if text := p.stderr.String(); strings.Count(text, "accepted  ") > 0 && strings.Contains(text, "no-user") {
		t.Errorf("the message to the user was refused:\n%s", text)
	}
}

func TestSimulatePrintsLinesThatRunAsPrinted(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string][]string{"everyone follows": nil, "strangers": {"--strangers"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t, redistest.AOF()...)
			addr := testutil.FreeAddr(t)
			sim := start(t, nil, append([]string{"simulate", "--addr", "127.0.0.1:0", "--public-url", "http://" + addr}, flags...)...)
			sim.says(t, wechattest.TemplateDelivery)
			sh := newShell(t, map[string]string{"WXNOTIFY_REDIS_URL": server.URL(), "WXNOTIFY_PUBLIC_ADDR": addr})
			var last string
			for _, line := range hints(t, sim, "All that wxnotify needs") {
				if strings.HasPrefix(line, "sim-") {
					break // the templates
				}
				last = sh.run(line)
			}
			if !strings.Contains(last, "accepted") && !strings.Contains(last, "delivered") {
				t.Errorf("the message was not accepted: %s", last)
			}
			// The receipt comes by the callback, and links lead to the simulator.
			id := regexp.MustCompile(`cli-[a-z0-9]+`).FindString(last)
			testutil.Until(t, "delivered", func() bool {
				out, _ := sh.try("wxnotify status " + id)
				return strings.Contains(out, "delivered")
			})
			if to := followLink(t, sh.run("wxnotify enroll link --user patient-401")); !strings.HasPrefix(to, "http://127.0.0.1:") || strings.Contains(to, "open.weixin.qq.com") {
				t.Errorf("the link leads to %s, want the simulator", to)
			}
		})
	}
}

// followLink opens a link in WeChat's browser and returns where it redirects to.
func followLink(t *testing.T, printed string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, linkIn(t, printed), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("User-Agent", weChatAgent)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.Header.Get("Location")
}

// linkIn is the enrolment link in what a command printed.
func linkIn(t *testing.T, printed string) string {
	t.Helper()
	link := regexp.MustCompile(`http://\S+ticket=\S+`).FindString(printed)
	if link == "" {
		t.Fatalf("no link: %s", printed)
	}
	return link
}

// enrolIn opens a link in WeChat's browser to the end. A page that asks is answered
// with its first button.
func enrolIn(t *testing.T, link string) {
	t.Helper()
	ask := func(method, address, form string) (*http.Response, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("User-Agent", weChatAgent)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		page, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(page)
	}
	resp, page := ask(http.MethodGet, link, "") //nolint:bodyclose // ask has read and closed it
	action := regexp.MustCompile(`<form [^>]*action="([^"]+)"`).FindStringSubmatch(page)
	if action == nil {
		return
	}
	to, err := resp.Request.URL.Parse(action[1])
	if err != nil {
		t.Fatal(err)
	}
	form, pressed := url.Values{}, false
	for _, m := range regexp.MustCompile(`<(input|button) [^>]*name="([^"]*)" value="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if m[1] == "button" && pressed {
			continue
		}
		pressed = pressed || m[1] == "button"
		form.Set(m[2], m[3])
	}
	ask(http.MethodPost, to.String(), form.Encode()) //nolint:bodyclose // as above
}

// TestReadmeExamplesRun runs the shell examples of both READMEs against the simulator,
// on other ports.
func TestReadmeExamplesRun(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"README.md", "README.zh-CN.md"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file, err := os.Open(filepath.Join("..", "..", name))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = file.Close() }()
			server := redistest.Start(t, redistest.AOF()...)
			simAddr, publicAddr, apiAddr := testutil.FreeAddr(t), testutil.FreeAddr(t), testutil.FreeAddr(t)
			elsewhere := strings.NewReplacer("redis://127.0.0.1:6379/0", server.URL(), "127.0.0.1:8090", simAddr, "127.0.0.1:8081", apiAddr,
				"wxnotify simulate", "wxnotify simulate --addr "+simAddr, "https://notify.example.com", "http://"+publicAddr)
			sh := newShell(t, map[string]string{
				"WXNOTIFY_PUBLIC_ADDR": publicAddr, "WXNOTIFY_API_ADDR": apiAddr, "WXNOTIFY_WECHAT_AUTHORIZE_URL": "http://" + simAddr + "/connect/oauth2/authorize",
			})
			ran := map[string]bool{}
			for _, line := range shellLines(t, file) {
				if strings.HasPrefix(line, "go ") {
					continue // installs, tests: CI does
				}
				line = elsewhere.Replace(line)
				background, _, _ := strings.Cut(line, " #")
				switch out := sh.run(line); {
				case strings.Contains(line, "enroll link"):
					if to := followLink(t, out); !strings.Contains(to, simAddr) {
						t.Fatalf("the link leads to %q", to)
					}
					enrolIn(t, linkIn(t, out)) // the user's part
				case strings.Contains(line, "curl "):
					if !strings.Contains(out, `"id":"hello-1"`) {
						t.Errorf("%s: %s", line, out)
					}
				case strings.Contains(line, "send"):
					if !strings.Contains(out, "accepted") && !strings.Contains(out, "delivered") {
						t.Errorf("%s: %s", line, out)
					}
				case strings.Contains(line, "enroll list"):
					if !strings.Contains(out, "patient-401") {
						t.Errorf("the user is not bound: %s", out)
					}
				case strings.Contains(line, "status"):
					if !strings.Contains(out, "accepted") && !strings.Contains(out, "delivered") {
						t.Errorf("%s: %s", line, out)
					}
				case strings.HasSuffix(strings.TrimSpace(background), "&"):
					text := map[string]string{"simulate": "listens on", "worker": "worker started", "serve": "enroll started"}[strings.Fields(line)[1]]
					testutil.Until(t, line, func() bool { return strings.Contains(sh.out.String(), text) })
				}
				for _, command := range []string{"simulate", "worker", "send", "status", "serve", "enroll link", "enroll list", "api keys create"} {
					ran[command] = ran[command] || strings.Contains(line, "wxnotify "+command)
				}
			}
			for command := range ran {
				if !ran[command] {
					t.Errorf("no example runs wxnotify %s", command)
				}
			}
		})
	}
}

// shellLines are the lines of the document's shell examples.
func shellLines(t *testing.T, r io.Reader) (out []string) {
	t.Helper()
	inside := false
	for scanner := bufio.NewScanner(r); scanner.Scan(); {
		switch line := scanner.Text(); {
		case strings.HasPrefix(line, "```"):
			inside = line == "```sh"
		case inside:
			out = append(out, line)
		}
	}
	if len(out) < 10 {
		t.Fatalf("only %d lines of shell examples", len(out))
	}
	return out
}

func TestPrintedLinesStartTheProgramAsItWasStarted(t *testing.T) {
	t.Parallel()
	for argv0, want := range map[string]string{
		"":                                    "wxnotify",
		"wxnotify":                            "wxnotify",
		"./bin/wxnotify":                      "./bin/wxnotify",
		"/opt/my tools/wxnotify":              "'/opt/my tools/wxnotify'",
		"/tmp/it's/wxnotify":                  `'/tmp/it'\''s/wxnotify'`,
		"/tmp/go-build12/b001/x.go":           "/tmp/go-build12/b001/x.go",
		"/tmp/go-build3821/b001/exe/wxnotify": "go run github.com/wxnotify/wxnotify/cmd/wxnotify",
		"/home/u/.cache/go-build/ab/abcd-d/exe/wxnotify": "go run github.com/wxnotify/wxnotify/cmd/wxnotify",
	} {
		if got := selfOf(argv0); got != want {
			t.Errorf("started as %q: %q, want %q", argv0, got, want)
		}
	}
	if !slices.Contains(strings.Fields(labResult()), wechattest.TemplateLabResult) {
		t.Error("the example names no template of the simulator")
	}
}
