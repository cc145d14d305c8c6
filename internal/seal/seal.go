// Package seal encrypts what lies in Redis, so that a dump, a backup, a replica or a
// shell on Redis does not show it.
//
// A [Keyring] has one key or more: the first seals, all open. Each text is sealed by
// AES-256-GCM under a key that is derived from the configured one by HKDF-SHA256, with
// a random nonce of 96 bits. The context of a text, such as its account and ID, is
// authenticated with it: a text that was moved to another place does not open there.
//
// A key's ID is derived from the key, so that two keys never have one ID and a process
// knows before it opens a text whether it has the key.
//
// Limit: 2^32 texts under one key (NIST SP 800-38D 8.3 for random nonces). At a million
// messages a day that is 11 years.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

const (
	keySize = 32 // bytes, of AES-256
	idSize  = 4  // bytes, 8 hexadecimal digits
	// leastDifferent is how many of a key's bytes differ at least. Of 32 random bytes
	// fewer do in one of 10^30 keys.
	leastDifferent = 12
)

// ErrChanged says that a text is cut, changed, or of another place.
var ErrChanged = errors.New("the sealed text was changed, or belongs to another message or account")

// UnknownKeyError says that a text was sealed with a key that the keyring does not have.
type UnknownKeyError struct{ ID string }

func (e *UnknownKeyError) Error() string {
	return fmt.Sprintf("sealed with key %s, which this process does not have: add it to Config.SealKeys", e.ID)
}

// Keyring seals and opens. A nil one has no key and seals nothing. Safe for concurrent
// use.
type Keyring struct{ keys []key }

type key struct {
	id     string
	aead   cipher.AEAD
	digest []byte
	names  []byte
}

// New reads keys of 64 hexadecimal digits each, with commas or white space between
// them. An empty text is the nil keyring. The error does not show a key.
func New(text string) (*Keyring, error) {
	fields := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) })
	if len(fields) == 0 {
		return nil, nil //nolint:nilnil // the documented meaning of a nil *Keyring
	}
	k := &Keyring{}
	for i, field := range fields {
		one, err := newKey(field)
		if err == nil && k.find(one.id) != nil {
			err = errors.New("is there twice: remove one")
		}
		if err != nil {
			return nil, fmt.Errorf("key %d of %d %w", i+1, len(fields), err)
		}
		k.keys = append(k.keys, one)
	}
	return k, nil
}

func newKey(text string) (key, error) {
	secret, err := hex.DecodeString(text)
	if err != nil || len(secret) != keySize {
		return key{}, fmt.Errorf("is not %d hexadecimal digits but a text of %d bytes: make one with `openssl rand -hex 32`", 2*keySize, len(text))
	}
	different := map[byte]bool{}
	for _, b := range secret {
		different[b] = true
	}
	if len(different) < leastDifferent {
		return key{}, errors.New("is not random: make one with `openssl rand -hex 32`")
	}
	derive := func(use string, size int) []byte {
		if err != nil {
			return nil
		}
		var out []byte
		out, err = hkdf.Expand(sha256.New, secret, "wxnotify seal "+use, size)
		return out
	}
	k := key{id: hex.EncodeToString(derive("id", idSize)), digest: derive("digest", keySize), names: derive("names", keySize)}
	sealing := derive("aes-256-gcm", keySize)
	if err == nil {
		k.aead, err = NewAEAD(sealing)
	}
	if err != nil {
		return key{}, fmt.Errorf("cannot be used: %w", err)
	}
	return k, nil
}

// NewAEAD is AES-GCM with a random nonce, which it puts before each sealed text. The
// secret has 16 or 32 bytes.
func NewAEAD(secret []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, fmt.Errorf("aes: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("gcm: %w", err)
	}
	return aead, nil
}

// IDs lists the keys' IDs, that of the sealing key first; none for a nil keyring.
func (k *Keyring) IDs() []string {
	if k == nil {
		return nil
	}
	ids := make([]string, len(k.keys))
	for i := range k.keys {
		ids[i] = k.keys[i].id
	}
	return ids
}

// Seals reports whether there is a key.
func (k *Keyring) Seals() bool { return k != nil }

// Current is the ID of the key that seals. The keyring must not be nil.
func (k *Keyring) Current() string { return k.keys[0].id }

// Overhead is how many bytes a sealed text is longer.
const Overhead = 12 + 16 // nonce and tag

// Seal appends the sealed text to dst. The keyring must not be nil. context is
// authenticated, and not a part of the result.
func (k *Keyring) Seal(dst, text, context []byte) []byte {
	return k.keys[0].aead.Seal(dst, nil, text, context)
}

// Open opens what Seal sealed with the key of this ID. The error is *UnknownKeyError or
// ErrChanged.
func (k *Keyring) Open(id string, sealed, context []byte) ([]byte, error) {
	one := k.find(id)
	if one == nil {
		return nil, &UnknownKeyError{id}
	}
	text, err := one.aead.Open(nil, nil, sealed, context)
	if err != nil {
		return nil, ErrChanged
	}
	return text, nil
}

// Digest is HMAC-SHA256 of the parts under the key of this ID: without the key, it
// confirms no guess of them. It is nil when the keyring does not have the key.
func (k *Keyring) Digest(id string, parts ...[]byte) []byte {
	one := k.find(id)
	if one == nil {
		return nil
	}
	h := hmac.New(sha256.New, one.digest)
	for _, part := range parts {
		h.Write(part)
	}
	return h.Sum(nil)
}

func (k *Keyring) find(id string) *key {
	if k == nil {
		return nil
	}
	for i := range k.keys {
		if k.keys[i].id == id {
			return &k.keys[i]
		}
	}
	return nil
}
