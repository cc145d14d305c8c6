package ledger

import "strconv"

// Every key of an account has its appid in braces, so that they all lie in one
// cluster slot and one script may touch several.

func prefix(account string) string { return "wxn:{" + account + "}:" }

// UserKey is the key under which the roster keeps the openid that a user's
// messages go to, as plain text. The roster writes it, Begin reads it.
func UserKey(account, user string) string { return prefix(account) + "user:" + user }

func (l *Ledger) recordKey(id string) string { return l.prefix + "m:" + id }

// msgidKey holds "=" and the message's id, or "!" and a receipt that came first.
func (l *Ledger) msgidKey(msgid int64) string { return l.prefix + "i:" + strconv.FormatInt(msgid, 10) }

func (l *Ledger) countsKey(day string) string { return l.prefix + "n:" + day }

// suppressionsKey is a hash: openid, or openid|template_id, to "until reason".
func (l *Ledger) suppressionsKey() string { return l.prefix + "sup" }

// suppressionEndsKey is the index by end of those that end by themselves.
func (l *Ledger) suppressionEndsKey() string { return l.prefix + "supz" }

func (l *Ledger) deadKey() string { return l.prefix + "dead" }

func (l *Ledger) letterKey(id string) string { return l.prefix + "dead:" + id }
