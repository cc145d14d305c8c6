package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/broker"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest" //nolint:depguard // the benchmark's WeChat is the simulator
	"github.com/wxnotify/wxnotify/worker"
)

// The builds that are compared.
const (
	ours  = "wxnotify"
	bare  = "bare"
	naive = "naive"
)

// servers fetch in one process, in our build and the bare one alike.
const servers = 4

// send is the child that empties a filled queue.
func send(ctx context.Context, t task) (outcome, error) {
	if t.Variant == naive {
		return sendNaive(ctx, t)
	}
	rdb, err := broker.Dial(t.Redis)
	if err != nil {
		return outcome{}, err
	}
	defer func() { _ = rdb.Close() }()
	m := newMeter(ctx, rdb, t)
	if strings.HasPrefix(t.Variant, ours) {
		return sendOurs(ctx, t, rdb, m)
	}
	return sendBare(ctx, t, rdb, m)
}

func sendOurs(ctx context.Context, t task, rdb redis.UniversalClient, m *meter) (outcome, error) {
	m.counter = &counter{}
	rdb.AddHook(m.counter)
	t.Rate = noLimit
	s, err := newStack(rdb, t, tuned(m.dials), func(e worker.Event) {
		if e.Action == worker.Sent {
			m.tick()
		}
	})
	if err != nil {
		return outcome{}, err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx) }()
	select {
	case <-m.done:
	case err := <-ended:
		return outcome{}, errors.Join(errors.New("the worker ended before its messages"), err)
	}
	stop()
	if err := <-ended; err != nil {
		return outcome{}, err
	}
	return m.outcome()
}

// sendBare has no guarantee at all: asynq, a token fetched once, a request.
func sendBare(ctx context.Context, t task, rdb redis.UniversalClient, m *meter) (outcome, error) {
	hc := tuned(m.dials)
	url, err := sendURL(ctx, t, hc)
	if err != nil {
		return outcome{}, err
	}
	n := servers
	if strings.HasPrefix(t.Variant, bareOne) {
		n = 1
	}
	cfg := asynq.Config{Queues: map[string]int{}}
	for i := 1; i < t.Accounts; i++ {
		cfg.Queues[fmt.Sprintf("idle%02d", i)] = 1
	}
	stop, err := serve(rdb, t.InFlight, n, cfg, func(ctx context.Context, task *asynq.Task) error {
		_, body, _ := bytes.Cut(task.Payload(), []byte("\n"))
		if err := post(ctx, hc, url, body); err != nil {
			return err
		}
		m.tick()
		return nil
	})
	if err != nil {
		return outcome{}, err
	}
	err = m.wait(ctx)
	stop()
	if err != nil {
		return outcome{}, err
	}
	return m.outcome()
}

// serve starts n asynq servers on the account's default queue, and on those of cfg.
func serve(rdb redis.UniversalClient, inFlight, n int, cfg asynq.Config, handle asynq.HandlerFunc) (stop func(), err error) {
	cfg.Concurrency = max(inFlight/n, 1)
	if cfg.Queues == nil {
		cfg.Queues = map[string]int{}
	}
	cfg.Queues[broker.Queue(appID, job.Default)] = 1
	cfg.LogLevel = asynq.FatalLevel
	var running []*asynq.Server
	stop = func() {
		for _, s := range running {
			s.Shutdown()
		}
	}
	for range n {
		s := asynq.NewServerFromRedisClient(rdb, cfg)
		if err := s.Start(handle); err != nil {
			stop()
			return nil, fmt.Errorf("start asynq: %w", err)
		}
		running = append(running, s)
	}
	return stop, nil
}

// sendURL fetches a token and returns where to post messages with it.
func sendURL(ctx context.Context, t task, hc *http.Client) (string, error) {
	fetcher, err := wechat.NewTokenFetcher(wechat.Config{
		AppID: appID, AppSecret: wechat.NewSecret(wechattest.AppSecret), BaseURL: t.WeChat, HTTPClient: hc,
	})
	if err != nil {
		return "", err
	}
	token, err := fetcher.FetchStable(ctx, false)
	if err != nil {
		return "", err
	}
	return t.WeChat + wechattest.SendPath + "?access_token=" + token.Value.Reveal(), nil
}

// sendTimeout bounds a request of the builds that are not ours.
const sendTimeout = 10 * time.Second

func post(ctx context.Context, hc *http.Client, url string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return errors.New("the URL of the simulator is malformed")
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	resp, err := hc.Do(req)
	if err != nil {
		return errors.New("the simulator did not answer") // the error would show the token
	}
	defer func() { _ = resp.Body.Close() }()
	said, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(said), `"errcode":0`) {
		return fmt.Errorf("the simulator said %.80q", said)
	}
	return nil
}
