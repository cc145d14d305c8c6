package redistest

import (
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Dump lists every key of a Redis with its content, which tests search for what must
// not be there. Hashes have their field names in it.
func Dump(tb testing.TB, rdb *redis.Client) []string {
	tb.Helper()
	ctx := tb.Context()
	var out []string
	for _, key := range rdb.Keys(ctx, "*").Val() {
		var v any
		switch kind := rdb.Type(ctx, key).Val(); kind {
		case "string":
			v = rdb.Get(ctx, key).Val()
		case "hash":
			v = rdb.HGetAll(ctx, key).Val()
		case "zset":
			v = rdb.ZRange(ctx, key, 0, -1).Val()
		case "set":
			v = rdb.SMembers(ctx, key).Val()
		case "list":
			v = rdb.LRange(ctx, key, 0, -1).Val()
		case "stream":
			v = rdb.XRange(ctx, key, "-", "+").Val()
		case "none": // has expired since
		default:
			tb.Errorf("%s is a %s, which Dump does not read", key, kind)
		}
		out = append(out, fmt.Sprint(key, " = ", v))
	}
	return out
}
