package main

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/internal/simserver"
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
		Long: `demo runs an embedded Redis, a simulated WeChat, a worker, the followers' endpoint
and the operators' pages in one process, and sends sample messages through them.
Some of them meet trouble on purpose: a busy WeChat, an answer lost on the way,
a user who does not follow. It makes no connection to the outside and keeps nothing.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if messages < 1 || messages > 10000 {
				return &usageError{errors.New("--messages: from 1 to 10000; the embedded Redis is for looking, not for load")}
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
	config   *config
	close    func()
}

func (a *app) demo(ctx context.Context, messages int, once bool) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	st, err := setStage(messages)
	if err != nil {
		return err
	}
	defer st.close()
	d := &display{out: a.Stdout, color: isTerminal(a.Stdout)}
	s, err := newServer(st.rdb, st.config, sends|publishes, zap.NewNop(), hooks{
		onEvent: d.event, opsListener: st.opsLn, publicListener: st.publicLn,
	})
	if err != nil {
		return err
	}
	defer s.close()

	var g errgroup.Group
	g.Go(func() error {
		return serveHTTP(ctx, st.pageLn, simserver.New(st.platform, st.pageLn.Addr().String()), limits{})
	})
	g.Go(func() error { return s.run(ctx) })
	d.hello(st, s)
	err = a.demoMessages(ctx, st, d, messages)
	if err == nil {
		err = d.summary(ctx, st)
	}
	if err == nil && !once {
		d.goodbye(st)
		<-ctx.Done()
	}
	stop()
	return errors.Join(err, g.Wait())
}

// What the demo's simulated WeChat and its followers' endpoint share. They guard
// nothing: all of it is on loopback and gone with the process.
const (
	demoToken     = "demo0Token"
	demoAESKey    = "demo0EncodingAESKey0demo0EncodingAESKey0dem"
	demoEnrollKey = "demo0enroll0key0demo0enroll0key0"
)

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
		"127.0.0.1:8090": &st.pageLn, "127.0.0.1:9090": &st.opsLn, "127.0.0.1:8080": &st.publicLn,
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
	st.platform.Account(wechattest.AppID).SetCallback(wechattest.CallbackConfig{
		URL: public + "/callback/" + wechattest.AppID, Mode: wechattest.CallbackSecure,
		Token: wechat.NewSecret(demoToken), EncodingAESKey: wechat.NewSecret(demoAESKey),
	})
	st.config, err = loadConfig("", nil, map[string]string{
		"redis_url": st.redisURL, "appid": wechattest.AppID, "appsecret": wechattest.AppSecret,
		"wechat_base_url": st.pageURL, "ops_addr": st.opsLn.Addr().String(), "rate": "20", "concurrency": "16",
		"wechat_authorize_url": st.pageURL + "/connect/oauth2/authorize", "public_url": public,
		"callback_token": demoToken, "encoding_aes_key": demoAESKey, "enroll_key": demoEnrollKey,
	}, everyGroup)
	if err != nil {
		return nil, err
	}
	if st.rdb, err = redisx.Dial(st.redisURL); err != nil {
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

// demoMessages enqueues a trickle, so that one sees them arrive, and waits until
// each has settled.
func (a *app) demoMessages(ctx context.Context, st *stage, d *display, n int) error {
	entry, err := st.config.pick("")
	if err != nil {
		return err
	}
	p, err := newProducer(st.rdb, st.config, entry)
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }()
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
		return d.receipts(ctx, p)
	case <-ctx.Done():
		return nil
	}
}

// receiptsWithin is how long the demo waits for the last receipt.
const receiptsWithin = 10 * time.Second

// receipts waits until WeChat has told of each accepted message, and counts the
// states.
func (d *display) receipts(ctx context.Context, p *producer.Producer) error {
	ctx, cancel := context.WithTimeout(ctx, receiptsWithin)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		list, err := p.StatusMany(context.WithoutCancel(ctx), d.ids)
		if err != nil {
			return err
		}
		counts := map[ledger.State]int{}
		for _, s := range list {
			if s != nil {
				counts[s.State]++
			}
		}
		d.mu.Lock()
		d.counts = counts
		d.mu.Unlock()
		if counts[ledger.Accepted] == 0 || ctx.Err() != nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
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

func (d *display) hello(st *stage, s *server) {
	_, _ = fmt.Fprintf(d.out, `wxnotify demo: an embedded Redis, a simulated WeChat, a worker and the followers'
endpoint in this process.

  what recipients see    %s/
  operators' pages       http://%s/
  followers' endpoint    http://%s/

`, st.pageURL, s.opsLn.Addr(), s.publicLn.Addr())
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
	if !settled(string(e.State)) {
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

func (d *display) goodbye(st *stage) {
	link, err := producer.EnrollURL(producer.Enrollment{
		PublicURL: st.config.Public.URL, Account: wechattest.AppID, Key: wechat.NewSecret(demoEnrollKey), User: "patient-401",
		WithoutConfirm: true, // so that a scan binds
	})
	if err != nil {
		link = err.Error()
	}
	_, _ = fmt.Fprintf(d.out, `
Send more from another terminal:

  export WXNOTIFY_REDIS_URL=%s WXNOTIFY_APPID=%s
  wxnotify send --samples 3 --wait
  wxnotify status demo-1

Let a user enrol: open this link, scan its code as a simulated follower does, and
write to the user:

  %s
  curl %s/_sim/followers -d '{"openids": ["oSIM6t0follower0000000000001"], "do": "scan"}'
  wxnotify enroll list
  wxnotify send --user patient-401 --template %s --data thing1=化验单 --data time2="2026-11-25 10:00" --data amount3=¥10 --id lab-1 --wait

Ctrl-C ends the demo.
`, st.redisURL, wechattest.AppID, link, st.pageURL, wechattest.TemplateOrderPaid)
}
