package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/wechat"
)

// P4: far less than a round trip per message, for both of its calls.
func TestP4ConcurrentCallsShareTrips(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	l := open(t, rdb)
	begin(t, l, envelope("warm")) // Redis learns the script
	accepted(t, l, "warm", ledger.Acceptance{MsgID: 1})
	const messages, inFlight = 2000, 64
	for i := range messages {
		create(t, rdb, record(envelope(fmt.Sprint("m-", i))))
	}
	count := &trips{}
	rdb.AddHook(count)
	var all sync.WaitGroup
	for w := range inFlight {
		all.Go(func() {
			for i := w; i < messages; i += inFlight {
				e := envelope(fmt.Sprint("m-", i))
				if s, err := tryBegin(t.Context(), l, e); err != nil || s.Decision != ledger.Send {
					t.Errorf("%s: %+v, %v", e.ID, s, err)
				}
				if _, err := l.Accepted(t.Context(), e.ID, delivery(l, e.ID), ledger.Acceptance{MsgID: wechat.MessageID(10 + i)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	perMessage := float64(count.n.Load()) / messages
	t.Logf("%.3f round trips per message with %d in flight", perMessage, inFlight)
	if perMessage > 0.5 {
		t.Errorf("%.2f round trips per message for Begin and Accepted, want at most 0.5", perMessage)
	}
}

func TestScriptsAreSentAgainAfterScriptFlush(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		for i := range 20 {
			e := envelope(fmt.Sprint("f-", i))
			must(t, rdb.ScriptFlush(t.Context()).Err())
			create(t, rdb, record(e))
			must(t, rdb.ScriptFlush(t.Context()).Err())
			begin(t, l, e)
			accepted(t, l, e.ID, ledger.Acceptance{MsgID: wechat.MessageID(1 + i)})
			if r := state(t, l, e.ID, ledger.Accepted); r.Attempts != 1 {
				t.Errorf("got %+v", r)
			}
		}
	})
}

// What go-redis repeats after a lost answer changes nothing.
func TestRepeatedCallsChangeNothing(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		rdb.AddHook(repeating{})
		l := open(t, rdb)
		e := envelope("again")
		create(t, rdb, record(e))
		if s := begin(t, l, e); s.Decision != ledger.Send || !s.OpenSince.IsZero() {
			t.Fatalf("a repeated Begin looks like a crash: %+v", s)
		}
		failed(t, l, e.ID, ledger.Outcome{State: ledger.Retrying, Attempt: true})
		if r := state(t, l, e.ID, ledger.Retrying); r.Attempts != 1 {
			t.Fatalf("counted twice: %+v", r)
		}
		begin(t, l, e)
		accepted(t, l, e.ID, ledger.Acceptance{MsgID: 11})
		if r := state(t, l, e.ID, ledger.Accepted); r.Attempts != 2 || r.PossibleDuplicate {
			t.Fatalf("accepted twice: %+v", r)
		}
		if r, err := l.Receipt(t.Context(), ledger.Receipt{MsgID: 11, Status: "success"}); err != nil || r.State != ledger.Delivered {
			t.Fatalf("%+v, %v", r, err)
		}
		other := envelope("cancelled")
		create(t, rdb, record(other))
		if ok, r, err := l.Cancel(t.Context(), other.ID); !ok || err != nil || r.State != ledger.Cancelled {
			t.Fatalf("%v, %+v, %v", ok, r, err)
		}
	})
}

// The steps of receipts, resends and erasures recognise their repetition too.
func TestRepeatedReceiptsAndErasuresChangeNothing(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		rdb.AddHook(repeating{})
		l := open(t, rdb)
		accept(t, l, urgent("resent"), 1)
		if s := receipt(t, l, failing(1, "failed: system failed")); s.Resend == nil || s.Resends != 1 {
			t.Errorf("%+v", s)
		}
		send(t, l, "old", 2)
		send(t, l, "new", 3)
		if s := receipt(t, l, failing(0, "success")); s == nil || s.State != ledger.Delivered {
			t.Errorf("%+v", s)
		}
		receipt(t, l, failing(2, "success"))
		receipt(t, l, failing(3, "success"))
		lose(t, l, "lost", ledger.Unknown)
		if s := match(t, l, failing(99, "success")); s == nil || s.ID != "lost" || s.State != ledger.Delivered {
			t.Errorf("%+v", s)
		}
		create(t, rdb, record(envelope("queued")))
		refs, err := l.Erase(t.Context(), ledger.Erasure{OpenIDs: []string{follower}, Tasks: noTasks})
		if err != nil || len(refs) != 5 {
			t.Errorf("erased %v, %v", refs, err)
		}
	})
}

