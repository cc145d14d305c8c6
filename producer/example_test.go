package producer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

// connect stands for the Redis that the workers use, too.
func connect() (rdb *redis.Client, stop func()) {
	server, err := miniredis.Run()
	if err != nil {
		panic(err)
	}
	rdb = redis.NewClient(&redis.Options{Addr: server.Addr()})
	return rdb, func() {
		_ = rdb.Close()
		server.Close()
	}
}

func paid(openid, order string) *wechat.TemplateMessage {
	return &wechat.TemplateMessage{
		ToUser:     openid,
		TemplateID: "ngqIpbwh8bUfcSsECmogfXcV14J0tQlEpBO27izEYtY",
		URL:        "https://shop.example/orders/" + order,
		Data: map[string]wechat.Field{
			"character_string1": {Value: order},
			"thing2":            {Value: "Coffee & cake"},
		},
	}
}

func ExampleProducer_Enqueue() {
	rdb, stop := connect()
	defer stop()
	ctx := context.Background()
	p, err := producer.New(rdb, producer.Config{Account: "wx1234567890abcdef"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = p.Close() }()

	// The ID names the occasion. However often this is repeated, the follower
	// gets one message.
	for range 2 {
		ticket, err := p.Enqueue(ctx, "order-1001-paid", paid("oABC123456789xyz", "1001"),
			producer.Class(producer.Critical), producer.NotAfter(time.Now().Add(time.Hour)))
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(ticket.ID, ticket.Class, ticket.State, "duplicate:", ticket.Duplicate)
	}

	_, err = p.Enqueue(ctx, "order-1001-paid", paid("oABC123456789xyz", "1002"))
	fmt.Println(errors.Is(err, producer.ErrIDReused))
	// Output:
	// order-1001-paid critical queued duplicate: false
	// order-1001-paid critical queued duplicate: true
	// true
}

func ExampleProducer_Enqueue_refused() {
	rdb, stop := connect()
	defer stop()
	p, err := producer.New(rdb, producer.Config{Account: "wx1234567890abcdef"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = p.Close() }()

	_, err = p.Enqueue(context.Background(), "order 1001", &wechat.TemplateMessage{URL: "shop.example"})
	var refused *wechat.InvalidError
	if errors.As(err, &refused) {
		for _, f := range refused.Faults {
			fmt.Println(f.Path, f.Code)
		}
	}
	// Output:
	// id id-invalid
	// touser openid-missing
	// template_id template-missing
	// url url-invalid
	// data data-missing
}

func ExampleProducer_EnqueueMany() {
	rdb, stop := connect()
	defer stop()
	p, err := producer.New(rdb, producer.Config{Account: "wx1234567890abcdef", Class: producer.Bulk})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = p.Close() }()

	results, err := p.EnqueueMany(context.Background(), []producer.Message{
		{ID: "sale-7/1", Message: paid("oABC123456789xyz", "1")},
		{ID: "sale-7/2", Message: paid("", "2")},
		{ID: "sale-7/3", Message: paid("", "3"), Terms: producer.Terms{User: "customer-3"}},
	})
	var partial *producer.PartialError
	if errors.As(err, &partial) {
		fmt.Printf("%d of %d were refused\n", partial.Failed, partial.Total)
	}
	for _, r := range results {
		fmt.Println(r.ID, r.State, r.Err != nil)
	}
	// Output:
	// 1 of 3 were refused
	// sale-7/1 queued false
	// sale-7/2  true
	// sale-7/3 queued false
}

func ExampleProducer_EnqueueSeq() {
	rdb, stop := connect()
	defer stop()
	p, err := producer.New(rdb, producer.Config{Account: "wx1234567890abcdef"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = p.Close() }()

	customers := func(yield func(producer.Message) bool) {
		for i := range 250 {
			order := strconv.Itoa(i)
			if !yield(producer.Message{ID: "order-" + order, Message: paid("oABC123456789xyz", order)}) {
				return
			}
		}
	}
	enqueued := 0
	for r := range p.EnqueueSeq(context.Background(), customers) {
		if r.Err != nil {
			fmt.Println(r.ID, r.Err)
			continue
		}
		enqueued++
	}
	fmt.Println(enqueued)
	// Output: 250
}

func ExampleProducer_Status() {
	rdb, stop := connect()
	defer stop()
	ctx := context.Background()
	p, err := producer.New(rdb, producer.Config{Account: "wx1234567890abcdef"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = p.Close() }()
	if _, err := p.Enqueue(ctx, "order-1001-paid", paid("oABC123456789xyz", "1001")); err != nil {
		fmt.Println(err)
		return
	}

	status, err := p.Status(ctx, "order-1001-paid")
	if err != nil {
		fmt.Println(err)
		return
	}
	status.QueuedAt = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	text, err := json.MarshalIndent(status, "", "  ")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(text))
	_, err = p.Status(ctx, "order-1002-paid")
	fmt.Println(errors.Is(err, producer.ErrNotFound))
	// Output:
	// {
	//   "id": "order-1001-paid",
	//   "account": "wx1234567890abcdef",
	//   "class": "default",
	//   "state": "queued",
	//   "to": "oABC…yz",
	//   "template_id": "ngqIpbwh8bUfcSsECmogfXcV14J0tQlEpBO27izEYtY",
	//   "attempts": 0,
	//   "possible_duplicate": false,
	//   "queued_at": "2026-11-22T12:00:00Z"
	// }
	// true
}

func ExampleProducer_Cancel() {
	rdb, stop := connect()
	defer stop()
	ctx := context.Background()
	p, err := producer.New(rdb, producer.Config{Account: "wx1234567890abcdef"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = p.Close() }()
	_, err = p.Enqueue(ctx, "reminder-7", paid("oABC123456789xyz", "7"), producer.NotBefore(time.Now().Add(time.Hour)))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.Cancel(ctx, "reminder-7"))
	status, err := p.Status(ctx, "reminder-7")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(status.State, status.Ended())
	// Output:
	// <nil>
	// cancelled true
}
