package enroll

import (
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/wechat"
)

// Kind says what an Event tells of.
type Kind string

// The kinds of events. The words are stable: they are labels of metrics.
const (
	KindPush     Kind = "push"     // taken; Name is the event
	KindRepeated Kind = "repeated" // taken before; Name is the event
	// KindUnreadable is a push of WeChat that could not be read; it was acknowledged
	// and forwarded as it came.
	KindUnreadable Kind = "unreadable"
	KindRefused    Kind = "refused"   // not WeChat's, or not as configured; Name is the fault. Without an Account: a path of none
	KindLimited    Kind = "limited"   // answered 429: too many requests of one client address; without an Account
	KindVerified   Kind = "verified"  // WeChat checked the server configuration
	KindForwarded  Kind = "forwarded" // handed to the business; Name is ok, failed or late
	KindEnrolled   Kind = "enrolled"  // a link came to its end; Name is how: bound, again, spent …
	KindSettled    Kind = "settled"   // a receipt found its message; Name is the state
	KindUnmatched  Kind = "unmatched" // a receipt found none
	KindMissing    Kind = "missing"   // Count messages got no receipt in 24 h
	KindErased     Kind = "erased"    // the data of Count people were erased
	KindEnded      Kind = "ended"     // Message ended: by its receipt, without one, or by an erasure
)

// Event is what happened, for logs, metrics and tests. It names no follower.
type Event struct {
	Account string
	Kind    Kind
	Name    string
	Took    time.Duration // of a push: from its first byte to its answer
	Count   int
	Message *Message // of KindEnded
}

// Message is a message that ended here: its worker saw it accepted at most.
type Message struct {
	ID     string
	Class  string
	State  string // in which it ended; accepted: no receipt came within 24 h
	To     string // the openid, masked; empty: not known, or erased
	Reason string // why; empty when delivered
	MsgID  wechat.MessageID
}

// ended tells of a message that ended.
func (s *Service) ended(appID string, r *ledger.Record) {
	m := &Message{ID: r.ID, Class: string(r.Class), State: string(r.State), Reason: r.Reason, MsgID: r.MsgID}
	if r.To != "" {
		m.To = wechat.MaskOpenID(r.To)
	}
	s.cfg.OnEvent(Event{Account: appID, Kind: KindEnded, Message: m})
}

// quietLog writes a line of each key once a minute, with the number of those
// that were left out: who can reach a public endpoint must not fill the disk.
type quietLog struct {
	log  *zap.Logger
	mu   sync.Mutex
	last map[string]*lastLine
}

type lastLine struct {
	at   time.Time
	left int
}

const (
	quietFor = time.Minute
	// maxQuiet bounds the keys; beyond it, the map starts anew.
	maxQuiet = 1000
)

func newQuietLog(log *zap.Logger) *quietLog { return &quietLog{log: log, last: map[string]*lastLine{}} }

func (q *quietLog) info(key, text string, fields ...zap.Field) {
	if left, ok := q.admit(key); ok {
		q.log.Info(text, withLeft(fields, left)...)
	}
}

func (q *quietLog) warn(key, text string, fields ...zap.Field) {
	if left, ok := q.admit(key); ok {
		q.log.Warn(text, withLeft(fields, left)...)
	}
}

func withLeft(fields []zap.Field, left int) []zap.Field {
	if left > 0 {
		fields = append(fields, zap.Int("left_out", left))
	}
	return fields
}

func (q *quietLog) admit(key string) (left int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	l := q.last[key]
	switch {
	case l == nil:
		if len(q.last) >= maxQuiet {
			clear(q.last)
		}
		q.last[key] = &lastLine{at: now}
		return 0, true
	case now.Sub(l.at) < quietFor:
		l.left++
		return 0, false
	}
	left = l.left
	*l = lastLine{at: now}
	return left, true
}
