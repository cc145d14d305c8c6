package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/wechat"
)

// naiveInFlight is what such builds are set to; more would open more connections
// anew at a time, not send more.
const naiveInFlight = 200

// naiveBuild is what one writes on the first day: the default transport, four
// Redis calls and a log line for each message, the body decoded and encoded.
type naiveBuild struct {
	rdb *redis.Client
	hc  *http.Client
	url string
	log *zap.Logger
	m   *meter
}

func sendNaive(ctx context.Context, t task) (outcome, error) {
	opts, err := redis.ParseURL(t.Redis)
	if err != nil {
		return outcome{}, fmt.Errorf("redis: %w", err)
	}
	n := &naiveBuild{rdb: redis.NewClient(opts), hc: &http.Client{}}
	defer func() { _ = n.rdb.Close() }()
	n.m = newMeter(ctx, n.rdb, t)
	if n.url, err = sendURL(ctx, t, n.hc); err != nil {
		return outcome{}, err
	}
	if err := n.rdb.Set(ctx, "naive:token", n.url, time.Hour).Err(); err != nil {
		return outcome{}, fmt.Errorf("redis: %w", err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return outcome{}, fmt.Errorf("open the null device: %w", err)
	}
	defer func() { _ = null.Close() }()
	n.log = zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.Lock(null), zap.InfoLevel))
	stop, err := serve(n.rdb, min(t.InFlight, naiveInFlight), 1, asynq.Config{}, n.handle)
	if err != nil {
		return outcome{}, err
	}
	err = n.m.wait(ctx)
	stop()
	if err != nil {
		return outcome{}, err
	}
	return n.m.outcome()
}

func (n *naiveBuild) handle(ctx context.Context, t *asynq.Task) error {
	env, err := job.Parse(t.Payload())
	if err != nil {
		return err
	}
	now := time.Now()
	url, errToken := n.rdb.Get(ctx, "naive:token").Result()
	sent, errQuota := n.rdb.Incr(ctx, "naive:quota:"+now.Format("20060102")).Result()
	_, errRate := n.rdb.Incr(ctx, "naive:rate:"+now.Format("150405")).Result()
	if err := errors.Join(errToken, errQuota, errRate); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	var message wechat.TemplateMessage
	if err := json.Unmarshal(env.Body, &message); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	body, err := json.Marshal(&message)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	if err := post(ctx, n.hc, url, body); err != nil {
		return err
	}
	if err := n.rdb.Set(ctx, "naive:sent:"+env.ID, "1", time.Hour).Err(); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	n.log.Info("sent", zap.String("id", env.ID), zap.Int64("of_today", sent))
	n.m.tick()
	return nil
}
