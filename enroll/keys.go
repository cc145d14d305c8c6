package enroll

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/internal/seal"
	"github.com/wxnotify/wxnotify/internal/ticket"
)

// keys names what enroll keeps in Redis for one account: all in the account's
// slot. What a ticket and a user's openids are kept under is known to
// internal/ticket and to the ledger, which share it. Names seal openids and users in the
// names of keys, and what is found by them lies under a key of their own: see package
// names.
type keys struct {
	account string
	names   *seal.Names // nil: in clear
}

// Keys that have an openid behind a prefix, and those of what is found by names.
const (
	followerPrefix = "o:"
	followedPrefix = "z:"
	ticketsPrefix  = "k:"
	userPrefix     = "user:" // the ledger's
	rosterKey      = "roster"
	changesKey     = "changes"
	erasingKey     = "erasing"
	inboxKey       = "in"
	syncKey        = "sync"
)

func (k keys) prefix() string { return redisx.Prefix(k.account) }

func (k keys) under(name string) string { return k.names.Under(k.prefix() + name) }

func (k keys) of(prefix, openid string) string {
	return k.prefix() + prefix + k.names.Seal(seal.OpenID, openid)
}

// roster is a zset of users by the time of their latest binding.
func (k keys) roster() string { return k.under(rosterKey) }

// follower is a hash of one bound openid: its users, unionid, follow state.
func (k keys) follower(openid string) string { return k.of(followerPrefix, openid) }

// followed remembers for an hour when an openid was last said to follow or not.
func (k keys) followed(openid string) string { return k.of(followedPrefix, openid) }

// ticket is a hash of one opened ticket, until the ticket ends and half an hour
// longer. Field s is the sealed ticket; n, e and q count its states, exchanges and QR
// codes; u is set once it was used: to the time of the binding in Unix milliseconds and a
// name of the call, or to voidMark after unbinding or erasure, which remove all other fields.
func (k keys) ticket(id ticket.ID) string { return ticket.Key(k.account, id) }

// ticketsOf is a zset of the tickets that an openid was bound with: "id user", by the
// time in Unix milliseconds at which the ticket's hash ends. Unbinding and erasure find
// the tickets by it: Roster.voidTickets removes its members, and of each ticket the hash
// except u, the digests handed off, and the QR code.
func (k keys) ticketsOf(openid string) string { return k.of(ticketsPrefix, openid) }

// changes is a stream of bindings and unbindings that Config.OnChange did not get yet. It
// exists only if a process with that hook ran in the last seven days.
func (k keys) changes() string { return k.under(changesKey) }

// changesLock is held by the process that calls Config.OnChange.
func (k keys) changesLock() string { return k.prefix() + "changes:lock" }

// used counts against a limit of the account per minute.
func (k keys) used(what string) string { return k.prefix() + "l:" + what }

// qr holds the content of the QR code that was made for a ticket.
func (k keys) qr(name string) string { return k.prefix() + "q:" + name }

// once holds the exchange of the code that came back with a state.
func (k keys) once(nonce [nonceSize]byte) string {
	return k.prefix() + "x:" + hex.EncodeToString(nonce[:])
}

// erasing is a hash of those whose erasure has begun and is not finished.
func (k keys) erasing() string { return k.under(erasingKey) }

// inbox is the stream of WeChat's events that wait to be applied.
func (k keys) inbox() string { return k.under(inboxKey) }

// stuck is a list of events that could not be applied.
func (k keys) stuck() string { return k.prefix() + "in:stuck" }

// nonce and seen keep a push from being taken twice.
func (k keys) nonce(nonce string) string { return k.prefix() + "w:" + nonce }
func (k keys) seen(event string) string  { return k.prefix() + "v:" + event }

// voidMark is field u of a ticket whose binding was undone.
const voidMark = "x"

// fingerprint stands for a text that must not be readable in Redis.
func fingerprint(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}
