// Package producer is how a business app puts messages on the queue and asks
// what became of them.
//
// # Make a producer
//
// It needs a Redis client of go-redis, shared with the workers, and the appid:
//
//	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379"})
//	p, err := producer.New(rdb, producer.Config{Account: "wx1234567890abcdef"})
//	if err != nil {
//		return err
//	}
//	defer p.Close()
//
// # Enqueue
//
// A message is WeChat's own: what you fill in is what is sent. Beside it goes an
// ID of your choice that names this one occasion, such as "order-1001-paid":
//
//	ticket, err := p.Enqueue(ctx, "order-1001-paid", &wechat.TemplateMessage{
//		ToUser:     "oABC…",
//		TemplateID: "ngqIpbwh8bUfcSsECmogfXcV14J0tQlEpBO27izEYtY",
//		Data:       map[string]wechat.Field{"thing1": {Value: "Coffee & cake"}},
//	}, producer.Class(producer.Critical), producer.NotAfter(closing))
//
// When Enqueue returns nil, the message is sent once, or its end is known and
// named. When it returns an error, repeat it with the same ID as often as you
// like: the ID keeps the message from being sent twice.
//
//   - Same ID, same message: the ticket of the first, with Duplicate set. Should
//     the first call have been cut off half-way, this one completes it. The
//     terms (class, not-before, not-after) of the first stand.
//   - Same ID, another message: [ErrIDReused]. Nothing is sent.
//   - After its end a message is remembered for Config.Keep; then its ID is free.
//
// An ID has 1 to 128 printable ASCII characters without spaces and braces, and
// is neither "." nor "..", which URLs lose. It is seen by operators in logs and
// pages: do not put an openid or a phone number into it.
//
// A message that WeChat would refuse is refused here, before the queue: the
// error is a *[wechat.InvalidError] with all faults at once.
//
// # Enqueue many
//
// [Producer.EnqueueMany] takes thousands at once in a few round trips, and
// [Producer.EnqueueSeq] a stream of any length in bounded memory. Each message
// has its own result.
//
// # Ask and cancel
//
//	status, err := p.Status(ctx, "order-1001-paid")
//	err = p.Cancel(ctx, "order-1001-paid")
//
// [Status] is the JSON that the HTTP API and the command line print, too.
//
// # Let users enrol
//
// A message may be addressed to one of your own users ([ToUser]) once they have
// enrolled. [EnrollURL] makes the link for that; [Producer.HandOff] one that is
// good only together with data that you know of the user already.
package producer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/trace"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/names"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/internal/seal"
	"github.com/wxnotify/wxnotify/internal/tracing"
	"github.com/wxnotify/wxnotify/wechat"
)

// Templates knows the account's templates, so that a message for an unknown one
// or with other keys is refused before the queue.
type Templates interface {
	// Keys lists the placeholders of a template; known is false when the
	// account has no such template.
	Keys(templateID string) (keys []string, known bool)
}

// Config of a producer.
type Config struct {
	// Account is the appid that the messages are sent from. Required.
	Account string
	// Keep is how long a message is remembered after its end, with its ID.
	// Default 72 h; use the same in all processes.
	Keep time.Duration
	// Class of messages that name none. Default: Default.
	Class ClassName
	// Truncate shortens thing and short_thing values that are too long, with an
	// ellipsis at the end, instead of refusing the message. Default: refuse.
	Truncate bool
	// Templates checks template ids and keys. Nil: they are not checked.
	Templates Templates
	// SealKeys seal the messages that wait, so that who reads Redis does not see their
	// values and recipients: keys of 64 hexadecimal digits, with commas or line breaks
	// between them. The first one seals. Give all of them to the workers first, and to
	// each process that enqueues or erases. Default: messages wait in clear.
	SealKeys wechat.Secret
	// SealNameKeys seal openids and users in all that Redis has of them: keys like SealKeys,
	// which must be set too. The first one seals. Each process of the account must have the
	// same first key: another one is refused. An account with data is converted by the
	// command `wxnotify seal names`. Default: openids and users are in clear.
	SealNameKeys wechat.Secret
}

// Producer enqueues messages of one account. Safe for concurrent use; concurrent
// calls share round trips.
type Producer struct {
	rdb     redis.UniversalClient
	cfg     Config
	ledger  *ledger.Ledger
	tasks   *queue.Inspector
	memory  *redisx.MemoryGuard
	guard   *names.Guard
	codec   job.Codec
	listed  atomic.Bool                                   // the account's queues are on asynq's list
	singles map[job.Class]*redisx.Group[*entry, struct{}] // single messages that share calls

	mu     sync.RWMutex // held for reading while messages are written
	closed bool
}

