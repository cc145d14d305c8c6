package enroll_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redistest"
)

func binding(user, openid string) enroll.Binding {
	return enroll.Binding{User: user, OpenID: openid, How: "import"}
}

func TestRosterPagesLeaveNobodyOut(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	r := newRoster(t, rdb, appID, nil)
	const n = 500
	var all sync.WaitGroup
	for i := range 8 { // many in one millisecond
		all.Go(func() {
			for j := i; j < n; j += 8 {
				if said, err := r.Bind(t.Context(), binding(fmt.Sprintf("u-%04d", j), fmt.Sprintf("o-%04d", j)), nil); err != nil || said != enroll.BoundNow {
					t.Errorf("%s %v", said, err)
				}
			}
		})
	}
	all.Wait()
	for _, size := range []int{1, 7, n - 1, n, n + 1} {
		seen := map[string]int{}
		for cursor, first := "", true; first || cursor != ""; first = false {
			var list []enroll.Binding
			var err error
			list, cursor, err = r.Page(t.Context(), cursor, size)
			must(t, err)
			for _, b := range list {
				seen[b.User]++
			}
		}
		if len(seen) != n {
			t.Errorf("pages of %d: %d of %d users", size, len(seen), n)
		}
		for user, times := range seen {
			if times != 1 {
				t.Errorf("pages of %d: %s %d times", size, user, times)
			}
		}
	}
	if _, _, err := r.Page(t.Context(), "nonsense", 1); err == nil {
		t.Error("a made-up cursor was taken")
	}
}

// A user has several openids: messages go to the latest that may be written to.
func TestRosterResolvesAtSendTime(t *testing.T) {
	t.Parallel()
	story(t, settings{}, func(t *testing.T, w *world) {
		begin := func(id string) ledger.Start {
			t.Helper()
			s, err := w.records.Begin(t.Context(), job.Envelope{
				ID: id, Class: job.Default, User: "u-1", Template: "t", QueuedAt: time.Now(), Body: []byte(`{"template_id":"t"}`),
			}, ledger.Delivery{N: 1})
			must(t, err)
			return s
		}
		if s := begin("m-0"); s.Decision != ledger.NoUser {
			t.Errorf("before: %+v", s)
		}
		for _, o := range []string{"o-old", "o-new"} {
			_, err := w.roster.Bind(t.Context(), binding("u-1", o), nil)
			must(t, err)
			time.Sleep(time.Second) // virtual
		}
		if s := begin("m-1"); s.To != "o-new" {
			t.Errorf("%+v, want the latest", s)
		}
		must(t, w.records.Unsubscribed(t.Context(), "o-new"))
		if s := begin("m-2"); s.To != "o-old" {
			t.Errorf("%+v, want the one that follows", s)
		}
		must(t, w.records.Unsubscribed(t.Context(), "o-old"))
		if s := begin("m-3"); s.Decision != ledger.Suppressed {
			t.Errorf("%+v", s)
		}
		if n, err := w.roster.Unbind(t.Context(), "u-1", ""); err != nil || n != 2 {
			t.Errorf("%d %v", n, err)
		}
		if s := begin("m-4"); s.Decision != ledger.NoUser {
			t.Errorf("afterwards: %+v", s)
		}
		if left := w.rdb.Keys(t.Context(), "wxn:{"+appID+"}:o:*").Val(); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
	})
}

func TestRosterBounds(t *testing.T) {
	t.Parallel()
	story(t, settings{}, func(t *testing.T, w *world) {
		for i := range 17 {
			said, err := w.roster.Bind(t.Context(), binding("u-1", fmt.Sprint("o-", i)), nil)
			want := enroll.BoundNow
			if i == 16 {
				want = enroll.UserFull
			}
			if err != nil || said != want {
				t.Errorf("openid %d: %s %v", i, said, err)
			}
		}
		for _, bad := range []enroll.Binding{{}, {User: "u"}, {OpenID: "o"}} {
			if _, err := w.roster.Bind(t.Context(), bad, nil); err == nil {
				t.Errorf("accepted %+v", bad)
			}
		}
		if _, err := enroll.NewRoster(enroll.RosterConfig{Account: appID}); err == nil {
			t.Error("no client")
		}
	})
}

// A roster entry takes some 400 bytes: it is what stays.
func TestRosterBytesPerUser(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	r := newRoster(t, rdb, appID, nil)
	follows := true
	used := func() int64 {
		var n int64
		for _, key := range rdb.Keys(t.Context(), "*").Val() {
			n += rdb.MemoryUsage(t.Context(), key).Val()
		}
		return n
	}
	const n = 1000
	for i := range n {
		_, err := r.Bind(t.Context(), enroll.Binding{
			User: fmt.Sprintf("patient-%06d", i), OpenID: fmt.Sprintf("oSIM6t0follower%013d", i), UnionID: fmt.Sprintf("oU%026d", i),
			How: enroll.ByOAuth, Follows: &follows,
		}, nil)
		must(t, err)
	}
	each := used() / n
	t.Logf("%d bytes per user with one openid and a unionid", each)
	if each > 550 {
		t.Errorf("%d bytes per user, want at most 550", each)
	}
}
