package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// task is what a child is to do.
type task struct {
	Role     string        `json:"role"`
	Variant  string        `json:"variant"`
	Redis    string        `json:"redis"`    // its URL
	WeChat   string        `json:"wechat"`   // its base URL
	Prefix   string        `json:"prefix"`   // of the messages' IDs
	Messages int           `json:"messages"` // in all
	Warm     int           `json:"warm"`     // of them, before the clock starts
	InFlight int           `json:"in_flight"`
	Rate     float64       `json:"rate"`     // sends a second
	Quota    int64         `json:"quota"`    // calls a day; 0: plenty
	Span     time.Duration `json:"span"`     // of a child that runs by the clock
	Latency  time.Duration `json:"latency"`  // of the platform
	Profile  string        `json:"profile"`  // the directory for profiles; empty: none
	Accounts int           `json:"accounts"` // of which one has messages; 0: one
}

// outcome is what a child found.
type outcome struct {
	URL       string        `json:"url,omitempty"`
	Messages  int           `json:"messages"`
	Seconds   float64       `json:"seconds"`
	CPU       float64       `json:"cpu"`       // processor seconds of the child
	RedisCPU  float64       `json:"redis_cpu"` // and of Redis meanwhile
	Again     float64       `json:"again"`     // seconds of the same once more
	Peak      int64         `json:"peak"`      // most resident bytes
	Dials     int64         `json:"dials"`     // connections opened to WeChat
	Mallocs   int64         `json:"mallocs"`
	Scripts   int64         `json:"scripts"` // EVALSHA and EVAL that Redis counted
	Trips     trips         `json:"trips"`
	First     int64         `json:"first"` // moment of the first send, Unix µs
	Last      int64         `json:"last"`
	Latencies []float64     `json:"latencies,omitempty"`  // ms
	PerSecond map[int64]int `json:"per_second,omitempty"` // sends, by Unix second
}

// perMessage divides by the messages of the measured part.
func (o outcome) perMessage(v float64) float64 { return v / float64(o.Messages) }

// rate is messages a second.
func (o outcome) rate() float64 { return float64(o.Messages) / o.Seconds }

// roles of children, by task.Role.
func roles() map[string]func(context.Context, task) (outcome, error) {
	return map[string]func(context.Context, task) (outcome, error){
		"send": send, "enqueue": enqueue, "idle": idle, "pace": pace,
		"share": share, "floor": floor, "urgent": urgent,
	}
}

// runChild reads a task, does it and writes the outcome.
func runChild(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	var t task
	if err := json.NewDecoder(stdin).Decode(&t); err != nil {
		return fmt.Errorf("read the task: %w", err)
	}
	switch t.Role {
	case "platform":
		return platform(t, stdin, stdout)
	case "delay":
		return delay(ctx, t, stdin, stdout)
	case "receive":
		return receiving(ctx, t, stdin, stdout)
	}
	do, known := roles()[t.Role]
	if !known {
		return fmt.Errorf("role %q is unknown", t.Role)
	}
	var out outcome
	err := profiled(t, func() (err error) {
		out, err = do(ctx, t)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s %s: %w", t.Role, t.Variant, err)
	}
	if err := json.NewEncoder(stdout).Encode(out); err != nil {
		return fmt.Errorf("write the outcome: %w", err)
	}
	return nil
}

// childLimit bounds a child that hangs.
const childLimit = 10 * time.Minute

// child has a process do t and returns what it found.
func child(ctx context.Context, t task, stderr io.Writer) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, childLimit)
	defer cancel()
	cmd, err := childProcess(ctx, stderr)
	if err != nil {
		return outcome{}, err
	}
	text, err := json.Marshal(t)
	if err != nil {
		return outcome{}, fmt.Errorf("write the task: %w", err)
	}
	cmd.Stdin = bytes.NewReader(text)
	said, err := cmd.Output()
	if err != nil {
		return outcome{}, fmt.Errorf("%s %s: %w", t.Role, t.Variant, errors.Join(err, context.Cause(ctx)))
	}
	var out outcome
	if err := json.Unmarshal(said, &out); err != nil {
		return outcome{}, fmt.Errorf("%s %s: its answer: %w", t.Role, t.Variant, err)
	}
	return out, nil
}

func childProcess(ctx context.Context, stderr io.Writer) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, childCommand)
	cmd.Stderr = stderr
	return cmd, nil
}
