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
	modeAdmin askMode = "admin" // another token than the given one, despite the back-off
)

// answer is the reply of ask.lua.
type answer struct {
	kind  string // token, lease, wait, backoff, hold, none
	token wechat.Token
	due   time.Time         // token: when Run fetches the next one
	left  time.Duration     // wait, backoff, hold
	down  *UnavailableError // backoff, hold
	lease lease
}

// lease allows one process to fetch once.
type lease struct {
	id         string
	generation int64  // of the token to be fetched
	refused    string // fingerprint of the refused token that caused the fetch, or empty
}

// args adds named arguments to those that identify the lease.
func (l lease) args(more args) args {
	more["lease"], more["generation"] = l.id, l.generation
	return more
}

// lookup asks Redis until there is a token. If this process gets the lease, it
// fetches the token. previous is the generation that modeAdmin replaces.
func (s *Store) lookup(ctx context.Context, mode askMode, previous int64) (wechat.Token, error) {
	if s.cfg.NeverFetch != nil {
		return s.read(ctx, mode)
	}
	deadline := time.Now().Add(s.cfg.Wait)
	for n := 0; ; n++ {
		changed := s.changes() // before asking, so that no change is missed
		a, err := s.ask(ctx, mode, previous)
		if err != nil {
			return wechat.Token{}, s.redisDown(err)
		}
		switch a.kind {
		case "token":
			return a.token, nil
		case "lease":
			return s.fetchUnder(ctx, a.lease)
		case "wait":
			a.left = min(a.left+time.Millisecond, pollDelay(n))
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
		wait(ctx, a.left, changed)
		if err := ctx.Err(); err != nil {
			return wechat.Token{}, err
		}
	}
}

// read is lookup for a process that never fetches. It leaves lease and back-off to the
// processes that can fetch.
func (s *Store) read(ctx context.Context, mode askMode) (wechat.Token, error) {
	never := fmt.Errorf("tokenstore: %w", s.cfg.NeverFetch)
	if mode == modeAdmin {
		return wechat.Token{}, never
	}
	a, err := s.ask(ctx, modePeek, 0)
	switch {
	case err != nil:
		return wechat.Token{}, s.redisDown(err)
	case a.kind == "token":
		return a.token, nil
	case a.down != nil:
		return wechat.Token{}, a.down
	default:
		return wechat.Token{}, never
	}
}

// redisDown makes Token return err for a second, so that thousands of sends do not
// all wait for a dead connection.
func (s *Store) redisDown(err error) error {
	now := time.Now()
	down := &UnavailableError{Cause: err, RetryAt: now.Add(time.Second), Remedy: remedyRedis}
	s.update(now, wechat.Token{}, down)
	return down
}

// ask runs ask.lua and updates the view.
func (s *Store) ask(ctx context.Context, mode askMode, previous int64) (answer, error) {
	id := s.cfg.Owner + "/" + strconv.FormatInt(s.asked.Add(1), 10)
	secret := "" // the first call only: processes with two wrong secrets must not take turns
	if !s.began.Swap(true) {
		secret = s.cfg.SecretFingerprint
	}
	at := time.Now() // before the call: a slow reply must not lengthen a token's life
	r, err := s.eval(ctx, s.scripts.ask, args{
		"lease": id, "lease_ms": s.cfg.Lease, "mode": string(mode), "refused": s.view.Load().refused, "previous": previous,
		"unlisted": flag(s.unlisted.Load()), "secret": secret,
	})
	if err != nil {
		return answer{}, err
	}
	if refused := r.number("refused"); refused != 0 {
		s.refuse(refused)
	}
	a := answer{kind: r["kind"], left: max(r.millis("ms"), 0)}
	switch a.kind {
	case "token":
		a.token = wechat.Token{
			Generation: r.number("generation"), Value: wechat.NewSecret(r["value"]), ExpiresAt: at.Add(r.millis("expires_ms")),
		}
		a.due = at.Add(r.millis("due_ms"))
	case "backoff":
		f := decodeFailure(r["failure"])
		a.down = &UnavailableError{Cause: f.err(), RetryAt: at.Add(a.left), Remedy: f.remedy()}
	case "hold":
		a.down = &UnavailableError{Cause: ErrRefused, RetryAt: at.Add(a.left), Remedy: remedyRefused}
		if a.left <= s.cfg.RefusedGap {
			return a, nil // Token waits that long
		}
	case "wait":
		return a, nil
	case "lease":
		a.lease = lease{id: id, generation: r.number("generation"), refused: r["fingerprint"]}
		return a, nil
	case "none":
	default:
		return answer{}, fmt.Errorf("%w: the script answered %q", ErrRedis, a.kind)
	}
	s.update(at, a.token, a.down)
	return a, nil
}

// fetchUnder fetches a token under the lease l. It does not stop when ctx ends: a
// classic fetch supersedes the old token as soon as WeChat has read the request.
func (s *Store) fetchUnder(ctx context.Context, l lease) (wechat.Token, error) {
	ctx = context.WithoutCancel(ctx)
	begun := time.Now()
	token, forced, err := s.fetch(ctx, l)
	if err != nil {
		return s.failed(ctx, l, begun, err)
	}
	return s.keep(ctx, l, token, forced, begun)
}

// fetch asks WeChat, and forces a refresh if WeChat returns the refused token again.
// If that is not allowed or fails, the refused token is used once more: the refusal
// may be over, and the hold after its next refusal is longer.
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

// mayForce reports whether the shared budget allows a forced refresh. Without Redis
// it does not.
func (s *Store) mayForce(ctx context.Context, l lease) bool {
	r, err := s.askForce(ctx, l, forcedGap)
	return err == nil && r.number("allowed") == 1
}

func (s *Store) askForce(ctx context.Context, l lease, gap time.Duration) (reply, error) {
	return s.eval(ctx, s.scripts.force, l.args(args{"lease_ms": s.cfg.Lease, "per_day": maxForced, "gap_ms": gap}))
}

// keep stores the token for all processes. If Redis has a newer one, that one is
// returned instead.
func (s *Store) keep(ctx context.Context, l lease, token wechat.Token, forced bool, begun time.Time) (wechat.Token, error) {
	now := time.Now()
	life := max(token.ExpiresAt.Sub(now), minLife)
	token.Generation, token.ExpiresAt = l.generation, now.Add(life)
	s.unlisted.Store(false)

	e := Event{
		Kind: EventFetched, Fingerprint: token.Value.Fingerprint(), Generation: l.generation,
		ExpiresAt: token.ExpiresAt, Took: now.Sub(begun),
	}
	if forced {
		e.Kind = EventForced
	}
	r, err := s.eval(ctx, s.scripts.keep, l.args(args{
		"value": token.Value.Reveal(), "fingerprint": token.Value.Fingerprint(),
		"life_ms": life, "due_ms": max(life-s.cfg.Margin, minLife),
	}))
	e.Recovered = r.number("recovered") == 1
	s.tell(e)
	if err != nil { // the token works all the same: this process uses it
		s.tell(Event{
			Kind: EventFailed, Generation: l.generation, Remedy: remedyRedis,
			Err: fmt.Errorf("store the fetched token: %w", err),
		})
	} else if r.number("kept") != 1 {
		return s.newer(ctx)
	}
	s.update(now, token, nil)
	return token, nil
}

// newer returns the newer token that Redis got during this process's fetch.
func (s *Store) newer(ctx context.Context) (wechat.Token, error) {
	a, err := s.ask(ctx, modePeek, 0)
	if err != nil {
		return wechat.Token{}, s.redisDown(err)
	}
	if a.kind == "token" {
		return a.token, nil
	}
	return wechat.Token{}, &UnavailableError{Cause: ErrWaited, RetryAt: time.Now(), Remedy: remedyWaited}
}

// failed records the failure for all processes and returns the error of the back-off,
// or the newer token if another process has stored one. If WeChat refuses this
// process's address, only processes that were refused so too wait for the back-off:
// another one may be listed, and fetches for all.
func (s *Store) failed(ctx context.Context, l lease, begun time.Time, err error) (wechat.Token, error) {
	f := newFailure(s.op(), err)
	at := time.Now()
	first, most := f.steps()
	_, unlisted := wechat.AddressRefusal(err)
	s.unlisted.Store(unlisted)
	r, evalErr := s.eval(ctx, s.scripts.fail, l.args(args{"failure": f.encode(), "first_ms": first, "most_ms": most, "unlisted": flag(unlisted), "secret": s.cfg.SecretFingerprint}))
	if evalErr != nil {
		return wechat.Token{}, s.redisDown(errors.Join(f.err(), evalErr))
	}
	step := r.millis("ms")
	if step == 0 {
		return s.newer(ctx)
	}
	down := &UnavailableError{Cause: f.err(), RetryAt: at.Add(step), Remedy: f.remedy()}
	s.tell(Event{
		Kind: EventFailed, Generation: l.generation, Took: at.Sub(begun),
		Err: down.Cause, Remedy: down.Remedy, RetryAt: down.RetryAt,
	})
	s.update(at, wechat.Token{}, down)
	return wechat.Token{}, down
}

func (s *Store) op() string {
	if s.cfg.Mode == Classic {
		return "/cgi-bin/token"
	}
	return "/cgi-bin/stable_token"
}
