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
	// settleTime is between an event that needs a question (errcode 45009, a
	// missing count) and the question: WeChat counts the calls under way in it.
	settleTime = 3 * time.Second
	// staleWait is before the next question when an answer was not used, or when
	// the gate counts more than WeChat: the leases of permits have ended then.
	staleWait = 75 * time.Second
	// maxQuotaFailures is failed questions before sending starts from our own count.
	maxQuotaFailures = 2
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

// supervisor corrects the gate's count of the quota by WeChat's own.
type supervisor struct {
	gate     Gate
	quota    QuotaReader
	presence *presence
	log      *zap.Logger
	wake     chan struct{}

	failures int
	used     int64     // WeChat's last answer
	asked    time.Time // the last question; zero: none yet
	notYet   time.Time // no question before this moment
}

func newSupervisor(gate Gate, quota QuotaReader, p *presence, log *zap.Logger) *supervisor {
	return &supervisor{gate: gate, quota: quota, presence: p, log: log, wake: make(chan struct{}, 1)}
}

// askSoon asks for the quota within seconds: WeChat answered 45009, and what
// remains by its own count opens the gate again, or the gate's count is missing.
// It never blocks.
func (s *supervisor) askSoon() {
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
			if !urgent {
				urgent = true
				timer.Reset(max(settleTime, time.Until(s.notYet)))
			}
			continue
		case <-timer.C:
		}
		timer.Reset(jitterLittle(s.round(ctx, urgent)))
		urgent = false
	}
}

// round asks unless another process did so lately, and returns when to ask again.
func (s *supervisor) round(ctx context.Context, urgent bool) time.Duration {
	if s.presence.closed() != nil {
		return staleWait // another worker's address may be listed; askSoon follows when ours is
	}
	if !urgent && s.failures == 0 && !s.asked.IsZero() {
		if wait := s.due(ctx); wait > 0 {
			return wait
		}
	}
	s.asked = time.Now()
	err := s.reconcile(ctx)
	s.notYet = time.Now().Add(reconcileGap)
	if errors.Is(err, ratelimit.ErrStale) {
		s.failures = 0
		return staleWait
	}
	if s.presence.closed() != nil {
		return staleWait // the log says why
	}
	if err != nil && ctx.Err() == nil {
		wait := step(reconcileRetries(), s.failures)
		s.failures++
		s.notYet = time.Now().Add(wait)
		s.log.Warn("cannot reconcile the day's quota with WeChat", zap.Error(err), zap.Int64("again_in_ms", wait.Milliseconds()))
		return wait
	}
	s.failures = 0
	return max(s.due(ctx), staleWait)
}

// due is the time until the next question, all processes together. It comes
// sooner when nothing but the gate's own count closes it although WeChat has
// counted clearly less: calls that were uncertain at the question, or permits of
// a killed process.
func (s *supervisor) due(ctx context.Context) time.Duration {
	if s.quota == nil {
		return reconcileEvery
	}
	state, err := s.gate.State(ctx)
	if err != nil || state.Reconciled.IsZero() {
		return 0
	}
	every, open := reconcileEvery, state.Cap-state.Reserve
	if open > 0 && state.Used >= open && len(state.Pauses) == 0 && s.used < open-state.Cap/100 {
		every = staleWait
	}
	return every - time.Since(state.Reconciled)
}

// reconcile corrects our count by WeChat's (docs: openapi/quota/get). When WeChat
// cannot say, sending starts from what is known: 45009 is the guard.
func (s *supervisor) reconcile(ctx context.Context) error {
	if s.quota == nil {
		return s.gate.Reconcile(ctx, ratelimit.Question{}, ratelimit.Unknown, ratelimit.Unknown)
	}
	question, err := s.gate.AskQuota(ctx)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, quotaTimeout)
	defer cancel()
	answer, err := s.quota.Quota(limited, wechat.SendPath)
	if err == nil {
		s.used = answer.Used
		return s.gate.Reconcile(ctx, question, answer.DailyLimit, answer.Used)
	}
	if e, refused := wechat.AddressRefusal(err); refused {
		s.presence.suspend(e) // a worker of a listed address learns the quota
		return err
	}
	if _, answered := wechat.CodeOf(err); answered || s.failures >= maxQuotaFailures {
		err = errors.Join(err, s.gate.Reconcile(ctx, question, ratelimit.Unknown, ratelimit.Unknown))
	}
	return err
}

// runGate keeps the gate's listener running. Without it the account still sends,
// but learns of closures late.
func runGate(ctx context.Context, gate Gate, log *zap.Logger) {
	for ctx.Err() == nil {
		err := gate.Run(ctx)
		if err == nil || errors.Is(err, context.Canceled) || ctx.Err() != nil {
			return
		}
		log.Warn("the gate's listener failed and is started again", zap.Error(err))
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
