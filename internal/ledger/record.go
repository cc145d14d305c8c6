package ledger

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/wechat"
)

// maxReason keeps a record in Redis' compact form, which ends at values of 64 bytes.
const maxReason = 60

// ReceiptWait is how long an accepted message waits for its receipt. After that
// accepted is its end.
const ReceiptWait = 24 * time.Hour

// Reasons that are the ledger's own.
const (
	ReasonSuppressed = "suppressed" // the recipient must not be written to
	ReasonNoUser     = "no-user"    // nobody has bound an openid to the user
	ReasonNoReceipt  = "no-receipt" // accepted, and no receipt came within ReceiptWait
	ReasonErased     = "erased"     // the recipient's data were erased before it was sent
)

// letter is the state as stored. Letters are never reused.
func (s State) letter() string {
	switch s {
	case Queued:
		return "q"
	case Scheduled:
		return "w"
	case Sending:
		return "s"
	case Retrying:
		return "r"
	case Accepted:
		return "a"
	case Delivered:
		return "d"
	case Rejected:
		return "j"
	case Expired:
		return "e"
	case Cancelled:
		return "c"
	case Unknown:
		return "u"
	case Dead:
		return "x"
	default:
		return ""
	}
}

func stateOf(letter string) State {
	for _, s := range States() {
		if s.letter() == letter {
			return s
		}
	}
	return State(letter) // of a newer version: shown as it is
}

// States lists every state in the order of a message's life.
func States() []State {
	return []State{Queued, Scheduled, Sending, Retrying, Accepted, Delivered, Rejected, Expired, Cancelled, Unknown, Dead}
}

// Ended reports whether nothing happens to a message in this state any more.
// Accepted is not among them: see [ReceiptWait].
func (s State) Ended() bool {
	switch s {
	case Delivered, Rejected, Expired, Cancelled, Unknown, Dead:
		return true
	case Queued, Scheduled, Sending, Retrying, Accepted:
		return false
	default: // of a newer version
		return false
	}
}

func classLetter(c job.Class) string {
	if c == "" {
		return ""
	}
	return string(c[0]) // c, d, b
}

func classOf(letter string) job.Class {
	for _, c := range job.Classes() {
		if classLetter(c) == letter {
			return c
		}
	}
	return ""
}

// fields are a new record's, without the empty ones. The letters are never
// reused; k (an earlier attempt is open), y (its task was put again since Cancel)
// and the msgid in w (the moment of the next attempt after a failed receipt, and
// which) are the scripts' own.
func fields(r Record) []any {
	out := make([]any, 0, 18)
	put := func(name any, value string) { // any: a constant costs no allocation

		if value != "" && value != "0" {
			out = append(out, name, value)
		}
	}
	put("s", r.State.letter())
	put("c", classLetter(r.Class))
	put("t", r.To)
	put("u", r.User)
	put("p", r.Template)
	put("h", r.Hash)
	put("q", stamp(r.QueuedAt))
	put("b", stamp(r.NotBefore))
	put("n", stamp(r.NotAfter))
	return out
}

// parse reads a record as stored; nil when there is none. Now decides whether
// a scheduled message still waits for its hour, an accepted one for its receipt.
func parse(id string, f map[string]string, now time.Time) *Record {
	if len(f) == 0 {
		return nil
	}
	r := &Record{
		ID: id, State: stateOf(f["s"]), Class: classOf(f["c"]), To: f["t"], User: f["u"],
		Template: f["p"], Hash: f["h"], MsgID: wechat.MessageID(number(f["m"])),
		Errcode: wechat.Code(number(f["e"])), Reason: f["r"], Attempts: int(number(f["a"])),
		PossibleDuplicate: f["d"] != "", QueuedAt: moment(f["q"]), NotBefore: moment(f["b"]),
		NotAfter: moment(f["n"]), OpenSince: moment(f["o"]), SentAt: moment(f["x"]),
		EndedAt: moment(f["z"]), Receipt: f["f"], Resends: int(number(f["g"])), Erased: f["v"] != "",
	}
	if due, _, waits := strings.Cut(f["w"], " "); waits && r.State == Retrying {
		r.ResendAt = moment(due)
	}
	if r.State == Scheduled && !now.Before(r.NotBefore) {
		r.State = Queued // its hour has come, and nobody writes that down
	}
	if r.State == Accepted && !r.SentAt.IsZero() && !now.Before(r.SentAt.Add(ReceiptWait)) {
		r.EndedAt, r.Reason = r.SentAt.Add(ReceiptWait), ReasonNoReceipt
	}
	return r
}

// stamp is a time in Unix milliseconds; empty when zero.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return strconv.FormatInt(t.UnixMilli(), 10)
}

func moment(text string) time.Time {
	if text == "" {
		return time.Time{}
	}
	return time.UnixMilli(number(text)).UTC()
}

// number of a stored text; what is no number reads as 0, as an absent field does.
func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// short bounds text to max bytes of printable UTF-8.
func short(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	text = strings.TrimSpace(text)
	if len(text) <= limit {
		return text
	}
	const ellipsis = "…"
	cut := limit - len(ellipsis)
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + ellipsis
}
