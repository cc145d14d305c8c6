package main

import (
	"bytes"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// initIn runs init in an empty folder, with answers on standard input, against a
// simulated WeChat.
func initIn(t *testing.T, wx *wechattest.Platform, stdin string, args ...string) (r result, file string) {
	t.Helper()
	env := map[string]string{}
	if wx != nil {
		server := httptest.NewServer(wx)
		t.Cleanup(server.Close)
		t.Cleanup(wx.Close)
		env["WXNOTIFY_WECHAT_BASE_URL"] = server.URL
	}
	file = filepath.Join(t.TempDir(), "wxnotify.yaml")
	var out, errOut bytes.Buffer
	code := run(t.Context(), append([]string{"init", file}, args...), environment{Env: env, Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errOut})
	return result{code, out.String(), errOut.String()}, file
}

const goodAnswers = wechattest.AppID + "\n" + wechattest.AppSecret + "\nhttps://notify.example.com/\n"

// TestInitWritesWhatServeTakes: the file is complete and closed to others, and what is
// printed to be pasted is what the file has.
func TestInitWritesWhatServeTakes(t *testing.T) {
	t.Parallel()
	for _, lang := range []string{"en", "zh"} {
		t.Run(lang, func(t *testing.T) {
			t.Parallel()
			r, file := initIn(t, wechattest.New(wechattest.Config{}), goodAnswers, "--lang", lang)
			if r.code != 0 || hasHan(strings.SplitN(r.stdout, "\n", 2)[0]) != (lang == "zh") {
				t.Fatalf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
			}
			info, err := os.Stat(file)
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%v, %v", info, err)
			}
			if r := inProcess(t, nil, "config", "check", "--config", file); r.code != 0 {
				t.Errorf("the file is refused: %s", r.stderr)
			}
			c, err := settings.Load(file, nil, nil, settings.Everything)
			if err != nil {
				t.Fatal(err)
			}
			a := c.Accounts[0]
			for _, want := range []string{
				"https://notify.example.com/callback/" + wechattest.AppID + "\n", a.CallbackToken.Reveal(), a.AESKey.Reveal(), "安全模式", "API IP 白名单", "notify.example.com\n", "doctor --config",
			} {
				if !strings.Contains(r.stdout, want) {
					t.Errorf("not printed: %q\n%s", want, r.stdout)
				}
			}
			_, password, _ := strings.Cut(c.Ops.Login.Reveal(), ":")
			for _, secret := range []string{wechattest.AppSecret, c.Public.EnrollKey.Reveal(), password} {
				if secret == "" || strings.Contains(r.stdout+r.stderr, secret) {
					t.Errorf("shows a secret that need not be pasted, or has none:\n%s%s", r.stdout, r.stderr)
				}
			}
		})
	}
}

// TestInitOverwritesNothing and asks nothing then.
func TestInitOverwritesNothing(t *testing.T) {
	t.Parallel()
	file := testutil.File(t, "wxnotify.yaml", "rate: 5\n")
	for _, args := range [][]string{{"init", file}, {"init", "--config", file}, {"init", "--simulate", file}} {
		r := inProcess(t, nil, args...)
		if r.code != exitUsage || !strings.Contains(r.stderr, "exists and is not overwritten") {
			t.Errorf("%v: exit %d, %s", args, r.code, r.stderr)
		}
	}
	if text, _ := os.ReadFile(file); string(text) != "rate: 5\n" {
		t.Errorf("changed: %s", text)
	}
	r := inProcess(t, map[string]string{"WXNOTIFY_CONFIG": file}, "init")
	if r.code != exitUsage {
		t.Errorf("WXNOTIFY_CONFIG: exit %d, %s", r.code, r.stderr)
	}
}

