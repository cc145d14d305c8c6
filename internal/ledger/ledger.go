// Package ledger keeps one compact record per message, from Enqueue to receipt.
//
// A record is a small Redis hash. Each step of a message's life is one Lua
// script, so that it happens whole or not at all, and concurrent callers of one
// process share round trips:
//
//	Born ─► queued, scheduled ─► Begin ─► sending ─► Accepted ─► accepted ─► Receipt ─► delivered, rejected
//	                  │  ▲                   └─────► Failed ─► retrying, queued, or an end
//	                  │  └─────────────────────────────────────┘
//	                  └─► Cancel ─► cancelled          Receipt ─► retrying ─► Begin, where the class is sent again
//
// What may happen twice (go-redis repeats a pipeline whose answer was lost, a
// task is fetched again after a crash) does no harm: every script recognises
// its own repetition.
//
// An end stays, with three exceptions: WeChat's yes, or a receipt, overrules an
// end that did not know of it; a dead letter that an admin runs again starts
// afresh; and so does a message that by its receipt surely did not arrive, where
// its class is sent again.
package ledger

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

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
	ID                string
	Class             job.Class
	State             State
	To, User          string
	Template          string
	Hash              string
	MsgID             wechat.MessageID
	Errcode           wechat.Code
	Reason            string // why it is in this state: short, no secret, no openid
	Attempts          int
	PossibleDuplicate bool
	QueuedAt          time.Time
	NotBefore         time.Time
	NotAfter          time.Time
	OpenSince         time.Time // first attempt whose outcome is not known; zero: none
	SentAt            time.Time
	EndedAt           time.Time
	Resends           int       // how often a failed receipt had it sent again
	ResendAt          time.Time // it waits to be sent again until then; zero: it does not
	Erased            bool      // To and User were dropped: see Erase
	Receipt           string    // success, user-block, system-failed, freq-limit, or WeChat's own words
}

const (
	// live is how long a record of a message that has not ended is kept after
	// its last step: longer than any message should wait.
	live = 30 * 24 * time.Hour
	// indexKeep is how long a msgid is remembered, and a receipt that came first.
	indexKeep = ReceiptWait + time.Hour
	// repeatKeep is how long a msgid is remembered after its receipt: WeChat
	// repeats a push within a minute (docs: 被动回复用户消息).
	repeatKeep = 10 * time.Minute
	// nearKeep is how long it is remembered what is under way to an openid, after
	// the last of it.
	nearKeep = 15 * time.Minute
)

// Config of one account's ledger.
type Config struct {
	Account  string        // appid; keys are wxn:{appid}:… Required.
	Keep     time.Duration // of a record, after the end. Default 72 h.
	KeepDead time.Duration // of a dead letter with its record. Default 30 days.
	// Resend names the classes whose messages are sent again when the receipt
	// says that WeChat could not deliver them. Nil: critical alone; empty: none.
	Resend []job.Class
}

// Ledger reads and writes records. Safe for concurrent use.
type Ledger struct {
	rdb     redis.UniversalClient
	cfg     Config
	prefix  string
	scripts scripts
	batch   *batch
	reasons []any // of suppressions that WeChat's answers and events ask for
}

// New checks cfg. It does not talk to Redis. Concurrent calls share round trips.
func New(rdb redis.UniversalClient, cfg Config) (*Ledger, error) {
	var faults []error
	if rdb == nil {
		faults = append(faults, errors.New("a Redis client is required"))
	}
	if cfg.Account == "" || strings.ContainsAny(cfg.Account, "{} \t\r\n") {
		faults = append(faults, errors.New("the Account must be an appid, without braces and spaces"))
	}
	if cfg.Keep < 0 || cfg.KeepDead < 0 {
		faults = append(faults, errors.New("the Keep and KeepDead must not be negative"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	if cfg.Keep == 0 {
		cfg.Keep = 72 * time.Hour
	}
	if cfg.KeepDead == 0 {
		cfg.KeepDead = 30 * 24 * time.Hour
	}
	if cfg.Resend == nil {
		cfg.Resend = []job.Class{job.Critical}
	}
	return &Ledger{
		rdb: rdb, cfg: cfg, prefix: prefix(cfg.Account), scripts: newScripts(), batch: &batch{rdb: rdb},
		reasons: recipientReasons(),
	}, nil
}

// Close waits for the calls under way; later ones get ErrClosed. The Redis
// client stays open.
func (l *Ledger) Close() error {
	l.batch.close()
	return nil
}

// life of a record of a message that has not ended, from now on.
func (l *Ledger) life(now time.Time, terms ...time.Time) time.Duration {
	until := now.Add(live)
	for _, t := range terms {
		if t = t.Add(l.cfg.Keep); t.After(until) {
			until = t
		}
	}
	return until.Sub(now)
}

// day names the counts of the UTC day of now.
func day(now time.Time) string { return now.UTC().Format("20060102") }
