package apikey_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/apikey"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/redistest"
)

const account = "wx1234567890abcdef"

func open(t *testing.T) (*miniredis.Miniredis, *redis.Client) {
	t.Helper()
	server := miniredis.RunT(t)
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr()})
	t.Cleanup(func() { _ = rdb.Close() })
	return server, rdb
}

func key() apikey.Key {
	return apikey.Key{Name: "billing", Kind: apikey.Live, Scopes: []apikey.Scope{apikey.Send, apikey.Read}}
}

func ring(t *testing.T, rdb *redis.Client) *apikey.Keyring {
	t.Helper()
	k, err := apikey.NewKeyring(rdb, []string{account, "wxother"}, "")
	must(t, err)
	return k
}

func TestASecretIsVerifiedAndNeverStored(t *testing.T) {
	t.Parallel()
	server, rdb := open(t)
	made, secret, err := apikey.NewStore(rdb, account).Create(t.Context(), key())
	must(t, err)
	if !strings.HasPrefix(secret, "wxn_live_"+made.ID+"_") {
		t.Errorf("the secret does not name its kind and id")
	}
	got, err := ring(t, rdb).Verify(t.Context(), secret)
	if err != nil || got.ID != made.ID || got.Account != account || !got.May(apikey.Send) || got.May(apikey.Erase) {
		t.Fatalf("Verify: %+v, %v", got, err)
	}
	random := secret[strings.LastIndex(secret, "_")+1:]
	if dump := server.Dump(); strings.Contains(dump, random) {
		t.Errorf("Redis holds the secret:\n%s", dump)
	}
}

func TestWrongSecretsAreUnknown(t *testing.T) {
	t.Parallel()
	_, rdb := open(t)
	made, secret, err := apikey.NewStore(rdb, account).Create(t.Context(), key())
	must(t, err)
	keys := ring(t, rdb)
	other := "A"
	if strings.HasSuffix(secret, other) {
		other = "B"
	}
	for _, wrong := range []string{
		"", "wxn_live_", secret[:len(secret)-1], secret[:len(secret)-1] + other, secret + "A", strings.ToLower(secret),
		strings.Replace(secret, "live", "test", 1), "wxn_live_aaaaaaaaaa_" + secret[len(secret)-26:], made.ID,
	} {
		if _, err := keys.Verify(t.Context(), wrong); !errors.Is(err, apikey.ErrUnknown) {
			t.Errorf("Verify(%q) = %v, want ErrUnknown", wrong, err)
		}
	}
}

func TestRotationAcceptsBothSecretsForTheOverlap(t *testing.T) {
	t.Parallel()
	_, rdb := open(t)
	store := apikey.NewStore(rdb, account)
	made, first, err := store.Create(t.Context(), key())
	must(t, err)
	_, second, err := store.Rotate(t.Context(), made.ID, time.Hour)
	must(t, err)
	for name, secret := range map[string]string{"first": first, "second": second} {
		if _, err := ring(t, rdb).Verify(t.Context(), secret); err != nil {
			t.Errorf("the %s secret within the overlap: %v", name, err)
		}
	}
	_, third, err := store.Rotate(t.Context(), made.ID, 0)
	must(t, err)
	for name, secret := range map[string]string{"first": first, "second": second} {
		if _, err := ring(t, rdb).Verify(t.Context(), secret); !errors.Is(err, apikey.ErrUnknown) {
			t.Errorf("the %s secret after a rotation without overlap: %v, want ErrUnknown", name, err)
		}
	}
	if _, err := ring(t, rdb).Verify(t.Context(), third); err != nil {
		t.Errorf("the newest secret: %v", err)
	}
}

func TestARevokedKeyIsRefusedAtOnceByANewProcess(t *testing.T) {
	t.Parallel()
	_, rdb := open(t)
	store := apikey.NewStore(rdb, account)
	made, secret, err := store.Create(t.Context(), key())
	must(t, err)
	must(t, store.Revoke(t.Context(), made.ID))
	if _, err := ring(t, rdb).Verify(t.Context(), secret); !errors.Is(err, apikey.ErrUnknown) {
		t.Errorf("Verify = %v, want ErrUnknown", err)
	}
	if err := store.Revoke(t.Context(), made.ID); !errors.Is(err, apikey.ErrNotFound) {
		t.Errorf("the second Revoke = %v, want ErrNotFound", err)
	}
	if _, _, err := store.Rotate(t.Context(), made.ID, 0); !errors.Is(err, apikey.ErrNotFound) {
		t.Errorf("Rotate of a revoked key = %v, want ErrNotFound", err)
	}
}

