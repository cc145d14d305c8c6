package ticket_test

import (
	crand "crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/ticket"
)

const (
	key     = "0123456789abcdef0123456789abcdef"
	account = "wx1111111111111111"
)

func sealer(tb testing.TB, key, account string) *ticket.Sealer {
	tb.Helper()
	s, err := ticket.NewSealer([]byte(key), account)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func TestOpenReturnsWhatSealWasGiven(t *testing.T) {
	t.Parallel()
	s := sealer(t, key, account)
	now := time.Unix(1_800_000_000, 0)
	for _, want := range []ticket.Ticket{
		{User: "u-1", ExpiresAt: now.Add(time.Hour)},
		{User: "患者-四百零一", ExpiresAt: now.Add(time.Second), UserInfo: true},
		{User: strings.Repeat("x", 128), ExpiresAt: now.Add(ticket.MaxLife), HandOff: true, UserInfo: true},
		{User: "u-1", ExpiresAt: now.Add(time.Hour), WithoutConfirm: true},
	} {
		text, id := s.Seal(want)
		if strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" || len(text) > ticket.MaxText {
			t.Errorf("the text is not fit for an address: %q", text)
		}
		got, err := s.Open(text, now)
		want.ID = id
		if err != nil || got != want {
			t.Errorf("got %+v %v, want %+v", got, err, want)
		}
		if back, err := ticket.ParseID(id.String()); err != nil || back != id {
			t.Errorf("ID %s reads as %s, %v", id, back, err)
		}
	}
}

func TestTicketTextHidesTheUserAndIsUnique(t *testing.T) {
	t.Parallel()
	s := sealer(t, key, account)
	terms := ticket.Ticket{User: "13800000000", ExpiresAt: time.Now().Add(time.Hour)}
	one, _ := s.Seal(terms)
	two, _ := s.Seal(terms)
	raw, err := base64.RawURLEncoding.DecodeString(one)
	if err != nil || strings.Contains(string(raw), terms.User) {
		t.Errorf("the ticket shows the user, or is no base64: %v", err)
	}
	if one == two {
		t.Error("two tickets of one user are the same")
	}
}

