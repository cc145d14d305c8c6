package ledger_test

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
	"github.com/wxnotify/wxnotify/internal/redistest"
)

// proxy passes connections on, and can forget those that exist, as a NAT or a load
// balancer does: bytes go nowhere, and no reset comes. New connections work.
type proxy struct {
	net.Listener

	to    string
	mu    sync.Mutex
	conns []*atomic.Bool // true: forgotten
}

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	p := &proxy{Listener: l, to: to}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { p.serve(t.Context(), conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
	})
	return p
}

func (p *proxy) serve(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	up, err := new(net.Dialer).DialContext(ctx, "tcp", p.to)
	if err != nil {
		return
	}
	defer up.Close()
	forgotten := new(atomic.Bool)
	p.mu.Lock()
	p.conns = append(p.conns, forgotten)
	p.mu.Unlock()
	pump := func(dst, src net.Conn) {
		defer dst.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := src.Read(buf)
			if n > 0 && !forgotten.Load() {
				_, _ = dst.Write(buf[:n])
			}
			if err != nil {
				return
			}
		}
	}
	var back sync.WaitGroup
	back.Go(func() { pump(conn, up) })
	pump(up, conn)
	back.Wait()
}

func (p *proxy) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Store(true)
	}
}

// P1: Failed of attempt 1 goes out over a forgotten connection, and its worker writes
// again. Attempt 2 begins, and its outcome stays unknown. Then go-redis repeats the
// first write: it must not take the mark of attempt 2 back.
func TestLateFailedOverAForgottenConnectionKeepsTheOpenAttempt(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	p := newProxy(t, server.Addr)
	rdb := redis.NewClient(&redis.Options{Addr: p.Addr().String(), Protocol: 2, ReadTimeout: 2 * time.Second, MaxRetries: 3})
	defer rdb.Close()
	a, err := ledger.New(rdb, account, nil, ledger.Config{})
	must(t, err)
	b := open(t, server.Client(t)) // another process
	e := envelope("m")
	s, err := a.Begin(t.Context(), e, ledger.Delivery{N: 1})
	if err != nil || s.Decision != ledger.Send {
		t.Fatal(s, err)
	}
	p.forget()
	refused := ledger.Outcome{To: e.To, Class: e.Class, State: ledger.Queued, Reason: "WeChat could not be reached"}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := a.Failed(short, e.ID, 1, refused); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("the forgotten connection answers: %v", err)
	}
	must(t, a.Failed(t.Context(), e.ID, 1, refused))
	if s, err := b.Begin(t.Context(), e, ledger.Delivery{N: 2, Redelivered: true}); err != nil || s.Decision != ledger.Send || !s.OpenSince.IsZero() {
		t.Fatal(s, err)
	}
	must(t, b.Failed(t.Context(), e.ID, 2, ledger.Outcome{
		To: e.To, Class: e.Class, State: ledger.Retrying, Attempt: true, Ambiguous: true, Reason: "the answer is lost",
	}))
	must(t, a.Close()) // waits for the first write, which go-redis repeats after its timeout
	if r := state(t, b, e.ID, ledger.Retrying); r.OpenSince.IsZero() {
		t.Errorf("attempt 2 may have been seen, and the record does not know of it any more: %+v", r)
	}
	if cancelled, _, err := b.Cancel(t.Context(), e.ID); err != nil || cancelled {
		t.Errorf("cancelled %v, %v: as if nothing could have been seen", cancelled, err)
	}
}

// P9: the answer of Begin was lost, so WeChat is not called. Undo takes the mark
// back, whether Begin had arrived or arrives later.
func TestUndoTakesALostBeginBack(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		for _, arrived := range []bool{true, false} {
			e := envelope(fmt.Sprint("arrived-", arrived))
			create(t, rdb, record(e))
			lost := ledger.Delivery{N: 5}
			if arrived {
				_, err := l.Begin(t.Context(), e, lost)
				must(t, err)
			}
			must(t, l.Undo(t.Context(), e.ID, lost.N))
			if r := state(t, l, e.ID, ledger.Queued); !r.OpenSince.IsZero() {
				t.Errorf("an attempt is open: %+v", r)
			}
			if s, err := l.Begin(t.Context(), e, lost); err != nil || s.Decision != ledger.Superseded {
				t.Errorf("the late Begin: %+v, %v", s, err)
			}
			if s, err := l.Begin(t.Context(), e, ledger.Delivery{N: 6, Redelivered: true}); err != nil || s.Decision != ledger.Send || !s.OpenSince.IsZero() {
				t.Errorf("the next delivery: %+v, %v, want a first attempt", s, err)
			}
		}
	})
}

