package ledger

import "strconv"

// Every key of an account has its appid in braces, so that they all lie in one
// cluster slot and one script may touch several.

func prefix(account string) string { return "wxn:{" + account + "}:" }

// MaxOpenIDs is how many openids the roster keeps of one user at most.
const MaxOpenIDs = 16

// UserKey is the key under which the roster keeps a user's openids: a hash of
// openid to "bound-at how", the time in Unix milliseconds, of at most
// [MaxOpenIDs]. The roster writes it, Begin reads it.
func UserKey(account, user string) string { return prefix(account) + "user:" + user }

func (l *Ledger) recordKey(id string) string { return l.prefix + "m:" + id }

// msgidKey holds "=" and the message's id, "~" and its id when the receipt asked
// for another attempt, or "!" and a receipt that came first.
func (l *Ledger) msgidKey(msgid int64) string { return l.prefix + "i:" + strconv.FormatInt(msgid, 10) }

func (l *Ledger) countsKey(day string) string { return l.prefix + "n:" + day }

// suppressionsKey is a hash: openid, or openid|template_id, to "until reason".
func (l *Ledger) suppressionsKey() string { return l.prefix + "sup" }

// suppressionEndsKey is the index by end of those that end by themselves.
func (l *Ledger) suppressionEndsKey() string { return l.prefix + "supz" }

func (l *Ledger) deadKey() string { return l.prefix + "dead" }

func (l *Ledger) letterKey(id string) string { return l.prefix + "dead:" + id }

// nearKey is what is under way to an openid, for receipts that name no message: a
// sorted set by begin in Unix milliseconds. Its members are "=" and an id, of a
// message that was accepted or may have been, and for a short while "!", a
// receipt with MsgID 0, and the id that it settled. At most 64, for nearKeep.
func (l *Ledger) nearKey(openid string) string { return l.prefix + "a:" + openid }

// awaitKey is whose receipt is awaited, a sorted set of ids by the moment of the
// acceptance. Bounded by ReceiptWait: each acceptance takes overdue ones out.
func (l *Ledger) awaitKey() string { return l.prefix + "await" }

// payloadKey is the envelope of an accepted message that may be sent again.
func (l *Ledger) payloadKey(id string) string { return l.prefix + "p:" + id }

// auditKey is a stream of at most about maxAudit entries.
func (l *Ledger) auditKey() string { return l.prefix + "audit" }
