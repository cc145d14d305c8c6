package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/events"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redisx"
)

const (
	queueName   = "webhook"
	concurrency = 8
	// disableAfter is how long every delivery has to fail until a webhook is disabled.
	disableAfter = 3 * 24 * time.Hour
	// batch is how many events are put at once.
	batch = 200
	// dispatchEvery bounds the time until a webhook that was added or recovered is seen.
	dispatchEvery = 2 * time.Second
	leaseTime     = 30 * time.Second
)

// delays are the waits before the retries of a delivery: a day in all.
func delays() []time.Duration {
	return []time.Duration{
		5 * time.Second, 30 * time.Second, 5 * time.Minute, 30 * time.Minute, // 36 min
		2 * time.Hour, 5 * time.Hour, 8 * time.Hour, 8 * time.Hour, // 23 h 36 min
	}
}

func delay(retried int) time.Duration {
	d := delays()[min(retried, len(delays())-1)]
	return d + time.Duration(rand.Int64N(int64(d/10)+1)) //nolint:gosec // spreads the load
}

// Service delivers the events of one account to its webhooks.
type Service struct {
	rdb    redis.UniversalClient
	store  *Store
	reader *events.Reader
	client *http.Client
	log    *zap.Logger
}

// NewService of a store. The reader describes messages.
func NewService(store *Store, reader *events.Reader, log *zap.Logger) *Service {
	if log == nil {
		log = zap.NewNop()
	}
	return &Service{rdb: store.rdb, store: store, reader: reader, client: newClient(newDialer(store.private)), log: log.With(zap.String("account", store.account))}
}

// Run delivers until ctx ends. Any number of processes may run it.
func (s *Service) Run(ctx context.Context) error {
	dispatched := make(chan struct{})
	go func() {
		defer close(dispatched)
		s.dispatch(ctx)
	}()
	err := queue.Side{
		Redis: s.rdb, Account: s.store.account, Name: queueName, Concurrency: concurrency, Handle: s.deliver, Delays: delay, Log: s.log,
	}.Run(ctx)
	<-dispatched
	s.client.CloseIdleConnections()
	return err
}

// task names what is to be sent.
type task struct {
	Webhook string `json:"w"`
	Event   string `json:"e"`
}

// dispatch puts tasks for new events, in one process at a time.
func (s *Service) dispatch(ctx context.Context) {
	lease := redisx.NewLease(redisx.Prefix(s.store.account)+"webhooks:lease", leaseTime)
	for failed := false; ctx.Err() == nil; {
		mine, err := lease.Hold(ctx, s.rdb)
		at, enabled := "", false
		if err == nil && mine {
			if at, err = s.reader.Latest(ctx); err == nil {
				enabled, err = s.dispatchAll(ctx)
			}
		}
		if err != nil && ctx.Err() == nil && !failed {
			s.log.Warn("webhooks are late: Redis fails", zap.Error(err))
		}
		// Without an enabled webhook the events of each message would be read for nothing.
		if failed = err != nil; at == "" || !enabled || failed {
			_ = redisx.Sleep(ctx, dispatchEvery)
			continue
		}
		_, _, _ = s.reader.Read(ctx, events.Query{After: at, Limit: 1, Wait: dispatchEvery}) // for events, or a new webhook
	}
}

// dispatchAll puts the tasks of each webhook up to the latest event, and reports whether
// one is enabled.
func (s *Service) dispatchAll(ctx context.Context) (enabled bool, err error) {
	list, err := s.store.List(ctx)
	for _, w := range list {
		for w.Disabled.IsZero() {
			enabled = true
			more, err := s.dispatchOne(ctx, w)
			if err != nil {
				return enabled, err
			}
			if !more {
				break
			}
		}
	}
	return enabled, err
}

// moveScript moves the cursor of a webhook unless it was set back since.
var moveScript = redisx.NewScript(`
if redis.call('HGET', KEYS[1], 'at') == ARGV[1] then
  return redis.call('HSET', KEYS[1], 'at', ARGV[2])
end
return 0`)

func (s *Service) dispatchOne(ctx context.Context, w Webhook) (more bool, err error) {
	state, err := s.rdb.HMGet(ctx, s.store.stateKey(w.ID), "at", "round").Result()
	if err != nil {
		return false, fmt.Errorf("webhook: read the cursor: %w", err)
	}
	at, _ := state[0].(string)
	round, _ := state[1].(string)
	if at == "" {
		return false, nil // it was removed
	}
	list, next, err := s.reader.Read(ctx, events.Query{After: at, Types: w.Types, Limit: batch})
	if err != nil {
		return false, err
	}
	for _, e := range list {
		if !wants(w, e) {
			continue
		}
		text, err := json.Marshal(task{w.ID, e.ID})
		if err != nil {
			return false, fmt.Errorf("webhook: %w", err)
		}
		id := w.ID + ":" + e.ID + ":" + round
		if err := queue.PutSide(ctx, s.rdb, s.store.account, queueName, id, text, len(delays())); err != nil {
			return false, err
		}
	}
	if next == at {
		return false, nil
	}
	if err := moveScript.Run(ctx, s.rdb, []string{s.store.stateKey(w.ID)}, at, next).Err(); err != nil {
		return false, fmt.Errorf("webhook: move the cursor: %w", err)
	}
	return len(list) > 0, nil // a reading ends early when it has found something
}

