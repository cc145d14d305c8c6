// Package ratelimit is the gate before the fetch: rate, daily quota, reserve and
// pause, shared by all processes through Redis and granted in blocks of permits.
package ratelimit

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// Tier says which share of the quota a permit may come from.
type Tier int

// The tiers: Reserved may use the whole quota, General leaves the reserve alone.
const (
	General Tier = iota
	Reserved
)

// Config of one account's gate.
type Config struct {
	// Key is the prefix of the gate's keys, such as "wxn:{appid}:". Required.
	Key string
	// Rate is sends a second, all processes together. Zero: no limit.
	Rate float64
	// DailyQuota is calls a day. Zero: whatever Reconcile last reported.
	DailyQuota int64
	// Reserve is the share of the quota that only Reserved may use, 0 to 1. Zero: none.
	Reserve float64
	// UTCOffset is where the day turns. Zero means UTC: pass 8 h for China.
	UTCOffset time.Duration
	// MaxBlock bounds the permits booked by one Redis call. Default 100.
	MaxBlock int
	// Owner names this process in pauses. Required.
	Owner string
}

// Permit is leave to fetch and send one message.
type Permit struct {
	At   time.Time // not before this moment
	Tier Tier
	Day  int64
}

// Reason says why a gate is closed.
type Reason string

// The reasons. Quota and Unreconciled are the gate's own; ReasonManual is an
// admin's and is never lifted by the program.
const (
	ReasonQuota        Reason = "quota"         // our count reached the cap
	ReasonRefused      Reason = "quota-refused" // WeChat answered 45009
	ReasonMinute       Reason = "minute-rate"   // WeChat answered 45011
	ReasonUnreconciled Reason = "unreconciled"  // the count is missing: ask WeChat first
	ReasonAccount      Reason = "account"       // frozen, unauthorised, punished
	ReasonToken        Reason = "token"         // no token: secret, whitelist
	ReasonBreaker      Reason = "breaker"       // WeChat is down
	ReasonManual       Reason = "manual"        // an admin's hold
)

// ClosedError is returned by Take while nothing may be sent.
type ClosedError struct {
	Reason Reason
	Detail string
	Until  time.Time // zero: until somebody opens it
}

func (e *ClosedError) Error() string { panic("not built") }

// Pause closes the gate in all processes.
type Pause struct {
	Reason Reason
	Detail string    // for people: errcode and remedy; no secret, no openid
	Until  time.Time // zero: until Open
	// Probe lets one permit through when Until has passed; the gate opens when
	// Succeed is called, and closes for longer with the next Close.
	Probe bool
}

// State is what operators see.
type State struct {
	Day        string // 2006-01-02 where the day turns
	Used, Cap  int64
	Reserve    int64
	ResetsAt   time.Time
	Rate       float64 // in force now, after slowing and ramping
	Pauses     []PauseState
	Reconciled time.Time // zero: never today
}

// PauseState is one pause in force.
type PauseState struct {
	Pause
	Owner string
	Since time.Time
}

// Gate grants permits. Safe for concurrent use.
type Gate struct {
	rdb redis.UniversalClient
	cfg Config
}

// New checks cfg.
func New(rdb redis.UniversalClient, cfg Config) (*Gate, error) { panic("not built") }

// Run listens for what other processes do to the gate, returns permits that
// outlive their slot, and gives the rest back when ctx ends. Take works without
// it, but learns of closures only with its next block.
func (g *Gate) Run(ctx context.Context) error { panic("not built") }

// Take returns a permit from the process's block, or books the next block. It
// does not wait for the permit's time. The error is *ClosedError or Redis'.
func (g *Gate) Take(ctx context.Context, tier Tier) (Permit, error) { panic("not built") }

// Return gives a permit back: the message was surely not sent.
func (g *Gate) Return(p Permit) { panic("not built") }

// Changed is closed when the gate may answer otherwise than before; ask again
// for the next one.
func (g *Gate) Changed() <-chan struct{} { panic("not built") }

// Close stops all processes. The longest pause of each reason wins.
func (g *Gate) Close(ctx context.Context, p Pause) error { panic("not built") }

// Open lifts the pause of one reason.
func (g *Gate) Open(ctx context.Context, r Reason) error { panic("not built") }

// Succeed says that WeChat accepted a message: a probing gate opens and ramps
// up. It costs no Redis trip while the gate is plainly open.
func (g *Gate) Succeed(ctx context.Context) { panic("not built") }

// Reconcile sets the day's count from WeChat's own. limit and used are what
// openapi/quota/get said; err is non-nil when it could not say, and the gate
// then starts from what it knows.
func (g *Gate) Reconcile(ctx context.Context, limit, used int64) error { panic("not built") }

// State reads the shared state.
func (g *Gate) State(ctx context.Context) (State, error) { panic("not built") }
