package doctor

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/names"
	"github.com/wxnotify/wxnotify/internal/queue"
)

// sealShare is how long waiting messages are read, of the time of a check.
const sealShare = 2.0 / 3

// messages reads what waits.
func (a Account) messages() job.Codec { return job.NewCodec(a.AppID, a.SealKeys) }

// checkSeal finds waiting messages that the configured keys do not open, and those in
// clear where keys are configured. It looks at the first ones when there are many.
func checkSeal(ctx context.Context, n *Notes, a Account, rdb redis.UniversalClient) {
	limited, cancel := part(ctx, sealShare)
	defer cancel()
	byKey := map[string]int{} // the empty one: in clear
	read := 0
	_, _, err := queue.NewInspector(rdb).Each(limited, a.AppID, func(_ queue.Ref, payload []byte) []byte {
		if read++; read >= mostRead {
			cancel()
		}
		byKey[job.SealedWith(payload)]++
		return nil
	})
	if err != nil && limited.Err() == nil {
		skipUnread(n, err)
		return
	}
	unsealed := byKey[""]
	delete(byKey, "")
	n.Detail("messages sealed: {sealed}, in clear: {clear}", "{sealed} 条消息已加密，{clear} 条为明文",
		"sealed", strconv.Itoa(read-unsealed), "clear", strconv.Itoa(unsealed))
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		if !slices.Contains(a.SealKeys.IDs(), key) {
			n.Add("seal-key-missing", "key", key, "count", strconv.Itoa(byKey[key]))
		}
	}
	if unsealed > 0 && a.SealKeys.Seals() {
		n.Add("seal-clear", "count", strconv.Itoa(unsealed))
	}
}

// checkNames compares how openids and users lie in Redis with the settings.
func checkNames(ctx context.Context, n *Notes, a Account, rdb redis.UniversalClient) {
	key, to, err := names.Read(ctx, rdb, a.AppID)
	switch {
	case err != nil:
		skipUnread(n, err)
	case to != "":
		n.Add("names-converting")
	case key == a.Names.KeyID():
		n.Detail("openids and users: {way}", "openid 和用户：{way}", "way", wayOf(key))
	case key != "" || inUse(ctx, rdb, a.AppID):
		n.Add("names-mixed", "there", wayOf(key), "here", wayOf(a.Names.KeyID()))
	}
}

// inUse reports whether the account has records or bindings: a new one takes the way of its
// first process.
func inUse(ctx context.Context, rdb redis.UniversalClient, appid string) bool {
	used, err := names.InUse(ctx, rdb, appid)
	return err != nil || used
}

// wayOf is how names lie: clear, or the ID of the key.
func wayOf(key string) string {
	if key == "" {
		return "clear"
	}
	return "key " + key
}
