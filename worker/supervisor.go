package worker

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
)

const (
	// reconcileEvery is between two questions for the quota, all processes together.
	reconcileEvery = 10 * time.Minute
	// reconcileGap is the least between two questions of one process.
	reconcileGap = 10 * time.Second
	// quotaTimeout bounds one question.
	quotaTimeout = 15 * time.Second
	// sureShare of the limit must remain before WeChat's figure, which lags by
	// about 1 %, is believed against its own refusal.
	sureShare = 0.02
	// distrustFor is how long a refusal outweighs WeChat's figure.
	distrustFor = time.Hour
	// refusedGap is between a 45009 and the question for the quota. The answer
	// may open the gate, and the sends under way should have come back by then.
	refusedGap = 3 * time.Second
	// patience is failed questions before sending starts from our own count.
	patience = 2
	// restartWait is before the gate's listener is started again.
	restartWait = 5 * time.Second
)

func reconcileRetries() []time.Duration {
	return []time.Duration{
		5 * time.Second,  // elapsed: 5 s
		10 * time.Second, //         15 s
		30 * time.Second, //         45 s
		time.Minute,      //        105 s, and each minute from then on
	}
}

// supervisor keeps an account's count of the quota true.
type supervisor struct {
	gate  Gate
	quota QuotaReader
	log   *zap.Logger
	wake  chan struct{}

	failures int
	asked    time.Time // the last question; zero: none yet
	notYet   time.Time // no question before this moment

	mu        sync.Mutex
	refusedAt time.Time // the last 45009; zero: none
	distrust  time.Time // until when WeChat's figure is not believed
}

func newSupervisor(gate Gate, quota QuotaReader, log *zap.Logger) *supervisor {
	return &supervisor{gate: gate, quota: quota, log: log, wake: make(chan struct{}, 1)}
}

// refused notes a 45009 and asks for the quota. What remains by WeChat's count
// opens the gate again; a second refusal within the hour proves that count wrong.
func (s *supervisor) refused() {
	s.mu.Lock()
	now := time.Now()
	if !s.refusedAt.IsZero() && now.Sub(s.refusedAt) < distrustFor {
		s.distrust = now.Add(distrustFor)
	}
	s.refusedAt = now
	s.mu.Unlock()
	s.kick()
}

// believed is what to take for used: all, when WeChat has just refused and its
// figure, which lags by about 1 %, says that next to nothing or more remains.
func (s *supervisor) believed(q wechat.Quota) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	refused := !s.refusedAt.IsZero() && now.Sub(s.refusedAt) < distrustFor
	scarce := float64(q.DailyLimit-q.Used) < sureShare*float64(q.DailyLimit)
	if now.Before(s.distrust) || refused && scarce {
		return max(q.Used, q.DailyLimit)
	}
	return q.Used
}

// kick asks for the quota soon. It never blocks.
func (s *supervisor) kick() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run ends with ctx.
func (s *supervisor) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	urgent := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
			urgent = true
			if wait := s.rest(); wait > 0 {
				timer.Reset(wait)
				continue
			}
		case <-timer.C:
		}
		timer.Reset(jitterLittle(s.round(ctx, urgent)))
		urgent = false
	}
}

// rest is how long not to ask.
func (s *supervisor) rest() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	wait := time.Until(s.notYet)
	if !s.refusedAt.IsZero() {
		wait = max(wait, time.Until(s.refusedAt.Add(refusedGap)))
	}
	return wait
}

// round asks unless another process did so lately, and returns when to ask again.
func (s *supervisor) round(ctx context.Context, urgent bool) time.Duration {
	if !urgent && s.failures == 0 && !s.asked.IsZero() {
		if rest := reconcileEvery - s.sinceAnybody(ctx); rest > time.Minute {
			return rest
		}
	}
	s.asked = time.Now()
	err := s.reconcile(ctx)
	wait := reconcileEvery
	s.notYet = time.Now().Add(reconcileGap)
	if err != nil && ctx.Err() == nil {
		wait = step(reconcileRetries(), s.failures)
		s.failures++
		s.notYet = time.Now().Add(wait)
		s.log.Warn("cannot reconcile the day's quota with WeChat", zap.Error(err), zap.Duration("again_in", wait))
		return wait
	}
	s.failures = 0
	return wait
}

// sinceAnybody is the time since any process reconciled.
func (s *supervisor) sinceAnybody(ctx context.Context) time.Duration {
	state, err := s.gate.State(ctx)
	if err != nil || state.Reconciled.IsZero() {
		return reconcileEvery
	}
	return time.Since(state.Reconciled)
}

// reconcile sets our count by WeChat's (docs: openapi/quota/get). When WeChat
// cannot say, sending starts from what is known all the same: 45009 is the guard.
func (s *supervisor) reconcile(ctx context.Context) error {
	if s.quota == nil {
		return s.gate.Reconcile(ctx, ratelimit.Unknown, ratelimit.Unknown)
	}
	limited, cancel := context.WithTimeout(ctx, quotaTimeout)
	defer cancel()
	q, err := s.quota.Quota(limited, wechat.SendPath)
	if err == nil {
		return s.gate.Reconcile(ctx, q.DailyLimit, s.believed(q))
	}
	if _, answered := wechat.CodeOf(err); answered || s.failures >= patience {
		err = errors.Join(err, s.gate.Reconcile(ctx, ratelimit.Unknown, ratelimit.Unknown))
	}
	return err
}

// runGate keeps the gate's listener running: without it the account still
// sends, but learns of closures late.
func runGate(ctx context.Context, gate Gate, log *zap.Logger) {
	for ctx.Err() == nil {
		err := gate.Run(ctx)
		if err == nil || errors.Is(err, context.Canceled) || ctx.Err() != nil {
			return
		}
		log.Warn("the gate's listener failed; it is started again", zap.Error(err))
		_ = redisx.Sleep(ctx, restartWait)
	}
}

// alongside runs the functions until stop is called, which waits for them.
func alongside(ctx context.Context, fns ...func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for _, fn := range fns {
		wg.Go(func() { fn(ctx) })
	}
	return func() {
		cancel()
		wg.Wait()
	}
}