func TestInitChecksTheAnswers(t *testing.T) {
	t.Parallel()
	unlisted := wechattest.Config{Accounts: []wechattest.AccountConfig{{AppID: wechattest.AppID, AllowedIPs: []string{"203.0.113.7"}}}}
	for name, c := range map[string]struct {
		platform *wechattest.Platform // nil: WeChat's own host
		stdin    string
		args     []string
		code     int
		want     string
		written  bool
	}{
		"wrong secret":  {wechattest.New(wechattest.Config{}), wechattest.AppID + "\nfedc9ab04d2f6385be90c47a1d35f268\n\n", nil, 1, "nothing was written: wechat: /cgi-bin/stable_token: 40125", false},
		"wrong appid":   {wechattest.New(wechattest.Config{}), "wx00000000000000ff\n" + wechattest.AppSecret + "\n\n", nil, 1, "40013", false},
		"not listed":    {wechattest.New(unlisted), goodAnswers, nil, 0, "calls WeChat: 127.0.0.1", true},
		"not checked":   {nil, "wx0123456789abcdef\nfedc9ab04d2f6385be90c47a1d35f268\n", []string{"--no-check"}, 0, "public_url", true},
		"no appid":      {nil, "\n", nil, 2, "appid is empty", false},
		"no secret":     {nil, "wx0123456789abcdef\n\n", nil, 2, "AppSecret is empty", false},
		"no answers":    {nil, "", nil, 2, "appid is empty", false},
		"bad address":   {nil, "wx0123456789abcdef\nfedc9ab04d2f6385be90c47a1d35f268\nnotify.example.com\n", nil, 2, "public_url: is not an http:// or https:// address", false},
		"bad secret":    {nil, "wx0123456789abcdef\nfedc-Canary\n\n", nil, 2, "appsecret: is no AppSecret", false},
		"bad appid":     {nil, "wx 1\nfedc9ab04d2f6385be90c47a1d35f268\n\n", nil, 2, "appid: is not letters, digits, - and _", false},
		"an example":    {nil, "wx0123456789abcdef\n0123456789abcdef0123456789abcdef\n\n", nil, 2, "is a placeholder from an example", false},
		"two arguments": {nil, "", []string{"other.yaml"}, 2, "wrong number of arguments", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, file := initIn(t, c.platform, c.stdin, c.args...)
			_, err := os.Stat(file)
			text, _ := os.ReadFile(file)
			if r.code != c.code || !strings.Contains(r.stdout+r.stderr+string(text), c.want) || (err == nil) != c.written {
				t.Errorf("exit %d, want %d with %q, written %v:\n%s%s", r.code, c.code, c.want, err == nil, r.stdout, r.stderr)
			}
			if strings.Contains(r.stdout+r.stderr, "fedc") {
				t.Errorf("shows the AppSecret:\n%s%s", r.stdout, r.stderr)
			}
		})
	}
}

// TestInitWithoutAFolder names the path, and asks WeChat nothing in vain.
func TestInitWithoutAFolder(t *testing.T) {
	t.Parallel()
	r := inProcess(t, nil, "init", "--simulate", "/no/such/folder/wxnotify.yaml")
	if r.code != exitUsage || !strings.Contains(r.stderr, "/no/such/folder/wxnotify.yaml") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
}

// TestInitHidesTheSecretOnATerminal: script gives the process one.
func TestInitHidesTheSecretOnATerminal(t *testing.T) {
	t.Parallel()
	script, err := exec.LookPath("script")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("script is not installed: apt-get install bsdutils")
		}
		t.Skip("script is not installed: apt-get install bsdutils")
	}
	wx := wechattest.New(wechattest.Config{})
	t.Cleanup(wx.Close)
	server := httptest.NewServer(wx)
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "wxnotify.yaml")
	cmd := exec.Command(script, "-qec", shellQuote(os.Args[0])+" init "+shellQuote(file), "/dev/null") //nolint:noctx // it ends with its input
	cmd.Env = append(command(map[string]string{"WXNOTIFY_WECHAT_BASE_URL": server.URL}).Env, "SHELL=/bin/sh")
	p := &process{cmd: cmd, stderr: new(logBuffer), done: make(chan struct{})}
	keys, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = p.stderr, p.stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.err = cmd.Wait(); close(p.done) }()
	t.Cleanup(p.kill)
	for _, answer := range [][2]string{{"appid (wx", wechattest.AppID}, {"AppSecret (not shown): ", wechattest.AppSecret}, {"public address", ""}} {
		p.says(t, answer[0])
		if _, err := keys.Write([]byte(answer[1] + "\n")); err != nil {
			t.Fatal(err)
		}
	}
	p.says(t, "is written (mode 0600)")
	if text := p.stderr.String(); strings.Contains(text, wechattest.AppSecret) || !strings.Contains(text, wechattest.AppID) {
		t.Errorf("the terminal shows the AppSecret, or not the appid:\n%s", text)
	}
}

