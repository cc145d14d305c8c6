package worker

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"time"

	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/heartbeat"
	"github.com/wxnotify/wxnotify/internal/redisx"
)

// heartbeatTimeout bounds one report.
const heartbeatTimeout = 5 * time.Second

// identity is this process in the registry of workers.
func identity(cfg Config) heartbeat.Worker {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown-host"
	}
	return heartbeat.Worker{
		ID:   fmt.Sprintf("%s:%d:%s", host, os.Getpid(), rand.Text()[:8]),
		Host: host, Version: cfg.Version, Started: time.Now().UTC(), Concurrency: cfg.Concurrency,
	}
}

// reportAlive reports this worker to the account's registry until ctx ends, then
// removes it. While Redis fails, the next report is the retry.
func (a *account) reportAlive(ctx context.Context) {
	failing := false
	for ctx.Err() == nil {
		err := a.report(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			a.log.Warn("cannot report to the registry of workers, trying again", zap.Error(err))
		}
		failing = err != nil
		_ = redisx.Sleep(ctx, jitterLittle(heartbeat.Every))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), heartbeatTimeout)
	defer cancel()
	_ = a.heartbeat.Leave(ctx) // it is not listed after a minute anyway
}

func (a *account) report(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, heartbeatTimeout)
	defer cancel()
	_, err := a.heartbeat.Beat(ctx, nil)
	return err
}
