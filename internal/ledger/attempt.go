package ledger

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// maxAttempts is how many attempts a record keeps, as lua/prelude.lua does.
const maxAttempts = 8

// Attempt is one call of WeChat for a message, with what became of it.
type Attempt struct {
	N        int           // from 1, over all lives of the message
	At       time.Time     // when its outcome was known
	Latency  time.Duration // of the call, in whole milliseconds; zero: not known
	Worker   string        // host and process that made it; empty: not known
	Accepted bool          // WeChat took the message
	Errcode  wechat.Code   // WeChat's answer; 0: accepted, or there was no answer
	RID      string        // WeChat's id of the refused call; empty: none
	Reason   string        // the errcode's name, a Reason constant, or the words of a failed receipt
}

// Story is the last 8 attempts of the message, the oldest first. An attempt that WeChat
// accepted is told from the record's SentAt, so that the usual message stores none: its
// worker and latency are not known. An attempt whose worker died before its outcome was
// known is not in it: see OpenSince.
func (r *Record) Story() []Attempt {
	if r.SentAt.IsZero() {
		return r.Kept
	}
	n := 0
	if len(r.Kept) > 0 {
		n = r.Kept[len(r.Kept)-1].N
	}
	story := append(r.Kept[:len(r.Kept):len(r.Kept)], Attempt{N: n + 1, At: r.SentAt, Accepted: true})
	return story[max(len(story)-maxAttempts, 0):]
}

// attemptsOf reads those that a record keeps.
func attemptsOf(f map[string]string) []Attempt {
	kept := int(number(f["N"]))
	var list []Attempt
	for n := max(kept-maxAttempts, 0) + 1; n <= kept; n++ {
		slot := strconv.Itoa((n - 1) % maxAttempts)
		at, rest, _ := strings.Cut(f["A"+slot], " ")
		latency, rest, _ := strings.Cut(rest, " ")
		errcode, flag, _ := strings.Cut(rest, " ")
		code := wechat.Code(number(errcode))
		reason := f["C"+slot]
		if code != 0 {
			reason = cmp.Or(reason, code.Name())
		}
		list = append(list, Attempt{
			N: n, At: moment(at), Latency: time.Duration(number(latency)) * time.Millisecond, Worker: f["W"+slot],
			Accepted: flag == "a", Errcode: code, RID: f["B"+slot], Reason: reason,
		})
	}
	return list
}