func TestOpenRefusesForgedForeignAndExpiredTickets(t *testing.T) {
	t.Parallel()
	s := sealer(t, key, account)
	now := time.Unix(1_800_000_000, 0)
	text, id := s.Seal(ticket.Ticket{User: "u-1", ExpiresAt: now.Add(time.Hour)})
	for name, forged := range map[string]string{
		"empty": "", "text appended": text + "A", "cut": text[:len(text)-1], "padding": text + "=",
		"white space": text + "\n", "long": strings.Repeat("A", 1<<16), "other alphabet": strings.Repeat("+", len(text)),
	} {
		if _, err := s.Open(forged, now); !errors.Is(err, ticket.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range text { // each character counts
		other := byte('A')
		if text[i] == other {
			other = 'B'
		}
		if _, err := s.Open(text[:i]+string(other)+text[i+1:], now); !errors.Is(err, ticket.ErrInvalid) {
			t.Errorf("character %d may be changed: %v", i, err)
		}
	}
	if _, err := sealer(t, key, "wx2222222222222222").Open(text, now); !errors.Is(err, ticket.ErrInvalid) {
		t.Errorf("another account's: %v", err)
	}
	if _, err := sealer(t, strings.ToUpper(key), account).Open(text, now); !errors.Is(err, ticket.ErrInvalid) {
		t.Errorf("another key's: %v", err)
	}
	got, err := s.Open(text, now.Add(time.Hour))
	if !errors.Is(err, ticket.ErrExpired) || got.ID != id {
		t.Errorf("at its end: %v %+v", err, got)
	}
}

func TestBadKeysAndIDsAreRefused(t *testing.T) {
	t.Parallel()
	if _, err := ticket.NewSealer([]byte("short"), account); err == nil || !strings.Contains(err.Error(), "openssl rand") {
		t.Errorf("a short key: %v", err)
	}
	if _, err := ticket.NewSealer([]byte(key), ""); err == nil {
		t.Error("no account")
	}
	for _, text := range []string{"", "zz", strings.Repeat("A", 24), strings.Repeat("g", 24), strings.Repeat("0", 25)} {
		if _, err := ticket.ParseID(text); !errors.Is(err, ticket.ErrInvalid) {
			t.Errorf("ParseID(%q): %v", text, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	now := time.Unix(1_800_000_000, 0)
	genuine, _ := sealer(f, key, account).Seal(ticket.Ticket{User: "u-1", ExpiresAt: now.Add(time.Hour)})
	f.Add(genuine)
	f.Add("")
	f.Add(strings.Repeat("A", 60))
	s := sealer(f, crand.Text()+crand.Text(), account) // it sealed none of the texts
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := s.Open(text, now); err == nil {
			t.Errorf("accepted %q", text)
		}
	})
}

// The same attack on OAuth states and signatures is in package enroll.
func TestRandomTicketsAreRefused(t *testing.T) {
	t.Parallel()
	s := sealer(t, key, account)
	n := 2_000_000
	if testing.Short() {
		n = 20_000
	}
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // repeatable
	now := time.Unix(1_800_000_000, 0)
	raw := make([]byte, 40)
	for range n {
		for i := range raw {
			raw[i] = byte(r.Uint32()) //nolint:gosec // the low byte
		}
		if _, err := s.Open(base64.RawURLEncoding.EncodeToString(raw), now); !errors.Is(err, ticket.ErrInvalid) {
			t.Fatalf("accepted %x: %v", raw, err)
		}
	}
}

func TestPreviousKeyOpensItsTickets(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	const before = "fedcba9876543210fedcba9876543210"
	old, id := sealer(t, before, account).Seal(ticket.Ticket{User: "u-1", ExpiresAt: now.Add(time.Hour)})
	both, err := ticket.NewSealer([]byte(key), account, []byte(before), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := both.Open(old, now); err != nil || got.ID != id || got.User != "u-1" {
		t.Errorf("%+v %v", got, err)
	}
	fresh, _ := both.Seal(ticket.Ticket{User: "u-2", ExpiresAt: now.Add(time.Hour)})
	if _, err := sealer(t, key, account).Open(fresh, now); err != nil {
		t.Errorf("not sealed with the new key: %v", err)
	}
	if _, err := ticket.NewSealer([]byte(key), account, []byte("short")); err == nil {
		t.Error("a short previous key is accepted")
	}
}

func TestDataThatCouldShareAClaimIsRefused(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]map[string]string{
		"none": nil, "empty name": {"": "1"}, "equals sign": {"a=b": "1"}, "line break in a name": {"a\nb": "1"}, "line break": {"a": "1\nb=2"},
		"GBK": {"a": "\xca\xd6"}, "GBK in a name": {"\xca\xd6": "1"},
	} {
		if err := ticket.CheckData(data); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := ticket.CheckData(map[string]string{"phone": "1=1", "name": ""}); err != nil {
		t.Error(err)
	}
}

// A reader of the link, its claim and all of Redis cannot try telephone numbers: each
// digest needs the enrolment key.
func TestClaimNeedsAKeyThatIsNotInTheLink(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		text, id := sealer(t, key, account).Seal(ticket.Ticket{User: "u-1", ExpiresAt: time.Now().Add(time.Hour), HandOff: true})
		data := map[string]string{"phone": "13800000000"}
		claim := ticket.Claim([]byte(key), text, data)
		store := ticket.NewHandOffStore(rdb, account, []byte(key))
		if err := store.Save(t.Context(), id, claim, "unionid-1", time.Hour); err != nil {
			t.Fatal(err)
		}
		for _, known := range []string{text, id.String(), ""} {
			if ticket.Claim([]byte(known), text, data) == claim {
				t.Errorf("keyed by %q, which the link shows", known)
			}
		}
		saved := rdb.HGetAll(t.Context(), ticket.HandOffKey(account, id)).Val()
		for _, guess := range []string{claim, "unionid-1", "13800000000"} {
			sum := sha256.Sum256([]byte(guess))
			for field, v := range saved {
				if strings.Contains(v, hex.EncodeToString(sum[:])[:16]) {
					t.Errorf("field %s confirms the guess %s", field, guess)
				}
			}
		}
	})
}

func TestHandOffStoreMatchesOnlyTheSavedClaimAndUnionID(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		const before = "fedcba9876543210fedcba9876543210"
		store := ticket.NewHandOffStore(rdb, account, []byte(before))
		rotated := ticket.NewHandOffStore(rdb, account, []byte(key), []byte(before))
		text, id := sealer(t, key, account).Seal(ticket.Ticket{User: "u-1", ExpiresAt: time.Now().Add(time.Hour), HandOff: true})
		data := map[string]string{"phone": "13800000000", "name": "王"}
		claim := ticket.Claim([]byte(before), text, data)
		if err := store.Save(t.Context(), id, claim, "unionid-1", time.Hour); err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			claim string
			want  error
		}{
			"the same": {claim, nil}, "in capitals": {strings.ToUpper(claim), nil},
			"none": {"", ticket.ErrMismatch}, "of other data": {ticket.Claim([]byte(key), text, map[string]string{"phone": "1"}), ticket.ErrMismatch},
		} {
			for _, s := range []*ticket.HandOffStore{store, rotated} {
				if err := s.CheckClaim(t.Context(), id, c.claim); !errors.Is(err, c.want) {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		for unionID, want := range map[string]error{"unionid-1": nil, "unionid-2": ticket.ErrMismatch, "": ticket.ErrMismatch} {
			for _, s := range []*ticket.HandOffStore{store, rotated} {
				if err := s.CheckUnionID(t.Context(), id, unionID); !errors.Is(err, want) {
					t.Errorf("unionid %q: %v", unionID, err)
				}
			}
		}
		for range 9 { // too short or long to be a claim: no guess
			if err := store.CheckClaim(t.Context(), id, strings.Repeat("c", 30_000)); !errors.Is(err, ticket.ErrMismatch) {
				t.Error(err)
			}
		}
		if err := store.CheckClaim(t.Context(), id, claim); err != nil {
			t.Errorf("after texts that are no claims: %v", err)
		}
		for range 5 { // guesses end the link
			_ = store.CheckClaim(t.Context(), id, strings.Repeat("0", 64))
		}
		if err := store.CheckClaim(t.Context(), id, claim); !errors.Is(err, ticket.ErrMismatch) {
			t.Errorf("after five wrong claims: %v", err)
		}
		for _, v := range rdb.HGetAll(t.Context(), "wxn:{"+account+"}:h:"+id.String()).Val() {
			if strings.Contains(v, "13800000000") || v == claim || strings.Contains(v, "unionid-1") {
				t.Errorf("readable in Redis: %q", v)
			}
		}
		time.Sleep(time.Hour + time.Second) // in the bubble
		if err := store.CheckUnionID(t.Context(), id, "unionid-1"); !errors.Is(err, ticket.ErrMismatch) {
			t.Errorf("after its time: %v", err)
		}
		if left := rdb.Keys(t.Context(), "*").Val(); len(left) != 0 {
			t.Errorf("left in Redis: %v", left)
		}
	})
}

// The store's script runs with the rights of docs/redis.md and uses only keys that it declares.
func TestHandOffStoreOnARedisWithFewRights(t *testing.T) {
	t.Parallel()
	store := ticket.NewHandOffStore(redistest.Start(t).Strict(t), account, []byte(key))
	text, id := sealer(t, key, account).Seal(ticket.Ticket{User: "u-1", ExpiresAt: time.Now().Add(time.Hour), HandOff: true})
	claim := ticket.Claim([]byte(key), text, map[string]string{"phone": "13800000000"})
	if err := store.Save(t.Context(), id, claim, "", time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := store.CheckClaim(t.Context(), id, strings.Repeat("0", 64)); !errors.Is(err, ticket.ErrMismatch) {
		t.Errorf("another claim: %v", err)
	}
	if err := store.CheckClaim(t.Context(), id, claim); err != nil {
		t.Error(err)
	}
}
