package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/ratelimit"
)

// exampleGate is a gate of 100 calls a day, ten of them reserved, at 14:00 in China.
func exampleGate() (*ratelimit.Gate, func()) {
	m := miniredis.NewMiniRedis()
	if err := m.Start(); err != nil {
		panic(err)
	}
	m.SetTime(time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC))
	rdb := redis.NewClient(&redis.Options{Addr: m.Addr(), Protocol: 2})
	gate, err := ratelimit.New(rdb, ratelimit.Config{
		Key: "wxn:{wx0123456789abcdef}:", Owner: "worker-1",
		DailyQuota: 100, Reserve: 0.1, UTCOffset: 8 * time.Hour,
	})
	if err != nil {
		panic(err)
	}
	return gate, func() {
		_ = rdb.Close()
		m.Close()
	}
}

// A worker asks WeChat, takes until the gate closes, and sees what is left.
func ExampleGate() {
	gate, end := exampleGate()
	defer end()
	ctx := context.Background()

	_, err := gate.Take(ctx, ratelimit.General)
	fmt.Println(err)

	question, err := gate.AskQuota(ctx)
	if err != nil {
		fmt.Println(err)
	}
	// What POST openapi/quota/get answers: daily_limit 100, used 60.
	if err := gate.Reconcile(ctx, question, 100, 60); err != nil {
		fmt.Println(err)
	}
	sent := 0
	for {
		if _, err = gate.Take(ctx, ratelimit.General); err != nil {
			break
		}
		sent++
	}
	fmt.Println(sent, "sent")
	var closed *ratelimit.ClosedError
	fmt.Println(errors.As(err, &closed), closed.Reason, "-", closed.Detail)

	state, err := gate.State(ctx)
	fmt.Println(state.Day, state.Used, "of", state.Cap, "resets at", state.ResetsAt, err)
	// Output:
	// closed: today's count is missing, opens when WeChat has been asked for the quota
	// 30 sent
	// true quota - 90 of 100, the last 10 are reserved
	// 2026-11-22 90 of 100 resets at 2026-11-23 00:00:00 +0800 +0800 <nil>
}

// A frozen account closes the gate in all processes until it is opened.
func ExampleGate_Close() {
	gate, end := exampleGate()
	defer end()
	ctx := context.Background()
	_ = gate.Reconcile(ctx, ratelimit.Question{}, ratelimit.Unknown, ratelimit.Unknown)

	err := gate.Close(ctx, ratelimit.Pause{Reason: ratelimit.ReasonAccount, Detail: "50002: unfreeze it in the console"})
	fmt.Println(err)
	_, err = gate.Take(ctx, ratelimit.Reserved)
	fmt.Println(err)
	err = gate.Open(ctx, ratelimit.ReasonAccount)
	fmt.Println(err)
	permit, err := gate.Take(ctx, ratelimit.Reserved)
	fmt.Println(permit.Day, permit.Probe(), err)
	// Output:
	// <nil>
	// closed: the account may not send (50002: unfreeze it in the console), until it is opened
	// <nil>
	// 20779 false <nil>
}

// When WeChat is down, one probe at a time goes out after the pause; the first
// that is accepted opens the gate everywhere.
func ExampleGate_Succeed() {
	gate, end := exampleGate()
	defer end()
	ctx := context.Background()
	_ = gate.Reconcile(ctx, ratelimit.Question{}, ratelimit.Unknown, ratelimit.Unknown)
	_ = gate.Close(ctx, ratelimit.Pause{Reason: ratelimit.ReasonBreaker, Until: time.Now(), Probe: true})

	probe, err := gate.Take(ctx, ratelimit.General)
	fmt.Println(probe.Probe(), err)
	_, err = gate.Take(ctx, ratelimit.General)
	fmt.Println(err != nil)
	gate.Succeed(ctx) // the probe's message was accepted
	permit, err := gate.Take(ctx, ratelimit.General)
	fmt.Println(permit.Probe(), err)
	// Output:
	// true <nil>
	// true
	// false <nil>
}

// A permit that found nothing to send serves the next.
func ExampleGate_Return() {
	gate, end := exampleGate()
	defer end()
	ctx := context.Background()
	_ = gate.Reconcile(ctx, ratelimit.Question{}, ratelimit.Unknown, ratelimit.Unknown)

	permit, _ := gate.Take(ctx, ratelimit.General)
	gate.Return(permit)
	again, _ := gate.Take(ctx, ratelimit.General)
	fmt.Println(permit == again)
	// Output:
	// true
}
