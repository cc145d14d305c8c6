package tokenstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// The modes of ask.lua.
type askMode string

const (
	modePeek  askMode = "peek"  // read only
	modeWant  askMode = "want"  // a token that works
	modeDue   askMode = "due"   // a token that is not due for its refresh
	modeAdmin askMode = "admin" // a newer token, whatever the back-off says
)

// answer is ask.lua's.
type answer struct {
	kind  string // token, refused, none, wait, backoff, hold, lease
	token wechat.Token
	due   time.Time
	left  time.Duration // wait, backoff, hold
	down  *UnavailableError
	lease lease
}

// lease is one process's leave to fetch once.
type lease struct {
	id         string
	generation int64
	refused    string // fingerprint of the token that WeChat refused, if one was
}

// lookup asks Redis until there is a token, fetching it when this process is
// given the lease.
func (s *Store) lookup(ctx context.Context, mode askMode, after int64) (wechat.Token, error) {
	deadline := time.Now().Add(s.cfg.Wait)
	for n := 0; ; n++ {
		changed := s.changes() // before asking, so that no change slips between
		a, err := s.ask(ctx, mode, after)
		if err != nil {
			return wechat.Token{}, s.redisDown(err)
		}
		switch a.kind {
		case "token":
			return a.token, nil
		case "lease":
			return s.lead(ctx, a.lease)
		case "wait":
			a.left = min(a.left+time.Millisecond, poll(n))
		case "hold":
			if a.left > s.cfg.RefusedGap {
				return wechat.Token{}, a.down
			}
		default:
			return wechat.Token{}, a.down
		}
		if !time.Now().Before(deadline) {
			return wechat.Token{}, &UnavailableError{
				Cause: ErrWaited, RetryAt: time.Now().Add(a.left), Remedy: remedyWaited,
			}
		}
		if err := pause(ctx, a.left, changed); err != nil {
			return wechat.Token{}, err
		}
	}
}

// redisDown keeps callers off Redis for a second, too: thousands of sends must
// not all wait for a dead connection.
func (s *Store) redisDown(err error) error {
	now := time.Now()
	down := &UnavailableError{Cause: err, RetryAt: now.Add(time.Second), Remedy: remedyRedis}
	s.see(now, wechat.Token{}, time.Time{}, down)
	return down
}

// ask runs ask.lua and takes what it says into the view.
func (s *Store) ask(ctx context.Context, mode askMode, after int64) (answer, error) {
	id := s.cfg.Owner + "/" + strconv.FormatInt(s.asked.Add(1), 10)
	at := time.Now() // before the call, so that a slow answer never lengthens a life
	reply, err := s.eval(ctx, s.scripts.ask, id, s.cfg.Lease.Milliseconds(), string(mode), s.refused.Load(), after)
	if err != nil {
		return answer{}, err
	}
	return s.read(asRow(reply), id, at)
}

// read takes an answer that was asked for at moment at into the view.
func (s *Store) read(r row, id string, at time.Time) (answer, error) {
	a := answer{kind: r.text(0)}
	if a.kind != "token" {
		s.refuse(r.number(3))
	}
	switch a.kind {
	case "token":
		a.token = wechat.Token{
			Generation: r.number(1), Value: wechat.NewSecret(r.text(2)), ExpiresAt: at.Add(r.millis(3)),
		}
		a.due = at.Add(r.millis(4))
		s.see(at, a.token, a.due, nil)
	case "refused":
		s.refuse(r.number(1))
		s.see(at, wechat.Token{}, time.Time{}, nil)
	case "none":
		s.see(at, wechat.Token{}, time.Time{}, nil)
	case "backoff":
		f := decodeFailure(r.text(2))
		a.left = r.millis(1)
		a.down = &UnavailableError{Cause: f.err(), RetryAt: at.Add(a.left), Remedy: f.remedy()}
		s.see(at, wechat.Token{}, time.Time{}, a.down)
	case "hold":
		a.left = r.millis(1)
		a.down = &UnavailableError{Cause: ErrRefused, RetryAt: at.Add(a.left), Remedy: remedyRefused}
		if a.left > s.cfg.RefusedGap { // a short one is waited for
			s.see(at, wechat.Token{}, time.Time{}, a.down)
		}
	case "wait":
		a.left = max(r.millis(1), 0)
	case "lease":
		a.lease = lease{id: id, generation: r.number(1), refused: r.text(2)}
	default:
		return answer{}, fmt.Errorf("%w: the script answered %q", ErrRedis, a.kind)
	}
	return a, nil
}

// lead fetches under the lease. It ends the fetch even when ctx ends: a classic
// fetch has superseded the old token the moment WeChat has read it.
func (s *Store) lead(ctx context.Context, l lease) (wechat.Token, error) {
	ctx = context.WithoutCancel(ctx)
	begun := time.Now()
	token, forced, err := s.fetch(ctx, l)
	if err != nil {
		return s.failed(ctx, l, begun, err)
	}
	return s.keep(ctx, l, token, forced, begun)
}

