package worker_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
	"github.com/wxnotify/wxnotify/worker"
)

// Stories of single faults: one lost answer, one silent connection, one crash within
// a round trip.

var errLost = errors.New("i/o timeout")

func oneAccount() terms { return terms{quota: 1000, rate: 100, concurrency: 4} }

// startWith runs a worker for one account, changed as a fault needs it.
func (p *pipe) startWith(change func(w *process, a worker.Account) worker.Account) (*process, *ratelimit.Gate) {
	p.Helper()
	w := &process{pipe: p, done: make(chan error, 1)}
	w.rdb = w.client()
	account := w.account(appid)
	gate := account.Gate.(*ratelimit.Gate)
	run, err := worker.New(worker.Config{
		Redis: w.rdb, Concurrency: 4, Logger: p.logger, Accounts: []worker.Account{change(w, account)},
	})
	if err != nil {
		p.Fatal(err)
	}
	ctx, cancel := context.WithCancel(p.Context())
	w.cancel = cancel
	go func() { w.done <- run.Run(ctx) }()
	p.Cleanup(func() { _ = w.stop() })
	return w, gate
}

// ledgerOn is a ledger of the story's account for the length of the test.
func (p *pipe) ledgerOn(rdb redis.UniversalClient, keep time.Duration) *ledger.Ledger {
	p.Helper()
	l, err := ledger.New(rdb, appid, nil, ledger.Config{Keep: keep})
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { _ = l.Close() })
	return l
}

// silent is a connection that a NAT or firewall forgot: what is written goes nowhere,
// and no answer and no reset comes.
type silent struct {
	net.Conn
	dead atomic.Bool
}

func (c *silent) Write(b []byte) (int, error) {
	if c.dead.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// senderHook runs after the first call to WeChat was answered.
type senderHook struct {
	worker.Sender
	once  sync.Once
	after func()
}

func (s *senderHook) SendTemplateBody(ctx context.Context, body []byte) (wechat.MessageID, error) {
	id, err := s.Sender.SendTemplateBody(ctx, body)
	s.once.Do(s.after)
	return id, err
}

// lateWrite: attempt 1 surely fails (HTTP 403 of a proxy), and its outcome goes into a
// connection that has fallen silent, from which go-redis repeats it 5 s later; attempt 2
// is accepted by WeChat and its answer is lost.
func lateWrite(t *testing.T, forget bool) (*pipe, *ledger.Ledger, *ratelimit.Gate) {
	t.Helper()
	p := newPipe(t, wechattest.Config{}, oneAccount())
	p.p.Script(wechattest.HTTPStatus(403), wechattest.CutAfterAccept())
	var mu sync.Mutex
	var conns []*silent
	// The options that redisconn.Dial gives every worker.
	rdb := redis.NewClient(&redis.Options{
		Addr: "127.0.0.1:0", Protocol: 2, DisableIdentity: true, MaxRetries: 3,
		DialTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second,
		Dialer: func(context.Context, string, string) (net.Conn, error) {
			conn, err := p.dial()
			if err != nil {
				return nil, err
			}
			c := &silent{Conn: conn}
			mu.Lock()
			defer mu.Unlock()
			conns = append(conns, c)
			return c, nil
		},
	})
	t.Cleanup(func() { _ = rdb.Close() })
	records := p.ledgerOn(rdb, 0)
	_, gate := p.startWith(func(_ *process, a worker.Account) worker.Account {
		a.Sender = &senderHook{Sender: a.Sender, after: func() {
			mu.Lock()
			defer mu.Unlock()
			for _, c := range conns { // those that exist now; new ones are fine
				c.dead.Store(forget)
			}
		}}
		return worker.With(a, records)
	})
	return p, records, gate
}

// P1.
func TestALateOutcomeForgetsNoOpenAttempt(t *testing.T) {
	t.Parallel()
	for name, forget := range map[string]bool{"all connections fine": false, "one connection silent": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			t.Run("cancel", func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					p, records, gate := lateWrite(t, forget)
					p.enqueue(appid, job.Default, "m-1")
					p.until("seen", 10*time.Millisecond, time.Minute, func() bool { return p.p.SeenTotal() == 1 })
					// Held by an admin, so that nothing else happens to the message.
					if err := gate.Close(t.Context(), ratelimit.Pause{Reason: ratelimit.ReasonManual}); err != nil {
						t.Fatal(err)
					}
					time.Sleep(6 * time.Second)
					if r := p.record(appid, "m-1"); r.OpenSince.IsZero() {
						t.Error("the attempt whose outcome is unknown is forgotten")
					}
					cancelled, r, err := records.Cancel(t.Context(), "m-1")
					if err != nil || cancelled {
						t.Errorf("cancelled %v (%s), %v, although the follower saw it %d times", cancelled, r.State, err, p.p.SeenCount("m-1"))
					}
				})
			})
			t.Run("sent after the window", func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					p, _, gate := lateWrite(t, forget)
					p.enqueue(appid, job.Default, "m-1")
					p.until("seen", 10*time.Millisecond, time.Minute, func() bool { return p.p.SeenTotal() == 1 })
					if err := gate.Close(t.Context(), ratelimit.Pause{Reason: ratelimit.ReasonManual}); err != nil {
						t.Fatal(err)
					}
					time.Sleep(15 * time.Minute)
					if err := gate.Open(t.Context(), ratelimit.ReasonManual); err != nil {
						t.Fatal(err)
					}
					p.drained(time.Second, 5*time.Minute)
					p.seenOnce("m-1")
				})
			})
		})
	}
}

