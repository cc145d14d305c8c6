// Package ticket defines what producer and enroll share: the sealed enrolment
// ticket in a link's URL, the Redis keys of a ticket's state, and the digests of
// data handed off with it. producer seals tickets, enroll opens them.
package ticket

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	// MinKey is the least length of the enrolment key in bytes.
	MinKey = 32
	// MaxLife is how long a ticket may be valid: the longest life of a temporary
	// QR code (docs: 生成带参数的二维码).
	MaxLife = 30 * 24 * time.Hour
	// MaxText is the greatest length of a ticket's text; Open refuses longer ones.
	MaxText = 512

	version    = 1
	idSize     = 12 // the ID is the nonce of AES-GCM
	headerSize = 1 + 4 + 1
)

// ErrInvalid reports a text that is not a ticket of this account and key: it is
// damaged, forged, or sealed for another account.
var ErrInvalid = errors.New("not an enrolment ticket of this account")

// ErrExpired reports a genuine ticket past its expiry.
var ErrExpired = errors.New("the enrolment ticket has expired")

// ID identifies a ticket; it is random.
type ID [idSize]byte

// String is the ID in 24 hex digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// ParseID reads what String wrote. The error is ErrInvalid.
func ParseID(text string) (ID, error) {
	var id ID
	if len(text) != hex.EncodedLen(idSize) {
		return id, ErrInvalid
	}
	if _, err := hex.Decode(id[:], []byte(text)); err != nil || id.String() != text {
		return ID{}, ErrInvalid
	}
	return id, nil
}

// Ticket lets one user of a business enrol.
type Ticket struct {
	ID        ID        // set by Seal
	User      string    // the business's own id of the user
	ExpiresAt time.Time // whole seconds
	// UserInfo asks the follower for consent (scope snsapi_userinfo), which also
	// yields the unionid. False: scope snsapi_base, without a question.
	UserInfo bool
	// HandOff says that data was saved in the HandOffStore; the claim must match it.
	HandOff bool
	// WithoutConfirm omits the confirmation page: the business has asked the follower
	// on its own page. A verified claim (HandOff) omits it too.
	WithoutConfirm bool
}

// AsksFirst reports whether the follower must confirm before the binding.
func (t Ticket) AsksFirst() bool { return !t.HandOff && !t.WithoutConfirm }

// The flags of a sealed ticket. A bit is never reused.
const (
	flagUserInfo = 1 << iota
	flagHandOff
	flagWithoutConfirm
)

// Sealer seals and opens the tickets of one account. Safe for concurrent use.
//
// A ticket is encrypted and authenticated (AES-256-GCM), so the URL reveals
// nothing about the user. One key may seal 2³² tickets.
type Sealer struct {
	aeads   []cipher.AEAD // the first seals, each opens
	account []byte
}

// NewSealer derives the ticket key from the enrolment key, which has at least
// MinKey bytes and is the same for producer and enroll. Tickets sealed with a
// previous key are opened too; an empty one is none.
func NewSealer(key []byte, account string, previous ...[]byte) (*Sealer, error) {
	if account == "" {
		return nil, errors.New("an enrolment ticket needs an account")
	}
	s := &Sealer{account: []byte(account)}
	for i, k := range append([][]byte{key}, previous...) {
		if i > 0 && len(k) == 0 {
			continue
		}
		aead, err := newAEAD(k)
		if err != nil {
			return nil, err
		}
		s.aeads = append(s.aeads, aead)
	}
	return s, nil
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	if len(key) < MinKey {
		return nil, fmt.Errorf("the enrolment key must have %d bytes or more; make one with `openssl rand -hex 32`", MinKey)
	}
	derived, err := Derive(key, "ticket")
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, fmt.Errorf("ticket: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("ticket: %w", err)
	}
	return aead, nil
}

// Derive derives the 32-byte key for one purpose from the enrolment key.
func Derive(key []byte, purpose string) ([]byte, error) {
	derived, err := hkdf.Key(sha256.New, key, nil, "wxnotify enrolment "+purpose, 32)
	if err != nil {
		return nil, fmt.Errorf("ticket: derive a key: %w", err)
	}
	return derived, nil
}

// Seal returns the text of t, in letters, digits, - and _ only, and its new ID.
func (s *Sealer) Seal(t Ticket) (string, ID) {
	rand.Read(t.ID[:])
	var flags byte
	if t.UserInfo {
		flags |= flagUserInfo
	}
	if t.HandOff {
		flags |= flagHandOff
	}
	if t.WithoutConfirm {
		flags |= flagWithoutConfirm
	}
	plain := make([]byte, 0, headerSize+len(t.User))
	plain = append(plain, version)
	plain = binary.BigEndian.AppendUint32(plain, uint32(t.ExpiresAt.Unix())) //nolint:gosec // until 2106
	plain = append(plain, flags)
	plain = append(plain, t.User...)
	sealed := s.aeads[0].Seal(t.ID[:], t.ID[:], plain, s.account)
	return base64.RawURLEncoding.EncodeToString(sealed), t.ID
}

// Open reads what Seal wrote. The error is ErrInvalid, or ErrExpired together
// with the ticket.
func (s *Sealer) Open(text string, now time.Time) (Ticket, error) {
	if len(text) > MaxText || strings.ContainsAny(text, "\r\n") { // base64 ignores line breaks
		return Ticket{}, ErrInvalid
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(sealed) < idSize {
		return Ticket{}, ErrInvalid
	}
	var plain []byte
	for _, aead := range s.aeads {
		if plain, err = aead.Open(nil, sealed[:idSize], sealed[idSize:], s.account); err == nil {
			break
		}
	}
	if err != nil || len(plain) <= headerSize || plain[0] != version {
		return Ticket{}, ErrInvalid
	}
	t := Ticket{
		ID: ID(sealed[:idSize]), User: string(plain[headerSize:]),
		ExpiresAt: time.Unix(int64(binary.BigEndian.Uint32(plain[1:])), 0),
		UserInfo:  plain[5]&flagUserInfo != 0, HandOff: plain[5]&flagHandOff != 0,
		WithoutConfirm: plain[5]&flagWithoutConfirm != 0,
	}
	if !now.Before(t.ExpiresAt) {
		return t, ErrExpired
	}
	return t, nil
}
