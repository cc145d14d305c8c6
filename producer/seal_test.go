package producer_test

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/seal"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

const (
	olderKey = "5f1d0c9a7be34428d1a6f0937c25be81402f6e9ad8137b5cc4e0918d2a6f7b33"
	newerKey = "c84e2b7f90a1d36e5528fb47091cde6a3b7f80e2941d5ac6f0739be81d24a65f"
)

func sealed(keys string) func(*producer.Config) {
	return func(c *producer.Config) { c.SealKeys = wechat.NewSecret(keys) }
}

// unsealed reads the task of id as a worker with newerKey would.
func unsealed(tb testing.TB, rdb redis.UniversalClient, appid, id string) job.Envelope {
	tb.Helper()
	k, err := seal.New(newerKey)
	must(tb, err)
	task, err := queue.NewInspector(rdb).Task(tb.Context(), appid, producer.Default, id)
	must(tb, err)
	e, err := job.NewCodec(appid, k).Parse(id, task.Payload)
	must(tb, err)
	return e
}

func TestNoValueOfASealedMessageIsInRedis(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	b := around(t, rdb, sealed(newerKey))
	const diagnosis, user = "influenza 流感", "patient-401"
	_, err := b.Enqueue(t.Context(), "visit-1", message(diagnosis))
	must(t, err)
	toUser := message(diagnosis)
	toUser.ToUser = ""
	_, err = b.Enqueue(t.Context(), "visit-2", toUser, producer.ToUser(user), producer.NotBefore(time.Now().Add(time.Hour)))
	must(t, err)
	_, err = b.EnqueueMany(t.Context(), []producer.Message{{ID: "visit-3", Message: message(diagnosis)}, {ID: "visit-4", Message: message(diagnosis)}})
	must(t, err)

	plain := unsealed(t, rdb, account, "visit-1")
	in := plain
	in.Fingerprint = ""
	guesses := map[string]string{"value": "influenza", "url": "shop.example", "fingerprint without a key": in.Hash()}
	for what, text := range guesses {
		for form, of := range map[string]string{
			"": text, " in base64": base64.StdEncoding.EncodeToString([]byte(text))[:8], " in hex": hex.EncodeToString([]byte(text)),
		} {
			for _, key := range redistest.Dump(t, rdb) {
				if strings.Contains(key, of) {
					t.Errorf("the %s%s is in %.200q", what, form, key)
				}
			}
		}
	}
	if !strings.Contains(string(plain.Body), "influenza") || plain.To != openid {
		t.Errorf("a worker reads %+v", plain)
	}
	for _, id := range []string{"visit-1", "visit-3"} {
		found, err := b.records.Get(t.Context(), id)
		must(t, err)
		if found[0].Hash != unsealed(t, rdb, account, id).Hash() {
			t.Errorf("%s: the record has the fingerprint %s: the worker would take the task for a foreign one", id, found[0].Hash)
		}
	}
}

// A repeated call is known while keys are switched on and rotated, and another message
// is still refused.
func TestARepeatedMessageIsKnownAcrossKeys(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	for name, c := range map[string]struct{ first, then string }{
		"switched on": {"", newerKey}, "rotated": {olderKey, newerKey + "," + olderKey}, "order of keys": {newerKey + "," + olderKey, olderKey + "," + newerKey},
	} {
		id := "order-" + strings.ReplaceAll(name, " ", "-")
		_, err := around(t, rdb, sealed(c.first)).Enqueue(t.Context(), id, message("paid"))
		must(t, err)
		then := around(t, rdb, sealed(c.then))
		ticket, err := then.Enqueue(t.Context(), id, message("paid"))
		if err != nil || !ticket.Duplicate {
			t.Errorf("%s: %+v, %v", name, ticket, err)
		}
		if _, err := then.Enqueue(t.Context(), id, message("refunded")); !errors.Is(err, producer.ErrIDReused) {
			t.Errorf("%s: another message: %v", name, err)
		}
		if n := len(rdb.Keys(t.Context(), "asynq:*:t:"+id).Val()); n != 1 {
			t.Errorf("%s: %d tasks", name, n)
		}
	}
	// Who has not the key cannot tell, and sends nothing.
	if _, err := around(t, rdb).Enqueue(t.Context(), "order-rotated", message("paid")); !errors.Is(err, producer.ErrIDReused) {
		t.Errorf("without the key: %v", err)
	}
}

// The task of a message that was cut off half-way is sealed with today's key, and has
// the fingerprint of its record, or the worker would drop it.
func TestAMessageCutOffHalfWayIsCompletedWithAnotherKey(t *testing.T) {
	t.Parallel()
	addrs, appid := cluster(t)
	rdb := clusterClient(t, addrs)
	records, err := ledger.New(rdb, appid, nil, ledger.Config{})
	must(t, err)
	t.Cleanup(func() { _ = records.Close() })
	open := func(keys string, hook redis.Hook) *producer.Producer {
		own := clusterClient(t, addrs)
		if hook != nil {
			own.AddHook(hook)
		}
		p, err := producer.New(own, producer.Config{Account: appid, SealKeys: wechat.NewSecret(keys)})
		must(t, err)
		t.Cleanup(func() { _ = p.Close() })
		return p
	}
	_, err = open(olderKey, nil).Enqueue(t.Context(), "warm", message("x")) // the servers know the scripts
	must(t, err)
	for id, first := range map[string]string{"half-sealed": olderKey, "half-clear": ""} {
		killed := &killedAfter{}
		killed.left.Store(1)
		if _, err := open(first, killed).Enqueue(t.Context(), id, message("x")); !errors.Is(err, errKilled) {
			t.Fatalf("got %v: the test tests nothing", err)
		}
		ticket, err := open(newerKey+","+olderKey, nil).Enqueue(t.Context(), id, message("x"))
		must(t, err)
		found, err := records.Get(t.Context(), id)
		must(t, err)
		if e := unsealed(t, rdb, appid, id); !ticket.Duplicate || e.Hash() != found[0].Hash {
			t.Errorf("%s: ticket %+v, the task has the fingerprint %s, the record %s", id, ticket, e.Hash(), found[0].Hash)
		}
	}
}

// On one node a task without its record's key can be missing, too: another tool deleted it.
func TestAMissingTaskIsPutAgainWithAnotherKey(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	_, err := around(t, rdb, sealed(olderKey)).Enqueue(t.Context(), "order-1", message("paid"))
	must(t, err)
	must(t, queue.NewInspector(rdb).Delete(t.Context(), account, producer.Default, "order-1"))
	then := around(t, rdb, sealed(newerKey+","+olderKey))
	_, err = then.Enqueue(t.Context(), "order-1", message("paid"))
	must(t, err)
	found, err := then.records.Get(t.Context(), "order-1")
	must(t, err)
	if e := unsealed(t, rdb, account, "order-1"); e.Hash() != found[0].Hash {
		t.Errorf("the task has the fingerprint %s, the record %s", e.Hash(), found[0].Hash)
	}
}

func TestSealKeysThatAreNoneAreRefusedAndNotShown(t *testing.T) {
	t.Parallel()
	_, err := producer.New(redistest.Start(t).Client(t), producer.Config{Account: account, SealKeys: wechat.NewSecret(newerKey[:60])})
	if err == nil || !strings.Contains(err.Error(), "SealKeys") || strings.Contains(err.Error(), newerKey[:8]) {
		t.Errorf("got %v", err)
	}
}
