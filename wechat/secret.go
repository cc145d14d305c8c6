package wechat

// Secret holds text that must not reach a log, an error or a page. Every way of
// printing or encoding it yields a placeholder; only Reveal returns the text.
type Secret struct{ text string }

// NewSecret wraps text.
func NewSecret(text string) Secret { return Secret{text} }

// Reveal returns the text. Call it where the text leaves for its destination.
func (s Secret) Reveal() string { return s.text }

// String returns a placeholder.
func (s Secret) String() string { return "[redacted]" }

// Fingerprint names the secret in logs: eight hex digits of its SHA-256.
func (s Secret) Fingerprint() string { panic("not built") }
