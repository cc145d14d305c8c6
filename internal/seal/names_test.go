package seal_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/seal"
)

func namesOf(t *testing.T, keys, account string) *seal.Names {
	t.Helper()
	n, err := keyring(t, keys).Names(account)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

const openid = "oABCD1234567890abcdefghijklm"

func TestANameHasOneSealedFormThatOpens(t *testing.T) {
	t.Parallel()
	n := namesOf(t, newer, "wx1")
	for _, name := range []string{openid, "u", "患者-401", "a|b c\n", strings.Repeat("x", 300), "~x"} {
		sealed := n.Seal(seal.User, name)
		if again := namesOf(t, newer+" "+older, "wx1").Seal(seal.User, name); again != sealed {
			t.Errorf("%q is %q, then %q", name, sealed, again)
		}
		if !regexp.MustCompile(`^~[A-Za-z0-9_-]+$`).MatchString(sealed) || len(name) > 2 && strings.Contains(sealed, name) {
			t.Errorf("%q is sealed as %q", name, sealed)
		}
		if got, ok := n.Opens(seal.User, sealed); !ok || got != name {
			t.Errorf("%q opens to %q, %t", sealed, got, ok)
		}
	}
	if sealed := n.Seal(seal.OpenID, openid); len(sealed) > 64 {
		t.Errorf("a sealed openid has %d bytes: its record is not compact", len(sealed))
	}
	if n.Seal(seal.User, "") != "" || n.Open(seal.User, "") != "" {
		t.Error("no name is sealed")
	}
}

func TestASealedNameIsOfOneKeyAccountAndKind(t *testing.T) {
	t.Parallel()
	sealed := namesOf(t, newer, "wx1").Seal(seal.OpenID, openid)
	for what, open := range map[string]func() (string, bool){
		"another key":     func() (string, bool) { return namesOf(t, older, "wx1").Opens(seal.OpenID, sealed) },
		"another account": func() (string, bool) { return namesOf(t, newer, "wx2").Opens(seal.OpenID, sealed) },
		"another kind":    func() (string, bool) { return namesOf(t, newer, "wx1").Opens(seal.User, sealed) },
		"cut":             func() (string, bool) { return namesOf(t, newer, "wx1").Opens(seal.OpenID, sealed[:len(sealed)-2]) },
		"no mark":         func() (string, bool) { return namesOf(t, newer, "wx1").Opens(seal.OpenID, sealed[1:]) },
		"nothing behind":  func() (string, bool) { return namesOf(t, newer, "wx1").Opens(seal.OpenID, "~") },
		"no key":          func() (string, bool) { return (*seal.Names)(nil).Opens(seal.OpenID, sealed) },
	} {
		if name, ok := open(); ok {
			t.Errorf("%s: opens to %q", what, name)
		}
	}
	n := namesOf(t, newer, "wx1")
	for i := 1; i < len(sealed); i++ {
		changed := []byte(sealed)
		changed[i] = map[bool]byte{true: 'A', false: 'B'}[changed[i] != 'A']
		if name, ok := n.Opens(seal.OpenID, string(changed)); ok {
			t.Errorf("with byte %d changed it opens to %q", i, name)
		}
	}
	if got := n.Open(seal.OpenID, openid); got != openid {
		t.Errorf("a name in clear reads as %q", got)
	}
}

func TestReadNamesAllFaultsOfBothSettings(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		keys, names string
		want        []string
	}{
		"none":           {"", "", nil},
		"messages alone": {newer, "", nil},
		"both":           {newer, older, nil},
		"names alone":    {"", newer, []string{"Config.SealNameKeys: needs Config.SealKeys"}},
		"no keys":        {"x", "y", []string{"Config.SealKeys: key 1 of 1", "Config.SealNameKeys: key 1 of 1"}},
		"no message key": {"x", newer, []string{"Config.SealKeys: key 1 of 1"}},
	} {
		k, n, err := seal.Read(c.keys, c.names, "wx1")
		if len(c.want) == 0 {
			if err != nil || k.Seals() != (c.keys != "") || (n != nil) != (c.names != "") {
				t.Errorf("%s: %v %v %v", what, k, n, err)
			}
			continue
		}
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), newer) {
				t.Errorf("%s: %v, want %s", what, err, want)
			}
		}
	}
}

func TestWithoutAKeyNamesStay(t *testing.T) {
	t.Parallel()
	var none *seal.Names
	if none.Seal(seal.OpenID, openid) != openid || none.Open(seal.OpenID, openid) != openid || none.KeyID() != "" || none.Under("k") != "k" {
		t.Error("names change without a key")
	}
	if n := namesOf(t, newer, "wx1"); n.Under("k") != "k~"+n.KeyID() {
		t.Errorf("the key is %q", n.Under("k"))
	}
	if n := namesOf(t, "", "wx1"); n != nil {
		t.Error("no key seals")
	}
	if _, err := keyring(t, newer).NamesOf("0011aabb", "wx1"); err == nil {
		t.Error("an unknown key seals")
	}
}

func BenchmarkName(b *testing.B) {
	k, err := seal.New(newer)
	if err != nil {
		b.Fatal(err)
	}
	n, err := k.Names("wx1")
	if err != nil {
		b.Fatal(err)
	}
	sealed := n.Seal(seal.OpenID, openid)
	b.Run("seal", func(b *testing.B) {
		for b.Loop() {
			n.Seal(seal.OpenID, openid)
		}
	})
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			n.Open(seal.OpenID, sealed)
		}
	})
}