// killedAfterAcceptance is SIGKILL right after the acceptance was written: the task is
// never completed.
type killedAfterAcceptance struct {
	worker.Records
	kill func()
}

func (l *killedAfterAcceptance) Accepted(ctx context.Context, id string, n int64, a ledger.Acceptance) (ledger.Recorded, error) {
	r, err := l.Records.Accepted(ctx, id, n, a)
	l.kill()
	return r, err
}

// P2: the worker is killed between acceptance and completion, and no worker runs for
// longer than the record is kept.
func TestATaskThatOutlivesItsRecordIsNotSentAgain(t *testing.T) {
	t.Parallel()
	const keep = time.Hour
	for away, want := range map[time.Duration]ledger.State{30 * time.Minute: ledger.Delivered, 90 * time.Minute: ledger.Unknown} {
		t.Run(fmt.Sprintf("no worker for %s", away), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPipe(t, wechattest.Config{}, oneAccount())
				start := func(kill bool) *process {
					w, _ := p.startWith(func(w *process, a worker.Account) worker.Account {
						a.Keep = keep
						if kill {
							a = worker.With(a, &killedAfterAcceptance{p.ledgerOn(w.rdb, keep), w.kill})
						}
						return a
					})
					return w
				}
				p.enqueue(appid, job.Default, "m-1")
				first := start(true)
				p.until("seen", 10*time.Millisecond, time.Minute, func() bool { return p.p.SeenTotal() == 1 })
				time.Sleep(time.Second)
				_ = first.stop() // its goroutines; Redis hears nothing of it
				r := p.record(appid, "m-1")
				settled, err := p.ledgerOn(p.admin, keep).Receipt(t.Context(), ledger.Receipt{MsgID: r.MsgID, OpenID: r.To, Status: "success"})
				if err != nil || settled == nil || settled.State != ledger.Delivered {
					t.Fatalf("%+v %v", settled, err)
				}
				time.Sleep(away)
				start(false)
				p.drained(time.Second, 5*time.Minute)
				p.seenOnce("m-1")
				if r := p.record(appid, "m-1"); r.State != want {
					t.Errorf("the record says %s, want %s", r.State, want)
				}
			})
		})
	}
}

