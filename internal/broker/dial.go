package broker

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/redisx"
)

// Dial is redisx.Dial.
func Dial(url string) (redis.UniversalClient, error) { return redisx.Dial(url) }

// Check is redisx.Check.
func Check(ctx context.Context, rdb redis.UniversalClient) (redisx.Report, error) {
	return redisx.Check(ctx, rdb)
}
