package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/redistest"
)

// BenchmarkThousand is a call with 1 000 messages, without a network.
func BenchmarkThousand(b *testing.B) {
	s := standOn(b, redistest.Start(b).Client(b))
	secret := s.key(b, appid, nil)
	for i := range b.N {
		var list []string
		for k := range 1000 {
			list = append(list, message(fmt.Sprintf("m-%d-%d", i, k)))
		}
		r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "/v1/messages", strings.NewReader(`{"messages":[`+strings.Join(list, ",")+`]}`))
		must(b, err)
		r.Header.Set("Content-Type", "application/json")
		if a := s.do(r, secret); a.Status != http.StatusMultiStatus {
			b.Fatalf("%d %s", a.Status, a.Body)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(1000*b.N), "µs/message")
}
