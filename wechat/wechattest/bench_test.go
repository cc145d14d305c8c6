package wechattest_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// sink is a ResponseWriter that discards the answer.
type sink struct{ h http.Header }

func (s sink) Header() http.Header         { return s.h }
func (s sink) Write(b []byte) (int, error) { return len(b), nil }
func (s sink) WriteHeader(int)             {}

// BenchmarkSend measures a send in the platform, without net/http.
func BenchmarkSend(b *testing.B) {
	p := wechattest.New(wechattest.Config{KeepSeen: 1000, Accounts: []wechattest.AccountConfig{{AppID: wechattest.AppID, DailyQuota: 1 << 60}}})
	defer p.Close()
	target, err := url.Parse(wechattest.SendPath + "?access_token=" + p.Account(wechattest.AppID).FetchToken().Reveal())
	must(b, err)
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
