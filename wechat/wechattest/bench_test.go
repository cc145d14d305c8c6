//go:build unix

package wechattest_test

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// sink is a ResponseWriter that costs nothing.
type sink struct{ h http.Header }

func (s sink) Header() http.Header         { return s.h }
func (s sink) Write(b []byte) (int, error) { return len(b), nil }
func (s sink) WriteHeader(int)             {}

// BenchmarkSend is the platform's own share of a send, without net/http.
func BenchmarkSend(b *testing.B) {
	p := wechattest.New(wechattest.Config{KeepBodies: -1, Accounts: []wechattest.AccountConfig{{AppID: wechattest.AppID, DailyQuota: 1 << 60}}})
	defer p.Close()
	target, err := url.Parse(wechattest.SendPath + "?access_token=" + p.Account(wechattest.AppID).FetchToken().Reveal())
	if err != nil {
		b.Fatal(err)
	}
	body := order(openid, "")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		w := sink{http.Header{}}
		reader := strings.NewReader(body)
		r := &http.Request{Method: http.MethodPost, URL: target, ContentLength: int64(len(body)), Body: io.NopCloser(reader)}
		for pb.Next() {
			reader.Reset(body)
			p.ServeHTTP(w, r)
		}
	})
}

// BenchmarkServe compares the two ways to serve on a socket, asked by bare
// connections that cost little themselves.
func BenchmarkServe(b *testing.B) {
	for name, serve := range map[string]func(*wechattest.Platform, net.Listener){
		"net-http": func(p *wechattest.Platform, l net.Listener) { _ = http.Serve(l, p) }, //nolint:gosec // a benchmark
		"lean":     func(p *wechattest.Platform, l net.Listener) { _ = p.ServeLean(l) },
	} {
		b.Run(name, func(b *testing.B) {
			p := wechattest.New(wechattest.Config{KeepBodies: -1, Accounts: []wechattest.AccountConfig{{AppID: wechattest.AppID, DailyQuota: 1 << 60}}})
			defer p.Close()
			l, err := new(net.ListenConfig).Listen(b.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			go serve(p, l)
			body := order(openid, "")
			request := "POST " + wechattest.SendPath + "?access_token=" + p.Account(wechattest.AppID).FetchToken().Reveal() +
				" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
			b.SetParallelism(8)
			before := cpu(b)
			defer func() { b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-ns/op") }()
			b.RunParallel(func(pb *testing.PB) {
				conn, err := new(net.Dialer).DialContext(b.Context(), "tcp", l.Addr().String())
				if err != nil {
					b.Error(err)
					return
				}
				defer conn.Close()
				answer := make([]byte, 4096)
				for pb.Next() {
					_, _ = io.WriteString(conn, request)
					if n, err := conn.Read(answer); err != nil || !strings.Contains(string(answer[:n]), `"errcode":0`) {
						b.Errorf("answer %q, %v", answer[:n], err)
						return
					}
				}
			})
		})
	}
}

// cpu is the processor time of this process, which a busy machine does not
// stretch as it does the clock's.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
