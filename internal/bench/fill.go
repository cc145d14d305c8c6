package main

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/broker"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest" //nolint:depguard // the benchmark's WeChat is the simulator
)

// messageID has the same length for all i, so that one encoded message can be
// made another's by replacing it.
func messageID(prefix string, i int) string { return fmt.Sprintf("%s-%08d", prefix, i) }

// message is an ordinary one: an order was paid.
func message(i int) *wechat.TemplateMessage {
	return &wechat.TemplateMessage{
		ToUser: fmt.Sprintf("oBenchFollower%014d", i), TemplateID: wechattest.TemplateOrderPaid,
		URL: fmt.Sprintf("https://shop.example.com/orders/%08d", i),
		Data: map[string]wechat.Field{
			"thing1": {Value: "红富士苹果 5 kg"}, "time2": {Value: "2026-11-22 08:30"}, "amount3": {Value: "¥128.50"},
		},
	}
}

// messages are n of them with their IDs.
func messages(prefix string, n int) iter.Seq[producer.Message] {
	return func(yield func(producer.Message) bool) {
		for i := range n {
			if !yield(producer.Message{ID: messageID(prefix, i), Message: message(i)}) {
				return
			}
		}
	}
}

// fill empties Redis and puts n messages on the queue: with their records for
// our build, as plain tasks of the same bytes for the others.
func fill(ctx context.Context, rdb redis.UniversalClient, prefix string, n int, records bool) error {
	if err := rdb.FlushAll(ctx).Err(); err != nil {
		return fmt.Errorf("empty redis: %w", err)
	}
	if records {
		return fillClass(ctx, rdb, prefix, n, producer.Default)
	}
	q := broker.NewEnqueuer(rdb)
	defer func() { _ = q.Close() }()
	items := make([]broker.Item, 0, n)
	for m := range messages(prefix, n) {
		item, err := plainItem(m)
		if err != nil {
			return err
		}
		items = append(items, item)
	}
	results, err := q.Enqueue(ctx, items, nil)
	if err != nil {
		return err
	}
	for _, r := range results {
		if r.Err != nil {
			return r.Err
		}
	}
	return nil
}

// fillClass puts n messages with their records on the queue of a class.
func fillClass(ctx context.Context, rdb redis.UniversalClient, prefix string, n int, class producer.ClassName) error {
	p, err := producer.New(rdb, producer.Config{Account: appID, Class: class})
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }()
	for r := range p.EnqueueSeq(ctx, messages(prefix, n)) {
		if r.Err != nil {
			return r.Err
		}
	}
	return nil
}

// plainItem is the task that the producer would queue, without a record.
func plainItem(m producer.Message) (broker.Item, error) {
	own := *m.Message
	own.ClientMsgID = job.ClientMsgID(m.ID)
	body, err := wechat.MarshalBody(&own)
	if err != nil {
		return broker.Item{}, err
	}
	payload, err := job.Encode(job.Envelope{
		ID: m.ID, Class: job.Default, To: own.ToUser, Template: own.TemplateID, QueuedAt: time.Now(), Body: body,
	})
	if err != nil {
		return broker.Item{}, err
	}
	return broker.Item{Account: appID, Class: job.Default, ID: m.ID, Payload: payload}, nil
}
