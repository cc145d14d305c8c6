package job_test

import (
	"testing"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/seal"
)

// What sealing costs a message, beside the same in clear (docs/adr/0074).
func BenchmarkCodec(b *testing.B) {
	keys, err := seal.New(newerKey + "," + olderKey)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		codec job.Codec
	}{{"clear", job.NewCodec("wx1", nil)}, {"sealed", job.NewCodec("wx1", keys)}} {
		e := full()
		payload, _, err := c.codec.Encode(e)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("Encode/"+c.name, func(b *testing.B) {
			for b.Loop() {
				_, _, _ = c.codec.Encode(e)
			}
			b.ReportMetric(float64(len(payload)), "payload-B")
		})
		b.Run("Parse/"+c.name, func(b *testing.B) {
			for b.Loop() {
				_, _ = c.codec.Parse(e.ID, payload)
			}
		})
	}
}
