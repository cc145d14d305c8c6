package worker_test

import (
	"context"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/producer"
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

	ctx, cancel := context.WithCancel(context.Background())
	w, err := worker.New(worker.Config{
		Redis:    rdb,
		Accounts: []worker.Account{{AppID: "wx1", Sender: printer{}, Gate: gate}},
		OnEvent: func(e worker.Event) {
			fmt.Printf("%s is %s with msgid %s\n", e.ID, e.State, e.MsgID)
			cancel()
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	p, err := producer.New(rdb, producer.Config{Account: "wx1"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = p.Close() }()
	_, err = p.Enqueue(ctx, "order-1001-paid", &wechat.TemplateMessage{
		ToUser: "oUSER", TemplateID: "ngqIpbwh8bUfcSsECmogfXcV14J0tQlEpBO27izEYtY",
		Data: map[string]wechat.Field{"thing1": {Value: "Coffee & cake"}},
	}, producer.Class(producer.Critical))
	fmt.Println("enqueued:", err)

	fmt.Println("drained:", w.Run(ctx))
	// Output:
	// enqueued: <nil>
	// WeChat gets {"touser":"oUSER","template_id":"ngqIpbwh8bUfcSsECmogfXcV14J0tQlEpBO27izEYtY","client_msg_id":"order-1001-paid","data":{"thing1":{"value":"Coffee & cake"}}}
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
