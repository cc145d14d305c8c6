package ledger_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/ledger"
)

// A follow proves wrong what WeChat said before. It does not overrule an admin,
// nor what the follower said of one template.
func TestFollowLifts(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		sup := key("sup")
		soon := time.Now().Add(time.Hour)
		for name, tc := range map[string]struct {
			put  func(openid string) error
			lift bool
		}{
			"left":       {func(o string) error { return l.Unsubscribed(t.Context(), o) }, true},
			"43004":      {suppressing(t, l, ledger.Suppression{Reason: "require-subscribe", Until: soon}), true},
			"user block": {suppressing(t, l, ledger.Suppression{Reason: "user-block", Until: soon}), true},
			"blacklist":  {suppressing(t, l, ledger.Suppression{Reason: "recipient-blacklisted", Until: soon}), true},
			"admin":      {suppressing(t, l, ledger.Suppression{Reason: "by-admin", ByAdmin: true}), false},
			"admin who says what WeChat says": {
				suppressing(t, l, ledger.Suppression{Reason: "unsubscribed", Until: soon, ByAdmin: true}), false,
			},
			"admin of an earlier version":  {func(o string) error { return rdb.HSet(t.Context(), sup, o, "0 moved away").Err() }, false},
			"WeChat of an earlier version": {func(o string) error { return rdb.HSet(t.Context(), sup, o, "0 user-not-found").Err() }, true},
			"one template":                 {suppressing(t, l, ledger.Suppression{Template: "T", Reason: "recipient-refused-template"}), false},
		} {
			openid := "o" + strings.ReplaceAll(name, " ", "-")
			must(t, tc.put(openid))
			lifted, err := l.Subscribed(t.Context(), openid)
			if err != nil || lifted != tc.lift {
				t.Errorf("%s: lifted %v, %v", name, lifted, err)
			}
			if s := suppressed(t, l, openid, "T"); (s == nil) != tc.lift {
				t.Errorf("%s: after a follow %+v", name, s)
			}
		}
		if lifted, err := l.Subscribed(t.Context(), "oNOBODY"); err != nil || lifted {
			t.Errorf("got %v, %v", lifted, err)
		}
		if n := rdb.ZCard(t.Context(), key("supz")).Val(); n != 1 {
			t.Errorf("%d ends are indexed, want the admin's", n)
		}
	})
}

func suppressing(t *testing.T, l *ledger.Ledger, s ledger.Suppression) func(string) error {
	t.Helper()
	return func(openid string) error {
		s.OpenID = openid
		return l.Suppress(t.Context(), s)
	}
}

// What WeChat says neither replaces an admin's decision nor shortens what lasts
// longer; an admin replaces everything.
func TestSuppressionsDoNotShrink(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		day := time.Now().Add(24 * time.Hour).Truncate(time.Millisecond).UTC()
		put := func(reason string, until time.Time, admin bool) {
			t.Helper()
			must(t, l.Suppress(t.Context(), ledger.Suppression{OpenID: "o1", Reason: reason, Until: until, ByAdmin: admin}))
		}
		want := func(reason string, until time.Time, admin bool) {
			t.Helper()
			s := suppressed(t, l, "o1", "")
			if s == nil || s.Reason != reason || !s.Until.Equal(until) || s.ByAdmin != admin {
				t.Errorf("got %+v, want %s until %s", s, reason, until)
			}
		}
		put("require-subscribe", day, false)
		put("require-subscribe", day.Add(time.Hour), false)
		want("require-subscribe", day.Add(time.Hour), false)
		put("user-block", day.Add(30*24*time.Hour), false)
		put("require-subscribe", day, false)
		want("user-block", day.Add(30*24*time.Hour), false)
		must(t, l.Unsubscribed(t.Context(), "o1"))
		put("user-block", day.Add(30*24*time.Hour), false)
		want("unsubscribed", time.Time{}, false)
		put("complained", day, true)
		must(t, l.Unsubscribed(t.Context(), "o1"))
		want("complained", day, true)
		put("asked for it", time.Time{}, true)
		want("asked for it", time.Time{}, true)
		must(t, rdb.HSet(t.Context(), key("sup"), "o1", strconv.FormatInt(day.UnixMilli(), 10)+" an older admin's words").Err())
		must(t, l.Unsubscribed(t.Context(), "o1"))
		want("an older admin's words", day, false)
		must(t, rdb.HSet(t.Context(), key("sup"), "o1", "5 over").Err())
		must(t, l.Unsubscribed(t.Context(), "o1"))
		want("unsubscribed", time.Time{}, false)
	})
}
