package enroll_test

import (
	crand "crypto/rand"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/ticket"
)

const alnum = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

func stateKey(tb testing.TB) enroll.StateKey {
	tb.Helper()
	k, err := ticket.Derive([]byte(enrollKey), "state")
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func TestOau04StateLength(t *testing.T) {
	t.Parallel()
	k, now := stateKey(t), time.Unix(1_800_000_000, 0)
	seen := map[string]bool{}
	for range 1000 {
		s := k.Seal(enroll.NewState(appID, ticket.ID{255, 255}, now.Add(time.Hour)))
		if len(s) > 128 || strings.Trim(s, alnum) != "" || len(s) != 73 {
			t.Fatalf("%d characters, %q", len(s), s)
		}
		if seen[s] {
			t.Fatal("two states are the same")
		}
		seen[s] = true
	}
}

func TestStateRoundTrip(t *testing.T) {
	t.Parallel()
	k, now := stateKey(t), time.Unix(1_800_000_000, 0)
	want := enroll.NewState(appID, ticket.ID{1, 2, 3}, now.Add(time.Minute))
	want.Kind, want.ReturnTo = 2, [6]byte{9, 8, 7}
	text := k.Seal(want)
	got, err := k.Open(text, appID, now)
	want.Nonce = got.Nonce
	if err != nil || got != want {
		t.Errorf("got %+v %v, want %+v", got, err, want)
	}
	if got, err := k.Open(text, appID, now.Add(time.Minute)); !errors.Is(err, enroll.ErrStateExpired) || got.Ticket != want.Ticket {
		t.Errorf("at its end: %+v %v", got, err)
	}
}

// Forged, of another account (oau-09), with text appended: none is ours.
func TestOau03ForgedStates(t *testing.T) {
	t.Parallel()
	k, now := stateKey(t), time.Unix(1_800_000_000, 0)
	text := k.Seal(enroll.NewState(appID, ticket.ID{1}, now.Add(time.Minute)))
	for name, forged := range map[string]string{
		"empty": "", "appended": text + "a", "appended #": text + "#wechat_redirect", "cut": text[1:],
		"sign": "-" + text[1:], "plus": "+" + text[1:], "underscore": "1_" + text[2:], "zeroes": strings.Repeat("0", len(text)),
		"largest": strings.Repeat("Z", len(text)), "huge": strings.Repeat("Z", 1<<16),
	} {
		if _, err := k.Open(forged, appID, now); !errors.Is(err, enroll.ErrState) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range text {
		other := byte('a')
		if text[i] == other {
			other = 'b'
		}
		if _, err := k.Open(text[:i]+string(other)+text[i+1:], appID, now); !errors.Is(err, enroll.ErrState) {
			t.Errorf("character %d may be changed: %v", i, err)
		}
	}
	if _, err := k.Open(text, "wx2222222222222222", now); !errors.Is(err, enroll.ErrState) {
		t.Errorf("another account's: %v", err)
	}
}

func FuzzState(f *testing.F) {
	now := time.Unix(1_800_000_000, 0)
	f.Add(stateKey(f).Seal(enroll.NewState(appID, ticket.ID{1}, now.Add(time.Minute))))
	f.Add(strings.Repeat("0", 73))
	k := enroll.StateKey(crand.Text()) // which signed none of the texts
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := k.Open(text, appID, now); err == nil {
			t.Errorf("accepted %q", text)
		}
	})
}

// With the tickets of internal/ticket and the signatures of package wechat these
// make ten million; none is accepted.
func TestRandomStatesAreRefused(t *testing.T) {
	t.Parallel()
	k, now := stateKey(t), time.Unix(1_800_000_000, 0)
	n := 700_000
	if testing.Short() {
		n = 70_000
	}
	r := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // a repeatable forger
	text := make([]byte, 73)
	for range n {
		for i := range text {
			text[i] = alnum[r.IntN(len(alnum))]
		}
		text[0] = '0' // else it is too large to be a state at all
		if _, err := k.Open(string(text), appID, now); !errors.Is(err, enroll.ErrState) {
			t.Fatalf("accepted %s: %v", text, err)
		}
	}
}
