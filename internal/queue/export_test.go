package queue

import (
	"context"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// NewAsynqLog is the bridge to a test of what asynq says: no Redis fails alike twice.
func NewAsynqLog(log *zap.Logger) asynq.Logger { return newAsynqLog(log) }

// NewClient is the Redis client that asynq gets.
func NewClient(rdb redis.UniversalClient, account string) redis.UniversalClient {
	return newClient(context.Background(), rdb, newFetcher(&ServerConfig{Redis: rdb, Account: account}))
}

// Tend looks after an account's queues once, as each server does every second, and
// returns what was logged.
func Tend(ctx context.Context, rdb redis.UniversalClient, account string) []observer.LoggedEntry {
	core, logs := observer.New(zap.DebugLevel)
	newFetcher(&ServerConfig{Redis: rdb, Account: account, Logger: zap.New(core)}).look(ctx)
	return logs.All()
}

// WithoutPayloads is what is removed from asynq's list of workers, for tests.
func WithoutPayloads(keys []string, args []any) []any { return withoutPayloads(keys, args) }

// SpareSlots are asynq's slots of one server beyond ServerConfig.Concurrency.
const SpareSlots = spareSlots
