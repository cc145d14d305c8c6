package broker_test

import (
	"context"
	"fmt"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/broker"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/ratelimit"
)

// exampleRedis is a Redis for the length of an example.
func exampleRedis() (redis.UniversalClient, func()) {
	m := miniredis.NewMiniRedis()
	if err := m.Start(); err != nil {
		panic(err)
	}
	rdb, err := redisx.Dial("redis://" + m.Addr())
	if err != nil {
		panic(err)
	}
	return rdb, func() {
		_ = rdb.Close()
		m.Close()
	}
}

func ExampleEnqueuer_Enqueue() {
	rdb, stop := exampleRedis()
	defer stop()
	q := broker.NewEnqueuer(rdb)
	item := broker.Item{Account: "wx1", Class: job.Default, ID: "order-1", Payload: []byte("{}")}
	for range 2 {
		results, err := q.Enqueue(context.Background(), []broker.Item{item}, nil)
		fmt.Println(results[0].Duplicate, err)
	}
	// Output:
	// false <nil>
	// true <nil>
}

func ExampleServer_Run() {
	rdb, stop := exampleRedis()
	defer stop()
	q := broker.NewEnqueuer(rdb)
	item := broker.Item{Account: "wx1", Class: job.Critical, ID: "order-1", Payload: []byte("hello")}
	if _, err := q.Enqueue(context.Background(), []broker.Item{item}, nil); err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s, err := broker.NewServer(broker.ServerConfig{
		Redis: rdb, Account: "wx1", Gate: &gate{},
		Handler: func(_ context.Context, t broker.Task) error {
			fmt.Println(t.Queue, t.ID, string(t.Payload), t.Permit.Tier == ratelimit.Reserved)
			cancel()
			return nil
		},
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(s.Run(ctx))
	// Output:
	// wx1:critical order-1 hello true
	// <nil>
}

func ExampleInspector_Queues() {
	rdb, stop := exampleRedis()
	defer stop()
	q, n := broker.NewEnqueuer(rdb), broker.NewInspector(rdb)
	item := broker.Item{Account: "wx1", Class: job.Bulk, ID: "order-1", Payload: []byte("{}")}
	if _, err := q.Enqueue(context.Background(), []broker.Item{item}, nil); err != nil {
		panic(err)
	}
	states, err := n.Queues(context.Background(), "wx1")
	for _, s := range states {
		fmt.Println(s.Class, s.Pending, s.Paused)
	}
	fmt.Println(err)
	// Output:
	// critical 0 false
	// default 0 false
	// bulk 1 false
	// <nil>
}