func TestCallWhoseContextEndedIsNotSent(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	rdb, left := server.Client(t), make(leaving, 100)
	l := open(t, rdb)
	begin(t, l, envelope("warm"))
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tryBegin(gone, l, envelope("never")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if get(t, l, "never") != nil {
		t.Error("a call with an ended context was carried out")
	}

	rdb.AddHook(left)
	server.Pause(t)
	var riders, late sync.WaitGroup
	for _, id := range []string{"rider-1", "rider-2"} { // as many as may be on their way
		riders.Go(func() {
			if _, err := tryBegin(t.Context(), l, envelope(id)); err != nil {
				t.Errorf("%s: another's context ended its call: %v", id, err)
			}
		})
		<-left
	}
	short, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	for i := range 10 {
		late.Go(func() {
			if _, err := tryBegin(short, l, envelope(fmt.Sprint("late-", i))); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want the context's end", err)
			}
		})
	}
	late.Wait()
	server.Resume(t)
	riders.Wait()
	for i := range 10 {
		if get(t, l, fmt.Sprint("late-", i)) != nil {
			t.Errorf("call %d was carried out after its context had ended", i)
		}
	}
	state(t, l, "rider-1", ledger.Sending)
	state(t, l, "rider-2", ledger.Sending)
}

// leaving signals each call that is about to be sent.
type leaving chan struct{}

func (c leaving) signal() {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (leaving) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c leaving) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.signal()
		return next(ctx, cmd)
	}
}

func (c leaving) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.signal()
		return next(ctx, cmds)
	}
}

func TestErrorsWrapTheCause(t *testing.T) {
	t.Parallel()
	refused := errors.New("connection refused")
	rdb := redis.NewClient(&redis.Options{
		Addr: "127.0.0.1:0", MaxRetries: -1, DialerRetries: 1,
		Dialer: func(context.Context, string, string) (net.Conn, error) { return nil, refused },
	})
	defer func() { _ = rdb.Close() }()
	l := open(t, rdb)
	e := envelope("x")
	_, beginErr := tryBegin(t.Context(), l, e)
	_, getErr := l.Get(t.Context(), "x")
	_, _, cancelErr := l.Cancel(t.Context(), "x")
	_, receiptErr := l.Receipt(t.Context(), ledger.Receipt{MsgID: 1, Status: "success"})
	_, acceptedErr := l.Accepted(t.Context(), "x", 1, ledger.Acceptance{MsgID: 1})
	_, _, reviveErr := l.Revive(t.Context(), "x")
	_, eraseErr := l.Erase(t.Context(), ledger.Erasure{OpenIDs: []string{"o1"}, Tasks: noTasks})
	for name, err := range map[string]error{
		"Begin": beginErr, "Get": getErr, "Cancel": cancelErr, "Receipt": receiptErr, "Accepted": acceptedErr,
		"Revive": reviveErr, "Erase": eraseErr,
		"Failed":   l.Failed(t.Context(), "x", 1, ledger.Outcome{State: ledger.Dead}),
		"Undo":     l.Undo(t.Context(), "x", 1),
		"Release":  l.Release(t.Context(), "x"),
		"Suppress": l.Suppress(t.Context(), ledger.Suppression{OpenID: "o1"}),
	} {
		if !errors.Is(err, refused) {
			t.Errorf("%s: %v, want the cause in the chain", name, err)
		}
	}
}

func TestCloseRefusesLaterCalls(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	l := open(t, rdb)
	begin(t, l, envelope("before"))
	must(t, l.Close())
	must(t, l.Close())
	if _, err := l.Get(t.Context(), "before"); !errors.Is(err, redisx.ErrClosed) {
		t.Errorf("got %v", err)
	}
	must(t, rdb.Ping(t.Context()).Err())
}

func TestNewRefusesABadConfig(t *testing.T) {
	t.Parallel()
	rdb := redis.NewClient(&redis.Options{})
	defer func() { _ = rdb.Close() }()
	for account, cfg := range map[string]ledger.Config{"": {}, "a{b": {}, "wx1": {Keep: -1}} {
		if _, err := ledger.New(rdb, account, nil, cfg); err == nil {
			t.Errorf("took %+v", cfg)
		}
	}
	if _, err := ledger.New(nil, "wx1", nil, ledger.Config{}); err == nil {
		t.Error("took no client")
	}
}

