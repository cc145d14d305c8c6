package ledger_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/names"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/seal"
)

// sealedNames is the nth way in which names lie in Redis; 0: in clear.
func sealedNames(tb testing.TB, n int) *seal.Names {
	tb.Helper()
	keys := []string{
		"", "0b7de1a94f3c58826ed90c41f7a25b3381f46e0d9ac7ba5514e2098d3a6fc7b2",
		"9e21b7cf80a4d36e1728fb4705ecd96a3b7f82e0941d5ac6f0736be8d124a65c",
	}
	sealed, err := seal.NewNames(keys[n], account)
	must(tb, err)
	return sealed
}

func convert(tb testing.TB, rdb redis.UniversalClient, from, to *seal.Names) {
	tb.Helper()
	c, err := names.Begin(tb.Context(), rdb, account, from, to)
	must(tb, err)
	must(tb, ledger.Convert(tb.Context(), rdb, account, c))
	must(tb, c.End(tb.Context(), ledger.MovedKeys(account)...))
}

// Nothing is sent to an openid that is suppressed, and all to one that is not, through
// conversions in any order. A process that works in another way decides nothing.
func TestSuppressionsHoldThroughConversions(t *testing.T) {
	t.Parallel()
	m := miniredis.RunT(t)
	rdb := redis.NewClient(&redis.Options{Addr: m.Addr(), Protocol: 2})
	defer func() { _ = rdb.Close() }()
	number := int64(0)
	rapid.Check(t, func(rt *rapid.T) {
		m.FlushAll()
		var ways [3]*ledger.Ledger
		for i := range ways {
			l, err := ledger.New(rdb, account, sealedNames(t, i), ledger.Config{})
			must(t, err)
			defer func() { _ = l.Close() }()
			ways[i] = l
		}
		way, suppressed := 0, map[string]bool{}
		must(t, ways[0].Audit(t.Context(), ledger.Entry{Action: "used"})) // so that the account is not new
		openids := []string{"oONE", "oTWO", "oTHREE"}
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			openid := rapid.SampledFrom(openids).Draw(rt, "openid")
			switch rapid.SampledFrom([]string{"suppress", "lift", "convert", "convert"}).Draw(rt, "step") {
			case "suppress":
				must(t, ways[way].Unsubscribed(t.Context(), openid))
				suppressed[openid] = true
			case "lift":
				was, err := ways[way].Subscribed(t.Context(), openid)
				must(t, err)
				if was != suppressed[openid] {
					rt.Fatalf("%s was suppressed: %t", openid, was)
				}
				delete(suppressed, openid)
			case "convert":
				next := (way + rapid.IntRange(1, 2).Draw(rt, "way")) % 3
				convert(t, rdb, sealedNames(t, way), sealedNames(t, next))
				way = next
			}
			for i, l := range ways {
				for _, openid := range openids {
					number++
					e := envelope(fmt.Sprint("m-", number))
					e.To = openid
					s, err := l.Begin(t.Context(), e, ledger.Delivery{N: number})
					switch {
					case i != way && err == nil:
						rt.Fatalf("way %d decides %s, and names lie in way %d", i, s.Decision, way)
					case i == way && err != nil:
						rt.Fatal(err)
					case i == way && (s.Decision == ledger.Send) == suppressed[openid]:
						rt.Fatalf("%s is suppressed: %t, and Begin decides %s", openid, suppressed[openid], s.Decision)
					}
				}
			}
		}
	})
}

// The index finds messages by openid and user through conversions, and its digests are of
// sealed names.
func TestMessagesAreFoundThroughConversions(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	records := open(t, rdb)
	direct, user := envelope("direct"), envelope("to-user")
	user.To, user.User = "", "patient-401"
	enqueue(t, rdb, records, time.Now(), direct, user)
	before := []string{}
	for i, step := range [][2]int{{0, 1}, {1, 2}, {2, 0}} {
		convert(t, rdb, sealedNames(t, step[0]), sealedNames(t, step[1]))
		l, err := ledger.New(rdb, account, sealedNames(t, step[1]), ledger.Config{})
		must(t, err)
		defer func() { _ = l.Close() }()
		for want, q := range map[string]ledger.Query{"direct": {To: direct.To}, "to-user": {User: user.User}} {
			page, err := l.Find(t.Context(), q)
			must(t, err)
			if len(page.Records) != 1 || page.Records[0].ID != want || page.Records[0].To+page.Records[0].User != q.To+q.User {
				t.Errorf("step %d: %s: found %+v", i, want, page.Records)
			}
		}
		entries := redistest.Dump(t, rdb)
		index := entries[slices.IndexFunc(entries, func(s string) bool { return strings.HasPrefix(s, key("ix:")) })]
		if !strings.Contains(strings.Join(entries, ""), direct.To) == (step[1] == 0) || slices.Contains(before, index) {
			t.Errorf("step %d: Redis has %q, the index before was %q", i, entries, before)
		}
		before = append(before, index)
	}
}
