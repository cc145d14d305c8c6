package ops_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/internal/ops"
	"github.com/wxnotify/wxnotify/wechat"
)

// door is a listener that logins are tried at, in virtual time.
type door struct {
	t *testing.T
	h *ops.Handler
}

func newDoor(t *testing.T, change func(*ops.Config)) door {
	t.Helper()
	cfg := ops.Config{Redis: unreachable(t), Addr: ":9090", Logins: []ops.Login{
		{Name: "li", Password: wechat.NewSecret("right")}, {Name: "wang", Password: wechat.NewSecret("correct")},
	}}
	if change != nil {
		change(&cfg)
	}
	h, err := ops.New(cfg)
	must(t, err)
	return door{t, h}
}

func (d door) ask(address, name, password, forwarded string) int {
	r := httptest.NewRequestWithContext(d.t.Context(), http.MethodGet, "/nothing", http.NoBody)
	r.RemoteAddr = address
	if forwarded != "" {
		r.Header.Set("X-Forwarded-For", forwarded)
	}
	r.SetBasicAuth(name, password)
	w := httptest.NewRecorder()
	d.h.ServeHTTP(w, r)
	return w.Code
}

func (d door) expect(when string, status int, address, name, password string) {
	d.t.Helper()
	if got := d.ask(address, name, password, "192.0.2.99"); got != status { // the header is ignored
		d.t.Errorf("%s: %d, want %d", when, got, status)
	}
}

const (
	in        = http.StatusNotFound // behind the login there is no such page
	wrong     = http.StatusUnauthorized
	throttled = http.StatusTooManyRequests
	one       = "192.0.2.1:4711"
	other     = "192.0.2.2:4711"
)

// A correct login is remembered for an hour, which each use begins anew; neither the
// failures of its address nor those of all addresses end it.
func TestAdminsAreNotLockedOutByGuesses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, nil)
		d.expect("correct", in, one, "li", "right")
		for range 3 {
			time.Sleep(59 * time.Minute)
			d.expect("within the hour since the last use", in, one, "li", "right")
		}
		for i := range 60 {
			d.expect(fmt.Sprint("guess ", i), wrong, one, "li", "guess")
		}
		d.expect("too many guesses from a known address", throttled, one, "li", "guess")
		d.expect("remembered in spite of its address' failures", in, one, "li", "right")
		d.expect("from another address", in, other, "li", "right")
		for i := range 100 {
			d.ask(fmt.Sprintf("198.51.100.%d:1", i), "li", "guess", "")
		}
		d.expect("all addresses are locked", throttled, "203.0.113.1:1", "wang", "correct")
		d.expect("remembered in spite of all failures", in, one, "li", "right")
		d.expect("a second admin at an address that an admin uses", in, other, "wang", "correct")
		time.Sleep(time.Hour + time.Second)
		for range 5 {
			d.expect("forgotten after an hour without use", wrong, one, "li", "guess")
		}
		d.expect("the limit of an unknown address again", throttled, one, "li", "right")
	})
}

// An address fails five times a minute, all addresses a hundred times.
func TestGuessesAreLimited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, nil)
		for range 5 {
			d.expect("wrong", wrong, one, "li", "guess")
		}
		d.expect("the sixth", throttled, one, "li", "right")
		d.expect("another address", wrong, other, "li", "guess")
		time.Sleep(time.Minute + time.Second)
		d.expect("the failures are a minute old", in, one, "li", "right")
		for i := range 100 {
			d.ask(fmt.Sprintf("198.51.100.%d:1", i), "li", "guess", "")
		}
		d.expect("after 100 failures of all addresses", throttled, "no-port", "li", "guess")
	})
}

// Behind a trusted proxy each client has its own count; who is not behind it cannot
// write the header.
func TestFailuresAreCountedByTheAddressBehindATrustedProxy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, func(c *ops.Config) {
			c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
		})
		const proxy = "127.0.0.1:555"
		for i := range 5 {
			if got := d.ask(proxy, "li", "guess", fmt.Sprintf("203.0.113.%d, 198.51.100.7, 10.1.1.1", i)); got != wrong {
				t.Errorf("guess %d: %d", i, got)
			}
		}
		for forwarded, status := range map[string]int{
			"198.51.100.7": throttled, "203.0.113.9, ::ffff:198.51.100.7": throttled, "198.51.100.8": in, "": in, "nonsense": in,
		} {
			if got := newDoorAsk(d, proxy, forwarded, status); got != status {
				t.Errorf("forwarded %q: %d, want %d", forwarded, got, status)
			}
		}
		if got := d.ask("203.0.113.50:1", "li", "guess", "198.51.100.7"); got != wrong {
			t.Errorf("the header of an untrusted address counts: %d", got)
		}
	})
}

// newDoorAsk tries a guess where the address is expected to be throttled, since a
// remembered login would pass, and else the right password.
func newDoorAsk(d door, address, forwarded string, status int) int {
	if status == throttled {
		return d.ask(address, "wang", "guess", forwarded)
	}
	return d.ask(address, "li", "right", forwarded)
}
