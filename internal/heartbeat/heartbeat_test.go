package heartbeat_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/heartbeat"
	"github.com/wxnotify/wxnotify/internal/redistest"
)

const appid = "wx0123456789abcdef"

func reporter(rdb redis.UniversalClient, id string) *heartbeat.Reporter {
	return heartbeat.NewReporter(rdb, appid, heartbeat.Worker{
		ID: id, Host: "host-" + id, Version: "v1.2.3", Started: time.Now().UTC(), Concurrency: 64,
	})
}

func beat(t *testing.T, r *heartbeat.Reporter, s *heartbeat.Suspension) heartbeat.Counts {
	t.Helper()
	counts, err := r.Beat(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return counts
}

// list returns the ids of the workers that are alive.
func list(t *testing.T, rdb redis.UniversalClient) (string, time.Time) {
	t.Helper()
	workers, last, err := heartbeat.List(t.Context(), rdb, appid)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, w := range workers {
		ids = append(ids, w.ID)
	}
	return strings.Join(ids, " "), last
}

func TestListsWhatWorkersReport(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		if ids, last := list(t, rdb); ids != "" || !last.IsZero() {
			t.Errorf("before any worker: %q, last seen %v", ids, last)
		}
		one, two := reporter(rdb, "one"), reporter(rdb, "two")
		if c := beat(t, one, nil); c != (heartbeat.Counts{Alive: 1}) {
			t.Errorf("the first report counts %+v", c)
		}
		since := time.Now().UTC().Truncate(time.Millisecond)
		s := &heartbeat.Suspension{Since: since, Errcode: 40164, Address: "203.0.113.7"}
		if c := beat(t, two, s); c != (heartbeat.Counts{Alive: 2, Suspended: 1}) {
			t.Errorf("the second worker counts %+v", c)
		}
		workers, last, err := heartbeat.List(t.Context(), rdb, appid)
		if err != nil || len(workers) != 2 {
			t.Fatalf("%d workers, %v", len(workers), err)
		}
		w := workers[1]
		if w.ID != "two" || w.Host != "host-two" || w.Version != "v1.2.3" || w.Concurrency != 64 || *w.Suspended != *s || workers[0].Suspended != nil {
			t.Errorf("listed %+v and %+v", workers[0], w)
		}
		if w.ClockAhead.Abs() > time.Minute || time.Since(w.Seen).Abs() > time.Minute || last.Before(w.Seen) {
			t.Errorf("clock ahead %v, seen %v, last %v", w.ClockAhead, w.Seen, last)
		}
		held := make([]heartbeat.Held, 12)
		for i := range held {
			held[i] = heartbeat.Held{Template: strings.Repeat("T", 100), Errcode: 40037, Since: since, Until: since}
		}
		if _, err := two.Beat(t.Context(), nil, held...); err != nil {
			t.Fatal(err)
		}
		if workers, _, err = heartbeat.List(t.Context(), rdb, appid); err != nil || len(workers[1].Held) != 10 || len(workers[1].Held[0].Template) != 64 || workers[1].Held[0].Errcode != 40037 {
			t.Errorf("refused templates are listed as %+v, %v", workers, err)
		}
		beat(t, two, nil)
		if err := one.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		if ids, _ := list(t, rdb); ids != "two" {
			t.Errorf("after one has stopped: %q", ids)
		}
	})
}

func TestKilledWorkerIsGoneAfterAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mini, rdb := redistest.Mini(t)
		beat(t, reporter(rdb, "killed"), nil)
		killed := time.Now()
		time.Sleep(55 * time.Second) // virtual
		if ids, _ := list(t, rdb); ids != "killed" {
			t.Errorf("after 55 s: %q", ids)
		}
		time.Sleep(10 * time.Second) // virtual
		ids, last := list(t, rdb)
		if ids != "" || !last.Equal(killed.Truncate(time.Millisecond)) {
			t.Errorf("after 65 s: %q, last seen %v, want none, last seen %v", ids, last, killed)
		}
		time.Sleep(10 * time.Minute) // virtual
		beat(t, reporter(rdb, "next"), nil)
		if fields, _ := mini.HKeys("wxn:{" + appid + "}:workers"); len(fields) != 2 {
			t.Errorf("fields %q, want the entry of the killed worker deleted", fields)
		}
		time.Sleep(89 * 24 * time.Hour) // virtual
		if _, last := list(t, rdb); last.IsZero() {
			t.Error("the last report is forgotten after 89 days")
		}
	})
}

func TestWorkersOfAnAccountAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mini, rdb := redistest.Mini(t)
		for i := range 300 { // a process that is started again and again
			beat(t, reporter(rdb, fmt.Sprintf("%03d", i)), nil)
			time.Sleep(time.Second) // virtual
		}
		fields, _ := mini.HKeys("wxn:{" + appid + "}:workers")
		if len(fields) > 257 {
			t.Errorf("%d fields, want at most 256 workers and the last report", len(fields))
		}
		if ids, _ := list(t, rdb); !strings.HasSuffix(ids, "299") {
			t.Errorf("the newest worker is not listed: %q", ids)
		}
	})
}

func TestClockDifferenceIsReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mini, rdb := redistest.Mini(t)
		mini.ClockTTL(false)
		mini.SetTime(time.Now().Add(-42 * time.Second))
		beat(t, reporter(rdb, "ahead"), nil)
		workers, _, err := heartbeat.List(t.Context(), rdb, appid)
		if err != nil || len(workers) != 1 || workers[0].ClockAhead != 42*time.Second {
			t.Errorf("workers %+v, %v, want one 42 s ahead", workers, err)
		}
	})
}

// 50 accounts at rest: three commands of each worker in 10 s.
func TestReportCostsThreeCommands(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	r := reporter(rdb, "one")
	beat(t, r, nil)
	before := processed(t, rdb)
	for range 10 {
		beat(t, r, nil)
	}
	if n := processed(t, rdb) - before; n > 31 { // and the question itself
		t.Errorf("10 reports cost %d commands", n)
	}
}

func processed(t *testing.T, rdb redis.UniversalClient) (n int) {
	t.Helper()
	text, err := rdb.Info(t.Context(), "stats").Result()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, "total_commands_processed:"); ok {
			_, _ = fmt.Sscan(value, &n)
		}
	}
	return n
}

func TestErrorsOfRedisAreReturned(t *testing.T) {
	t.Parallel()
	mini, rdb := redistest.Mini(t)
	beat(t, reporter(rdb, "one"), nil)
	mini.HSet("wxn:{"+appid+"}:workers", "two", "of another version")
	if ids, _ := list(t, rdb); ids != "one" {
		t.Errorf("listed %q beside an entry of another version, want one", ids)
	}
	mini.SetError("ERR down")
	r := reporter(rdb, strings.Repeat("x", 100))
	_, err := r.Beat(t.Context(), nil)
	_, _, listErr := heartbeat.List(t.Context(), rdb, appid)
	for what, err := range map[string]error{"Beat": err, "List": listErr, "Leave": r.Leave(t.Context())} {
		if err == nil || !strings.HasPrefix(err.Error(), "heartbeat: ") {
			t.Errorf("%s while Redis fails: %v", what, err)
		}
	}
}
