package ops

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// aliases gives task IDs that must not be shown another name, from which this
// process (and only this one) finds the ID again: "order-oAbC…yz-~<sealed hex>".
// Sealing keeps no table, so there is none to bound.
type aliases struct {
	mask *masker
	aead cipher.AEAD
	key  []byte
}

const sealMark = "-~"

func newAliases(mask *masker) (*aliases, error) {
	key := make([]byte, 64)
	_, _ = rand.Read(key) // never fails
	block, err := aes.NewCipher(key[:32])
	if err != nil {
		return nil, fmt.Errorf("seal task IDs: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("seal task IDs: %w", err)
	}
	return &aliases{mask: mask, aead: aead, key: key[32:]}, nil
}

// hide returns id, or its alias when something in it must not be shown. It is
// the same each time, so that a page that polls keeps its rows.
func (a *aliases) hide(id string) string {
	shown := a.mask.text(id)
	if shown == id && !strings.ContainsAny(id, "/?#%\\ ") { // which asynqmon cannot put into an address
		return id
	}
	sum := hmac.New(sha256.New, a.key)
	sum.Write([]byte(id))
	nonce := sum.Sum(nil)[:a.aead.NonceSize()]
	shown = strings.NewReplacer("/", "_", "?", "_", "#", "_", "%", "_", "\\", "_", " ", "_").Replace(shown)
	return shown + sealMark + hex.EncodeToString(a.aead.Seal(nonce, nonce, []byte(id), nil))
}

// open returns the ID of an alias, and anything else as it is.
func (a *aliases) open(shown string) string {
	at := strings.LastIndex(shown, sealMark)
	if at < 0 {
		return shown
	}
	sealed, err := hex.DecodeString(shown[at+len(sealMark):])
	if err != nil || len(sealed) < a.aead.NonceSize() {
		return shown
	}
	n := a.aead.NonceSize()
	id, err := a.aead.Open(nil, sealed[:n], sealed[n:], nil)
	if err != nil {
		return shown
	}
	return string(id)
}