// P2: the message was delivered and its worker killed before the task was
// completed. Nothing fetches it for longer than the record lives.
func TestTaskThatOutlivesItsRecordIsNotSentAgain(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		keep, away  time.Duration
		redelivered bool
		notBefore   time.Duration
		sent        bool
	}{
		"a long weekend":                        {keep: 72 * time.Hour, away: 73 * time.Hour, redelivered: true},
		"a short life":                          {keep: time.Minute, away: 15 * time.Minute, redelivered: true},
		"older than any record":                 {keep: time.Minute, away: 31 * 24 * time.Hour},
		"due lately, so that it was not there":  {keep: time.Minute, away: 31 * 24 * time.Hour, notBefore: 2 * 24 * time.Hour, sent: true},
		"never handed out: a fail-over lost it": {keep: time.Minute, away: 15 * time.Minute, sent: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				_, rdb := redistest.Mini(t)
				l, err := ledger.New(rdb, account, nil, ledger.Config{Keep: tc.keep})
				must(t, err)
				defer l.Close()
				e := envelope("m")
				if tc.notBefore > 0 {
					e.NotBefore = e.QueuedAt.Add(tc.notBefore)
				}
				send(t, l, e.ID, 7)
				receipt(t, l, failing(7, "success"))
				time.Sleep(tc.away)
				if get(t, l, e.ID) != nil {
					t.Fatal("the record is still there")
				}
				s, err := l.Begin(t.Context(), e, ledger.Delivery{N: deliveries.Add(1), Redelivered: tc.redelivered})
				must(t, err)
				if tc.sent {
					if s.Decision != ledger.Send {
						t.Errorf("got %+v", s)
					}
					return
				}
				if r := state(t, l, e.ID, ledger.Unknown); s.Decision != ledger.Ended || r.Reason != ledger.ReasonRecordExpired || r.EndedAt.IsZero() {
					t.Errorf("got %+v, %+v", s, r)
				}
				time.Sleep(tc.keep + time.Second)
				if get(t, l, e.ID) != nil {
					t.Error("the record stays")
				}
			})
		})
	}
}

// P10: a dead letter is sent again whatever the clock of its producer said.
func TestReviveDoesNotCompareClocks(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		for _, ahead := range []time.Duration{0, time.Minute, -time.Minute} {
			e := envelope(fmt.Sprint("m", ahead))
			e.QueuedAt = e.QueuedAt.Add(ahead)
			begin(t, l, e)
			failed(t, l, e.ID, ledger.Outcome{State: ledger.Dead, Class: e.Class, Attempt: true, Payload: []byte("p")})
			if s := begin(t, l, e); s.Decision != ledger.Ended {
				t.Fatalf("%s: a dead message begins without Revive: %+v", ahead, s)
			}
			for range 2 { // and once more when its caller could not put the task
				payload, class, err := l.Revive(t.Context(), e.ID)
				if err != nil || string(payload) != "p" || class != e.Class {
					t.Errorf("%s: %q, %s, %v", ahead, payload, class, err)
				}
			}
			if s := begin(t, l, e); s.Decision != ledger.Send || s.Attempts != 0 {
				t.Errorf("%s: got %+v", ahead, s)
			}
			if _, _, err := l.Revive(t.Context(), e.ID); !errors.Is(err, ledger.ErrNotDead) {
				t.Errorf("%s: revived while it is being sent: %v", ahead, err)
			}
		}
		if _, _, err := l.Revive(t.Context(), "missing"); !errors.Is(err, ledger.ErrNotDead) {
			t.Errorf("got %v", err)
		}
	})
}

// A late yes overrules a dead letter and removes all of it: its payload and its
// place among the dead.
func TestLateAcceptanceRemovesTheDeadLetter(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		e := envelope("m")
		begin(t, l, e)
		failed(t, l, e.ID, ledger.Outcome{To: e.To, State: ledger.Dead, Payload: []byte("p"), Ambiguous: true})
		accepted(t, l, e.ID, ledger.Acceptance{To: e.To, MsgID: 5, Class: e.Class})
		state(t, l, e.ID, ledger.Accepted)
		if list, total, err := l.Dead(t.Context(), 0, 5); err != nil || len(list) != 0 || total != 0 {
			t.Errorf("still listed: %v of %d, %v", list, total, err)
		}
		if n := rdb.Exists(t.Context(), key("p:m")).Val(); n != 0 {
			t.Error("the payload stays")
		}
	})
}

// A revived message of a class that is not sent again stays so: what Revive keeps of
// its payload is not what a failed receipt asks for.
func TestRevivedMessageIsNotResentByItsReceipt(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		e := envelope("m")
		begin(t, l, e)
		failed(t, l, e.ID, ledger.Outcome{To: e.To, State: ledger.Dead, Payload: []byte("p")})
		_, _, err := l.Revive(t.Context(), e.ID)
		must(t, err)
		accept(t, l, e, 5)
		if n := rdb.Exists(t.Context(), key("p:m")).Val(); n != 0 {
			t.Error("the payload stays")
		}
		if s := receipt(t, l, failing(5, "failed: system failed")); s.State != ledger.Rejected || s.Resend != nil {
			t.Errorf("got %+v", s)
		}
	})
}

// A record that Redis lost while its message was sent is written by Accepted, with
// the delivery: a receipt can ask for another attempt, and a late repetition of the
// yes does not stand for it.
func TestResendOfALostRecord(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		l := open(t, rdb)
		e := urgent("m")
		payload, err := job.Encode(e)
		must(t, err)
		yes := ledger.Acceptance{To: e.To, MsgID: 1, Class: e.Class, Payload: payload}
		_, err = l.Accepted(t.Context(), e.ID, 5, yes)
		must(t, err)
		if s := receipt(t, l, failing(1, "failed: system failed")); s == nil || s.Resend == nil || s.Class != e.Class {
			t.Fatalf("got %+v", s)
		}
		if r, err := l.Accepted(t.Context(), e.ID, 5, yes); err != nil || !r.Again {
			t.Errorf("got %+v, %v", r, err)
		}
	})
}
