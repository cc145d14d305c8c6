package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/wechat"
)

// TestStats: what became of messages, as a table when piped, as JSON, in both languages,
// with the remedy of each errcode, and for every account.
func TestStats(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	l, err := ledger.New(server.Client(t), "wxa", nil, ledger.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	for i, id := range []string{"a", "b", "c"} {
		if _, err := l.Accepted(t.Context(), id, 1, ledger.Acceptance{MsgID: wechat.MessageID(i + 1), Class: job.Default}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Failed(t.Context(), "d", 1, ledger.Outcome{State: ledger.Rejected, Errcode: 43004}); err != nil {
		t.Fatal(err)
	}
	env := environ("WXNOTIFY_APPID", "wxa", "WXNOTIFY_REDIS_URL", "redis://"+server.Addr)

	for _, by := range []string{"minute", "hour", "day"} {
		var v statsView
		r := inProcess(t, env, "stats", "--by", by, "-o", "json")
		if err := json.Unmarshal([]byte(r.stdout), &v); err != nil || r.code != 0 {
			t.Fatalf("exit %d, %v: %s%s", r.code, err, r.stdout, r.stderr)
		}
		if v.Account != "wxa" || string(v.By) != by || v.Total.Counts[ledger.Accepted] != 3 || v.Total.Counts[ledger.Rejected] != 1 || len(v.Total.Counts) != 9 {
			t.Errorf("by %s: %+v", by, v.Total)
		}
		if want := map[string]int{"minute": 60, "hour": 24, "day": 30}[by]; len(v.Buckets) != want {
			t.Errorf("by %s %d buckets, want %d", by, len(v.Buckets), want)
		}
		if causes := len(v.Total.Causes); (by == "day") != (causes == 1) {
			t.Errorf("by %s %d causes", by, causes)
		}
	}
	inProcess(t, env, "stats", "--by", "day").has(t, 0, "account wxa", "delivered", "total", "43004 "+wechat.Code(43004).Name(), wechat.Code(43004).Remedy())
	inProcess(t, env, "stats", "--by", "day", "--lang", "zh").has(t, 0, "账号 wxa", "已送达", "合计", wechat.Code(43004).RemedyIn(wechat.Chinese))
	for args, want := range map[string]string{
		"--by week":                         "--by: \"week\" is not one of minute, hour, day",
		"--since yesterday":                 "--since: \"yesterday\" is neither a time such as",
		"--since -5h":                       "--since",
		"--since xd":                        "--since: \"xd\" is neither a time",
		"--since " + "2999-01-01T00:00:00Z": "--since: is not in the past",
		"--since 0s":                        "--since: is not in the past",
		"--account wxb":                     "wxb",
		"--since 2026-12-01T00:00:00+08:00 --by month": `--by: "month"`,
	} {
		inProcess(t, env, append([]string{"stats"}, strings.Fields(args)...)...).has(t, 2, want)
	}
	inProcess(t, env, "stats", "--since", "9999999d", "--by", "day").has(t, 0, "total")
}

// TestStatsCurvesFitATerminal: no line is longer than 80 columns, however many buckets
// there are; each curve has its total and its peak.
func TestStatsCurvesFitATerminal(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	for _, n := range []int{1, 24, 40, 41, 2881} {
		buckets := make([]ledger.Bucket, n)
		for i := range buckets {
			buckets[i] = ledger.Bucket{At: at.Add(time.Duration(i) * time.Minute), Counts: map[ledger.State]int64{}}
		}
		buckets[n-1].Counts = map[ledger.State]int64{ledger.Delivered: 123_456_789, ledger.Retrying: 1}
		total := ledger.Total(buckets)
		var out bytes.Buffer
		a := &app{lang: wechat.English}
		a.drawStats(&out, ledger.Minute, buckets, &total)
		for line := range strings.Lines(out.String()) {
			if columns := len([]rune(strings.TrimSuffix(line, "\n"))); columns > 80 {
				t.Errorf("%d buckets: a line has %d columns: %s", n, columns, line)
			}
		}
		if text := out.String(); !strings.Contains(text, "█ 123456789 123456789 delivered") || strings.Contains(text, "rejected") {
			t.Errorf("%d buckets:\n%s", n, text)
		}
	}
	var out bytes.Buffer
	empty := []ledger.Bucket{{At: at}}
	total := ledger.Total(empty)
	(&app{lang: wechat.Chinese}).drawStats(&out, ledger.Day, empty, &total)
	if out.String() != "此期间没有消息\n" {
		t.Errorf("got %s", out.String())
	}
}

func TestCurve(t *testing.T) {
	t.Parallel()
	for want, values := range map[string][]int64{
		"▁▂▃▄▅▆▇█": {1, 2, 3, 4, 5, 6, 7, 8}, " █ ": {0, 1, 0}, "▁█": {1, 1000}, "  ": {0, 0},
	} {
		if got := curve(values); got != want {
			t.Errorf("curve(%v) = %q, want %q", values, got, want)
		}
	}
}
