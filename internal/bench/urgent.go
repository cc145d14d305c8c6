package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/wxnotify/wxnotify/internal/broker"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat/wechattest" //nolint:depguard // the benchmark's WeChat is the simulator
	"github.com/wxnotify/wxnotify/worker"
)

// urgentMark begins the IDs of the messages whose time is taken.
const urgentMark = "urgent"

// urgent is the child that sends a bulk backlog at a rate and enqueues a critical
// message now and then, whose time until it is on the wire it takes.
func urgent(ctx context.Context, t task) (outcome, error) {
	rdb, err := broker.Dial(t.Redis)
	if err != nil {
		return outcome{}, err
	}
	defer func() { _ = rdb.Close() }()
	p, err := producer.New(rdb, producer.Config{Account: appID, Class: producer.Critical})
	if err != nil {
		return outcome{}, err
	}
	defer func() { _ = p.Close() }()
	sent := make(chan time.Time, 1)
	tap := &bodyTap{next: tuned(&atomic.Int64{}).Transport, sent: sent}
	s, err := newStack(rdb, t, &http.Client{Transport: tap}, func(worker.Event) {})
	if err != nil {
		return outcome{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx) }()
	if err := rest(ctx, settle); err != nil {
		return outcome{}, err
	}
	from, before := time.Now(), tap.others.Load()
	out := outcome{}
	for i := range t.Messages {
		if err := rest(ctx, 50*time.Millisecond); err != nil {
			return out, err
		}
		took, err := sample(ctx, i, func(i int) error {
			_, err := p.Enqueue(ctx, messageID(urgentMark, i), message(i))
			return err
		}, sent)
		if err != nil {
			return out, err
		}
		out.Latencies = append(out.Latencies, float64(took)/float64(time.Millisecond))
	}
	out.Messages, out.Seconds = int(tap.others.Load()-before), time.Since(from).Seconds()
	cancel()
	return out, <-ended
}

// bodyTap tells when a message with the mark goes to WeChat, and counts the others.
type bodyTap struct {
	next   http.RoundTripper
	sent   chan<- time.Time
	others atomic.Int64
}

// RoundTrip looks into sends alone.
func (b *bodyTap) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, wechattest.SendPath) && r.GetBody != nil {
		body, err := r.GetBody()
		if err != nil {
			return nil, err //nolint:wrapcheck // a decorator
		}
		data, err := io.ReadAll(body)
		if err = errors.Join(err, body.Close()); err != nil {
			return nil, err
		}
		if bytes.Contains(data, []byte(`"client_msg_id":"`+urgentMark+`-`)) {
			b.sent <- time.Now()
		} else {
			b.others.Add(1)
		}
	}
	return b.next.RoundTrip(r) //nolint:wrapcheck // a decorator
}
