// Package ledger keeps one compact record per message, from Enqueue to receipt.
//
// A record is a small Redis hash. Each step of a message's life is one Lua
// script, so that it is atomic; concurrent callers of one process share calls:
//
//	Create ─► queued, scheduled ─► Begin ─► sending ─► Accepted ─► accepted ─► Receipt ─► delivered, rejected
//	                 ▲  │                    ├─► Failed ─► retrying, queued, or an end
//	                 │  │                    └─► Undo ─► queued, retrying
//	                 │  └─► Cancel ─► cancelled       Receipt ─► retrying, in classes that are sent again
//	                 └─ Revive ◄─ dead
//
// # Delivery numbers
//
// A write can come late: go-redis repeats it over another connection when an
// answer is lost, and the first copy may still arrive. So every write of an
// attempt carries the number of its delivery, which the queue hands out with each
// fetch of a task and which only grows. The record keeps the number of the
// delivery that wrote last:
//
//   - Begin of an older delivery is superseded. Begin of the same one is a
//     repetition while the message is being sent, else superseded.
//   - Failed and Undo count for the delivery whose attempt is being made, or for a
//     later one that never began; else they do nothing.
//   - Accepted counts for every delivery: WeChat's yes is a fact. It does not
//     count when the message got another life since, by a failed receipt or by Revive.
//
// An end stays, with three exceptions: WeChat's yes, or a receipt, overrules an end
// that did not know of it; Revive has a dead letter sent again; and so does a
// failed receipt, in classes that are sent again.
package ledger

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/names"
	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/internal/seal"
)

const (
	// live is how long a record of a message that has not ended is kept after
	// its last step: longer than any message should wait.
	live = 30 * 24 * time.Hour
	// keepDead is how long a dead letter is kept, with its record.
	keepDead = 30 * 24 * time.Hour
	// indexKeep is how long a msgid is remembered, a receipt that came first, and a
	// payload that may be sent again.
	indexKeep = ReceiptWait + time.Hour
	// repeatKeep is how long a msgid is remembered after its receipt: WeChat
	// repeats a push within a minute (docs: 被动回复用户消息).
	repeatKeep = 10 * time.Minute
	// latestKeep is how long the latest messages to an openid are remembered.
	latestKeep = 15 * time.Minute
)

const (
	// callSize bounds the messages of one script call: Redis does nothing else for
	// less than a millisecond, and larger calls are not cheaper per message.
	callSize = 64
	// pipelineSize bounds the callers that share a pipeline, and the commands of
	// one caller.
	pipelineSize = 512
	// callsAtOnce of a kind are running at most. Two keep Redis busy while an
	// answer is under way; more would make the batches smaller, not the wait shorter.
	callsAtOnce = 2
	// callPause between calls of Begin or Accepted makes their batches about twice as
	// large under load. A message waits for at most two.
	callPause = 3 * time.Millisecond
)

// Config of one account's ledger.
type Config struct {
	Keep time.Duration // of a record, after the end. Default 72 h.
	// Resend names the classes whose messages are sent again when the receipt
	// says that WeChat could not deliver them. Nil: critical alone; empty: none.
	Resend []job.Class
}

// Ledger reads and writes records. Safe for concurrent use.
type Ledger struct {
	cfg      Config
	rdb      redis.UniversalClient
	account  string
	sealed   *seal.Names // seals openids and users; nil: they are in clear
	prefix   string
	lua      map[string]*redisx.Script // by name
	begins   *redisx.Group[beginning, string]
	accepts  *redisx.Group[accepting, string]
	commands *redisx.Group[[]redis.Cmder, struct{}]
	tellKeys atomic.Pointer[tellKeys]
	guard    *names.Guard
	reasons  []any // of suppressions that WeChat's answers and events ask for
}

// New checks cfg and the account, an appid: keys are wxn:{appid}:…. sealed seals the
// openids and users that Redis has; nil: they are in clear. New does not talk to Redis.
func New(rdb redis.UniversalClient, account string, sealed *seal.Names, cfg Config) (*Ledger, error) {
	var faults []error
	if rdb == nil {
		faults = append(faults, errors.New("a Redis client is required"))
	}
	if err := redisx.CheckAccount(account); err != nil {
		faults = append(faults, err)
	}
	if cfg.Keep < 0 {
		faults = append(faults, errors.New("the Keep must not be negative"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	if cfg.Keep == 0 {
		cfg.Keep = 72 * time.Hour
	}
	if cfg.Resend == nil {
		cfg.Resend = []job.Class{job.Critical}
	}
	l := &Ledger{
		cfg: cfg, rdb: rdb, account: account, sealed: sealed, prefix: redisx.Prefix(account), lua: scripts(), reasons: recipientReasons(),
		guard: names.NewGuard(rdb, account, sealed),
	}
	l.begins = redisx.NewGroup(callSize, callsAtOnce, callPause, l.sendBegins)
	l.accepts = redisx.NewGroup(callSize, callsAtOnce, callPause, l.sendAccepts)
	l.commands = redisx.NewGroup(pipelineSize, callsAtOnce, 0, l.sendCommands)
	return l, nil
}

// Redis has the account's data.
func (l *Ledger) Redis() redis.UniversalClient { return l.rdb }

// Account is the appid.
func (l *Ledger) Account() string { return l.account }

// Names seal the names of the account; nil: they are in clear.
func (l *Ledger) Names() *seal.Names { return l.sealed }

// Admit returns an error unless names are sealed in Redis as this process seals them.
func (l *Ledger) Admit(ctx context.Context) error { return l.guard.Admit(ctx) }

// Close waits for the calls that are running; later ones get redisx.ErrClosed. The
// Redis client stays open.
func (l *Ledger) Close() error {
	l.begins.Close()
	l.accepts.Close()
	l.commands.Close()
	return nil
}

// do runs cmds, in a pipeline that concurrent callers share, and returns the first
// error that is not redis.Nil. After an error they may still be running: their
// values must not be read.
func (l *Ledger) do(ctx context.Context, what string, cmds ...redis.Cmder) error {
	err := l.guard.Admit(ctx)
	if err == nil {
		_, err = l.commands.Do(ctx, cmds)
	}
	for i := 0; err == nil && i < len(cmds); i++ {
		if e := cmds[i].Err(); !errors.Is(e, redis.Nil) {
			err = e
		}
	}
	if err != nil {
		return fmt.Errorf("ledger: %s: %w", what, names.Explain(err))
	}
	return nil
}

func (l *Ledger) sendCommands(ctx context.Context, callers [][]redis.Cmder) ([]struct{}, error) {
	var all []redis.Cmder
	for _, cmds := range callers {
		all = append(all, cmds...)
	}
	redisx.Exec(ctx, l.rdb, all...)
	return make([]struct{}, len(callers)), nil
}

// run calls lua/script.lua; args are names and values unless the script says otherwise.
func (l *Ledger) run(ctx context.Context, script string, keys []string, args ...any) (any, error) {
	call := l.lua[script].Call(ctx, keys, args...)
	if err := l.do(ctx, script, call); err != nil {
		return nil, err
	}
	return call.Val(), nil
}

// life of a record of a message that has not ended, from now on: it may wait as long after
// its not-before as another after now.
func (l *Ledger) life(now, notBefore, notAfter time.Time) time.Duration {
	until := now
	if notBefore.After(until) {
		until = notBefore
	}
	until = until.Add(live)
	if end := notAfter.Add(l.cfg.Keep); end.After(until) {
		until = end
	}
	return until.Sub(now)
}
