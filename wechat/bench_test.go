package wechat_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/wechat"
)

func BenchmarkMarshalBody(b *testing.B) {
	m := orderPaid()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wechat.MarshalBody(m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	m := orderPaid()
	b.ReportAllocs()
	for b.Loop() {
		must(b, m.Validate())
	}
}

// BenchmarkSendTemplateBody measures the client without a network.
func BenchmarkSendTemplateBody(b *testing.B) {
	transport := roundTrip(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Request: r, Body: io.NopCloser(strings.NewReader(answerOK))}, nil
	})
	c, err := wechat.NewClient(wechat.Config{AppID: "wx1", HTTPClient: &http.Client{Transport: transport}}, wechat.StaticToken(canaryToken))
	must(b, err)
	body, err := wechat.MarshalBody(orderPaid())
	must(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.SendTemplateBody(b.Context(), body); err != nil {
			b.Fatal(err)
		}
	}
}
