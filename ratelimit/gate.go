package ratelimit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// Config of one account's gate.
type Config struct {
	// Key is the prefix of the gate's keys, with a hash tag, such as
	// "wxn:{appid}:". Required.
	Key string
	// Rate is sends a second, all processes together. Zero: no limit.
	Rate float64
	// DailyQuota is calls a day; WeChat's own limit binds where it is lower.
	// Zero: whatever Reconcile last reported; when WeChat could not say either,
	// there is no cap and only WeChat's errcode 45009 ends the day.
	DailyQuota int64
	// Reserve is the share of the quota that only Reserved may use, 0 to 1,
	// rounded up to whole calls. Zero: none.
	Reserve float64
	// UTCOffset is where the day turns, whole seconds. Zero means UTC: pass 8 h
	// for China.
	UTCOffset time.Duration
	// MaxBlock bounds the permits booked by one Redis call, 1 to 1000. Zero: 100.
	MaxBlock int
	// Owner names this process in pauses. Required.
	Owner string
}

// Gate grants permits. Safe for concurrent use.
type Gate struct {
	rdb      redis.UniversalClient
	cfg      Config
	scripts  map[string]*redis.Script
	keys     []string
	instance string

	probing atomic.Int64  // lease of the probe that this process holds; 0: none
	wake    chan struct{} // wakes Run, capacity 1
	running atomic.Bool

	mu         sync.Mutex
	cache      permitCache
	blockSize  int         // of the next booking
	permitGen  uint64      // incremented when held permits are revoked: older ones are returned
	refusalGen uint64      // incremented when a remembered refusal may be outdated
	closed     [2]*refusal // the last refusal, per tier
	inflight   *request    // the one booking in flight
	unanswered *booking    // a booking whose reply was lost: repeated as it was
	seq        uint64      // number of the last booking
	version    int64       // the last one of the count that this process knows; Redis must know it
	granted    uint64      // the last booking that was granted permits of that version; Redis must know it
	verify     bool        // Redis may have lost them: ask, although nothing is to be returned

	returns       map[string]int  // permits to return, by lease
	returnedProbe int64           // lease of a probe among them
	returnBy      time.Time       // when they must be on their way; zero: nothing to return
	subscribed    bool            // events arrive
	drained       bool            // Run has ended: nothing is kept in the cache
	drainCtx      context.Context //nolint:containedctx // Return has none; made from Run's, which has ended
	skew          skew            // Redis' clock against ours
	changed       chan struct{}
}

const (
	returnDelay    = 250 * time.Millisecond // a Take within this time takes the returns along
	requestTimeout = 5 * time.Second
	firstBlock     = 8
	maxBlock       = 1000
)

// New checks cfg and reports all its faults at once. It does not talk to Redis.
func New(rdb redis.UniversalClient, cfg Config) (*Gate, error) {
	if err := cfg.validate(rdb); err != nil {
		return nil, err
	}
	if cfg.MaxBlock == 0 {
		cfg.MaxBlock = 100
	}
	return &Gate{
		rdb: rdb, cfg: cfg, scripts: newScripts(),
		keys:      []string{cfg.Key + "gate", cfg.Key + "gate:leases"},
		instance:  rand.Text()[:12],
		wake:      make(chan struct{}, 1),
		blockSize: min(firstBlock, cfg.MaxBlock),
		returns:   map[string]int{},
		changed:   make(chan struct{}),
	}, nil
}

// The tag is what Redis Cluster hashes: the first {…} that is not empty.
func hasHashTag(key string) bool { return regexp.MustCompile(`^[^{]*\{[^}]+\}`).MatchString(key) }

func (c *Config) validate(rdb redis.UniversalClient) error {
	var faults []error
	fault := func(broken bool, text string, args ...any) {
		if broken {
			faults = append(faults, fmt.Errorf("ratelimit: "+text, args...))
		}
	}
	fault(rdb == nil, "the Redis client is nil: pass one")
	fault(!hasHashTag(c.Key), "Config.Key %q has no hash tag: write it as wxn:{appid}: so that a cluster keeps the gate's keys together", c.Key)
	fault(math.IsNaN(c.Rate) || math.IsInf(c.Rate, 0) || c.Rate < 0,
		"Config.Rate %v is not a number of sends a second: use 0 for no limit", c.Rate)
	fault(c.Rate > 1e6, "Config.Rate %v is over 1000000 a second: use 0 for no limit", c.Rate)
	fault(c.DailyQuota < 0, "Config.DailyQuota %d is below 0: use 0 for WeChat's own limit", c.DailyQuota)
	fault(!(c.Reserve >= 0 && c.Reserve <= 1), "Config.Reserve %v is not a share from 0 to 1", c.Reserve)
	fault(c.UTCOffset.Abs() > 14*time.Hour || c.UTCOffset%time.Second != 0,
		"Config.UTCOffset %v is not an offset of a time zone in whole seconds", c.UTCOffset)
	fault(c.MaxBlock < 0 || c.MaxBlock > maxBlock, "Config.MaxBlock %d is not from 1 to %d: use 0 for 100", c.MaxBlock, maxBlock)
	fault(c.Owner == "", "Config.Owner is empty: name this process, such as its host and pid")
	return errors.Join(faults...)
}

// Changed is closed when the gate may answer otherwise than before; call it again
// for the next change. Call it before Take, so that no change is missed.
func (g *Gate) Changed() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.changed
}

// notify forgets refusals and wakes callers that wait for a change. g.mu is held.
func (g *Gate) notify() {
	g.refusalGen++
	g.closed = [2]*refusal{}
	close(g.changed)
	g.changed = make(chan struct{})
	g.wakeRun()
}

// dropPermits revokes the permits in the cache and returns them at once. g.mu is
// held.
func (g *Gate) dropPermits() {
	g.permitGen++
	for _, p := range g.cache {
		g.queueReturn(p, 0)
	}
	g.cache = nil
}

// queueReturn adds p to what the next booking returns, which Run starts after
// delay at the latest. g.mu is held.
func (g *Gate) queueReturn(p Permit, delay time.Duration) {
	g.returns[p.lease]++
	if p.probe > 0 {
		g.returnedProbe = p.probe
		g.probing.Store(0)
	}
	if at := time.Now().Add(delay); g.returnBy.IsZero() || at.Before(g.returnBy) {
		g.returnBy = at
	}
	g.wakeRun()
}

func (g *Gate) wakeRun() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// dayEnd is the end of a day by Redis' clock.
func (g *Gate) dayEnd(day int64) time.Time {
	return time.Unix((day+1)*86400-int64(g.cfg.UTCOffset/time.Second), 0)
}

func (g *Gate) zone() *time.Location {
	return time.FixedZone("", int(g.cfg.UTCOffset/time.Second))
}