// wants reports whether the webhook gets the event: also one whose message is gone. A test is sent by Test alone.
func wants(w Webhook, e events.Event) bool {
	if e.Type == events.WebhookTest {
		return false
	}
	if e.MessageID == "" || e.Data == nil {
		return true
	}
	var message struct {
		Class job.Class `json:"class"`
		Key   string    `json:"key"`
	}
	return json.Unmarshal(e.Data, &message) != nil ||
		(len(w.Classes) == 0 || slices.Contains(w.Classes, message.Class)) && (len(w.Keys) == 0 || slices.Contains(w.Keys, message.Key))
}

// deliver sends what a task names. An error has asynq try it again.
func (s *Service) deliver(ctx context.Context, text []byte) error {
	var t task
	if err := json.Unmarshal(text, &t); err != nil {
		return nil //nolint:nilerr // no task of ours
	}
	w, err := s.store.Get(ctx, t.Webhook)
	if errors.Is(err, ErrNotFound) || (err == nil && !w.Disabled.IsZero()) {
		return nil
	}
	if err != nil {
		return err
	}
	e, err := s.reader.Get(ctx, t.Event, w.OpenIDs)
	if err != nil || e == nil {
		return err
	}
	a, failure := post(ctx, s.client, w, e)
	if err := s.store.note(ctx, w.ID, a); err != nil {
		s.log.Warn("an attempt of a webhook is not noted: Redis fails", zap.String("webhook", w.ID), zap.Error(err))
	}
	if failure == nil {
		err = s.rdb.HDel(ctx, s.store.stateKey(w.ID), "failing").Err()
		if err != nil {
			s.log.Warn("an attempt of a webhook is not noted: Redis fails", zap.String("webhook", w.ID), zap.Error(err))
		}
		return nil
	}
	if err := s.failed(ctx, w, a); err != nil {
		return err
	}
	return errors.New(a.Error) //nolint:err113 // asynq stores the text: it must not have the URL
}

// failingScript returns since when a webhook fails.
var failingScript = redisx.NewScript(`
if redis.call('EXISTS', KEYS[1]) == 0 then
  return ARGV[1]
end
local since = redis.call('HGET', KEYS[1], 'failing')
if not since then
  since = ARGV[1]
  redis.call('HSET', KEYS[1], 'failing', since)
end
return since`)

// failed disables a webhook that has failed for days, or whose address answers 410.
func (s *Service) failed(ctx context.Context, w Webhook, a Attempt) error {
	since, err := failingScript.Run(ctx, s.rdb, []string{s.store.stateKey(w.ID)}, time.Now().UnixMilli()).Int64()
	if err != nil {
		return fmt.Errorf("webhook: note the failure: %w", err)
	}
	reason := ""
	switch {
	case a.Status == http.StatusGone:
		reason = "the address answered 410"
	case time.Since(time.UnixMilli(since)) >= disableAfter:
		reason = "every delivery failed for three days; the last one: " + a.Error
	default:
		return nil
	}
	disabled := false // by this delivery: others fail at the same time
	_, err = s.store.Update(ctx, w.ID, func(w *Webhook) {
		if disabled = w.Disabled.IsZero(); disabled {
			w.Disabled, w.Reason = time.Now().UTC().Truncate(time.Second), reason
		}
	})
	if err != nil || !disabled {
		return err
	}
	s.log.Error("a webhook is disabled", zap.String("webhook", w.ID), zap.String("reason", reason))
	return events.Publish(ctx, s.store.records, events.WebhookDisabled, map[string]string{"webhook": w.ID, "reason": reason})
}

// Test sends a test event to one webhook at once.
func (s *Service) Test(ctx context.Context, id string) (Attempt, error) {
	w, err := s.store.Get(ctx, id)
	if err != nil {
		return Attempt{}, err
	}
	now := time.Now()
	e := &events.Event{
		ID: fmt.Sprintf("%d-%d.0", now.UnixMilli(), rand.IntN(1<<20)), Type: events.WebhookTest, Account: s.store.account, //nolint:gosec // a name
		At: now.UTC().Truncate(time.Millisecond), Data: json.RawMessage(`{"test":true}`),
	}
	a, failure := post(ctx, s.client, w, e)
	if failure != nil {
		failure = errors.New(a.Error) //nolint:err113 // without the URL
	}
	return a, errors.Join(failure, s.store.note(ctx, id, a))
}
