package wechat

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"unique"
)

// placeholder replaces every printed or encoded Secret.
const placeholder = "[redacted]"

// Secret is a text that must not appear in a log, an error or a page, such as an
// AppSecret or an access token. Printing or encoding it gives a placeholder; only
// Reveal returns the text. The zero value is the empty secret. Secrets can be
// compared with ==; use Equal where an attacker chooses one of them.
type Secret struct {
	// A handle, because fmt prints unexported fields of other structs without
	// calling their methods, and would print a string in the clear.
	handle unique.Handle[string]
}

// NewSecret wraps text.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{handle: unique.Make(text)}
}

// Reveal returns the text. Call it only where the text is sent or stored.
func (s Secret) Reveal() string {
	if s.IsZero() {
		return ""
	}
	return s.handle.Value()
}

// IsZero reports whether the secret is empty.
func (s Secret) IsZero() bool { return s == Secret{} }

// Equal compares in a time that depends on the lengths only.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// Fingerprint identifies the secret in logs: eight hex digits of its SHA-256, or
// "empty".
func (s Secret) Fingerprint() string {
	if s.IsZero() {
		return "empty"
	}
	sum := sha256.Sum256([]byte(s.Reveal()))
	return hex.EncodeToString(sum[:4])
}

// String returns a placeholder.
func (s Secret) String() string { return placeholder }

// GoString returns a placeholder.
func (s Secret) GoString() string { return placeholder }

// Format writes a placeholder for every verb and flag.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, placeholder) }

// MarshalText returns a placeholder. To store a secret use Reveal.
func (s Secret) MarshalText() ([]byte, error) { return []byte(placeholder), nil }

// MarshalJSON returns a placeholder. To store a secret use Reveal.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + placeholder + `"`), nil }

// LogValue returns a placeholder.
func (s Secret) LogValue() slog.Value { return slog.StringValue(placeholder) }

// UnmarshalText reads a secret from a configuration. It refuses the placeholder,
// which a printed configuration has in place of the secret.
func (s *Secret) UnmarshalText(text []byte) error {
	if string(text) == placeholder {
		return errors.New("wechat: the text is a redacted secret: use the secret itself")
	}
	*s = NewSecret(string(text))
	return nil
}