// TestInitSimulateNamesEveryAddress: a second installation of the machine finds none of its
// listeners taken by the first.
func TestInitSimulateNamesEveryAddress(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "sim.yaml")
	inProcess(t, nil, "init", "--simulate", file).has(t, 0, file)
	text, err := os.ReadFile(file)
	check(t, err)
	for _, row := range []string{"api_addr: '127.0.0.1:", "ops_addr: '127.0.0.1:", "public_addr: '127.0.0.1:", "wechat_base_url: 'http://127.0.0.1:"} {
		if !strings.Contains(string(text), "\n"+row) {
			t.Errorf("no %s in\n%s", row, text)
		}
	}
}

// TestInitSimulatePrintsLinesThatRunAsPrinted: from nothing to a message that arrived,
// and a doctor who finds nothing fatal.
func TestInitSimulatePrintsLinesThatRunAsPrinted(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.AOF()...)
	file := filepath.Join(t.TempDir(), "local.yaml")
	sh := newShell(t, map[string]string{"WXNOTIFY_REDIS_URL": server.URL()})
	// The usual ports may be taken while the lines run, by another run of this test. With
	// them taken before, init chooses others.
	for _, usual := range []string{"127.0.0.1:8090", "127.0.0.1:8080", "127.0.0.1:9090", "127.0.0.1:8081"} {
		if l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", usual); err == nil {
			defer func() { _ = l.Close() }()
		}
	}
	printed := sh.run("unset WXNOTIFY_OPS_ADDR; wxnotify init --simulate " + file)
	var all strings.Builder
	for _, line := range lines(printed) {
		if line, ok := strings.CutPrefix(line, "  "); ok {
			all.WriteString(sh.run(strings.Replace(line, os.Args[0], "wxnotify", 1)))
		}
	}
	for _, want := range []string{"accepted", "callback-outside " + wechattest.AppID + ": Token, mode secure and key", "0 fatal"} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("the lines do not print %q:\n%s\n%s", want, printed, all.String())
		}
	}
}

// The commands of the first day that follow `wxnotify init` name no file: what the page
// exports before them has them read the one of init.
func TestTheFirstDayReadsTheFileOfInit(t *testing.T) {
	t.Parallel()
	for _, page := range []string{"../../docs/first-day.md", "../../docs/first-day.zh-CN.md"} {
		text, err := os.ReadFile(page)
		check(t, err)
		_, after, _ := strings.Cut(string(text), "\n   wxnotify init ")
		before, _, found := strings.Cut(after, "\n   wxnotify doctor ")
		if !found || !strings.Contains(before, "\n   export WXNOTIFY_CONFIG=$PWD/wxnotify.yaml ") {
			t.Errorf("%s does not name the file of init before its next command: %q", page, before)
		}
	}
	r, file := initIn(t, nil, "wx0123456789abcdef\nfedc9ab04d2f6385be90c47a1d35f268\nhttps://notify.example.com\n", "--no-check")
	r.has(t, 0, "is written")
	for _, args := range [][]string{{"queues"}, {"enroll", "link", "--user", "me"}, {"send", "--user", "me", "--template", "T", "--data", "thing1=x", "--id", "first", "--dry-run"}} {
		inProcess(t, map[string]string{"WXNOTIFY_CONFIG": file, "WXNOTIFY_REDIS_URL": "redis://127.0.0.1:1"}, args...).hasNot(t, "no account")
		inProcess(t, nil, args...).has(t, 2, "no account: set WXNOTIFY_APPID, or name the file that `wxnotify init` wrote", "--config or WXNOTIFY_CONFIG")
	}
}