// fetch asks WeChat. A refused token that comes again is what a forced refresh
// is for; where none is allowed or it fails, the refused one is kept once more:
// the refusal may be over, and its next one waits longer.
func (s *Store) fetch(ctx context.Context, l lease) (token wechat.Token, forced bool, err error) {
	if s.cfg.Mode == Classic {
		token, err = s.call(ctx, s.fetcher.FetchClassic)
		return token, false, err
	}
	stable := func(force bool) (wechat.Token, error) {
		return s.call(ctx, func(ctx context.Context) (wechat.Token, error) {
			return s.fetcher.FetchStable(ctx, force)
		})
	}
	token, err = stable(false)
	if err != nil || l.refused == "" || token.Value.Fingerprint() != l.refused || !s.mayForce(ctx, l) {
		return token, false, err
	}
	begun := time.Now()
	fresh, err := stable(true)
	if err != nil {
		f := newFailure(s.op(), err)
		s.tell(Event{
			Kind: EventFailed, Generation: l.generation, Took: time.Since(begun),
			Err: fmt.Errorf("forced refresh: %w", f.err()), Remedy: f.remedy(),
		})
		return token, false, nil
	}
	return fresh, true, nil
}

// call bounds one call of the fetcher.
func (s *Store) call(ctx context.Context, fetch func(context.Context) (wechat.Token, error)) (wechat.Token, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.FetchTimeout)
	defer cancel()
	token, err := fetch(ctx)
	if err == nil && token.Value.Reveal() == "" {
		err = ErrEmpty
	}
	return token, err
}

// mayForce asks the fleet's counters. Without Redis nothing is forced.
func (s *Store) mayForce(ctx context.Context, l lease) bool {
	reply, err := s.eval(ctx, s.scripts.force, l.id, l.generation, maxForced,
		forcedGap.Milliseconds(), s.cfg.Lease.Milliseconds())
	return err == nil && reply == int64(1)
}

// keep stores the token for the fleet. A newer one in Redis wins, even over
// this process's own fetch.
func (s *Store) keep(ctx context.Context, l lease, token wechat.Token, forced bool, begun time.Time) (wechat.Token, error) {
	now := time.Now()
	life := max(token.ExpiresAt.Sub(now), minLife)
	fresh := max(life-s.cfg.Margin, minLife)
	token.Generation, token.ExpiresAt = l.generation, now.Add(life)

	e := Event{
		Kind: EventFetched, Fingerprint: token.Value.Fingerprint(), Generation: l.generation,
		ExpiresAt: token.ExpiresAt, Took: now.Sub(begun),
	}
	if forced {
		e.Kind = EventForced
	}
	reply, err := s.eval(ctx, s.scripts.keep, l.id, l.generation, token.Value.Reveal(),
		life.Milliseconds(), fresh.Milliseconds(), token.Value.Fingerprint())
	if err != nil {
		// The token is good all the same: this process lives on it.
		s.see(now, token, now.Add(fresh), nil)
		s.tell(e)
		s.tell(Event{
			Kind: EventFailed, Generation: l.generation, Remedy: remedyRedis,
			Err: fmt.Errorf("store the fetched token: %w", err),
		})
		return token, nil
	}
	s.tell(e)
	if reply != int64(1) {
		return s.overtaken(ctx)
	}
	s.see(now, token, now.Add(fresh), nil)
	return token, nil
}

// overtaken is for a process that comes home when a newer token is there: it
// takes that one, and does not fetch a second time.
func (s *Store) overtaken(ctx context.Context) (wechat.Token, error) {
	a, err := s.ask(ctx, modePeek, 0)
	if err != nil {
		return wechat.Token{}, s.redisDown(err)
	}
	if a.kind == "token" {
		return a.token, nil
	}
	return wechat.Token{}, &UnavailableError{Cause: ErrWaited, RetryAt: time.Now(), Remedy: remedyWaited}
}

// failed writes the fleet's back-off and returns what Token says until it is
// over; or, when another process took over meanwhile, what that one got.
func (s *Store) failed(ctx context.Context, l lease, begun time.Time, err error) (wechat.Token, error) {
	f := newFailure(s.op(), err)
	at := time.Now()
	args := []any{l.id, l.generation, f.encode()}
	for _, step := range f.steps() {
		args = append(args, step.Milliseconds())
	}
	reply, evalErr := s.eval(ctx, s.scripts.fail, args...)
	if evalErr != nil {
		return wechat.Token{}, s.redisDown(errors.Join(f.err(), evalErr))
	}
	wait, _ := reply.(int64)
	if wait == 0 {
		return s.overtaken(ctx)
	}
	down := &UnavailableError{
		Cause: f.err(), RetryAt: at.Add(time.Duration(wait) * time.Millisecond), Remedy: f.remedy(),
	}
	s.tell(Event{
		Kind: EventFailed, Generation: l.generation, Took: at.Sub(begun),
		Err: down.Cause, Remedy: down.Remedy, RetryAt: down.RetryAt,
	})
	s.see(at, wechat.Token{}, time.Time{}, down)
	return wechat.Token{}, down
}

func (s *Store) op() string {
	if s.cfg.Mode == Classic {
		return "/cgi-bin/token"
	}
	return "/cgi-bin/stable_token"
}
