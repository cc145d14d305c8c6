package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strings"
	"sync"
)

// Kind keeps an openid and a user of the same text apart.
type Kind byte

// The kinds of names.
const (
	OpenID  Kind = 'o'
	User    Kind = 'u' // the business's own ID of a person
	UnionID Kind = 'n'
)

// nameMark starts every sealed name. That a text starts with it says nothing: only one
// that opens is a sealed name.
const nameMark = "~"

const ivSize = aes.BlockSize

// Names seals the names of persons of one account, so that one name always becomes the
// same text: Redis compares, indexes and finds sealed names as it does names. A nil *Names
// leaves names as they are. Safe for concurrent use.
//
// The construction is SIV (Rogaway and Shrimpton, as in RFC 5297): the first 128 bits of
// HMAC-SHA256 of kind and name are the IV of AES-256 in counter mode, and are checked when
// the text is opened. Without the key a sealed name shows its length, and which of them
// are equal; it confirms no guess. There is no limit of the number of names.
//
// A sealed name is a text of letters, digits, - and _ after the mark. That of an openid of
// 28 bytes has 60: a record with values of up to 64 bytes keeps Redis' compact form.
type Names struct {
	id    string
	block cipher.Block
	macs  sync.Pool
}

// Names seals with the first key; nil without one. Two accounts have different keys.
func (k *Keyring) Names(account string) (*Names, error) {
	if k == nil {
		return nil, nil //nolint:nilnil // the documented meaning of a nil *Names
	}
	return k.NamesOf(k.Current(), account)
}

// NamesOf seals with the key of this ID. The error is *UnknownKeyError.
func (k *Keyring) NamesOf(id, account string) (*Names, error) {
	one := k.find(id)
	if one == nil {
		return nil, &UnknownKeyError{id}
	}
	secret, err := hkdf.Expand(sha256.New, one.names, account, 2*keySize)
	if err != nil {
		return nil, err //nolint:wrapcheck // the length is fixed: there is none
	}
	block, err := aes.NewCipher(secret[:keySize])
	if err != nil {
		return nil, err //nolint:wrapcheck // as above
	}
	n := &Names{id: id, block: block}
	n.macs.New = func() any { return hmac.New(sha256.New, secret[keySize:]) }
	return n, nil
}

// NewNames is Names of the keyring that New reads.
func NewNames(keys, account string) (*Names, error) {
	k, err := New(keys)
	if err != nil {
		return nil, err
	}
	return k.Names(account)
}

// Read reads Config.SealKeys and Config.SealNameKeys, and names all their faults at once.
// Sealed names need sealed messages, in which they are too.
func Read(keys, nameKeys, account string) (*Keyring, *Names, error) {
	k, err := New(keys)
	if err != nil {
		err = fmt.Errorf("Config.SealKeys: %w", err)
	}
	n, fault := NewNames(nameKeys, account)
	if fault == nil && n != nil && k == nil && err == nil {
		fault = errors.New("needs Config.SealKeys, or openids and users of messages that wait are in clear")
	}
	if fault != nil {
		err = errors.Join(err, fmt.Errorf("Config.SealNameKeys: %w", fault))
	}
	return k, n, err
}

// KeyID is the ID of the key; empty for nil.
func (n *Names) KeyID() string {
	if n == nil {
		return ""
	}
	return n.id
}

// Seal returns the sealed name. An empty name stays empty.
func (n *Names) Seal(kind Kind, name string) string {
	if n == nil || name == "" {
		return name
	}
	out := make([]byte, ivSize+len(name))
	n.iv(out, kind, name)
	copy(out[ivSize:], name)
	cipher.NewCTR(n.block, out[:ivSize]).XORKeyStream(out[ivSize:], out[ivSize:])
	return nameMark + base64.RawURLEncoding.EncodeToString(out)
}

// Opens returns the name of a sealed one, and whether it is one of this key and kind.
func (n *Names) Opens(kind Kind, sealed string) (name string, ok bool) {
	text, marked := strings.CutPrefix(sealed, nameMark)
	if n == nil || !marked {
		return "", false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) <= ivSize {
		return "", false
	}
	cipher.NewCTR(n.block, raw[:ivSize]).XORKeyStream(raw[ivSize:], raw[ivSize:])
	name = string(raw[ivSize:])
	var iv [ivSize]byte
	n.iv(iv[:], kind, name)
	if !hmac.Equal(iv[:], raw[:ivSize]) {
		return "", false
	}
	return name, true
}

// Open returns the name of a sealed one, and any other text as it is.
func (n *Names) Open(kind Kind, sealed string) string {
	if name, ok := n.Opens(kind, sealed); ok {
		return name
	}
	return sealed
}

// Under is the Redis key of what lies under another one when names are sealed with
// another key, or are in clear.
func (n *Names) Under(key string) string {
	if n == nil {
		return key
	}
	return key + nameMark + n.id
}

// iv writes the IV of a name into dst.
func (n *Names) iv(dst []byte, kind Kind, name string) {
	mac, _ := n.macs.Get().(hash.Hash)
	defer n.macs.Put(mac)
	mac.Reset()
	head := [1]byte{byte(kind)}
	_, _ = mac.Write(head[:])
	_, _ = mac.Write([]byte(name))
	var sum [sha256.Size]byte
	copy(dst[:ivSize], mac.Sum(sum[:0]))
}