// P4: two messages with the same text to one follower within a minute. The second
// one's first attempt never reaches WeChat; its replay is told 40241 because of the
// first message.
func TestSameContentIsNotTakenForAcceptance(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, wechattest.Config{DuplicateContent: true}, oneAccount())
		same := func(_ int, e *job.Envelope) {
			e.To = "o6_bmjrPTlm6_2sgVt7hMZOPfL2M"
			e.Body = fmt.Appendf(nil, `{"touser":%q,"template_id":"T1","client_msg_id":%q,"data":{"thing1":{"value":"your code was used"}}}`, e.To, job.ClientMsgID(e.ID))
		}
		p.start()
		p.enqueueAll(appid, job.Default, []string{"a-1"}, same)
		p.until("seen", 10*time.Millisecond, time.Minute, func() bool { return p.p.SeenTotal() == 1 })
		time.Sleep(5 * time.Second)
		p.p.Script(wechattest.CutBefore())
		p.enqueueAll(appid, job.Default, []string{"b-1"}, same)
		p.drained(time.Second, 10*time.Minute)
		p.seenOnce("a-1", "b-1")
		if r := p.record(appid, "b-1"); r.State != ledger.Accepted || r.MsgID == 0 {
			t.Errorf("b-1 is %s with msgid %d", r.State, r.MsgID)
		}
	})
}

// recordsAway are records whose node carried out the first acceptance, did not answer,
// and was away for a while; in a cluster it is another node than the queue's.
type recordsAway struct {
	worker.Records
	down, once atomic.Bool
}

func (l *recordsAway) Accepted(ctx context.Context, id string, n int64, a ledger.Acceptance) (ledger.Recorded, error) {
	if l.once.CompareAndSwap(false, true) {
		_, _ = l.Records.Accepted(ctx, id, n, a) // written, the answer is lost
		return ledger.Recorded{}, errLost
	}
	if l.down.Load() {
		return ledger.Recorded{}, errLost
	}
	return l.Records.Accepted(ctx, id, n, a)
}

// P5: WeChat accepts a critical message and then says "failed: system failed", so that
// it is to be sent again in 11 minutes.
func TestAWantedResendIsNotTakenForRecorded(t *testing.T) {
	t.Parallel()
	for name, down := range map[string]bool{"records answer": false, "records away for half a minute": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPipe(t, wechattest.Config{}, oneAccount())
				p.enqueue(appid, job.Critical, "m-1")
				l := &recordsAway{}
				l.down.Store(down)
				l.once.Store(!down)
				p.startWith(func(w *process, a worker.Account) worker.Account {
					l.Records = p.ledgerOn(w.rdb, 0)
					return worker.With(a, l)
				})
				p.until("accepted", 10*time.Millisecond, time.Minute, func() bool { return p.records(appid, "m-1")[ledger.Accepted] == 1 })
				if down { // until the worker gives the write up for now
					p.until("put back", time.Second, time.Minute, func() bool {
						q, err := queue.NewInspector(p.admin).Queues(t.Context(), appid)
						return err == nil && q[0].Retry == 1
					})
				}
				c := newClerk(p)
				r := p.record(appid, "m-1")
				for range 60 { // as the inbox does
					settled, err := c.records.Receipt(t.Context(), ledger.Receipt{MsgID: r.MsgID, OpenID: r.To, Status: "failed: system failed"})
					if err != nil || settled == nil || settled.Resend == nil {
						t.Fatalf("%+v %v", settled, err)
					}
					if err = c.again(t.Context(), settled); err == nil {
						break
					}
					time.Sleep(time.Second)
				}
				l.down.Store(false)
				time.Sleep(15 * time.Minute) // a resend follows after 11 minutes
				if r := p.record(appid, "m-1"); r.State != ledger.Accepted || r.Resends != 1 || p.left(appid) != 0 {
					t.Errorf("15 minutes later: %s, resends %d, tasks left %d", r.State, r.Resends, p.left(appid))
				}
				if n := p.p.Calls(wechattest.SendPath).Total; n != 2 {
					t.Errorf("%d calls, want 2", n)
				}
			})
		})
	}
}

