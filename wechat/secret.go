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

// placeholder is what every printed or encoded Secret reads.
const placeholder = "[redacted]"

// Secret holds text that must not reach a log, an error or a page: an
// AppSecret, an access token. Every way of printing or encoding it yields a
// placeholder; only Reveal returns the text. The zero value is the empty secret.
// Secrets may be compared with ==; use Equal where an attacker chooses one side.
type Secret struct {
	// A handle and not a string: fmt does not call methods of values that it
	// reaches through unexported fields, and would print a string in the clear.
	handle unique.Handle[string]
}

// NewSecret wraps text.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{handle: unique.Make(text)}
}

// Reveal returns the text. Call it where the text leaves for its destination,
// and nowhere else.
func (s Secret) Reveal() string {
	if s.IsZero() {
		return ""
	}
	return s.handle.Value()
}

// IsZero reports whether the secret is empty.
func (s Secret) IsZero() bool { return s == Secret{} }

// Equal compares in a time that depends on the lengths alone.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// Fingerprint names the secret in logs: eight hex digits of its SHA-256, or
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

// MarshalText returns a placeholder. Code that stores a secret says Reveal.
func (s Secret) MarshalText() ([]byte, error) { return []byte(placeholder), nil }

// MarshalJSON returns a placeholder. Code that stores a secret says Reveal.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + placeholder + `"`), nil }

// LogValue returns a placeholder.
func (s Secret) LogValue() slog.Value { return slog.StringValue(placeholder) }

// UnmarshalText takes the secret from a configuration. It refuses the
// placeholder, which is what a printed configuration holds.
func (s *Secret) UnmarshalText(text []byte) error {
	if string(text) == placeholder {
		return errors.New("wechat: the text is a redacted secret: put the secret itself there")
	}
	*s = NewSecret(string(text))
	return nil
}
