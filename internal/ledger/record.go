package ledger

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/wechat"
)

// State is where a message is on its way.
type State string

// The states. Delivered, rejected, expired, cancelled, unknown and dead are
// ends; accepted ends when no receipt comes within 24 h.
const (
	Queued    State = "queued"
	Scheduled State = "scheduled"
	Sending   State = "sending"
	Retrying  State = "retrying"
	Accepted  State = "accepted"
	Delivered State = "delivered"
	Rejected  State = "rejected"
	Expired   State = "expired"
	Cancelled State = "cancelled"
	Unknown   State = "unknown"
	Dead      State = "dead"
)

// Record is a message's one entry.
type Record struct {
	ID       string
	Class    job.Class
	State    State
	To, User string
	Template string
	Key      string // ID of the API key that enqueued it; empty: none did
	Hash     string
	MsgID    wechat.MessageID
	Errcode  wechat.Code
	Reason   string // why it is in this state, see the Reason constants: no secret, no openid
	// Detail is the particular of Reason: WeChat's words, such as "data.time2.value is
	// empty", or the reason of the suppression.
	Detail            string
	RID               string    // WeChat's id of the last refused call; empty: none
	SuppressedSince   time.Time // of Reason ReasonSuppressed; zero: not known
	ByAdmin           bool      // a person suppressed the recipient
	Attempts          int
	PossibleDuplicate bool
	QueuedAt          time.Time
	NotBefore         time.Time
	NotAfter          time.Time
	OpenSince         time.Time // first attempt whose outcome is not known; zero: none
	SentAt            time.Time
	EndedAt           time.Time
	Resends           int       // how often a failed receipt had it sent again
	ResendAt          time.Time // when it is due to be sent again after a failed receipt; zero: it is not
	Revivals          int       // how often an operator had it sent again after it was dead
	RevivedAt         time.Time // the last of these; zero: none
	Erased            bool      // To and User were dropped: see Erase
	// Kept are attempts that were not accepted, or whose receipt asked for another one:
	// the last 8 of these, the oldest first. See [Record.Story].
	Kept    []Attempt
	Receipt string // success, user-block, system-failed, freq-limit, or WeChat's own words
}

const (
	// maxReason keeps a record in Redis' compact form, which ends at values of 64 bytes.
	maxReason = 60
	// maxReasonDetail is what two fields of a record hold.
	maxReasonDetail = 2 * maxReason
)

// ReceiptWait is how long an accepted message waits for its receipt. After that
// accepted is its end.
const ReceiptWait = 24 * time.Hour

// stateCodes are the states as stored, in the order of States. A code is never used
// for anything else.
const stateCodes = "qwsradjecux"

func (s State) code() string {
	if i := slices.Index(States(), s); i >= 0 {
		return stateCodes[i : i+1]
	}
	return ""
}

// StateOf is the state of a letter as records and events have it.
func StateOf(code string) State { return stateOf(code) }

func stateOf(code string) State {
	if i := strings.Index(stateCodes, code); i >= 0 && len(code) == 1 {
		return States()[i]
	}
	return State(code) // of a newer version: shown as it is
}

// States lists every state in the order of a message's life, the ends last.
func States() []State {
	return []State{Queued, Scheduled, Sending, Retrying, Accepted, Delivered, Rejected, Expired, Cancelled, Unknown, Dead}
}

// Ended reports whether nothing happens to a message in this state any more.
// Accepted is not among them: see [ReceiptWait].
func (s State) Ended() bool { return slices.Index(States(), s) >= slices.Index(States(), Delivered) }

func classCode(c job.Class) string {
	if c == "" {
		return ""
	}
	return string(c[:1]) // c, d, b
}

func classOf(code string) job.Class {
	for _, c := range job.Classes() {
		if classCode(c) == code {
			return c
		}
	}
	return ""
}