// beginLost carries the first Begin out, or does not, and loses its answer.
type beginLost struct {
	worker.Records
	carriedOut bool
	once       atomic.Bool
}

func (l *beginLost) Begin(ctx context.Context, e job.Envelope, d ledger.Delivery) (ledger.Start, error) {
	if l.once.CompareAndSwap(false, true) {
		if l.carriedOut {
			_, _ = l.Records.Begin(ctx, e, d)
		}
		return ledger.Start{}, errLost
	}
	return l.Records.Begin(ctx, e, d)
}

// P9: the worker knows that it did not call WeChat, and the gate is then closed for
// longer than WeChat's window.
func TestABeginWithoutAnswerIsNoAttempt(t *testing.T) {
	t.Parallel()
	for name, carriedOut := range map[string]bool{"carried out": true, "not carried out": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPipe(t, wechattest.Config{}, oneAccount())
				p.enqueue(appid, job.Default, "m-1")
				l := &beginLost{carriedOut: carriedOut}
				_, gate := p.startWith(func(w *process, a worker.Account) worker.Account {
					l.Records = p.ledgerOn(w.rdb, 0)
					return worker.With(a, l)
				})
				p.until("begun", 10*time.Millisecond, time.Minute, l.once.Load)
				if err := gate.Close(t.Context(), ratelimit.Pause{Reason: ratelimit.ReasonManual}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Minute)
				if err := gate.Open(t.Context(), ratelimit.ReasonManual); err != nil {
					t.Fatal(err)
				}
				p.drained(time.Second, 5*time.Minute)
				p.seenOnce("m-1")
				if r := p.record(appid, "m-1"); r.State != ledger.Accepted {
					t.Errorf("the record says %s (%s)", r.State, r.Reason)
				}
			})
		})
	}
}

// P10: the clock of the business's host is ahead; only workers' clocks are watched.
func TestADeadLetterOfAClockAheadIsSentAgain(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{0, time.Minute} {
		t.Run(ahead.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPipe(t, wechattest.Config{}, oneAccount())
				p.p.Script(wechattest.Errcode(99999).Times(3)) // unknown: two retries, then dead
				p.enqueueAll(appid, job.Default, []string{"m-1"}, func(_ int, e *job.Envelope) { e.QueuedAt = e.QueuedAt.Add(ahead) })
				p.start()
				p.until("dead", 100*time.Millisecond, time.Minute, func() bool { return p.records(appid, "m-1")[ledger.Dead] == 1 })
				p.drained(time.Second, time.Minute) // a dead message completes its task
				payload, class, err := p.ledgerOn(p.admin, 0).Revive(t.Context(), "m-1")
				if err != nil {
					t.Fatal(err)
				}
				if _, err := queue.Put(t.Context(), p.admin, appid, class, queue.Item{ID: "m-1", Payload: payload}); err != nil {
					t.Fatal(err)
				}
				p.drained(time.Second, time.Minute)
				p.seenOnce("m-1")
			})
		})
	}
}

// P11: asynq keeps whole seconds, cut off.
func TestNothingIsSentBeforeItsNotBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, wechattest.Config{}, oneAccount())
		prod, err := producer.New(p.admin, producer.Config{Account: appid})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = prod.Close() })
		p.start()
		notBefore := time.Now().Truncate(time.Second).Add(30*time.Second + 990*time.Millisecond)
		_, err = prod.Enqueue(t.Context(), "m-1", &wechat.TemplateMessage{
			ToUser: "o6_bmjrPTlm6_2sgVt7hMZOPfL2M", TemplateID: "T1", Data: map[string]wechat.Field{"thing1": {Value: "x"}},
		}, producer.NotBefore(notBefore))
		if err != nil {
			t.Fatal(err)
		}
		p.until("seen", time.Millisecond, time.Minute, func() bool { return p.p.SeenTotal() == 1 })
		if early := time.Until(notBefore); early > 0 {
			t.Errorf("sent %s before its not-before", early)
		}
	})
}
