package enroll_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/ticket"
)

// recorder keeps the changes that a hook got.
type recorder struct {
	mu   sync.Mutex
	list []enroll.Change
	fail int // how many calls fail first
}

func (h *recorder) hook(_ context.Context, c enroll.Change) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.list = append(h.list, c)
	if h.fail > 0 {
		h.fail--
		return errors.New("the business is down")
	}
	return nil
}

// said is the changes in short, "kind openid<previous", without repetitions.
func (h *recorder) said() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out, ids []string
	for _, c := range h.list {
		if !slices.Contains(ids, c.ID) {
			ids = append(ids, c.ID)
			out = append(out, fmt.Sprintf("%s %s %s<%s by %s", c.Kind, c.User, c.OpenID, c.Previous, c.How))
		}
	}
	return out
}

// The hook gets bindings, rebindings with the previous openid, and unbindings, including
// those by commands in other processes. The audit trail has them, masked.
func TestChangesAreDeliveredAndAudited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &recorder{}
		w := newWorld(t, settings{change: func(c *enroll.Config) { c.OnChange = h.hook }})
		w.run()
		settle()
		const second = "oSIM6t0follower0000000000002"
		w.enrolled(w.link("patient-401"), openID)
		time.Sleep(time.Second) // virtual
		w.enrolled(w.link("patient-401"), second)
		other := newRoster(t, w.rdb, appID, nil) // of a command
		_, err := other.By("wxnotify enroll unbind").Unbind(t.Context(), "patient-401", second)
		must(t, err)
		_, err = other.Unbind(t.Context(), "patient-401", second) // nothing is bound
		must(t, err)
		settle()
		want := []string{
			"bound patient-401 " + openID + "< by oauth", "rebound patient-401 " + second + "<" + openID + " by oauth",
			"unbound patient-401 " + second + "< by wxnotify enroll unbind",
		}
		if got := h.said(); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if c := h.list[0]; c.Account != appID || time.Since(c.At).Abs() > time.Minute || c.ID == "" {
			t.Errorf("%+v", c)
		}
		trail, err := w.records.Audited(t.Context(), "", 10)
		must(t, err)
		var lines []string
		for _, e := range trail {
			lines = append(lines, strings.Join([]string{e.Action, e.Actor, e.OpenID, e.User, e.Detail}, "|"))
		}
		if got := strings.Join(lines, " "); got != "unbound|wxnotify enroll unbind|oSIM…02|pati…01| rebound||oSIM…02|pati…01|by oauth bound||oSIM…01|pati…01|by oauth" {
			t.Errorf("audit %s", got)
		}
		if n := w.rdb.XLen(t.Context(), "wxn:{"+appID+"}:changes").Val(); n != 0 {
			t.Errorf("%d changes wait", n)
		}
	})
}

// At least once: after an error the hook is called again, in order, in any process.
func TestChangeIsDeliveredUntilTheHookReturnsNil(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &recorder{fail: 3}
		w := newWorld(t, settings{change: func(c *enroll.Config) { c.OnChange = h.hook }})
		w.run()
		second := w.serve(func(c *enroll.Config) { c.OnChange = h.hook })
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- second.Run(ctx) }()
		settle()
		for i := range 5 {
			_, err := w.roster.Bind(t.Context(), binding("u-1", fmt.Sprint("o-", i)), nil)
			must(t, err)
		}
		time.Sleep(time.Minute) // virtual
		settle()
		got := h.said()
		if len(got) != 5 || len(h.list) != 8 || !slices.IsSorted(got[1:]) {
			t.Errorf("%d calls, %q", len(h.list), got)
		}
		stop()
		must(t, <-ended)
	})
}

// Without a hook no change is stored. After a process with a hook ran, changes are kept
// for a week at most.
func TestChangesAreKeptForAHookOnly(t *testing.T) {
	t.Parallel()
	story(t, settings{run: true}, func(t *testing.T, w *world) {
		const key = "wxn:{" + appID + "}:changes"
		w.enrolled(w.link("u-1"), openID)
		settle()
		if n := w.rdb.Exists(t.Context(), key).Val(); n != 0 {
			t.Error("kept without a hook")
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		hooked := w.serve(func(c *enroll.Config) { c.OnChange = (&recorder{}).hook })
		go func() { ended <- hooked.Run(ctx) }()
		settle()
		stop()
		must(t, <-ended)
		w.enrolled(w.link("u-2"), openID)
		if n := w.rdb.XLen(t.Context(), key).Val(); n != 1 {
			t.Errorf("%d wait", n)
		}
		w.erase(enroll.Person{OpenID: openID})
		for _, entry := range w.dump() {
			if strings.Contains(entry, openID) {
				t.Errorf("after the erasure: %.200s", entry)
			}
		}
		if ttl := w.rdb.TTL(t.Context(), key).Val(); ttl <= 0 || ttl > 7*24*time.Hour {
			t.Errorf("kept for %v", ttl)
		}
	})
}

// On a real Redis: bound, again, spent, unbound.
func TestTicketBindsOnce(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	r := newRoster(t, rdb, appID, nil)
	must(t, rdb.XGroupCreateMkStream(t.Context(), "wxn:{"+appID+"}:changes", "exists", "$").Err())
	bind := func(openid string, tk ticket.Ticket, want enroll.Bound) {
		t.Helper()
		if said, err := r.Bind(t.Context(), binding(tk.User, openid), &tk); err != nil || said != want {
			t.Errorf("%s: %s %v, want %s", openid, said, err, want)
		}
	}
	one := ticket.Ticket{ID: ticket.ID{1}, User: "u-1", ExpiresAt: time.Now().Add(time.Hour)}
	two := ticket.Ticket{ID: ticket.ID{2}, User: "u-1", ExpiresAt: time.Now().Add(2 * time.Hour)}
	bind("o-1", one, enroll.BoundNow)
	bind("o-1", one, enroll.BoundAgain)
	bind("o-2", one, enroll.TicketSpent)
	bind("o-1", two, enroll.BoundNow)
	const tickets = "wxn:{" + appID + "}:k:o-1"
	if n, ttl := rdb.ZCard(t.Context(), tickets).Val(), rdb.TTL(t.Context(), tickets).Val(); n != 2 || ttl < 2*time.Hour || ttl > 3*time.Hour {
		t.Errorf("%d tickets for %v", n, ttl)
	}
	if n, err := r.Unbind(t.Context(), "u-1", "o-1"); n != 1 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	bind("o-1", one, enroll.TicketSpent)
	bind("o-1", two, enroll.TicketSpent)
	if n := rdb.Exists(t.Context(), tickets).Val(); n != 0 {
		t.Error("the follower's tickets are still named")
	}
	if n := rdb.XLen(t.Context(), "wxn:{"+appID+"}:changes").Val(); n != 3 {
		t.Errorf("%d changes, want 3", n)
	}
}
