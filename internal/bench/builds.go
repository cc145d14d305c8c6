package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/wxnotify/wxnotify/internal/cost"
	"github.com/wxnotify/wxnotify/internal/gcpercent"
	"github.com/wxnotify/wxnotify/internal/logging"
	"github.com/wxnotify/wxnotify/internal/redisconn"
	"github.com/wxnotify/wxnotify/internal/server"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/worker"
)

// The builds. Each sends until ctx ends and counts its messages with m.
const (
	ours         = "ours"
	bare         = "bare"
	naive        = "naive"
	appID        = "wx0123456789abcdef"
	defaultQueue = appID + ":default"
)

type build func(ctx context.Context, j job, rdb redis.UniversalClient, m *meter)

// do runs a build and reads what its messages cost.
func do(ctx context.Context, j job) reading {
	rdb := must(redisconn.Dial(j.Redis))
	defer func() { _ = rdb.Close() }()
	run := map[string]build{ours: sendOurs, bare: sendBare, naive: sendNaive}[j.Build]
	m := newMeter(j.Warm, j.Messages)
	if !j.Open {
		return m.measure(ctx, j, rdb, run)
	}
	run(ctx, j, rdb, m)
	return m.read(context.WithoutCancel(ctx), rdb)
}

// sendBare has no guarantee: asynq, a constant token, a request.
func sendBare(ctx context.Context, j job, rdb redis.UniversalClient, m *meter) {
	hc := &http.Client{Transport: must(wechat.NewTransport(wechat.Secret{}))}
	serveAsynq(ctx, rdb, m, j.InFlight, j.Servers, func(ctx context.Context, _ *asynq.Task, body []byte) {
		post(ctx, hc, j.WeChat, accessToken(), body)
	})
}

// sendNaive is a first attempt without measurements: the default transport, four
// Redis calls and a log line for each message, the body decoded and encoded again.
func sendNaive(ctx context.Context, j job, rdb redis.UniversalClient, m *meter) {
	check(rdb.Set(ctx, "naive:token", accessToken(), time.Hour).Err())
	null := must(os.OpenFile(os.DevNull, os.O_WRONLY, 0))
	log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.Lock(null), zap.InfoLevel))
	const most = 200 // more in flight only opens more connections at once
	serveAsynq(ctx, rdb, m, min(j.InFlight, most), 1, func(ctx context.Context, t *asynq.Task, body []byte) {
		id, now := t.ResultWriter().TaskID(), time.Now()
		token := must(rdb.Get(ctx, "naive:token").Result())
		sent := must(rdb.Incr(ctx, "naive:quota:"+now.Format("20060102")).Result())
		check(rdb.Incr(ctx, "naive:rate:"+now.Format("150405")).Err())
		var message wechat.TemplateMessage
		check(json.Unmarshal(body, &message))
		post(ctx, &http.Client{}, j.WeChat, token, must(json.Marshal(&message)))
		check(rdb.Set(ctx, "naive:sent:"+id, "1", time.Hour).Err())
		log.Info("sent", zap.String("id", id), zap.Int64("of_today", sent))
	})
}

// serveAsynq runs n asynq servers on the default queue until ctx ends. send gets a task, and
// WeChat's body, which follows the delivery terms in the payload.
func serveAsynq(ctx context.Context, rdb redis.UniversalClient, m *meter, inFlight, n int, send func(context.Context, *asynq.Task, []byte)) {
	gcpercent.Set(nil)
	for range n {
		s := asynq.NewServerFromRedisClient(rdb, asynq.Config{
			Concurrency: inFlight / n, Queues: map[string]int{defaultQueue: 1}, LogLevel: asynq.FatalLevel,
		})
		check(s.Start(asynq.HandlerFunc(func(ctx context.Context, t *asynq.Task) error {
			_, body, _ := bytes.Cut(t.Payload(), []byte("\n"))
			err := capture(func() { send(ctx, t, body) })
			if err == nil {
				m.add()
			}
			return err
		})))
		defer s.Shutdown()
	}
	<-ctx.Done()
}

// accessToken is as long as WeChat's.
func accessToken() string { return "88_" + strings.Repeat("benchToken", 15) }

// post sends a body. Its failures do not show the token.
func post(ctx context.Context, hc *http.Client, base, token string, body []byte) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req := must(http.NewRequestWithContext(ctx, http.MethodPost, base+sendPath+"?access_token="+token, bytes.NewReader(body)))
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	resp, err := hc.Do(req)
	if err != nil {
		check(errors.New("the platform did not answer"))
	}
	defer func() { _ = resp.Body.Close() }()
	if answer, err := io.ReadAll(resp.Body); err != nil || !bytes.Contains(answer, []byte(`"errcode":0`)) {
		check(fmt.Errorf("the platform answered %.80q", answer))
	}
}

// sendOurs is the command worker, with its log and metrics.
func sendOurs(ctx context.Context, j job, rdb redis.UniversalClient, m *meter) {
	gcpercent.Set(nil)
	rdb.AddHook(&m.redis)
	c := must(settings.Load("", map[string]string{
		"WXNOTIFY_APPID": appID, "WXNOTIFY_APPSECRET": strings.Repeat("0", 32), "WXNOTIFY_WECHAT_BASE_URL": j.WeChat,
		"WXNOTIFY_RATE": fmt.Sprint(j.Rate), "WXNOTIFY_DAILY_QUOTA": strconv.FormatInt(j.Quota, 10),
		"WXNOTIFY_CONCURRENCY": strconv.Itoa(j.InFlight), "WXNOTIFY_OPS_ADDR": settings.Off,
	}, nil, settings.Everything))
	for i := 1; i < j.Accounts; i++ {
		idle := c.Accounts[0]
		idle.AppID = fmt.Sprintf("wx%016d", i)
		c.Accounts = append(c.Accounts, idle)
	}
	s := must(server.New(rdb, c, server.Options{
		Roles: server.Sends, Log: logging.New(must(os.OpenFile(os.DevNull, os.O_WRONLY, 0)), "info", "json"),
		OnEvent: func(e worker.Event) {
			if e.Action == worker.Sent {
				m.add()
			}
		},
	}))
	defer s.Close()
	check(s.Run(ctx))
	if m.redis.gate.Load() == 0 || m.redis.own.Load() == 0 {
		check(errors.New("round trips were not recognised: does the worker use the client that it was given, with keys as strings?"))
	}
}

func newProducer(rdb redis.UniversalClient, class producer.ClassName) *producer.Producer {
	return must(producer.New(rdb, producer.Config{Account: appID, Class: class}))
}

func messageID(i int) string { return fmt.Sprintf("r001-%08d", i) }

// enqueue puts the messages of j on the queue.
func enqueue(ctx context.Context, j job, rdb redis.UniversalClient) {
	p := newProducer(rdb, j.Class)
	defer func() { _ = p.Close() }()
	for r := range p.EnqueueSeq(ctx, func(yield func(producer.Message) bool) {
		for i := range j.Messages + j.Backlog {
			if !yield(producer.Message{ID: messageID(i), Message: cost.Message(i)}) {
				return
			}
		}
	}) {
		check(r.Err)
	}
}
