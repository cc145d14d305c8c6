package worker_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/deadletter"
	"github.com/wxnotify/wxnotify/internal/heartbeat"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/seal"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
	"github.com/wxnotify/wxnotify/worker"
)

const (
	olderKey = "5f1d0c9a7be34428d1a6f0937c25be81402f6e9ad8137b5cc4e0918d2a6f7b33"
	newerKey = "c84e2b7f90a1d36e5528fb47091cde6a3b7f80e2941d5ac6f0739be81d24a65f"
)

func codec(t *testing.T, keys string) job.Codec {
	t.Helper()
	k, err := seal.New(keys)
	if err != nil {
		t.Fatal(err)
	}
	return job.NewCodec(appid, k)
}

// A fleet that is switched on, and later rotated: what waits in clear, under the older
// and under the newer key is sent once.
func TestMessagesOfEveryKeyAndInClearAreSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, wechattest.Config{}, terms{keys: newerKey + "," + olderKey})
		var all []string
		for prefix, keys := range map[string]string{"clear": "", "older": olderKey, "newer": newerKey} {
			list := ids(prefix, 5)
			p.enqueueWith(codec(t, keys), job.Default, list, nil)
			all = append(all, list...)
		}
		w := p.start()
		p.drained(100*time.Millisecond, time.Minute)
		p.seenOnce(all...)
		if got := p.records(appid, all...); got[ledger.Accepted] != len(all) {
			t.Errorf("records %v, want all accepted", got)
		}
		if err := w.worker.Check(appid); err != nil {
			t.Errorf("check: %v", err)
		}
	})
}

// A worker without the key sends what it can and leaves the rest as it is, for one that
// has the key; it says which key is missing, and not at every message.
func TestAMessageWaitsForAWorkerWithItsKey(t *testing.T) {
	t.Parallel()
	for name, keys := range map[string]string{"no key": "", "another key": olderKey} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPipe(t, wechattest.Config{}, terms{keys: keys})
				sealed, plain := ids("sealed", 20), ids("clear", 5)
				with := codec(t, newerKey)
				p.enqueueWith(with, job.Default, sealed, nil)
				p.enqueue(appid, job.Default, plain...)
				without := p.start()
				time.Sleep(2 * time.Minute) // virtual
				p.seenOnce(plain...)
				if got := p.records(appid, sealed...); got[ledger.Queued] != len(sealed) || p.left(appid) != int64(len(sealed)) {
					t.Fatalf("records %v, %d tasks; want all %d queued", got, p.left(appid), len(sealed))
				}
				workers, _, err := heartbeat.List(t.Context(), p.admin, appid)
				if err != nil || !slices.ContainsFunc(workers, func(w heartbeat.Worker) bool { return len(w.Held) == 1 && w.Held[0].SealKey == with.Keys().Current() }) {
					t.Errorf("no worker is listed as one that lacks the key: %+v, %v", workers, err)
				}
				if err := without.worker.Check(appid); err == nil || !strings.Contains(err.Error(), with.Keys().Current()) || !strings.Contains(err.Error(), "SealKeys") {
					t.Errorf("check: %v", err)
				}
				if lines := p.logs.FilterMessageSnippet("sealed with a key").Len(); lines < 1 || lines > 3 {
					t.Errorf("%d lines in the log within two minutes", lines)
				}
				p.terms.keys = newerKey
				p.start()
				p.drained(time.Second, 5*time.Minute)
				p.seenOnce(append(sealed, plain...)...)
				time.Sleep(2 * time.Minute) // virtual
				if err := without.worker.Check(appid); err != nil {
					t.Errorf("check, when none waits any more: %v", err)
				}
			})
		})
	}
}

