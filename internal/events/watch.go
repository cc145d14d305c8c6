package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/ratelimit"
)

// Gate tells whether an account may send.
type Gate interface {
	State(ctx context.Context) (ratelimit.State, error)
}

// Watch of an account: what of its events no script writes.
type Watch struct {
	Gate    Gate
	Records *ledger.Ledger // of the account
	Keep    time.Duration  // of events. Default 72 h, at most 7 days.
	Max     int64          // entries of the stream. Default 1 000 000.
	Log     *zap.Logger

	lease redisx.Lease
}

const (
	watchEvery = 5 * time.Second
	// watchLease is how long an account is not watched after a crash.
	watchLease = 3 * watchEvery
	tidyEvery  = 10 * time.Minute
	// lowQuota is the share of the day's quota at which it is low.
	lowQuota = 0.8
)

// Run writes the events of pauses and of the quota, within seconds, and removes old
// events and old parts of the ledger's index, until ctx ends. Any number of processes
// may run it: one of them watches, and another one 15 s after its end.
func (w Watch) Run(ctx context.Context) {
	if w.Keep <= 0 {
		w.Keep = 72 * time.Hour
	}
	if w.Max <= 0 {
		w.Max = maxEntries
	}
	if w.Log == nil {
		w.Log = zap.NewNop()
	}
	w.lease = redisx.NewLease(redisx.Prefix(w.Records.Account())+"watch:lease", watchLease)
	var tidied time.Time
	for failed := false; ; {
		mine, err := w.lease.Hold(ctx, w.Records.Redis())
		if mine {
			err = w.look(ctx)
		}
		if err == nil && time.Since(tidied) >= tidyEvery {
			tidied = time.Now()
			err = w.tidy(ctx)
		}
		if err != nil && ctx.Err() == nil && !failed {
			w.Log.Warn("events of pauses and the quota are late: Redis fails", zap.String("account", w.Records.Account()), zap.Error(err))
		}
		failed = err != nil
		if redisx.Sleep(ctx, watchEvery) != nil {
			return
		}
	}
}

func (w Watch) tidy(ctx context.Context) error {
	first, err := w.Records.Redis().SetNX(ctx, redisx.Prefix(w.Records.Account())+"tidy", "1", tidyEvery-time.Minute).Result()
	if err != nil || !first {
		return err //nolint:wrapcheck // logged as it is
	}
	if err := Trim(ctx, w.Records, w.Keep, w.Max); err != nil {
		return err
	}
	_, err = w.Records.CompactIndex(ctx)
	return err
}

// Pause is the data of account.paused and account.resumed.
type Pause struct {
	Reasons []string  `json:"reasons,omitempty"` // why nothing is sent
	Detail  string    `json:"detail,omitempty"`
	Until   time.Time `json:"until,omitzero"` // absent: until it is resumed
}

// Quota is the data of quota.low and quota.gone.
type Quota struct {
	Day      string    `json:"day"`
	Used     int64     `json:"used"`
	Limit    int64     `json:"limit"`
	ResetsAt time.Time `json:"resets_at"`
}

// changeScript replaces what was said last of a subject, and writes the event unless
// that was the same. It does nothing for a process that has lost the lease: what it read
// may be older than what was said since.
// KEYS: what was said, the events, the lease. ARGV: the subject, what is to be said, the
// event, its life, the owner of the lease.
var changeScript = redisx.NewScript(`
if redis.call('GET', KEYS[3]) ~= ARGV[5] then
  return 0
end
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], '7776000000') -- 90 days
if ARGV[3] ~= '' then
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', '1000000', '*', 'e', ARGV[3])
  redis.call('PEXPIRE', KEYS[2], ARGV[4])
end
return 1`)

// say writes an event if the state of a subject changed; an empty type: it is only
// remembered.
func (w Watch) say(ctx context.Context, subject, state string, t Type, data any) error {
	var event []byte
	if t != "" {
		text, err := json.Marshal(data)
		if err == nil {
			event, err = json.Marshal(stored{t, text})
		}
		if err != nil {
			return fmt.Errorf("events: %s: %w", t, err)
		}
	}
	keys := []string{redisx.Prefix(w.Records.Account()) + "said", w.Records.EventsKey(), w.lease.Key}
	if err := changeScript.Run(ctx, w.Records.Redis(), keys, subject, state, event, maxLife.Milliseconds(), w.lease.Owner).Err(); err != nil {
		return fmt.Errorf("events: %s: %w", subject, err)
	}
	return nil
}

// look compares the gate with what was said of it last.
func (w Watch) look(ctx context.Context) error {
	s, err := w.Gate.State(ctx)
	if err != nil {
		return fmt.Errorf("events: read the gate: %w", err)
	}
	pause, forever := Pause{}, false
	for _, c := range s.Pauses {
		// The gate closes for less than a minute at WeChat's limit of the minute.
		if c.Reason == ratelimit.ReasonMinute {
			continue
		}
		pause.Reasons = append(pause.Reasons, string(c.Reason))
		pause.Detail = c.Detail
		forever = forever || c.Until.IsZero()
		if c.Until.After(pause.Until) {
			pause.Until = c.Until
		}
	}
	if forever {
		pause.Until = time.Time{}
	}
	slices.Sort(pause.Reasons)
	switch known, err := w.Records.Redis().HGet(ctx, redisx.Prefix(w.Records.Account())+"said", "pause").Result(); {
	case err != nil && !isNil(err):
		return fmt.Errorf("events: %w", err)
	case len(pause.Reasons) > 0:
		err = w.say(ctx, "pause", strings.Join(pause.Reasons, " "), AccountPaused, pause)
		if err != nil {
			return err
		}
	case known != "":
		if err := w.say(ctx, "pause", "", AccountResumed, Pause{}); err != nil {
			return err
		}
	}
	quota := Quota{s.Day, s.Used, s.Cap, s.ResetsAt}
	switch {
	case s.Cap > 0 && s.Used >= s.Cap-s.Reserve:
		return w.say(ctx, "quota", s.Day+" gone", QuotaGone, quota)
	case s.Cap > 0 && float64(s.Used) >= lowQuota*float64(s.Cap):
		return w.sayLow(ctx, s.Day, quota)
	}
	return nil
}

// sayLow says that the quota is low, unless it was said to be gone on this day: the
// count may go back by unused permits.
func (w Watch) sayLow(ctx context.Context, day string, q Quota) error {
	known, err := w.Records.Redis().HGet(ctx, redisx.Prefix(w.Records.Account())+"said", "quota").Result()
	if err != nil && !isNil(err) {
		return fmt.Errorf("events: %w", err)
	}
	if known == day+" gone" {
		return nil
	}
	return w.say(ctx, "quota", day+" low", QuotaLow, q)
}

func isNil(err error) bool { return errors.Is(err, redis.Nil) }
