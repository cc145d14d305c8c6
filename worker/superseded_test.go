package worker_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/worker"
)

// outcomesFail has a process's writes of outcomes fail while it is set: before they are
// carried out, or after.
type outcomesFail struct{ before, after atomic.Bool }

func (*outcomesFail) DialHook(next redis.DialHook) redis.DialHook { return next }

func (*outcomesFail) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (f *outcomesFail) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		outcome := slices.Contains(cmd.Args(), any("no_call")) // of failed.lua
		if outcome && f.before.Load() {
			cmd.SetErr(errRedis)
			return errRedis
		}
		err := next(ctx, cmd)
		if outcome && f.after.Load() {
			cmd.SetErr(errRedis)
			return errRedis
		}
		return err
	}
}

// A process that could not record the end of a message remembers it. Where the message has
// gone on since, with another process or by an operator who had it sent again, what it
// remembers is void, and the task must not be completed with it: nothing else would send
// the message.
func TestAnOutcomeThatIsVoidDoesNotCompleteTheTask(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		carriedOut bool // the write whose answer was lost
		between    func(t *testing.T, l *ledger.Ledger, other func(answer error) error)
		state      ledger.State // then
	}{
		"another process retries it": {false, func(t *testing.T, _ *ledger.Ledger, other func(error) error) {
			t.Helper()
			later(t, other(refusal(-1)))
		}, ledger.Retrying},
		"it was sent again by an operator": {true, func(t *testing.T, l *ledger.Ledger, other func(error) error) {
			t.Helper()
			if err := other(nil); err != nil {
				t.Fatal("a dead message is sent, ", err)
			}
			if _, _, err := l.Revive(t.Context(), "m1"); err != nil {
				t.Fatal(err)
			}
		}, ledger.Queued},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				mini, rdb := redistest.Mini(t)
				f := &outcomesFail{}
				rdb.AddHook(f)
				payload, err := job.Encode(message(nil))
				if err != nil {
					t.Fatal(err)
				}
				number := int64(0)
				process := func(rdb redis.UniversalClient, answer ...error) func() error {
					w, err := worker.New(worker.Config{
						Redis: rdb, Accounts: []worker.Account{{AppID: "wx1", Sender: answers(answer...), Gate: &gate{}}},
					})
					if err != nil {
						t.Fatal(err)
					}
					return func() error {
						ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
						defer cancel()
						number++
						return worker.Handle(ctx, w, 0, queue.Task{
							ID: "m1", Queue: queue.Name("wx1", job.Default), Payload: payload, Delivery: number, Redelivered: number > 1,
						})
					}
				}
				l, err := ledger.New(rdb, "wx1", nil, ledger.Config{})
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = l.Close() }()
				state := func() ledger.State {
					found, err := l.Get(t.Context(), "m1")
					if err != nil {
						t.Fatal(err)
					}
					return found[0].State
				}

				first := process(rdb, refusal(77777), refusal(77777), refusal(77777), nil) // dead after three
				later(t, first())
				later(t, first())
				f.before.Store(!test.carriedOut)
				f.after.Store(test.carriedOut)
				later(t, first())
				f.before.Store(false)
				f.after.Store(false)
				test.between(t, l, func(answer error) error { return process(redistest.MiniClient(t, mini), answer)() })

				err = first()
				if got := state(); got != test.state {
					t.Fatalf("the message is %s, want %s", got, test.state)
				}
				var back *queue.Later
				if !errors.As(err, &back) {
					t.Fatalf("the task is completed (%v), and the message is %s", err, test.state)
				}
				if err := first(); err != nil || state() != ledger.Accepted {
					t.Errorf("sent: %v, the message is %s", err, state())
				}
			})
		})
	}
}
