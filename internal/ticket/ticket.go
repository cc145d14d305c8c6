// Package ticket is the wire between who makes an enrolment link and who serves
// it: the sealed enrolment ticket in the link's address, and where a ticket's
// state lies in Redis. producer seals, enroll opens.
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
	// MaxLife is how long a ticket may be valid: a QR code lives no longer
	// (docs: 生成带参数的二维码).
	MaxLife = 30 * 24 * time.Hour
	// MaxText bounds a ticket's text; a longer one is not looked at.
	MaxText = 512

	version    = 1
	idSize     = 12 // the nonce of AES-GCM, which names the ticket too
	headerSize = 1 + 4 + 1
)

// ErrInvalid is a text that is no ticket of this account and key: damaged,
// forged, or sealed for another account.
var ErrInvalid = errors.New("not an enrolment ticket of this account")

// ErrExpired is a genuine ticket whose time is over.
var ErrExpired = errors.New("the enrolment ticket has expired")

// ID names a ticket without telling anything of it.
type ID [idSize]byte

// String is the ID in 24 hex digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// ParseID reads what String wrote.
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
	// UserInfo asks the follower for consent (snsapi_userinfo), which tells the
	// unionid. False: silent.
	UserInfo bool
	// HandOff: the business stored data first, which must match on return.
	HandOff bool
}

// The flags of a sealed ticket. They are never reused.
const (
	flagUserInfo = 1 << iota
	flagHandOff
)

// Sealer seals and opens the tickets of one account. Safe for concurrent use.
//
// A ticket is encrypted and authenticated (AES-256-GCM), so that the address
// shows nothing of the user. One key is good for 2³² tickets.
type Sealer struct {
	aead    cipher.AEAD
	account []byte
}

// NewSealer derives the key of tickets from the enrolment key, at least MinKey
// bytes that producer and enroll share.
func NewSealer(key []byte, account string) (*Sealer, error) {
	if len(key) < MinKey {
		return nil, fmt.Errorf("the enrolment key must have %d bytes or more; make one with `openssl rand -hex 32`", MinKey)
	}
	if account == "" {
		return nil, errors.New("an enrolment ticket needs an account")
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
	return &Sealer{aead: aead, account: []byte(account)}, nil
}

// Derive makes the 32-byte key for one purpose out of the enrolment key.
func Derive(key []byte, purpose string) ([]byte, error) {
	derived, err := hkdf.Key(sha256.New, key, nil, "wxnotify enrolment "+purpose, 32)
	if err != nil {
		return nil, fmt.Errorf("ticket: derive a key: %w", err)
	}
	return derived, nil
}

// Seal gives t an ID and returns its text, letters, digits, - and _ only.
func (s *Sealer) Seal(t Ticket) (string, ID) {
	rand.Read(t.ID[:])
	var flags byte
	if t.UserInfo {
		flags |= flagUserInfo
	}
	if t.HandOff {
		flags |= flagHandOff
	}
	plain := make([]byte, 0, headerSize+len(t.User))
	plain = append(plain, version)
	plain = binary.BigEndian.AppendUint32(plain, uint32(t.ExpiresAt.Unix())) //nolint:gosec // until 2106
	plain = append(plain, flags)
	plain = append(plain, t.User...)
	sealed := s.aead.Seal(t.ID[:], t.ID[:], plain, s.account)
	return base64.RawURLEncoding.EncodeToString(sealed), t.ID
}

// Open reads what Seal wrote. The error is ErrInvalid, or ErrExpired together
// with the ticket.
func (s *Sealer) Open(text string, now time.Time) (Ticket, error) {
	if len(text) > MaxText || strings.ContainsAny(text, "\r\n") { // which base64 would skip
		return Ticket{}, ErrInvalid
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(sealed) < idSize {
		return Ticket{}, ErrInvalid
	}
	plain, err := s.aead.Open(nil, sealed[:idSize], sealed[idSize:], s.account)
	if err != nil || len(plain) <= headerSize || plain[0] != version {
		return Ticket{}, ErrInvalid
	}
	t := Ticket{
		ID: ID(sealed[:idSize]), User: string(plain[headerSize:]),
		ExpiresAt: time.Unix(int64(binary.BigEndian.Uint32(plain[1:])), 0),
		UserInfo:  plain[5]&flagUserInfo != 0, HandOff: plain[5]&flagHandOff != 0,
	}
	if !now.Before(t.ExpiresAt) {
		return t, ErrExpired
	}
	return t, nil
}
