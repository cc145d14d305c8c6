package seal_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/seal"
)

const (
	older = "5f1d0c9a7be34428d1a6f0937c25be81402f6e9ad8137b5cc4e0918d2a6f7b33"
	newer = "c84e2b7f90a1d36e5528fb47091cde6a3b7f80e2941d5ac6f0739be81d24a65f"
)

func keyring(t *testing.T, text string) *seal.Keyring {
	t.Helper()
	k, err := seal.New(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestASealedTextOpensAndShowsNothing(t *testing.T) {
	t.Parallel()
	k := keyring(t, newer)
	text, context := []byte("diagnosis: influenza"), []byte("wx1\x00order-1")
	a, b := k.Seal(nil, text, context), k.Seal([]byte("head"), text, context)
	if bytes.Contains(a, text) || bytes.Equal(a, b[4:]) || len(a) != len(text)+seal.Overhead {
		t.Errorf("the sealed texts are %x and %x", a, b)
	}
	for _, sealed := range [][]byte{a, b[4:]} {
		if got, err := k.Open(k.Current(), sealed, context); err != nil || !bytes.Equal(got, text) {
			t.Errorf("Open = %q, %v", got, err)
		}
	}
}

// Every single changed bit, every cut and every other context is noticed.
func TestAChangedTextDoesNotOpen(t *testing.T) {
	t.Parallel()
	k := keyring(t, newer)
	context := []byte("wx1\x00order-1")
	sealed := k.Seal(nil, []byte("5000 yuan"), context)
	refuse := func(what string, sealed, context []byte) {
		t.Helper()
		if text, err := k.Open(k.Current(), sealed, context); !errors.Is(err, seal.ErrChanged) || text != nil {
			t.Errorf("%s: Open = %q, %v", what, text, err)
		}
	}
	for i := range len(sealed) * 8 {
		changed := bytes.Clone(sealed)
		changed[i/8] ^= 1 << (i % 8)
		refuse("a changed bit", changed, context)
	}
	for i := range sealed {
		refuse("a cut text", sealed[:i], context)
	}
	refuse("a longer text", append(bytes.Clone(sealed), 0), context)
	refuse("of another message", sealed, []byte("wx1\x00order-2"))
	refuse("of another account", sealed, []byte("wx2\x00order-1"))
}

func TestTheFirstKeySealsAndAllOpen(t *testing.T) {
	t.Parallel()
	before, after, alone := keyring(t, older), keyring(t, newer+",\n"+older), keyring(t, newer)
	if want := []string{alone.Current(), before.Current()}; !slices.Equal(after.IDs(), want) || after.Current() != want[0] {
		t.Errorf("the keys are %v, want %v", after.IDs(), want)
	}
	sealed := before.Seal(nil, []byte("x"), nil)
	if got, err := after.Open(before.Current(), sealed, nil); err != nil || string(got) != "x" {
		t.Errorf("the older key: %q, %v", got, err)
	}
	_, err := alone.Open(before.Current(), sealed, nil)
	if unknown := (*seal.UnknownKeyError)(nil); !errors.As(err, &unknown) || unknown.ID != before.Current() {
		t.Errorf("without the older key: %v", err)
	}
	if got, err := after.Open(after.Current(), after.Seal(nil, []byte("y"), nil), nil); err != nil || string(got) != "y" {
		t.Errorf("the newer key: %q, %v", got, err)
	}
}

func TestADigestNeedsTheKey(t *testing.T) {
	t.Parallel()
	one, both := keyring(t, older), keyring(t, newer+" "+older)
	digest := one.Digest(one.Current(), []byte("5000"), []byte(" yuan"))
	if len(digest) != 32 || !bytes.Equal(digest, both.Digest(one.Current(), []byte("5000 yuan"))) {
		t.Errorf("the digest is %x", digest)
	}
	if bytes.Equal(digest, both.Digest(both.Current(), []byte("5000 yuan"))) {
		t.Error("two keys make one digest")
	}
	if got := one.Digest(both.Current(), []byte("x")); got != nil {
		t.Errorf("without the key the digest is %x", got)
	}
}

func TestWithoutKeysNothingIsSealedAndNothingOpens(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", " \n", ","} {
		k := keyring(t, text)
		if k != nil || k.Seals() || k.IDs() != nil {
			t.Errorf("%q: the keyring is %v", text, k)
		}
		if _, err := k.Open("0011aabb", []byte("x"), nil); err == nil || !strings.Contains(err.Error(), "0011aabb") {
			t.Errorf("%q: Open: %v", text, err)
		}
	}
}

func TestAKeyThatIsNoneIsRefusedAndNotShown(t *testing.T) {
	t.Parallel()
	for what, text := range map[string]string{
		"short":       older[:62],
		"long":        older + "00",
		"odd":         older[:63],
		"no hex":      "z" + older[1:],
		"twice":       older + "," + strings.ToUpper(older),
		"zero":        strings.Repeat("0", 64),
		"a row":       hex.EncodeToString([]byte(strings.Repeat("wxnotify", 4))),
		"second one":  older + "," + newer[:60],
		"placeholder": "change-me",
	} {
		_, err := seal.New(text)
		if err == nil {
			t.Errorf("%s: accepted", what)
			continue
		}
		for _, part := range []string{older[:8], older[40:48], newer[:8], "change-me"} {
			if strings.Contains(strings.ToLower(err.Error()), part) {
				t.Errorf("%s: the error shows the key: %v", what, err)
			}
		}
	}
}
