package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sync/errgroup"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
	"github.com/wxnotify/wxnotify/wechat/wechattest" //nolint:depguard // the benchmark's WeChat is the simulator
	"github.com/wxnotify/wxnotify/worker"
)

// appID is the account that everything is sent from.
const appID = wechattest.AppID

// noLimit is a rate that the gate counts and that never binds.
const noLimit = 100_000

// tuned is the HTTP client of wxnotify and of the bare build alike, with the
// settings of wechat's own; opened counts its connections.
func tuned(opened *atomic.Int64) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	dialer := &net.Dialer{Timeout: 3 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			opened.Add(1)
			return dialer.DialContext(ctx, network, addr)
		},
		MaxIdleConns: 2048, MaxIdleConnsPerHost: 2048, IdleConnTimeout: time.Minute,
		DisableCompression: true, Protocols: protocols,
	}}
}

// stack is wxnotify's worker with all its rooms, wired as cmd wires them.
type stack struct {
	tokens *tokenstore.Store
	ledger *ledger.Ledger
	worker *worker.Worker
	flush  func()
}

func newStack(rdb redis.UniversalClient, t task, hc *http.Client, onEvent func(worker.Event)) (*stack, error) {
	if t.Quota == 0 {
		t.Quota = plenty
	}
	gate, err := newGate(rdb, t, appID)
	if err != nil {
		return nil, err
	}
	cfg := wechat.Config{
		AppID: appID, AppSecret: wechat.NewSecret(wechattest.AppSecret), BaseURL: t.WeChat, HTTPClient: hc,
		BeforeReplay: worker.ReplayPermit(gate),
	}
	fetcher, err := wechat.NewTokenFetcher(cfg)
	if err != nil {
		return nil, err
	}
	s := &stack{}
	if s.tokens, err = tokenstore.New(rdb, fetcher, tokenstore.Config{AppID: appID}); err != nil {
		return nil, err
	}
	client, err := wechat.NewClient(cfg, s.tokens)
	if err != nil {
		return nil, err
	}
	if s.ledger, err = ledger.New(rdb, ledger.Config{Account: appID}); err != nil {
		return nil, err
	}
	log, flush, err := bufferedLog()
	if err != nil {
		return nil, err
	}
	s.flush = flush
	accounts := []worker.Account{{
		AppID: appID, Sender: client, Gate: gate, Ledger: s.ledger, Suppressor: s.ledger, Quota: client,
	}}
	for i := 1; i < t.Accounts; i++ {
		idle := accounts[0] // it has nothing to send, so the rest may be another's
		idle.AppID = fmt.Sprintf("wxidle%012d", i)
		if idle.Gate, err = newGate(rdb, t, idle.AppID); err != nil {
			return nil, err
		}
		accounts = append(accounts, idle)
	}
	s.worker, err = worker.New(worker.Config{
		Redis: rdb, Concurrency: t.InFlight, Servers: servers, Logger: log, OnEvent: onEvent, Accounts: accounts,
	})
	return s, err
}

func newGate(rdb redis.UniversalClient, t task, account string) (*ratelimit.Gate, error) {
	return ratelimit.New(rdb, ratelimit.Config{
		Key: "wxn:{" + account + "}:", Rate: t.Rate, DailyQuota: t.Quota, Reserve: 0.02,
		UTCOffset: 8 * time.Hour, Owner: fmt.Sprintf("bench:%d", os.Getpid()),
	})
}

// run sends until ctx ends and has drained.
func (s *stack) run(ctx context.Context) error {
	defer s.flush()
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var g errgroup.Group
	g.Go(func() error {
		if err := s.tokens.Run(background); background.Err() == nil {
			return err
		}
		return nil
	})
	err := s.worker.Run(ctx)
	stop()
	if tokens := g.Wait(); err == nil {
		err = tokens
	}
	if closing := s.ledger.Close(); err == nil {
		err = closing
	}
	return err
}

// bufferedLog writes JSON lines to the null device in large pieces.
func bufferedLog() (*zap.Logger, func(), error) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open the null device: %w", err)
	}
	out := bufio.NewWriterSize(null, 256<<10)
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.Lock(zapcore.AddSync(out)), zap.InfoLevel)
	return zap.New(core), func() {
		_ = out.Flush()
		_ = null.Close()
	}, nil
}
