package worker_test

import (
	"context"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/broker"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/worker"
)

// printer stands for *wechat.Client.
type printer struct{}

func (printer) SendTemplateBody(_ context.Context, body []byte) (wechat.MessageID, error) {
	fmt.Printf("WeChat gets %s\n", body)
	return 200228332, nil
}

func Example() {
	mini := miniredis.NewMiniRedis()
	if err := mini.Start(); err != nil {
		fmt.Println(err)
		return
	}
	defer mini.Close()
	rdb := redis.NewClient(&redis.Options{Addr: mini.Addr(), Protocol: 2})
	defer func() { _ = rdb.Close() }()

	gate, _ := ratelimit.New(rdb, ratelimit.Config{Key: "wxn:{wx1}:", DailyQuota: 100_000, Owner: "example"})
	records, _ := ledger.New(rdb, ledger.Config{Account: "wx1"})
	defer func() { _ = records.Close() }()

	ctx, cancel := context.WithCancel(context.Background())
	w, err := worker.New(worker.Config{
		Redis:    rdb,
		Accounts: []worker.Account{{AppID: "wx1", Sender: printer{}, Gate: gate, Ledger: records, Suppressor: records}},
		OnEvent: func(e worker.Event) {
			fmt.Printf("%s is %s with msgid %s\n", e.ID, e.State, e.MsgID)
			cancel()
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	q := broker.NewEnqueuer(rdb) // the producer does this
	payload, _ := job.Encode(job.Envelope{ID: "order-1001-paid", Class: job.Critical, To: "oUSER", Body: []byte(`{"touser":"oUSER"}`)})
	_, err = q.Enqueue(ctx, []broker.Item{{Account: "wx1", Class: job.Critical, ID: "order-1001-paid", Payload: payload}}, nil)
	fmt.Println("enqueued:", err)

	fmt.Println("drained:", w.Run(ctx))
	// Output:
	// enqueued: <nil>
	// WeChat gets {"touser":"oUSER"}
	// order-1001-paid is accepted with msgid 200228332
	// drained: <nil>
}

func ExampleJudge() {
	cut := &wechat.TransportError{Op: wechat.SendPath, Ambiguous: true, Err: context.DeadlineExceeded}
	for _, a := range []worker.Attempt{{N: 1}, {N: 10, Replay: true, Open: 8 * time.Minute}} {
		v := worker.Judge(cut, a, worker.Policy{})
		fmt.Println(v.Action, v.State, v.After, v.Reason)
	}
	gone := &wechat.Error{Op: wechat.SendPath, Code: 43004}
	v := worker.Judge(gone, worker.Attempt{N: 1}, worker.Policy{})
	fmt.Println(v.Action, v.State, v.Reason, v.Suppress.For)
	// Output:
	// retry retrying 1s WeChat did not answer in time
	// discard unknown 0s WeChat did not answer in time
	// discard rejected require-subscribe 24h0m0s
}

func ExampleReplayPermit() {
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379"})
	defer func() { _ = rdb.Close() }()
	gate, _ := ratelimit.New(rdb, ratelimit.Config{Key: "wxn:{wx1}:", Owner: "example"})
	cfg := wechat.Config{AppID: "wx1", BeforeReplay: worker.ReplayPermit(gate)}
	fmt.Println(cfg.BeforeReplay != nil)
	// Output: true
}
