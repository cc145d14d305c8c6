package main

import (
	"context"
	"net"
	"strings"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// trips counts round trips to Redis and the commands in them by whose keys they
// touch. A trip with commands of several counts for each of them.
type trips struct {
	All         int64 `json:"all"`
	Asynq       int64 `json:"asynq"`
	Ledger      int64 `json:"ledger"`
	Gate        int64 `json:"gate"`
	LedgerCalls int64 `json:"ledger_calls"`
	GateCalls   int64 `json:"gate_calls"`
}

func (t trips) minus(o trips) trips {
	return trips{
		All: t.All - o.All, Asynq: t.Asynq - o.Asynq, Ledger: t.Ledger - o.Ledger, Gate: t.Gate - o.Gate,
		LedgerCalls: t.LedgerCalls - o.LedgerCalls, GateCalls: t.GateCalls - o.GateCalls,
	}
}

// counter is the hook of a Redis client that counts trips.
type counter struct{ all, asynq, ledger, gate, ledgerCalls, gateCalls atomic.Int64 }

func (c *counter) read() trips {
	return trips{
		All: c.all.Load(), Asynq: c.asynq.Load(), Ledger: c.ledger.Load(), Gate: c.gate.Load(),
		LedgerCalls: c.ledgerCalls.Load(), GateCalls: c.gateCalls.Load(),
	}
}

func (c *counter) count(cmds []redis.Cmder) {
	var asynq, ledger, gate int64
	for _, cmd := range cmds {
		switch owner(cmd) {
		case ofAsynq:
			asynq++
		case ofLedger:
			ledger++
		case ofGate:
			gate++
		}
	}
	c.all.Add(1)
	c.asynq.Add(min(asynq, 1))
	c.ledger.Add(min(ledger, 1))
	c.gate.Add(min(gate, 1))
	c.ledgerCalls.Add(ledger)
	c.gateCalls.Add(gate)
}

const (
	ofAsynq  = "asynq"
	ofLedger = "ledger"
	ofGate   = "gate"
)

// owner tells by the first key of a command whose it is; empty for others.
func owner(cmd redis.Cmder) string {
	args := cmd.Args()
	at := 1
	if name := cmd.Name(); name == "evalsha" || name == "eval" {
		at = 3
	}
	if len(args) <= at {
		return ""
	}
	key, _ := args[at].(string)
	if strings.HasPrefix(key, "asynq:") {
		return ofAsynq
	}
	if !strings.HasPrefix(key, "wxn:") {
		return ""
	}
	_, rest, _ := strings.Cut(key, "}:")
	switch {
	case strings.HasPrefix(rest, "gate"):
		return ofGate
	case strings.HasPrefix(rest, "m:"), strings.HasPrefix(rest, "i:"), strings.HasPrefix(rest, "n:"), strings.HasPrefix(rest, "sup"):
		return ofLedger
	}
	return ""
}

// DialHook passes.
func (c *counter) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessHook counts a trip of one command.
func (c *counter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.count([]redis.Cmder{cmd})
		return next(ctx, cmd)
	}
}

// ProcessPipelineHook counts a trip of many.
func (c *counter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.count(cmds)
		return next(ctx, cmds)
	}
}
