package enroll_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/ticket"
	"github.com/wxnotify/wxnotify/wechat"
)

// A push is forwarded although Redis' answer to its mark was lost and the call repeated;
// a repetition of WeChat's is not.
func TestForwardWithALostAnswer(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]func() string{
		"text": func() string { return text("hello") }, "follow": func() string { return follow(true, time.Now()) },
	} {
		for _, lost := range []int{1, 2} { // the push whose answer is lost
			synctest.Test(t, func(t *testing.T) {
				forwards := 0
				w := newWorld(t, settings{mode: wechat.CallbackPlain, change: forwarding(func(context.Context, *wechat.Push) ([]byte, error) {
					forwards++
					return nil, nil
				})})
				repeated, document := func() bool { return false }, body()
				for push := 1; push <= 3; push++ {
					if push == lost {
						repeated = redistest.Twice(w.rdb, "", "+")
					}
					if resp := post(w.handler, w.signed(), strings.NewReader(document)); resp.Code != http.StatusOK {
						t.Errorf("%s: %d %q", name, resp.Code, resp.Body)
					}
					time.Sleep(5 * time.Second) // virtual
				}
				if forwards != 1 || !repeated() {
					t.Errorf("%s, answer %d lost: %d forwards, repeated: %v", name, lost, forwards, repeated())
				}
			})
		}
	}
}

// A follower is bound at once although the answer to the note of the code was lost.
func TestExchangeWithALostAnswer(t *testing.T) {
	t.Parallel()
	story(t, settings{}, func(t *testing.T, w *world) {
		repeated, began := redistest.Twice(w.rdb, "eval", ":x:"), time.Now()
		if word := ended(w.enrolled(w.link("u-1"), openID)); word != string(enroll.BoundNow) || !repeated() {
			t.Errorf("ended %q, repeated: %v", word, repeated())
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// A page has its QR code although the answer to the code's lock was lost.
func TestQRCodeWithALostAnswer(t *testing.T) {
	t.Parallel()
	story(t, settings{}, func(t *testing.T, w *world) {
		repeated := redistest.Twice(w.rdb, "eval", ":lock")
		page := w.get(w.link("u-1", unasked), desktopUA)
		if page.Code != http.StatusOK || w.p.Calls("/cgi-bin/qrcode/create").Total != 1 || !repeated() {
			t.Errorf("%d, %d codes, repeated: %v", page.Code, w.p.Calls("/cgi-bin/qrcode/create").Total, repeated())
		}
	})
}

// A change is delivered at once although the answer to the lock was lost.
func TestChangeWithALostAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &recorder{}
		w := newWorld(t, settings{change: func(c *enroll.Config) { c.OnChange = h.hook }})
		w.run()
		settle()
		repeated := redistest.Twice(w.rdb, "", "changes:lock")
		_, err := w.roster.Bind(t.Context(), binding("u-1", openID), nil)
		must(t, err)
		settle()
		if got := h.said(); len(got) != 1 || !repeated() {
			t.Errorf("%q, repeated: %v", got, repeated())
		}
	})
}

// A process whose lock went to another one, because it stood still, delivers no further
// change and leaves the other one's lock.
func TestLockOfChangesIsRemovedByItsOwner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const lock = "wxn:{" + appID + "}:changes:lock"
		var w *world
		calls := 0
		w = newWorld(t, settings{change: func(c *enroll.Config) {
			c.OnChange = func(ctx context.Context, _ enroll.Change) error {
				calls++
				return w.rdb.Set(ctx, lock, "another", time.Hour).Err()
			}
		}})
		must(t, w.rdb.XGroupCreateMkStream(t.Context(), "wxn:{"+appID+"}:changes", "exists", "$").Err())
		for _, user := range []string{"u-1", "u-2"} {
			_, err := w.roster.Bind(t.Context(), binding(user, openID), nil)
			must(t, err)
		}
		w.run()
		settle()
		if whose := w.rdb.Get(t.Context(), lock).Val(); calls != 1 || whose != "another" {
			t.Errorf("%d calls, the lock is %q", calls, whose)
		}
	})
}

// A binding whose answer was lost is the same binding: one line in the trail, one change,
// and a ticket that was not used before.
func TestBindWithALostAnswer(t *testing.T) {
	t.Parallel()
	story(t, settings{}, func(t *testing.T, w *world) {
		const changes = "wxn:{" + appID + "}:changes"
		must(t, w.rdb.XGroupCreateMkStream(t.Context(), changes, "exists", "$").Err())
		tk := ticket.Ticket{ID: ticket.ID{1}, User: "u-1", ExpiresAt: time.Now().Add(time.Hour)}
		for i, by := range []*ticket.Ticket{&tk, nil} {
			time.Sleep(time.Second) // virtual
			repeated := redistest.Twice(w.rdb, "eval", changes)
			said, err := w.roster.Bind(t.Context(), binding("u-1", openID), by)
			if said != enroll.BoundNow || err != nil || !repeated() {
				t.Errorf("%s %v, repeated: %v", said, err, repeated())
			}
			if n := w.rdb.XLen(t.Context(), changes).Val(); int(n) != i+1 {
				t.Errorf("%d changes of %d bindings", n, i+1)
			}
		}
		if said, err := w.roster.Bind(t.Context(), binding("u-1", openID), &tk); said != enroll.BoundAgain || err != nil {
			t.Errorf("a second use of the ticket: %s %v", said, err)
		}
	})
}
