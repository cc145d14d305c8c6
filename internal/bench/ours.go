package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/redisconn"
	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
	"github.com/wxnotify/wxnotify/worker"
)

// This file and api.go call wxnotify's packages, wired as the program wires them.

const (
	appID         = "wx0123456789abcdef"
	classDefault  = string(producer.Default)
	classCritical = string(producer.Critical)
	classBulk     = string(producer.Bulk)
)

func dial(url string) (redis.UniversalClient, error) { return redisconn.Dial(url) }

// runOurs sends with every guarantee until ctx ends.
func runOurs(ctx context.Context, j job, rdb redis.UniversalClient, m *meter) {
	// The gate has a client of its own, so that its round trips are counted apart.
	gateRedis := must(dial(j.Redis))
	defer func() { _ = gateRedis.Close() }()
	gateRedis.AddHook(&m.gate)
	rdb.AddHook(&m.redis)
	newGate := func(appID string) *ratelimit.Gate {
		return must(ratelimit.New(gateRedis, ratelimit.Config{
			Key: redisx.Prefix(appID), Rate: j.Rate, DailyQuota: j.Quota, Reserve: 0.02,
			UTCOffset: 8 * time.Hour, Owner: fmt.Sprintf("bench:%d", os.Getpid()),
		}))
	}
	gate := newGate(appID)
	cfg := wechat.Config{
		AppID: appID, AppSecret: wechat.NewSecret("0123456789abcdef0123456789abcdef"), BaseURL: j.WeChat,
		HTTPClient: tunedClient(&m.dials),
	}
	tokens := must(tokenstore.New(rdb, must(wechat.NewTokenFetcher(cfg)), tokenstore.Config{AppID: appID}))
	client := must(wechat.NewClient(cfg, tokens))
	accounts := []worker.Account{{AppID: appID, Sender: client, Gate: gate, Quota: client}}
	for i := 1; i < j.Accounts; i++ {
		idle := accounts[0] // it sends nothing, so it can share the rest
		idle.AppID = fmt.Sprintf("wxidle%012d", i)
		idle.Gate = newGate(idle.AppID)
		accounts = append(accounts, idle)
	}
	out := bufio.NewWriterSize(must(os.OpenFile(os.DevNull, os.O_WRONLY, 0)), 256<<10)
	encoder := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	w := must(worker.New(worker.Config{
		Redis: rdb, Accounts: accounts, Concurrency: j.InFlight,
		Logger: zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(out)), zap.InfoLevel)),
		OnEvent: func(e worker.Event) {
			if e.Action == worker.Sent {
				m.add(1)
			}
		},
	}))
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- tokens.Run(background) }()
	err := w.Run(ctx)
	stop()
	if errTokens := <-ended; !errors.Is(errTokens, context.Canceled) {
		err = errors.Join(err, errTokens)
	}
	check(err)
}

func newProducer(rdb redis.UniversalClient, class string) *producer.Producer {
	return must(producer.New(rdb, producer.Config{Account: appID, Class: producer.ClassName(class)}))
}

func enqueueOurs(ctx context.Context, j job, rdb redis.UniversalClient, m *meter) {
	p := newProducer(rdb, j.Class)
	defer func() { _ = p.Close() }()
	var list iter.Seq[producer.Message] = func(yield func(producer.Message) bool) {
		for i := range j.Messages {
			if !yield(producer.Message{ID: messageID(j.Prefix, i), Message: message(i)}) {
				return
			}
		}
	}
	switch j.Build {
	case oneByOne:
		concurrently(j.Messages, func(i int) error {
			_, err := p.Enqueue(ctx, messageID(j.Prefix, i), message(i))
			m.add(1)
			return err
		})
	case many:
		for some := range slices.Chunk(slices.Collect(list), max(j.Messages/12, 1)) {
			must(p.EnqueueMany(ctx, some))
			m.add(int64(len(some)))
		}
	default:
		for r := range p.EnqueueSeq(ctx, list) {
			check(r.Err)
			m.add(1)
		}
	}
}

// delivered reports whether the receipts of 200 messages of j are in their records.
func (l *lab) delivered(ctx context.Context, j job) bool {
	p := newProducer(l.rdb, j.Class)
	defer func() { _ = p.Close() }()
	for i := range 200 {
		if must(p.Status(ctx, messageID(j.Prefix, i*j.Messages/200))).State != producer.Delivered {
			return false
		}
	}
	return true
}

func newCallback() *wechat.Callback {
	return must(wechat.NewCallback(wechat.CallbackConfig{
		AppID: appID, Mode: wechat.CallbackPlain, Tokens: []wechat.RotatingSecret{{Value: wechat.NewSecret("bench0Token")}},
	}))
}

// receiveOurs takes WeChat's receipts until ctx ends.
func receiveOurs(ctx context.Context, j job, rdb redis.UniversalClient, _ *meter) {
	s := must(enroll.New(enroll.Config{Accounts: []enroll.Account{{
		Roster: must(enroll.NewRoster(enroll.RosterConfig{Redis: rdb, Account: appID})), Callback: newCallback(),
	}}}))
	server := &http.Server{Addr: j.Listen, Handler: s.Handler(), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.ListenAndServe() }()
	check(errors.Join(s.Run(ctx), server.Close()))
}
