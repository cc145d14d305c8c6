package ratelimit_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/ratelimit"
)

// All faults at once, each with its field and the remedy.
func TestNewNamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := ratelimit.New(nil, ratelimit.Config{
		Key: "wxn:", Rate: -1, DailyQuota: -1, Reserve: 1.5, UTCOffset: 15 * time.Hour, MaxBlock: 1001,
	})
	if err == nil {
		t.Fatal("all of it was taken")
	}
	for _, field := range []string{
		"Redis client", "Config.Key", "Config.Rate", "Config.DailyQuota", "Config.Reserve",
		"Config.UTCOffset", "Config.MaxBlock", "Config.Owner",
	} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("%s is not named in:\n%v", field, err)
		}
	}
	if n := strings.Count(err.Error(), "\n") + 1; n != 8 {
		t.Errorf("%d faults, want 8:\n%v", n, err)
	}
}

func TestNewBorders(t *testing.T) {
	t.Parallel()
	_, rdb := redistest.Mini(t)
	for _, tt := range []struct {
		name   string
		change func(*ratelimit.Config)
		ok     bool
	}{
		{"as it is", func(*ratelimit.Config) {}, true},
		{"all zero that may be", func(c *ratelimit.Config) { *c = ratelimit.Config{Key: key, Owner: "a"} }, true},
		{"a rate that is no number", func(c *ratelimit.Config) { c.Rate = math.NaN() }, false},
		{"an endless rate", func(c *ratelimit.Config) { c.Rate = math.Inf(1) }, false},
		{"a reserve that is no number", func(c *ratelimit.Config) { c.Reserve = math.NaN() }, false},
		{"all reserved", func(c *ratelimit.Config) { c.Reserve = 1 }, true},
		{"half a second of offset", func(c *ratelimit.Config) { c.UTCOffset = 500 * time.Millisecond }, false},
		{"the largest block", func(c *ratelimit.Config) { c.MaxBlock = 1000 }, true},
		{"an empty tag", func(c *ratelimit.Config) { c.Key = "wxn:{}:" }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := config("a")
			tt.change(&cfg)
			if _, err := ratelimit.New(redis.UniversalClient(rdb), cfg); (err == nil) != tt.ok {
				t.Errorf("New gave %v", err)
			}
		})
	}
}

func TestClosedErrorTexts(t *testing.T) {
	t.Parallel()
	until := time.Date(2026, 11, 22, 18, 5, 0, 0, time.FixedZone("", 8*3600))
	for _, tt := range []struct {
		err  ratelimit.ClosedError
		want string
	}{
		{
			ratelimit.ClosedError{Reason: ratelimit.ReasonQuota, Detail: "9 of 9", Until: until},
			"closed: daily quota used (9 of 9), opens 2026-11-22 18:05:00 +08:00",
		},
		{
			ratelimit.ClosedError{Reason: ratelimit.ReasonRefused, Until: until},
			"closed: WeChat refused, its daily quota is used, opens 2026-11-22 18:05:00 +08:00",
		},
		{
			ratelimit.ClosedError{Reason: ratelimit.ReasonMinute, Until: until.Add(30 * time.Second)},
			"closed: WeChat's quota of this minute is used, opens 2026-11-22 18:05:30 +08:00",
		},
		{
			ratelimit.ClosedError{Reason: ratelimit.ReasonAccount, Detail: "48004: unfreeze it"},
			"closed: the account may not send (48004: unfreeze it), until it is opened",
		},
		{ratelimit.ClosedError{Reason: ratelimit.ReasonToken}, "closed: there is no access token, until it is opened"},
		{ratelimit.ClosedError{Reason: ratelimit.ReasonBreaker}, "closed: WeChat does not answer, until it is opened"},
		{ratelimit.ClosedError{Reason: "moon"}, "closed: moon, until it is opened"},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("got  %q\nwant %q", got, tt.want)
		}
	}
}

// The time is that of the day's zone.
func TestClosedErrorNamesTheTimeInChina(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, rdb *redis.Client) {
		g := reconciled(t, rdb, config("a"))
		must(t, g.Close(t.Context(), ratelimit.Pause{Reason: ratelimit.ReasonManual, Until: hourInChina(4, 9, 0, 0).UTC()}))
		closed := refused(t, g, ratelimit.General, ratelimit.ReasonManual)
		if want := "closed: held by an admin, opens 2000-01-04 09:00:00 +08:00"; closed.Error() != want {
			t.Errorf("the error says %q, want %q", closed, want)
		}
	})
}
