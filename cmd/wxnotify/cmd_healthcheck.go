package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxnotify/wxnotify/internal/mask"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/usage"
)

// healthFlags are those of healthcheck.
type healthFlags struct {
	url     string
	live    bool
	timeout time.Duration
}

func (a *app) healthcheckCommand() *cobra.Command {
	var f healthFlags
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask whether the process of this machine is ready, for images without a shell",
		Long: `healthcheck asks /readyz of the operators' listener at WXNOTIFY_OPS_ADDR and prints
the answer. It exits 0 when the process is ready, 1 when it is not or does not
answer. Use it as the health check of a container:

  healthcheck: {test: [CMD, /wxnotify, healthcheck]}

A supervisor that restarts what is not healthy uses --live, since a restart does not
mend Redis or WeChat.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.healthcheck(cmd, f) },
	}
	cmd.Flags().StringVar(&f.url, "url", "", "ask this address instead, such as http://127.0.0.1:9090/readyz")
	cmd.Flags().BoolVar(&f.live, "live", false, "ask /healthz: whether the process answers, whatever Redis and WeChat do")
	cmd.Flags().DurationVar(&f.timeout, "timeout", 5*time.Second, "how long to wait for the answer")
	a.addSettings(cmd, settings.Operating)
	return cmd
}

// healthView is `healthcheck --output json`.
type healthView struct {
	URL    string      `json:"url"`
	OK     bool        `json:"ok"`
	Status int         `json:"status,omitempty"` // HTTP's; 0: no answer
	Checks []checkView `json:"checks,omitempty"`
	Error  string      `json:"error,omitempty"`
}

// checkView is one line of /readyz.
type checkView struct {
	Name   string `json:"name"`
	Result string `json:"result"`          // ok, warning, failed or not known
	Cause  string `json:"cause,omitempty"` // told with the login only
}

func (a *app) healthcheck(cmd *cobra.Command, f healthFlags) error {
	if f.timeout <= 0 {
		return usage.Errorf("--timeout: %s is not above 0", f.timeout)
	}
	address, login, err := a.healthAddress(cmd, f)
	if err != nil {
		return err
	}
	view := healthView{URL: address}
	text, err := view.ask(cmd.Context(), login, f.timeout)
	if err != nil {
		view.Error = err.Error()
	}
	if a.output == "json" {
		if err := a.printJSON(view); err != nil {
			return err
		}
	} else if _, err := io.WriteString(a.Stdout, text); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	switch {
	case view.Error != "":
		return errors.New(view.Error)
	case !view.OK:
		return errSilent
	}
	return nil
}

// healthAddress returns the address to ask and, for the own listener, the login with
// which it tells causes.
func (a *app) healthAddress(cmd *cobra.Command, f healthFlags) (address string, login []string, err error) {
	if f.url != "" && f.live {
		return "", nil, usage.Errorf("--live beside --url: write /healthz in the address")
	}
	if f.url != "" {
		if err := settings.CheckURL(f.url); err != nil {
			return "", nil, usage.Errorf("--url: %w", err)
		}
		if a.output != "text" && a.output != "json" {
			return "", nil, usage.Errorf("--output: %s is not one of text, json", usage.Quote(a.output))
		}
		return f.url, nil, nil
	}
	c, err := a.load(cmd)
	if err != nil {
		return "", nil, err
	}
	if c.Ops.Addr == settings.Off {
		return "", nil, usage.Errorf("%s is -: the process has no operators' listener that could be asked; set an address, or ask another listener by --url", c.Label("ops_addr"))
	}
	if user, password, ok := strings.Cut(c.Ops.Login.Reveal(), ":"); ok {
		login = []string{user, password}
	}
	u := url.URL{Scheme: "http", Host: ownAddress(c.Ops.Addr), Path: "/readyz"}
	if f.live {
		u.Path, login = "/healthz", nil
	}
	return u.String(), login, nil
}

// ownAddress is addr as this machine reaches it: the loopback address where it stands for
// every address.
func ownAddress(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	switch ip := net.ParseIP(host); {
	case err != nil:
		return addr
	case host == "" || ip.Equal(net.IPv4zero):
		return net.JoinHostPort("127.0.0.1", port)
	case ip.Equal(net.IPv6unspecified):
		return net.JoinHostPort("::1", port)
	}
	return addr
}

// maxHealthAnswer bounds what is read of an answer.
const maxHealthAnswer = 64 << 10

// ask returns the answer's text. The error is one sentence; it holds no login.
func (v *healthView) ask(ctx context.Context, login []string, timeout time.Duration) (text string, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.URL, nil)
	if err != nil {
		return "", fmt.Errorf("%s: %w", v.URL, err)
	}
	if len(login) > 0 {
		req.SetBasicAuth(login[0], login[1])
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true}, // no proxy: the listener is this machine's
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", fmt.Errorf("no answer from %s: start the process, or correct the address (%w)", v.URL, mask.WithoutURL(err))
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxHealthAnswer))
	if err != nil {
		return "", fmt.Errorf("the answer of %s broke off: %w", v.URL, err)
	}
	v.Status, v.OK = resp.StatusCode, resp.StatusCode == http.StatusOK
	if !v.OK && v.Status != http.StatusServiceUnavailable {
		return "", fmt.Errorf("%s answers HTTP %d, not 200 or 503: it is not wxnotify's operators' listener; correct the address", v.URL, v.Status)
	}
	v.Checks = readChecks(string(body))
	return strings.TrimRight(string(body), "\n") + "\n", nil
}

// readChecks reads the lines of /readyz: "name: result" or "name: result: cause". A name
// may hold an account's appid, but no colon.
func readChecks(text string) (out []checkView) {
	for line := range strings.Lines(text) {
		parts := strings.SplitN(strings.TrimSpace(line), ": ", 3)
		if len(parts) < 2 {
			continue
		}
		view := checkView{Name: parts[0], Result: parts[1]}
		if len(parts) == 3 {
			view.Cause = parts[2]
		}
		out = append(out, view)
	}
	return out
}
