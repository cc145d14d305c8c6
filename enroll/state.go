package enroll

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/wxnotify/wxnotify/internal/ticket"
)

// stateLife is how long a follower may take on WeChat's page.
const stateLife = 30 * time.Minute

const (
	stateVersion = 1
	markSize     = 6  // of an account, of a return address
	nonceSize    = 8  // makes each state good for one code
	macSize      = 16 // of HMAC-SHA-256
	stateBody    = 1 + 1 + 4 + markSize + markSize + nonceSize + len(ticket.ID{})
	stateSize    = stateBody + macSize
	// stateText is the length of every state: WeChat takes at most 128 of
	// [A-Za-z0-9] (docs: 网页授权).
	stateText = 73
)

// mark is a short fingerprint that a state carries in place of a text.
type mark [markSize]byte

func markOf(text string) mark {
	sum := sha256.Sum256([]byte(text))
	return mark(sum[:markSize])
}

// stateKind is the purpose of a state. A state of one kind is invalid for another.
type stateKind byte

const (
	kindFirst stateKind = iota // for WeChat's page
	kindAgain                  // for WeChat's page, after a failed exchange: there is no third try
	kindRetry                  // in a "try again" link: the ticket was opened, its claim verified
	kindDone                   // in the address of the last page: proves that this browser enrolled
)

// state travels through WeChat's OAuth page and back. It carries all that is
// needed on return, since cookies get lost in WebViews. States of other kinds are used in
// our own addresses in place of a ticket.
type state struct {
	Kind      stateKind
	Account   mark
	ReturnTo  mark // zero: none
	Ticket    ticket.ID
	Nonce     [nonceSize]byte // random; of kindDone the browser's mark
	ExpiresAt time.Time       // whole seconds
}

var (
	errState        = errors.New("the state is not one that we signed for this account")
	errStateExpired = errors.New("the state has expired")
)

// stateKey signs the states of all accounts.
type stateKey []byte

// seal signs s, with a nonce of its own unless it is of kindDone, and returns its text.
func (k stateKey) seal(s state) string {
	if s.Kind != kindDone {
		rand.Read(s.Nonce[:])
	}
	raw := make([]byte, 0, stateSize)
	raw = append(raw, stateVersion, byte(s.Kind))
	raw = binary.BigEndian.AppendUint32(raw, uint32(s.ExpiresAt.Unix())) //nolint:gosec // until 2106
	raw = append(raw, s.Account[:]...)
	raw = append(raw, s.ReturnTo[:]...)
	raw = append(raw, s.Nonce[:]...)
	raw = append(raw, s.Ticket[:]...)
	raw = append(raw, k.mac(raw)...)
	text := new(big.Int).SetBytes(raw).Text(62)
	return strings.Repeat("0", stateText-len(text)) + text
}

func (k stateKey) mac(body []byte) []byte {
	m := hmac.New(sha256.New, k)
	m.Write(body)
	return m.Sum(nil)[:macSize]
}

// openOf reads a state of one of these kinds; another kind is errState.
func (k stateKey) openOf(text, account string, kinds ...stateKind) (state, error) {
	s, err := k.open(text, account, time.Now())
	if (err == nil || errors.Is(err, errStateExpired)) && !slices.Contains(kinds, s.Kind) {
		return state{}, errState
	}
	return s, err
}

// open reads what seal wrote for this account. The error is errState, or
// errStateExpired together with the state.
func (k stateKey) open(text, account string, now time.Time) (state, error) {
	if len(text) != stateText {
		return state{}, errState
	}
	for i := range len(text) {
		if c := text[i]; (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return state{}, errState
		}
	}
	n, ok := new(big.Int).SetString(text, 62)
	if !ok || n.BitLen() > stateSize*8 {
		return state{}, errState
	}
	raw := n.FillBytes(make([]byte, stateSize))
	body := raw[:stateBody]
	if !hmac.Equal(k.mac(body), raw[stateBody:]) || body[0] != stateVersion {
		return state{}, errState
	}
	s := state{Kind: stateKind(body[1]), ExpiresAt: time.Unix(int64(binary.BigEndian.Uint32(body[2:])), 0)}
	rest := body[6:]
	for _, part := range [][]byte{s.Account[:], s.ReturnTo[:], s.Nonce[:], s.Ticket[:]} {
		rest = rest[copy(part, rest):]
	}
	switch {
	case s.Account != markOf(account):
		return state{}, errState
	case !now.Before(s.ExpiresAt):
		return s, errStateExpired
	}
	return s, nil
}