// fields are a record's as they are stored, without the empty ones: those that a
// message has before it is sent. lua/prelude.lua says what the letters mean.
func fields(r Record) []any {
	out := make([]any, 0, 24)
	put := func(name any, value string) { // any: a constant costs no allocation
		if value != "" && value != "0" {
			out = append(out, name, value)
		}
	}
	put("s", r.State.code())
	put("c", classCode(r.Class))
	put("t", r.To)
	put("u", r.User)
	put("p", r.Template)
	put("K", r.Key)
	put("h", r.Hash)
	put("q", stamp(r.QueuedAt))
	put("b", stamp(r.NotBefore))
	put("n", stamp(r.NotAfter))
	put("r", short(r.Reason, maxReason))
	put("z", stamp(r.EndedAt))
	return out
}

// parse reads a record as stored; nil when there is none. Now decides whether
// a scheduled message still waits for its not-before, an accepted one for its
// receipt, and whether one that was not sent can be sent any more.
func parse(id string, f map[string]string, now time.Time) *Record {
	if len(f) == 0 {
		return nil
	}
	r := &Record{
		ID: id, State: stateOf(f["s"]), Class: classOf(f["c"]), To: f["t"], User: f["u"],
		Template: f["p"], Key: f["K"], Hash: f["h"], MsgID: wechat.MessageID(number(f["m"])),
		Errcode: wechat.Code(number(f["e"])), Reason: f["r"], Detail: f["y"] + f["Y"], RID: f["R"], Attempts: int(number(f["a"])),
		PossibleDuplicate: f["d"] != "", QueuedAt: moment(f["q"]), NotBefore: moment(f["b"]),
		NotAfter: moment(f["n"]), OpenSince: moment(f["o"]), SentAt: moment(f["x"]),
		EndedAt: moment(f["z"]), Receipt: f["f"], Resends: int(number(f["g"])), Erased: f["v"] != "",
	}
	if r.Reason == ReasonSuppressed {
		r.Detail, r.ByAdmin = strings.CutPrefix(r.Detail, "@")
		r.SuppressedSince = moment(f["S"])
	}
	if r.Attempts == 0 && !r.SentAt.IsZero() {
		r.Attempts = 1 // a single attempt is not stored
	}
	if r.State == Delivered {
		r.Receipt = success // not stored
	}
	if times, at, ok := strings.Cut(f["V"], " "); ok {
		r.Revivals, r.RevivedAt = int(number(times)), moment(at)
	}
	if f["N"] != "" {
		r.Kept = attemptsOf(f)
	}
	if r.State == Accepted && !r.SentAt.IsZero() && !now.Before(r.SentAt.Add(ReceiptWait)) {
		r.EndedAt, r.Reason = r.SentAt.Add(ReceiptWait), ReasonNoReceipt
	}
	if due, _, waits := strings.Cut(f["w"], " "); waits && r.State == Retrying {
		r.ResendAt = moment(due)
	}
	if r.State == Queued || r.State == Scheduled || r.State == Retrying {
		r.waits(now)
	}
	return r
}

// waits shows a message that waits in its state at now, which is not written down
// until its task is fetched: that can be days later.
func (r *Record) waits(now time.Time) {
	switch {
	case !r.NotAfter.IsZero() && !now.Before(r.NotAfter):
		r.State, r.EndedAt, r.Reason, r.ResendAt = Expired, r.NotAfter, ReasonNotAfter, time.Time{}
		r.Detail = ""
		if !r.OpenSince.IsZero() {
			r.State = Unknown // an attempt may have arrived
		}
	case r.State == Scheduled && !now.Before(r.NotBefore):
		r.State = Queued
	}
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

// halves cuts a detail to maxReasonDetail bytes and into its two fields.
func halves(detail string) (string, string) {
	detail = short(detail, maxReasonDetail)
	if len(detail) <= maxReason {
		return detail, ""
	}
	return detail[:maxReason], detail[maxReason:] // perhaps within a character: parse joins them
}

// short bounds text to limit bytes of printable UTF-8.
func short(text string, limit int) string {
	text = strings.TrimSpace(strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text))
	if len(text) <= limit {
		return text
	}
	const ellipsis = "…"
	return strings.ToValidUTF8(text[:limit-len(ellipsis)], "") + ellipsis
}
