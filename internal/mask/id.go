package mask

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// IDs masks the IDs of messages, which a business may have made of personal data.
// Safe for concurrent use.
type IDs struct{ key []byte }

// NewIDs returns masks of one process. Their suffixes cannot be computed by who does
// not know the process's memory, and differ in each process.
func NewIDs() *IDs {
	m := &IDs{key: make([]byte, 32)}
	_, _ = rand.Read(m.key) // never fails
	return m
}

// Mask returns id itself unless it holds personal data or a credential. A masked ID has
// a suffix that differs for each ID and stays the same while the process runs, so that
// lines and rows of one message can be told from those of another.
func (m *IDs) Mask(id string) string {
	shown := Text(id)
	if shown == id {
		return id
	}
	const suffixLen = 4
	sum := hmac.New(sha256.New, m.key)
	sum.Write([]byte(id))
	return shown + "~" + hex.EncodeToString(sum.Sum(nil)[:suffixLen])
}

// Masked reports whether an ID or name is one that this package shows in place of the whole
// one: it was copied from a page, a list or a log, and nothing is found by it.
func Masked(name string) bool {
	for _, sign := range []string{"…", "**", "[identity", redacted} {
		if strings.Contains(name, sign) {
			return true
		}
	}
	return false
}
