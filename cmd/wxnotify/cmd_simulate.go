package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxnotify/wxnotify/internal/logging"
	"github.com/wxnotify/wxnotify/internal/server"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/simserver"
	"github.com/wxnotify/wxnotify/internal/usage"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// simulateFlags configure the simulator.
type simulateFlags struct {
	addr, appid, secret, callback string
	public                        string
	callbackToken, callbackKey    string
	utcOffset                     string
	quota, minute                 int64
	latency                       time.Duration
	strangers, anyTemplate        bool
	forceEndsToken                bool
	allowedIPs                    []string
	ipCheck                       string
	seed                          uint64
	cut, busy, badGateway         float64
}

func (a *app) simulateCommand() *cobra.Command {
	var f simulateFlags
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Simulate WeChat's platform on a port, for tests in any language",
		Long: `simulate answers WeChat's server API on a port: tokens, template messages, quota,
templates, followers, OAuth, receipts. Use it from wxnotify with
WXNOTIFY_WECHAT_BASE_URL, or from any other program. A page at / lists the
messages that arrived, /_sim/ is a control API: see docs/simulator.md.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			surviveClosedPipes()
			return a.simulate(cmd.Context(), f)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&f.addr, "addr", "127.0.0.1:8090", "where to listen")
	fs.StringVar(&f.appid, "appid", wechattest.AppID, "the account's appid")
	fs.StringVar(&f.secret, "appsecret", wechattest.AppSecret, "the account's AppSecret; not a real one")
	fs.StringVar(&f.public, "public-url", "http://127.0.0.1:8080", "where `serve` will be reached, for the printed lines")
	fs.StringVar(&f.callback, "callback-url", "", "push receipts and events to this address")
	fs.StringVar(&f.callbackToken, "callback-token", "", "Token that signs events; not a real one")
	fs.StringVar(&f.callbackKey, "callback-aes-key", "", "EncodingAESKey; with it events are pushed in secure mode")
	fs.Int64Var(&f.quota, "daily-quota", 100000, "template sends a day")
	fs.Int64Var(&f.minute, "minute-quota", 0, "template sends a minute; 0 is no limit")
	fs.StringVar(&f.utcOffset, "quota-utc-offset", "+08:00", "time zone of the midnight at which the quota restarts")
	fs.DurationVar(&f.latency, "latency", 0, "time from a call's effect to its answer")
	fs.BoolVar(&f.strangers, "strangers", false, "no openid follows until a call of /_sim/followers")
	fs.BoolVar(&f.anyTemplate, "any-template", false, "accept every template id")
	fs.StringSliceVar(&f.allowedIPs, "allowed-ips", nil, "the account's IP list: addresses and ranges, separated by commas; empty allows all")
	fs.StringVar(&f.ipCheck, "ip-check", "tokens", "which calls check the IP list: tokens or all")
	fs.BoolVar(&f.forceEndsToken, "force-ends-token", false, "a forced refresh ends the token before at once")
	fs.Uint64Var(&f.seed, "seed", 1, "seed of the random faults below")
	fs.Float64Var(&f.cut, "fault-cut", 0, "share of sends that are accepted and cut, 0 to 1")
	fs.Float64Var(&f.busy, "fault-busy", 0, "share of sends answered with -1")
	fs.Float64Var(&f.badGateway, "fault-502", 0, "share of sends answered with HTTP 502")
	return cmd
}

func (f simulateFlags) platform() *wechattest.Platform {
	offset, _ := settings.ParseUTCOffset(f.utcOffset) // see check
	ipCheck, _ := wechattest.ParseIPCheck(f.ipCheck)
	if offset == 0 {
		offset = 1 // UTC, since 0 is the default
	}
	callback := wechattest.CallbackConfig{
		URL: f.callback, Token: wechat.NewSecret(f.callbackToken), EncodingAESKey: wechat.NewSecret(f.callbackKey),
	}
	if f.callbackKey != "" {
		callback.Mode = wechattest.CallbackSecure
	}
	p := wechattest.New(wechattest.Config{
		Accounts: []wechattest.AccountConfig{{
			AppID: f.appid, AppSecret: wechat.NewSecret(f.secret), DailyQuota: f.quota, MinuteQuota: f.minute,
			Callback: callback, AllowedIPs: f.allowedIPs, IPCheck: ipCheck,
		}},
		Latency: f.latency, Strangers: f.strangers, AnyTemplate: f.anyTemplate, Seed: f.seed,
		QuotaUTCOffset: offset, ForceEndsToken: f.forceEndsToken,
	})
	if f.cut > 0 {
		p.Fault(f.cut, wechattest.CutAfterAccept())
	}
	if f.busy > 0 {
		p.Fault(f.busy, wechattest.Errcode(-1))
	}
	if f.badGateway > 0 {
		p.Fault(f.badGateway, wechattest.HTTPStatus(http.StatusBadGateway))
	}
	return p
}

func (f simulateFlags) check() error {
	for name, ratio := range map[string]float64{"cut": f.cut, "busy": f.busy, "502": f.badGateway} {
		if !(ratio >= 0 && ratio <= 1) {
			return fmt.Errorf("--fault-%s: %v is not a share from 0 to 1, such as 0.05", name, ratio)
		}
	}
	if _, err := wechattest.ParseIPCheck(f.ipCheck); err != nil {
		return fmt.Errorf("--ip-check: %w", err)
	}
	for _, ip := range f.allowedIPs {
		_, notAddress := netip.ParseAddr(ip)
		if _, notRange := netip.ParsePrefix(ip); notAddress != nil && notRange != nil {
			return fmt.Errorf("--allowed-ips: %q is no address and no range, such as 203.0.113.7 or 203.0.113.0/24", ip)
		}
	}
	if _, err := settings.ParseUTCOffset(f.utcOffset); err != nil {
		return fmt.Errorf("--quota-utc-offset: %w", err)
	}
	return nil
}

func (a *app) simulate(ctx context.Context, f simulateFlags) error {
	if err := f.check(); err != nil {
		return usage.Wrap(err)
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.addr)
	if err != nil {
		return usage.Wrap(fmt.Errorf("--addr: %w; choose another address, such as 127.0.0.1:0 for a free port", err))
	}
	p := f.platform()
	defer p.Close()
	base := "http://" + reachable(ln.Addr())
	_, _ = fmt.Fprint(a.Stderr, f.hints(base, a.self(), p.Accounts()[0].Templates()))
	return server.Serve(ctx, ln, simserver.New(p, f.addr), logging.New(a.Stderr, "warn", ""))
}

// reachable is addr, or its port on the loopback when it is every address.
func reachable(addr net.Addr) string {
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(tcp.Port))
	}
	return addr.String()
}

// hints are all that wxnotify needs to use the simulator at base: lines that run as
// printed, in this order, in another shell of the same directory.
func (f simulateFlags) hints(base, self string, templates []wechattest.Template) string {
	var b strings.Builder
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(&b, format, args...) }
	say("the simulator listens on %[1]s/  (a page; the control API is under %[1]s/_sim/)\n\n", base)
	say("All that wxnotify needs to use it, for another terminal in the same directory. Redis is the one of\n" +
		"WXNOTIFY_REDIS_URL, redis://127.0.0.1:6379/0 unless set.\n\n")
	token, key := f.callbackToken, f.callbackKey
	if f.callback == "" {
		token, key = randomText(tokenLength), randomText(aesKeyLength)
	}
	public := strings.TrimSuffix(f.public, "/")
	for _, v := range [][2]string{
		{"WECHAT_BASE_URL", base},
		{"WECHAT_AUTHORIZE_URL", base + "/connect/oauth2/authorize"},
		{"APPID", f.appid},
		{"APPSECRET", f.secret},
		{"PUBLIC_URL", public},
		{"ENROLL_KEY", randomText(enrollKeyLength)},
		{"CALLBACK_TOKEN", token},
		{"ENCODING_AES_KEY", key},
	} {
		if v[1] != "" {
			say("  export WXNOTIFY_%s=%s\n", v[0], shellQuote(v[1]))
		}
	}
	if f.callback == "" {
		say("  curl -sS %s/_sim/callback -d '{\"url\": \"%s/callback/%s\", \"mode\": \"secure\", \"token\": \"%s\", \"encoding_aes_key\": \"%s\"}'\n",
			base, public, f.appid, token, key)
	}
	follow := fmt.Sprintf("curl -sS %s/_sim/followers -d '{\"openids\": [\"%s\"], \"do\": \"follow\"}'", base, hintFollower)
	if f.strangers { // before it is written to
		say("  %s\n", follow)
	}
	say("  %s serve &\n", self)
	say("  %s send --to %s %s --wait\n", self, hintFollower, labResult())
	if f.strangers {
		say("\nAn openid follows once it was named like %s above.", hintFollower)
	} else {
		say("\nEvery openid follows, such as %s.", hintFollower)
	}
	say(" Templates (whole: curl -sS %s/_sim/templates):\n\n", base)
	for _, t := range templates {
		var keys []string
		for _, line := range t.Lines() {
			keys = append(keys, line.Key)
		}
		say("  %s  %s  %s\n", t.ID, t.Title, strings.Join(keys, " "))
	}
	return b.String()
}
