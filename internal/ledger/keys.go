package ledger

import (
	"time"

	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/internal/seal"
	"github.com/wxnotify/wxnotify/wechat"
)

// MaxOpenIDs is how many openids the roster keeps of one user at most.
const MaxOpenIDs = 16

// UserKey is the key under which the roster keeps a user's openids: a hash of
// openid to "bound-at how", the time in Unix milliseconds, of at most
// [MaxOpenIDs]. The roster writes it, Begin reads it. Openids are sealed, as user is.
func (l *Ledger) UserKey(user string) string {
	return l.prefix + userPrefix + l.sealed.Seal(seal.User, user)
}

// Keys that have a name behind a prefix.
const (
	userPrefix   = "user:"
	latestPrefix = "a:"
)

// What is found by names lies under keys of the way in which these are sealed: see package
// names.
const (
	suppressions      = "sup"
	suppressionEnds   = "supz"
	suppressionStarts = "supt"
	events            = "events"
)

func (l *Ledger) recordKey(id string) string { return l.prefix + "m:" + id }

// msgidKey holds "=" and the message's id, "~" and its id when the receipt asked
// for another attempt, or "!" and a receipt that came first.
func (l *Ledger) msgidKey(msgid wechat.MessageID) string { return l.prefix + "i:" + msgid.String() }

// templatesKey is a hash of the templates of accepted messages to their codes,
// which records keep. An account has few templates.
func (l *Ledger) templatesKey() string { return l.prefix + "tpl" }

// suppressionsKey is a hash: openid, or openid|template_id, to "until reason".
func (l *Ledger) suppressionsKey() string { return l.sealed.Under(l.prefix + suppressions) }

// suppressionEndsKey is the index by end of those that have one.
func (l *Ledger) suppressionEndsKey() string { return l.sealed.Under(l.prefix + suppressionEnds) }

// suppressionStartsKey is a hash of the same members to the Unix milliseconds at which
// they began.
func (l *Ledger) suppressionStartsKey() string {
	return l.sealed.Under(l.prefix + suppressionStarts)
}

// EventsKey is the stream of events of an account. Its entries have one field: m, what
// became of messages, of those that one script call ended or had accepted, each the
// letter of a state, its number among the message's events, a colon and the ID, with
// spaces between them; or e, an event of another kind as JSON. It holds about a million
// entries at most; package events removes those that are old.
func (l *Ledger) EventsKey() string { return l.sealed.Under(ClearEventsKey(l.account)) }

// ClearEventsKey is EventsKey without sealed names.
func ClearEventsKey(account string) string { return redisx.Prefix(account) + events }

// telling appends the keys that a script of the ledger tells its outcomes to.
func (l *Ledger) telling(now time.Time, keys ...string) []string {
	hour := hourOf(now)
	k := l.tellKeys.Load()
	if k == nil || k.hour != hour {
		k = &tellKeys{hour, append([]string{
			l.EventsKey(), l.segmentKey(outcomeSegments, hour), l.segmentsKey(),
		}, l.historyKeys(hour)...)}
		l.tellKeys.Store(k)
	}
	return append(keys, k.keys...)
}

// tellKeys are the keys of one hour that most scripts end with.
type tellKeys struct {
	hour int64
	keys []string
}

// deadKey is the index of dead letters by time of death.
func (l *Ledger) deadKey() string { return l.prefix + "dead" }

// payloadKey is the envelope of a message that may be sent again: of a dead letter, or
// of an accepted message until its receipt.
func (l *Ledger) payloadKey(id string) string { return l.prefix + "p:" + id }

// oldDeadLetterKey is where versions up to November 2026 kept the envelope of a dead letter.
func (l *Ledger) oldDeadLetterKey(id string) string { return l.prefix + "dead:" + id }

// latestKey is the latest messages to an openid, for receipts that name no
// message: a sorted set by the begin in Unix milliseconds. Its members are "=" and
// the id of a message that was accepted or may have been, and for a short while
// "!", a receipt with MsgID 0, and the id that it ended. At most 64, for latestKeep.
func (l *Ledger) latestKey(openid string) string {
	return l.prefix + latestPrefix + l.sealed.Seal(seal.OpenID, openid)
}

// awaitingReceiptKey is a sorted set of ids by the time of the acceptance. Each
// acceptance removes some that are over ReceiptWait.
func (l *Ledger) awaitingReceiptKey() string { return l.prefix + "await" }

// auditKey is a stream of at most about maxAudit entries.
func (l *Ledger) auditKey() string { return l.prefix + "audit" }

// BindingsKey is the key of the trail of bindings, a stream of at most about
// [MaxBindings] entries whose fields are those of [AuditFields]. The roster writes it
// with the binding; Audited lists it together with the audit trail. It is a stream of
// its own so that many bindings do not push out what is said of erasures.
func BindingsKey(account string) string { return redisx.Prefix(account) + "audit:bindings" }