// Of deliveries that begin at once, whatever shares a script call, one is the first
// attempt: the others are superseded, or know of it.
func TestConcurrentDeliveriesOfOneMessage(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		e := envelope("m")
		create(t, rdb, record(e))
		var first atomic.Int32
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				s, err := l.Begin(t.Context(), e, ledger.Delivery{N: deliveries.Add(1)})
				switch {
				case err != nil:
					t.Error(err)
				case s.Decision == ledger.Send && s.OpenSince.IsZero():
					first.Add(1)
				case s.Decision != ledger.Send && s.Decision != ledger.Superseded:
					t.Errorf("got %+v", s)
				}
			})
		}
		all.Wait()
		if first.Load() != 1 {
			t.Errorf("%d first attempts", first.Load())
		}
		for i := range 100 {
			all.Go(func() {
				if _, err := l.Accepted(t.Context(), e.ID, deliveries.Add(1), ledger.Acceptance{To: e.To, MsgID: wechat.MessageID(1 + i%3)}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if r := state(t, l, e.ID, ledger.Accepted); r.Attempts != 1 || !r.PossibleDuplicate || r.MsgID < 1 || r.MsgID > 3 {
			t.Errorf("got %+v", r)
		}
	})
}

// A message whose record cannot be used fails alone, not with those that share its call.
func TestBadRecordFailsAlone(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		must(t, rdb.Set(t.Context(), key("m:bad-0"), "no hash", time.Hour).Err())
		must(t, rdb.HSet(t.Context(), key("m:bad-1"), "s", "s", "j", "1").Err())
		must(t, rdb.Set(t.Context(), key("user:bad"), "no hash", time.Hour).Err())
		must(t, rdb.Set(t.Context(), key("a:obad"), "no set", time.Hour).Err())
		var all sync.WaitGroup
		for i := range 200 {
			all.Go(func() {
				e := envelope(fmt.Sprint("m-", i))
				bad := i%20 == 0
				switch {
				case bad && i%40 == 0:
					e.ID = "bad-0"
				case bad:
					e = toUser(e.ID, "bad")
				}
				if _, err := tryBegin(t.Context(), l, e); (err != nil) != bad || bad && !strings.Contains(err.Error(), "WRONGTYPE") {
					t.Errorf("%s begins: %v", e.ID, err)
				}
				if bad {
					e.To = "obad"
				}
				if _, err := l.Accepted(t.Context(), e.ID, deliveries.Add(1), ledger.Acceptance{To: e.To, Class: e.Class, MsgID: wechat.MessageID(1 + i)}); (err != nil) != bad {
					t.Errorf("%s accepted: %v", e.ID, err)
				}
			})
		}
		all.Wait()
		for i := range 200 {
			if i%20 != 0 {
				state(t, l, fmt.Sprint("m-", i), ledger.Accepted)
			}
		}
	})
}

// lostAnswer carries scripts out and loses their answers.
type lostAnswer struct{ repeating }

func (lostAnswer) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if err == nil && strings.HasPrefix(cmd.Name(), "eval") {
			cmd.SetErr(io.ErrUnexpectedEOF)
			return io.ErrUnexpectedEOF
		}
		return err
	}
}

// A lost answer reaches every caller of the call as an error.
func TestLostAnswerReachesEveryCaller(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		clean := open(t, rdb)
		lossy := redis.NewClient(rdb.Options())
		defer lossy.Close()
		lossy.AddHook(lostAnswer{})
		l := open(t, lossy)
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				e := envelope(fmt.Sprint("m-", i))
				create(t, rdb, record(e))
				if s, err := tryBegin(t.Context(), l, e); !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("%+v, %v", s, err)
				}
				if r, err := l.Accepted(t.Context(), e.ID, delivery(l, e.ID), ledger.Acceptance{MsgID: wechat.MessageID(1 + i)}); !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("%+v, %v", r, err)
				}
			})
		}
		all.Wait()
		for i := range 50 {
			state(t, clean, fmt.Sprint("m-", i), ledger.Accepted)
		}
	})
}

func BenchmarkBeginAccepted(b *testing.B) {
	rdb := redistest.Start(b).Client(b)
	l := open(b, rdb)
	var n sync.Mutex
	next := 0
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			n.Lock()
			next++
			i := next
			n.Unlock()
			e := envelope(fmt.Sprint("b-", i))
			if _, err := tryBegin(b.Context(), l, e); err != nil {
				b.Error(err)
			}
			if _, err := l.Accepted(b.Context(), e.ID, delivery(l, e.ID), ledger.Acceptance{To: e.To, MsgID: wechat.MessageID(i), Class: e.Class}); err != nil {
				b.Error(err)
			}
		}
	})
}
