package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/usage"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// initFlags are those of init.
type initFlags struct {
	simulate, noCheck bool
}

// setup is what init writes and prints.
type setup struct {
	file                          string
	appid                         string
	secret                        wechat.Secret
	baseURL, authorizeURL, public string // empty: the default; public: not known yet
	publicAddr, opsAddr, apiAddr  string // empty: the default
	token, aesKey                 string
	enrollKey, opsPassword        string
	address                       string // this machine's, when WeChat refused it
}

func (a *app) initCommand() *cobra.Command {
	var f initFlags
	cmd := &cobra.Command{
		Use:   "init [FILE]",
		Short: "Write a configuration for an account, and say what to click in WeChat's console",
		Long: `init asks for appid, AppSecret (hidden) and public address, checks appid and AppSecret
by one call of stable_token, which changes no token, and writes FILE (wxnotify.yaml)
with a new Token, EncodingAESKey, enrolment key and login, readable by you alone. It
prints what to click in WeChat's console, with the values to paste. It overwrites
nothing.

Without a terminal it reads the answers from standard input, one a line. A secret is
never a flag: WXNOTIFY_APPID and --appsecret-file answer without a question.

--simulate needs no account: it writes a configuration for the simulator and prints
the lines that start everything.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runInit(cmd, f, args) },
	}
	cmd.Flags().BoolVar(&f.simulate, "simulate", false, "set up a simulated WeChat instead of an account")
	cmd.Flags().BoolVar(&f.noCheck, "no-check", false, "do not ask WeChat whether appid and AppSecret are right")
	a.addSettings(cmd, settings.Calling)
	return cmd
}

func (a *app) runInit(cmd *cobra.Command, f initFlags, args []string) error {
	s := setup{token: randomText(tokenLength), aesKey: randomText(aesKeyLength), enrollKey: randomText(enrollKeyLength), opsPassword: randomText(tokenLength)}
	s.file = cmp.Or(a.configPath, a.Env["WXNOTIFY_CONFIG"], "wxnotify.yaml")
	if f.simulate && s.file == "wxnotify.yaml" {
		s.file = "wxnotify-simulate.yaml"
	}
	if len(args) > 0 {
		s.file = args[0]
	}
	if _, err := os.Lstat(s.file); err == nil {
		return existsError(s.file)
	}
	if f.simulate {
		if err := s.simulated(); err != nil {
			return err
		}
		return a.finish(s, s.simulateSteps)
	}
	c, err := a.readWithoutFile(cmd)
	if err != nil {
		return err
	}
	if err := a.askFor(cmd.Context(), &s, c); err != nil {
		return err
	}
	if !f.noCheck {
		if err := a.checkSecret(cmd.Context(), &s, c.Account.Proxy); err != nil {
			return err
		}
	}
	return a.finish(s, s.steps)
}

func existsError(file string) error {
	return usage.Errorf("%s exists and is not overwritten: name another file, such as `wxnotify init other.yaml`, or move it away", file)
}

// readWithoutFile reads flags and environment alone: the file is about to be written.
func (a *app) readWithoutFile(cmd *cobra.Command) (*settings.Config, error) {
	env := maps.Clone(a.Env)
	delete(env, "WXNOTIFY_CONFIG")
	return settings.Load("", env, settingFlags(cmd), groupsOf(cmd))
}

// askFor asks what flags and environment do not say.
func (a *app) askFor(ctx context.Context, s *setup, c *settings.Config) error {
	in := &initAnswers{a: a, lines: bufio.NewReader(untilDone(ctx, a.Stdin))}
	s.baseURL = c.Account.BaseURL
	if s.baseURL == settings.Lookup("wechat_base_url").Default {
		s.baseURL = ""
	} else if c.Account.Simulated() {
		s.authorizeURL = strings.TrimSuffix(s.baseURL, "/") + "/connect/oauth2/authorize"
	}
	if s.appid = c.Account.AppID; s.appid == "" {
		s.appid = in.ask("appid", a.say("appid (wx…): ", "appid（wx…）："))
	}
	if s.secret = c.Account.AppSecret; s.secret.IsZero() {
		s.secret = wechat.NewSecret(in.askHidden(ctx, "AppSecret", a.say("AppSecret (not shown): ", "AppSecret（不显示）：")))
	}
	if s.public = c.Public.URL; s.public == "" {
		s.public = in.askOptional(a.say("public address, such as https://notify.example.com (Enter: later): ",
			"公网地址，例如 https://notify.example.com（回车：以后再填）："))
	}
	if in.err != nil {
		return in.err
	}
	s.public = strings.TrimSuffix(s.public, "/")
	return a.check(s)
}

// check reads the answers by the rules of their settings.
func (a *app) check(s *setup) error {
	var faults []error
	for name, value := range map[string]string{"appid": s.appid, "public_url": s.public} {
		if err := settings.Lookup(name).Check(value); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", name, err))
		}
	}
	entry := settings.Account{AppID: s.appid, AppSecret: s.secret, BaseURL: cmp.Or(s.baseURL, settings.Lookup("wechat_base_url").Default)}
	warnings, more := entry.Check()
	for _, w := range warnings {
		a.warning(w)
	}
	if faults = append(faults, more...); len(faults) > 0 {
		return usage.Wrap(errors.Join(faults...))
	}
	return nil
}

// initAnswers reads from a terminal, or lines of another input.
type initAnswers struct {
	a     *app
	lines *bufio.Reader
	err   error
}

func (in *initAnswers) ask(what, prompt string) string {
	text := in.askOptional(prompt)
	if text == "" && in.err == nil {
		in.err = usage.Errorf("%s is empty", what)
	}
	return text
}

func (in *initAnswers) askOptional(prompt string) string {
	if in.err != nil {
		return ""
	}
	_, _ = fmt.Fprint(in.a.Stderr, prompt)
	line, err := in.lines.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		in.err = fmt.Errorf("read the answer: %w", err)
	}
	return strings.TrimSpace(line)
}

// askHidden does not show what is typed on a terminal. What was pasted with the answer
// before is in the reader already, and is shown.
func (in *initAnswers) askHidden(ctx context.Context, what, prompt string) string {
	file, isFile := in.a.Stdin.(*os.File)
	if !isFile || !term.IsTerminal(int(file.Fd())) || in.lines.Buffered() > 0 || in.err != nil {
		return in.ask(what, prompt)
	}
	// The terminal is silent before the prompt is shown, since programs and fast people
	// answer at once.
	before, err := term.MakeRaw(int(file.Fd()))
	if err != nil {
		in.err = fmt.Errorf("read the %s: %w", what, err)
		return ""
	}
	defer func() { _ = term.Restore(int(file.Fd()), before) }()
	text, err := term.NewTerminal(terminalKeys{untilDone(ctx, byteReader{file}), in.a.Stderr}, "").ReadPassword(prompt)
	if err != nil {
		in.err = fmt.Errorf("read the %s: %w", what, err)
	}
	secret := strings.TrimSpace(text)
	if secret == "" && in.err == nil {
		in.err = usage.Errorf("%s is empty", what)
	}
	return secret
}

type terminalKeys struct {
	io.Reader
	io.Writer
}

// byteReader reads a byte at a time, so that what follows the line stays unread.
type byteReader struct{ io.Reader }

func (r byteReader) Read(p []byte) (int, error) {
	return r.Reader.Read(p[:min(len(p), 1)]) //nolint:wrapcheck // io.EOF must stay itself
}

// checkSecret asks WeChat for the current stable token. An address that is not listed yet
// is no fault of the answers.
func (a *app) checkSecret(ctx context.Context, s *setup, proxy wechat.Secret) error {
	fetcher, err := wechat.NewTokenFetcher(wechat.Config{AppID: s.appid, AppSecret: s.secret, BaseURL: s.baseURL, Proxy: proxy, Timeout: 10 * time.Second})
	if err != nil {
		return usage.Wrap(err)
	}
	defer fetcher.CloseIdleConnections()
	_, err = fetcher.FetchStable(ctx, false)
	if err == nil {
		_, _ = fmt.Fprintln(a.Stderr, a.say("WeChat accepts appid and AppSecret.", "微信接受 appid 和 AppSecret。"))
		return nil
	}
	if refused, ok := errors.AsType[*wechat.Error](err); ok && refused.IP() != "" {
		s.address = refused.IP()
		_, _ = fmt.Fprintf(a.Stderr, a.say("WeChat refuses the address of this machine, %s: list it (below). AppSecret and appid are not checked until then.\n",
			"微信拒绝本机地址 %s：请加入白名单（见下）。在此之前无法检查 AppSecret 和 appid。\n"), s.address)
		return nil
	}
	return fmt.Errorf("nothing was written: %w; --no-check writes the file without asking WeChat", err)
}

// simulated fills in a simulated account and addresses that are free.
func (s *setup) simulated() error {
	var addrs [4]string
	for i, wanted := range []string{"127.0.0.1:8090", "127.0.0.1:8080", "127.0.0.1:9090", "127.0.0.1:8081"} {
		addr, err := freeNear(wanted)
		if err != nil {
			return err
		}
		addrs[i] = addr
	}
	s.appid, s.secret = wechattest.AppID, wechat.NewSecret(wechattest.AppSecret)
	s.baseURL, s.public, s.publicAddr, s.opsAddr, s.apiAddr = "http://"+addrs[0], "http://"+addrs[1], addrs[1], addrs[2], addrs[3]
	s.authorizeURL = s.baseURL + "/connect/oauth2/authorize"
	return nil
}

// freeNear is addr, or another port when it is taken.
func freeNear(addr string) (string, error) {
	ln, err := listenNear(addr)
	if err != nil {
		return "", err
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String(), nil
}

// finish writes the file and prints what to do next.
func (a *app) finish(s setup, steps func(*app) string) error {
	if err := s.write(a.Env); err != nil {
		return err
	}
	_, err := io.WriteString(a.Stdout, steps(a))
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// write makes the file, readable by its owner alone, and reads it as the other commands
// will. A file that they would refuse is removed.
func (s setup) write(env map[string]string) error {
	f, err := os.OpenFile(s.file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // #nosec G304 -- the operator names it
	switch {
	case errors.Is(err, fs.ErrExist):
		return existsError(s.file)
	case err != nil:
		return usage.Errorf("the configuration cannot be written: %w", err)
	}
	_, err = f.WriteString(s.yaml())
	if err = errors.Join(err, f.Close()); err == nil {
		_, err = settings.Load(s.file, map[string]string{"PATH": env["PATH"]}, nil, settings.Everything)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("nothing was written: %w", err), os.Remove(s.file))
	}
	return nil
}

func (s setup) yaml() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Settings of wxnotify, made by `wxnotify init`. They hold secrets: keep the mode 0600, do not commit them.\n"+
		"# Environment variables and flags override them; `wxnotify config --config %s` shows all.\n\n", shellQuote(s.file))
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s: '%s'\n", name, strings.ReplaceAll(value, "'", "''"))
		}
	}
	row("appid", s.appid)
	row("appsecret", s.secret.Reveal())
	row("wechat_base_url", s.baseURL)
	row("wechat_authorize_url", s.authorizeURL)
	b.WriteString("\n# 消息推送配置: the same values as in WeChat's console.\n")
	row("callback_token", s.token)
	row("encoding_aes_key", s.aesKey)
	row("callback_mode", "secure")
	b.WriteString("\n# What followers and WeChat reach.\n")
	if s.public == "" {
		b.WriteString("# public_url: 'https://notify.example.com'\n")
	}
	row("public_url", s.public)
	row("public_addr", s.publicAddr)
	row("enroll_key", s.enrollKey)
	b.WriteString("\n# The operators' pages.\n")
	row("ops_addr", s.opsAddr)
	row("ops_login", "admin:"+s.opsPassword)
	row("api_addr", s.apiAddr)
	b.WriteString("\n# redis_url: 'redis://127.0.0.1:6379/0'\n")
	return b.String()
}

// host is the public host, or a placeholder.
func (s setup) host() string {
	if u, err := url.Parse(s.public); err == nil && u.Hostname() != "" {
		return u.Hostname()
	}
	return "notify.example.com"
}
