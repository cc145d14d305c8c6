package main

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wxnotify/wxnotify/wechat/wechattest" //nolint:depguard // the benchmark's WeChat is the simulator
)

// wire tells when a message goes to WeChat.
type wire struct {
	next http.RoundTripper
	sent func(at time.Time)
}

// RoundTrip tells of sends alone.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, wechattest.SendPath) {
		w.sent(time.Now())
	}
	return w.next.RoundTrip(r) //nolint:wrapcheck // a decorator
}

// wired is the tuned client with an ear on the wire.
func wired(sent func(at time.Time)) *http.Client {
	hc := tuned(&atomic.Int64{})
	hc.Transport = &wire{next: hc.Transport, sent: sent}
	return hc
}

// clock counts sends by the second.
type clock struct {
	mu   sync.Mutex
	sent map[int64]int
}

func (c *clock) note(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent[at.Unix()]++
}
