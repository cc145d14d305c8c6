package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/logging"
	"github.com/wxnotify/wxnotify/internal/redisconn"
	"github.com/wxnotify/wxnotify/internal/server"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/simserver"
	"github.com/wxnotify/wxnotify/internal/usage"
	"github.com/wxnotify/wxnotify/internal/wiring"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
	"github.com/wxnotify/wxnotify/worker"
)

func (a *app) demoCommand() *cobra.Command {
	var once bool
	var messages int
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "The whole system in one process, nothing installed",
		Long: `demo runs an embedded Redis, a simulated WeChat, a worker, the followers' endpoint,
the HTTP API and the operators' pages in one process, and sends sample messages through them.
Some of them meet trouble on purpose: a busy WeChat, an answer lost on the way,
a user who does not follow. It makes no connection to the outside and keeps nothing.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if messages < 1 || messages > 10000 {
				return usage.Wrap(errors.New("--messages: from 1 to 10000; the embedded Redis is for looking, not for load"))
			}
			return a.demo(cmd.Context(), messages, once)
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "exit when all messages have ended")
	cmd.Flags().IntVar(&messages, "messages", 30, "how many sample messages")
	return cmd
}

// stage is what the demo plays on.
type stage struct {
	redisURL string
	pageURL  string
	rdb      redis.UniversalClient
	platform *wechattest.Platform
	pageLn   net.Listener
	opsLn    net.Listener
	publicLn net.Listener
	apiLn    net.Listener
	config   *settings.Config
	// enrollKey signs the links of this demo alone.
	enrollKey string
	close     func()
}

func (a *app) demo(ctx context.Context, messages int, once bool) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	st, err := setStage(messages)
	if err != nil {
		return err
	}
	defer st.close()
	d := &display{out: a.Stdout, color: logging.IsTerminal(a.Stdout), accepted: map[string]bool{}}
	s, err := server.New(st.rdb, st.config, server.Options{
		Roles: server.Sends | server.Publishes | server.Answers, Version: programVersion(), Log: zap.NewNop(),
		Stdout:  a.Stdout,
		OnEvent: d.event, OpsListener: st.opsLn, PublicListener: st.publicLn, APIListener: st.apiLn,
	})
	if err != nil {
		return err
	}
	defer s.Close()

	var g errgroup.Group
	g.Go(func() error {
		return server.Serve(ctx, st.pageLn, simserver.New(st.platform, st.pageLn.Addr().String()), nil)
	})
	g.Go(func() error { return s.Run(ctx) })
	d.hello(st)
	p, err := wiring.NewProducer(st.rdb, st.config, &st.config.Accounts[0])
	if err == nil {
		defer func() { _ = p.Close() }()
		g.Go(func() error { return d.receipts(ctx, p) })
		err = d.enqueue(ctx, p, messages)
	}
	if err == nil {
		err = d.summary(ctx, st)
	}
	if err == nil && !once {
		d.goodbye(st, a.self())
		<-ctx.Done()
	}
	stop()
	return errors.Join(err, g.Wait())
}

// setStage opens everything on loopback. The usual ports are taken when they are
// free, so that the addresses are easy to remember.
func setStage(messages int) (st *stage, err error) {
	st = &stage{}
	var opened []func()
	st.close = func() {
		for _, undo := range slices.Backward(opened) {
			undo()
		}
	}
	defer func() {
		if err != nil {
			st.close()
		}
	}()
	mini := miniredis.NewMiniRedis()
	mini.ClockTTL(true)
	if err := mini.Start(); err != nil {
		return nil, fmt.Errorf("start the embedded redis: %w", err)
	}
	opened = append(opened, mini.Close)
	for addr, ln := range map[string]*net.Listener{
		"127.0.0.1:8090": &st.pageLn, "127.0.0.1:9090": &st.opsLn, "127.0.0.1:8080": &st.publicLn, "127.0.0.1:8081": &st.apiLn,
	} {
		if *ln, err = listenNear(addr); err != nil {
			return nil, err
		}
		opened = append(opened, func() { _ = (*ln).Close() })
	}
	st.redisURL, st.pageURL = "redis://"+mini.Addr()+"/0", "http://"+st.pageLn.Addr().String()
	st.platform = wechattest.New(wechattest.Config{Latency: 40 * time.Millisecond})
	opened = append(opened, st.platform.Close)
	st.trouble(messages)
	public := "http://" + st.publicLn.Addr().String()
	token, aesKey := randomText(tokenLength), randomText(aesKeyLength)
	st.enrollKey = randomText(enrollKeyLength)
	st.platform.Account(wechattest.AppID).SetCallback(wechattest.CallbackConfig{
		URL: public + "/callback/" + wechattest.AppID, Mode: wechattest.CallbackSecure,
		Token: wechat.NewSecret(token), EncodingAESKey: wechat.NewSecret(aesKey),
	})
	st.config, err = settings.Load("", nil, map[string]string{
		"redis_url": st.redisURL, "appid": wechattest.AppID, "appsecret": wechattest.AppSecret,
		"wechat_base_url": st.pageURL, "ops_addr": st.opsLn.Addr().String(), "rate": "20", "concurrency": "16",
		"wechat_authorize_url": st.pageURL + "/connect/oauth2/authorize", "public_url": public,
		"callback_token": token, "encoding_aes_key": aesKey, "enroll_key": st.enrollKey,
	}, settings.Everything)
	if err != nil {
		return nil, err
	}
	if st.rdb, err = redisconn.Dial(st.redisURL); err != nil {
		return nil, err
	}
	opened = append(opened, func() { _ = st.rdb.Close() })
	return st, nil
}

// trouble makes some messages meet what happens in life.
func (st *stage) trouble(messages int) {
	acct := st.platform.Account(wechattest.AppID)
	if messages >= 5 {
		acct.Unfollow(sampleMessage(4).ToUser)
	}
	if messages >= 10 {
		st.platform.Script(
			wechattest.Errcode(-1).For(sampleMessage(6).ToUser), wechattest.CutAfterAccept().For(sampleMessage(8).ToUser),
		)
	}
}

func listenNear(addr string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr) //nolint:noctx // opens at once or fails
	if err != nil {
		host, _, _ := net.SplitHostPort(addr)
		ln, err = net.Listen("tcp", net.JoinHostPort(host, "0")) //nolint:noctx // opens at once or fails
	}
	if err != nil {
		return nil, fmt.Errorf("listen on loopback: %w", err)
	}
	return ln, nil
}

// enqueue enqueues a trickle, so that one sees them arrive, and waits until each has
// settled.
func (d *display) enqueue(ctx context.Context, p *producer.Producer, n int) error {
	d.expect(n)
	classes := []producer.Option{producer.Class(producer.Critical), producer.Class(producer.Default), producer.Class(producer.Bulk)}
	for i := range n {
		m := sampleMessage(i)
		d.ids = append(d.ids, fmt.Sprintf("demo-%d", i+1))
		if _, err := p.Enqueue(ctx, d.ids[i], m, classes[i%len(classes)]); err != nil {
			return err
		}
	}
	select {
	case <-d.done:
	case <-ctx.Done():
		return nil
	}
	return d.count(ctx, p)
}

const (
	// receiptsWithin is how long the demo waits for the last receipt.
	receiptsWithin = 10 * time.Second
	receiptsEvery  = 50 * time.Millisecond
	// maxAwaited bounds the messages whose receipt the demo shows.
	maxAwaited = 10_000
)

// receipts prints a line for each message that WeChat's receipt ended, until ctx ends.
func (d *display) receipts(ctx context.Context, p *producer.Producer) error {
	tick := time.NewTicker(receiptsEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		ids := d.awaited()
		list, err := p.StatusMany(context.WithoutCancel(ctx), ids)
		if err != nil {
			return err
		}
		for _, s := range list {
			if s != nil && s.State != ledger.Accepted {
				d.receipt(s)
			}
		}
	}
}

// awaited are the accepted messages without a receipt.
func (d *display) awaited() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Keys(d.accepted))
}

// receipt prints what a receipt said.
func (d *display) receipt(s *producer.Status) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.accepted, s.ID)
	mark, color := "✓", "32"
	if s.State != ledger.Delivered {
		mark, color = "✗", "31"
	}
	line := fmt.Sprintf("%s %-9s  %-8s  %-8s  receipt %s", mark, s.State, s.ID, s.Class, s.Receipt)
	_, _ = fmt.Fprintln(d.out, d.paint(color, line))
}

// count counts the states of the demo's messages, once each accepted one has its receipt.
func (d *display) count(ctx context.Context, p *producer.Producer) error {
	limit := time.After(receiptsWithin)
	tick := time.NewTicker(receiptsEvery)
	defer tick.Stop()
	for waiting := true; waiting && len(d.awaited()) > 0; {
		select {
		case <-tick.C:
		case <-limit:
			waiting = false
		case <-ctx.Done():
			waiting = false
		}
	}
	list, err := p.StatusMany(context.WithoutCancel(ctx), d.ids)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counts = map[ledger.State]int{}
	for _, s := range list {
		if s != nil {
			d.counts[s.State]++
		}
	}
	return nil
}

// display prints what happens, one line each.
type display struct {
	mu     sync.Mutex
	out    io.Writer
	color  bool
	left   int
	ids    []string
	counts map[ledger.State]int
	done   chan struct{}
	// accepted are the messages whose receipt is awaited.
	accepted map[string]bool
}

func (d *display) expect(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left, d.done = n, make(chan struct{})
}

func (d *display) paint(code, text string) string {
	if !d.color {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (d *display) hello(st *stage) {
	_, _ = fmt.Fprintf(d.out, `wxnotify demo: an embedded Redis, a simulated WeChat, a worker, the followers' endpoint
and the HTTP API in this process.

  what recipients see    %s/
  operators' pages       http://%s/
  followers' endpoint    http://%s/
  HTTP API               http://%s/docs

`, st.pageURL, st.opsLn.Addr(), st.publicLn.Addr(), st.apiLn.Addr())
}

// event prints a delivery as it is recorded.
func (d *display) event(e worker.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	mark, color := "·", "33"
	switch {
	case e.State == ledger.Accepted || e.State == ledger.Delivered:
		mark, color = "✓", "32"
	case e.State.Ended():
		mark, color = "✗", "31"
	}
	line := fmt.Sprintf("%s %-9s  %-8s  %-8s  %3d ms", mark, e.State, e.ID, e.Class, e.Latency.Milliseconds())
	if e.MsgID != 0 {
		line += "  msgid " + e.MsgID.String()
	}
	if e.Reason != "" {
		line += "  " + e.Reason
	}
	_, _ = fmt.Fprintln(d.out, d.paint(color, line))
	if e.State == ledger.Accepted && len(d.accepted) < maxAwaited {
		d.accepted[e.ID] = true
	}
	if !settled(e.State) {
		return
	}
	if d.left--; d.left == 0 {
		close(d.done)
	}
}

func (d *display) summary(ctx context.Context, st *stage) error {
	if ctx.Err() != nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var parts []string
	for _, state := range ledger.States() {
		if n := d.counts[state]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	_, err := fmt.Fprintf(d.out, "\nAll ended: %s. Calls that WeChat counted against the day's quota: %d of %s.\n",
		strings.Join(parts, ", "), st.platform.Account(wechattest.AppID).Used(), strconv.FormatInt(st.config.Account.DailyQuota, 10))
	return err
}

// goodbye prints what to try next: lines that run as printed, in this order, in a shell
// of the same directory.
func (d *display) goodbye(st *stage, self string) {
	link, err := producer.EnrollURL(producer.Enrollment{
		PublicURL: st.config.Public.URL, Account: wechattest.AppID, Key: wechat.NewSecret(st.enrollKey), User: "patient-401",
		WithoutConfirm: true, // so that a scan binds
	})
	if err != nil {
		link = err.Error()
	}
	_, _ = fmt.Fprintf(d.out, `
Send more from another terminal, in the same directory:

  export WXNOTIFY_REDIS_URL=%[1]s WXNOTIFY_APPID=%[2]s WXNOTIFY_WECHAT_BASE_URL=%[5]s
  %[3]s send --samples 3 --wait
  %[3]s status demo-1

Or from any language by the HTTP API, with a key that reaches no follower:

  key=$(%[3]s api keys create --name first-try --kind test)
  curl -sS http://%[8]s/v1/messages -H "Authorization: Bearer $key" -H 'Content-Type: application/json' -d '{"id": "hello-1", "message": {"touser": "wxn-sim-delivered", "template_id": "T1", "data": {"thing1": {"value": "Hello"}}}}'
  curl -sS http://%[8]s/v1/messages/hello-1 -H "Authorization: Bearer $key"

Let a user enrol: open the link (a browser on a computer shows a QR code), scan the
code as a simulated follower, and send to the user:

  curl -sSLo /dev/null '%[4]s'
  curl -sS %[5]s/_sim/followers -d '{"openids": ["%[6]s"], "do": "scan"}'
  %[3]s enroll list
  %[3]s send --user patient-401 %[7]s --wait

Ctrl-C ends the demo.
`, st.redisURL, wechattest.AppID, self, link, st.pageURL, hintFollower, labResult(), st.apiLn.Addr())
}
