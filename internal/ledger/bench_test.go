package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redistest"
)

// BenchmarkFind looks among a million records of four days, of which one in 2000 was
// refused: the time of a page of 50.
func BenchmarkFind(b *testing.B) { benchmarkFind(b, time.Now(), 96*time.Hour) }

// BenchmarkFindInOneHour looks among a million records of one hour.
func BenchmarkFindInOneHour(b *testing.B) {
	benchmarkFind(b, time.Now().Truncate(time.Hour).Add(-time.Millisecond), 59*time.Minute)
}

func benchmarkFind(b *testing.B, now time.Time, span time.Duration) {
	b.Helper()
	rdb := redistest.Start(b).Client(b)
	l, err := ledger.New(rdb, account, nil, ledger.Config{})
	must(b, err)
	b.Cleanup(func() { _ = l.Close() })
	const n, call = 1_000_000, 500
	for from := 0; from < n; from += call {
		list := make([]job.Envelope, call)
		for i := range list {
			list[i] = envelope(fmt.Sprintf("order-%07d", from+i))
			list[i].To = fmt.Sprintf("oABCdefGHIjklMNOpqrST%07d", (from+i)%300_000)
			list[i].Body = nil
		}
		enqueue(b, rdb, l, now.Add(-span+span/n*time.Duration(from)), list...)
		e := list[0]
		_, err := l.Begin(b.Context(), e, ledger.Delivery{N: 1})
		must(b, err)
		must(b, l.Failed(b.Context(), e.ID, 1, ledger.Outcome{State: ledger.Rejected, Errcode: 43004, Attempt: true}))
	}
	for name, q := range map[string]ledger.Query{
		"newest":              {},
		"openid":              {To: fmt.Sprintf("oABCdefGHIjklMNOpqrST%07d", 777)},
		"unknown-openid":      {To: "oNobody"},
		"user":                {User: "nobody"},
		"template":            {Template: "another"},
		"errcode":             {Errcode: 43004},
		"state-rejected":      {States: []ledger.State{ledger.Rejected}},
		"state-delivered":     {States: []ledger.State{ledger.Delivered}},
		"state-sending-none":  {States: []ledger.State{ledger.Sending}},
		"state-in-one-minute": {States: []ledger.State{ledger.Queued}, Since: now.Add(-50 * time.Hour), Until: now.Add(-50*time.Hour + time.Minute)},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				page, err := l.Find(b.Context(), q)
				must(b, err)
				b.ReportMetric(float64(len(page.Records)), "found")
			}
		})
	}
}