// New checks cfg and names all faults at once. It does not talk to Redis. The
// client may be of any kind: single, Sentinel or Cluster.
func New(rdb redis.UniversalClient, cfg Config) (*Producer, error) {
	if cfg.Class == "" {
		cfg.Class = Default
	}
	var faults []error
	if rdb == nil {
		faults = append(faults, errors.New("a Redis client is required"))
	}
	if err := redisx.CheckAccount(cfg.Account); err != nil {
		faults = append(faults, fmt.Errorf("the Account: %w", err))
	}
	if cfg.Keep < 0 {
		faults = append(faults, errors.New("the Keep must not be negative"))
	}
	if _, err := job.ParseClass(string(cfg.Class)); err != nil {
		faults = append(faults, fmt.Errorf("the Class: %w", err))
	}
	keys, sealed, err := seal.Read(cfg.SealKeys.Reveal(), cfg.SealNameKeys.Reveal(), cfg.Account)
	if err := errors.Join(append(faults, err)...); err != nil {
		return nil, fmt.Errorf("producer: %w", err)
	}
	records, err := ledger.New(rdb, cfg.Account, sealed, ledger.Config{Keep: cfg.Keep})
	if err != nil {
		return nil, fmt.Errorf("producer: %w", err)
	}
	p := &Producer{
		rdb: rdb, cfg: cfg, ledger: records, tasks: queue.NewInspector(rdb),
		guard:  names.NewGuard(rdb, cfg.Account, sealed),
		memory: redisx.NewMemoryGuard(rdb), codec: job.NewCodec(cfg.Account, keys), singles: map[job.Class]*redisx.Group[*entry, struct{}]{},
	}
	for _, class := range job.Classes() {
		p.singles[class] = redisx.NewGroup(callSize, callsAtOnce, 0, func(ctx context.Context, entries []*entry) ([]struct{}, error) {
			p.enqueue(ctx, class, entries)
			return make([]struct{}, len(entries)), nil
		})
	}
	return p, nil
}

// Close waits for the calls that are running; later ones get ErrClosed. The Redis
// client stays open.
func (p *Producer) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	return p.ledger.Close()
}

// admit refuses what must not be written now.
func (p *Producer) admit(ctx context.Context, entries []*entry) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case p.closed:
		return ErrClosed
	}
	bytes := 0
	for _, e := range entries {
		bytes += len(e.payload)
	}
	if err := p.memory.Allow(ctx, len(entries), bytes); err != nil {
		return err
	}
	if err := p.guard.Look(ctx); err != nil || p.listed.Load() {
		return err
	}
	err := queue.List(ctx, p.rdb, p.cfg.Account)
	p.listed.Store(err == nil)
	return err
}

// Ticket says that a message is on its way.
type Ticket struct {
	ID    string    `json:"id"`
	Class ClassName `json:"class"` // of the first Enqueue of this ID
	// State is queued or scheduled; of a duplicate, how far the first has come.
	State State `json:"state"`
	// Duplicate: this message had been enqueued before under this ID. It is also
	// set when the answer to this very call was lost on the way and the call was
	// repeated: there is one message in any case.
	Duplicate bool `json:"duplicate"`
	// QueuedAt is when this call enqueued it, as its Status has it; zero for a duplicate.
	QueuedAt time.Time `json:"queued_at,omitzero"`
	// Truncated lists the fields that Config.Truncate shortened.
	Truncated []string `json:"truncated,omitempty"`
}

// Enqueue puts one message on the queue, in one round trip that other callers
// share. The error is *wechat.InvalidError when the message is refused,
// *IDReusedError, ErrRedisFull, ctx's, or Redis'; after the last two it is not
// known whether the message was enqueued: repeat the call with the same ID.
func (p *Producer) Enqueue(ctx context.Context, id string, m *wechat.TemplateMessage, opts ...Option) (ticket Ticket, err error) {
	msg := Message{ID: id, Message: m}
	for _, set := range opts {
		set(&msg.Terms)
	}
	ctx, span := tracing.Start(ctx, "wxnotify enqueue", trace.SpanKindProducer)
	defer func() {
		if err != nil {
			span.Fail("not enqueued")
		}
		span.End()
	}()
	span.Text("account", p.cfg.Account)
	e, err := p.prepare(ctx, msg, time.Now())
	if err != nil {
		return Ticket{ID: id}, err
	}
	if _, err := p.singles[e.envelope.Class].Do(ctx, e); err != nil {
		return Ticket{ID: id}, failed(err)
	}
	return p.ticket(ctx, e)
}