// A guest who can never be written to is a fault of the list, not of each call later.
func TestGuestsThatAreNoNamesAreRefused(t *testing.T) {
	t.Parallel()
	_, rdb := open(t)
	for _, guest := range []string{"", "oSIM…01", "*********67", "\ufeffo1", "o1,o2", "张三 李四", "\xb2\xe2", "o1\x00", "o1；o2"} {
		_, _, err := apikey.NewStore(rdb, account).Create(t.Context(), apikey.Key{
			Name: "n", Kind: apikey.Guest, Scopes: []apikey.Scope{apikey.Send}, Guests: []string{"o1", guest},
		})
		if err == nil || !strings.Contains(err.Error(), "guests: the one with the number 2 is neither an openid nor a user") {
			t.Errorf("%q: %v", guest, err)
		}
	}
	if _, _, err := apikey.NewStore(rdb, account).Create(t.Context(), apikey.Key{
		Name: "n", Kind: apikey.Guest, Scopes: []apikey.Scope{apikey.Send}, Guests: []string{"oSIM6t0follower0000000000001", "患者-401", "a/b:c@d"},
	}); err != nil {
		t.Error(err)
	}
}

func TestFaultsOfAKeyAreNamedAtOnce(t *testing.T) {
	t.Parallel()
	_, rdb := open(t)
	_, _, err := apikey.NewStore(rdb, account).Create(t.Context(), apikey.Key{
		Kind: "prod", Scopes: []apikey.Scope{"sned"}, Class: "urgent", Rate: -1, Share: 2, Guests: []string{"o1"}, Paths: []string{"/a/../b"},
	})
	if err == nil {
		t.Fatal("a key full of faults was made")
	}
	for _, field := range []string{"name:", "kind:", "scopes:", "class:", "rate:", "share:", "guests:", "paths:"} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("the error does not name %s\n%v", field, err)
		}
	}
}

// Paths are of use to the gateway alone.
func TestPathsNeedTheScopeOfTheGateway(t *testing.T) {
	t.Parallel()
	_, rdb := open(t)
	key := apikey.Key{Name: "shop", Kind: apikey.Live, Scopes: []apikey.Scope{apikey.Send}, Paths: []string{"/cgi-bin/menu/"}}
	if _, _, err := apikey.NewStore(rdb, account).Create(t.Context(), key); err == nil || !strings.Contains(err.Error(), "scope gateway") {
		t.Errorf("without the scope: %v", err)
	}
}

func TestStaticKeysBelongToTheOnlyAccount(t *testing.T) {
	t.Parallel()
	_, rdb := open(t)
	secret := strings.Repeat("5f", 32)
	keys, err := apikey.NewKeyring(rdb, []string{account}, "billing:"+secret+"\n")
	must(t, err)
	got, err := keys.Verify(t.Context(), secret)
	if err != nil || got.ID != "static-billing" || got.Account != account || got.May(apikey.Admin) || got.May(apikey.Token) {
		t.Errorf("Verify: %+v, %v", got, err)
	}
	if _, err := apikey.NewKeyring(rdb, []string{account, "wx2"}, "billing:"+secret); err == nil {
		t.Error("static keys were taken for two accounts")
	}
	for _, wrong := range []string{secret, "billing:short", ":" + secret} {
		_, err := apikey.NewKeyring(rdb, []string{account}, wrong)
		if err == nil || strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "short\"") {
			t.Errorf("NewKeyring(%q) = %v", wrong, err)
		}
	}
}

func TestWhatAKeyMayDo(t *testing.T) {
	t.Parallel()
	k := apikey.Key{Kind: apikey.Guest, Guests: []string{"o1"}, Class: job.Default, Share: 0.25}
	for class, want := range map[job.Class]bool{job.Critical: false, job.Default: true, job.Bulk: true} {
		if got := k.MayUse(class); got != want {
			t.Errorf("MayUse(%s) = %v", class, got)
		}
	}
	if !k.MayReach("o1") || k.MayReach("o2") || k.MayReach("") {
		t.Error("a guest key reaches exactly its guest list")
	}
	if got := k.DailyLimit(1000); got != 250 {
		t.Errorf("DailyLimit(1000) = %d, want 250", got)
	}
	if got := k.DailyLimit(0); got != -1 {
		t.Errorf("DailyLimit of an unknown quota = %d, want -1", got)
	}
}

func TestAShareIsSpentWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	_, rdb := open(t)
	store := apikey.NewStore(rdb, account)
	for _, step := range []struct {
		n    int
		used int64
		ok   bool
	}{{6, 6, true}, {5, 6, false}, {4, 10, true}, {1, 10, false}, {-3, 7, true}, {3, 10, true}, {-50, 0, true}} {
		used, ok, err := store.Spend(t.Context(), "k1", "2026-11-26", step.n, 10)
		if err != nil || used != step.used || ok != step.ok {
			t.Errorf("Spend(%d) = %d, %v, %v; want %d, %v", step.n, used, ok, err, step.used, step.ok)
		}
	}
	if used, ok, err := store.Spend(t.Context(), "k1", "2026-11-27", 10, 10); err != nil || !ok || used != 10 {
		t.Errorf("the next day: %d, %v, %v", used, ok, err)
	}
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// Programs share an address behind a proxy or a gateway: wrong secrets of one of them do
// not lock out those that have a key.
func TestWrongSecretsDoNotBlockWhoCalledWithAKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const address = "192.0.2.1"
		_, rdb := redistest.Mini(t)
		store := apikey.NewStore(rdb, account)
		made, secret, err := store.Create(t.Context(), key())
		must(t, err)
		_, fresh, err := store.Create(t.Context(), key())
		must(t, err)
		keys := ring(t, rdb)
		_, err = keys.Verify(t.Context(), secret)
		must(t, err)
		fail := func() {
			for range 30 {
				keys.Failed(address)
			}
		}
		time.Sleep(50 * time.Minute) // virtual
		fail()
		if wait := keys.Blocked(address, secret); wait != 0 {
			t.Errorf("a key that was verified waits %s", wait)
		}
		for name, other := range map[string]string{"a wrong secret": secret[:len(secret)-1], "no secret": "", "a key that was not verified yet": fresh} {
			if keys.Blocked(address, other) == 0 {
				t.Errorf("%s does not wait", name)
			}
		}
		must(t, store.Revoke(t.Context(), made.ID))
		if _, err := keys.Verify(t.Context(), secret); !errors.Is(err, apikey.ErrUnknown) {
			t.Errorf("a revoked key: %v", err)
		}
		if keys.Blocked(address, secret) == 0 {
			t.Error("a revoked key does not wait")
		}
		_, err = keys.Verify(t.Context(), fresh)
		must(t, err)
		time.Sleep(61 * time.Minute)
		fail()
		if keys.Blocked(address, fresh) == 0 {
			t.Error("a key that was last used more than an hour ago does not wait")
		}
	})
}

// A call that go-redis repeats after a lost answer counts once, and gives back once.
func TestSpendWithALostAnswer(t *testing.T) {
	t.Parallel()
	_, rdb := open(t)
	store := apikey.NewStore(rdb, account)
	for _, step := range []struct {
		n    int
		used int64
	}{{6, 6}, {4, 10}, {-3, 7}} {
		repeated := redistest.Twice(rdb, "eval", "api:used:")
		used, ok, err := store.Spend(t.Context(), "k1", "2026-11-26", step.n, 10)
		if err != nil || used != step.used || !ok || !repeated() {
			t.Errorf("Spend(%d) = %d, %v, %v, want %d; repeated: %v", step.n, used, ok, err, step.used, repeated())
		}
	}
}

// What go-redis repeats after a lost answer was done by this call: a key that it revoked
// was there, and a guest that it took off a list counts.
func TestRevokeAndForgetWithALostAnswer(t *testing.T) {
	t.Parallel()
	_, rdb := open(t)
	store := apikey.NewStore(rdb, account)
	k := key()
	k.Kind, k.Guests = apikey.Guest, []string{"g-1", "g-2"}
	made, _, err := store.Create(t.Context(), k)
	must(t, err)
	repeated := redistest.Twice(rdb, "eval", "api:keys")
	n, err := store.Forget(t.Context(), func(guest string) bool { return guest == "g-1" })
	if n != 1 || err != nil || !repeated() {
		t.Errorf("%d guests, %v, repeated: %v", n, err, repeated())
	}
	repeated = redistest.Twice(rdb, "hdel", "api:keys")
	if err := store.Revoke(t.Context(), made.ID); err != nil || !repeated() {
		t.Errorf("revoke: %v, repeated: %v", err, repeated())
	}
	if err := store.Revoke(t.Context(), made.ID); !errors.Is(err, apikey.ErrNotFound) {
		t.Errorf("a second revocation: %v", err)
	}
}