// What was changed in Redis, or exchanged between two messages, is sent to nobody: the
// message is dead, and what was found of it is kept.
func TestAChangedOrExchangedMessageIsDeadAndNotSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, wechattest.Config{}, terms{keys: newerKey})
		with := codec(t, newerKey)
		p.enqueueWith(with, job.Default, []string{"good"}, nil)
		records := p.ledgerOn(p.admin, 0)
		payloads := map[string][]byte{}
		hashes := map[string]string{}
		for _, id := range []string{"cut", "a", "b"} {
			var err error
			if payloads[id], hashes[id], err = with.Encode(envelope(appid, job.Default, id)); err != nil {
				t.Fatal(err)
			}
		}
		payloads["cut"] = payloads["cut"][:len(payloads["cut"])-1]
		payloads["a"], payloads["b"] = payloads["b"], payloads["a"]
		for id, payload := range payloads {
			e := envelope(appid, job.Default, id)
			if err := createScript.Run(t.Context(), p.admin, []string{records.RecordKey(id)}, records.AppendCreate(nil, &e, hashes[id], time.Now())...).Err(); err != nil {
				t.Fatal(err)
			}
			if _, err := queue.Put(t.Context(), p.admin, appid, job.Default, queue.Item{ID: id, Payload: payload}); err != nil {
				t.Fatal(err)
			}
		}
		p.start()
		p.drained(100*time.Millisecond, time.Minute)
		p.seenOnce("good")
		for id, payload := range payloads {
			r := p.record(appid, id)
			if r.State != ledger.Dead || r.Reason != ledger.ReasonUnreadableTask || !strings.Contains(r.Detail, "changed") {
				t.Errorf("%s: record %+v", id, r)
			}
			if kept, err := records.Payload(t.Context(), id); err != nil || string(kept) != string(payload) {
				t.Errorf("%s: %d bytes are kept of %d, %v", id, len(kept), len(payload), err)
			}
		}
	})
}

// On its whole way, through a retry, a dead letter that is sent again, and an acceptance
// that keeps the message until its receipt, Redis shows no value.
func TestNoValueIsInRedisOnTheWholeWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, wechattest.Config{}, terms{keys: newerKey, policy: worker.Policy{Backoff: []time.Duration{time.Minute}}})
		with := codec(t, newerKey)
		plain := envelope(appid, job.Critical, "order-1")
		body := string(plain.Body)
		if !strings.Contains(body, "订单") {
			t.Fatalf("the body is %s: the test tests nothing", body)
		}
		look := func(when string) {
			t.Helper()
			client, _ := p.admin.(*redis.Client)
			dump := redistest.Dump(t, client)
			if len(dump) == 0 {
				t.Fatalf("%s: Redis is empty", when)
			}
			for _, key := range dump {
				if strings.Contains(key, "订单") || strings.Contains(key, `\u8ba2`) || strings.Contains(key, plain.Hash()) {
					t.Errorf("%s: %.300q", when, key)
				}
			}
		}
		p.p.Script(wechattest.HTTPStatus(403).For(plain.To).Times(2))
		p.enqueueWith(with, job.Critical, []string{"order-1"}, nil)
		look("queued")
		p.start()
		time.Sleep(30 * time.Second) // virtual
		if r := p.record(appid, "order-1"); r.State != ledger.Retrying {
			t.Fatalf("record %+v: the test tests nothing", r)
		}
		look("retrying")
		p.drained(time.Second, 5*time.Minute)
		if r := p.record(appid, "order-1"); r.State != ledger.Dead {
			t.Fatalf("record %+v: the test tests nothing", r)
		}
		look("dead")
		records := p.ledgerOn(p.admin, 0)
		if err := deadletter.Retry(t.Context(), p.admin, records, appid, "order-1"); err != nil {
			t.Fatal(err)
		}
		look("sent again")
		p.drained(time.Second, 5*time.Minute)
		p.seenOnce("order-1")
		if kept, err := records.Payload(t.Context(), "order-1"); err != nil || job.SealedWith(kept) != with.Keys().Current() {
			t.Errorf("until the receipt %d bytes are kept, sealed with %q, %v", len(kept), job.SealedWith(kept), err)
		}
		look("accepted")
	})
}

func TestKeysThatAreNoneAreRefusedByTheirField(t *testing.T) {
	t.Parallel()
	_, err := worker.New(worker.Config{SealKeys: wechat.NewSecret(newerKey[:60])})
	if err == nil || !strings.Contains(err.Error(), "Config.SealKeys: key 1 of 1 is not 64 hexadecimal digits") || strings.Contains(err.Error(), newerKey[:8]) {
		t.Errorf("got %v", err)
	}
}
