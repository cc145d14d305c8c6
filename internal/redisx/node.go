package redisx

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// Node returns what SCAN has to be sent to for the keys of key's slot: the primary
// that has the slot, or rdb itself where there is no cluster.
func Node(ctx context.Context, rdb redis.UniversalClient, key string) (redis.Cmdable, error) {
	cluster, ok := rdb.(*redis.ClusterClient)
	if !ok {
		return rdb, nil
	}
	master, err := cluster.MasterForKey(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("find the server of a key: %w", err)
	}
	return master, nil
}
