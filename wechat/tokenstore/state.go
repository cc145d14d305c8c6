package tokenstore

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// State is what operators see of the shared token, never its value.
type State struct {
	Mode        string    `json:"mode"`
	Fingerprint string    `json:"fingerprint,omitempty"` // empty: there is no token
	Generation  int64     `json:"generation,omitempty"`
	FetchedAt   time.Time `json:"fetched_at,omitzero"`
	RefreshAt   time.Time `json:"refresh_at,omitzero"` // when Run fetches the next one
	ExpiresAt   time.Time `json:"expires_at,omitzero"`
	// Age is the time since FetchedAt.
	Age time.Duration `json:"age_ns,omitempty"`
	// Refused says that WeChat refused this token and there is no other yet.
	Refused bool `json:"refused"`
	// Refreshing is the Config.Owner that holds the lease; empty if none does.
	Refreshing string `json:"refreshing,omitempty"`

	// FetchesToday counts calls to WeChat since midnight in China, including failed
	// and forced ones; ForcedToday counts the forced ones.
	FetchesToday int `json:"fetches_today"`
	ForcedToday  int `json:"forced_today"`

	// LastError is why the last fetch failed; nil after a success.
	LastError error     `json:"-"`
	Error     string    `json:"error,omitempty"` // LastError as text
	Remedy    string    `json:"remedy,omitempty"`
	RetryAt   time.Time `json:"retry_at,omitzero"` // no process asks WeChat before this

	// War says that more than Config.WarThreshold fresh tokens of Classic mode
	// were refused within an hour: another system fetches tokens of the account.
	War       bool   `json:"war"`
	Refusals  int    `json:"refusals"` // fresh tokens refused within the hour
	WarRemedy string `json:"war_remedy,omitempty"`
}

// State reads the token's state from Redis; its times are on Redis' clock. The error
// is Redis'.
func (s *Store) State(ctx context.Context) (State, error) {
	r, err := s.eval(ctx, s.scripts.state, args{"window_ms": warWindow})
	if err != nil {
		return State{}, fmt.Errorf("tokenstore: read the state: %w", err)
	}
	st := State{
		Mode: s.cfg.Mode.String(), Fingerprint: r["fingerprint"],
		Refused: r.number("refused") == 1, Refreshing: leaseOwner(r["lease"]),
		FetchesToday: int(r.number("fetches")), ForcedToday: int(r.number("forced")), Refusals: int(r.number("recent")),
	}
	if st.Fingerprint != "" {
		st.Generation = r.number("generation")
		st.FetchedAt, st.RefreshAt, st.ExpiresAt = r.time("fetched"), r.time("due"), r.time("expires")
		st.Age = r.time("now").Sub(st.FetchedAt)
	}
	if text := r["failure"]; text != "" {
		f := decodeFailure(text)
		st.LastError, st.Remedy, st.RetryAt = f.err(), f.remedy(), r.time("retry")
		st.Error = st.LastError.Error()
	}
	if st.Refusals > s.cfg.WarThreshold {
		st.War, st.WarRemedy = true, remedyWar
	}
	return st, nil
}

// leaseOwner removes the lease's number and generation from its text.
func leaseOwner(held string) string {
	if i := strings.LastIndexByte(held, '/'); i >= 0 {
		return held[:i]
	}
	return held
}

// Refresh fetches a token now, for an administrator who has just fixed a cause of
// failure: it ignores the back-off. If a fetch is in progress, it waits for it and
// returns its token. In Stable mode WeChat may return the same token again. The
// error is ctx's or an *UnavailableError.
func (s *Store) Refresh(ctx context.Context) (wechat.Token, error) {
	st, err := s.State(ctx)
	if err != nil {
		return wechat.Token{}, s.redisDown(err)
	}
	return s.lookup(ctx, modeAdmin, st.Generation)
}

// Drop deletes the token and the back-off for all processes; the next Token fetches.
// In Stable mode WeChat returns the same token again; Revoke ends one that leaked.
func (s *Store) Drop(ctx context.Context) error {
	s.refuse(s.view.Load().token.Generation)
	if _, err := s.eval(ctx, s.scripts.drop, nil); err != nil {
		return fmt.Errorf("tokenstore: drop the token: %w", err)
	}
	s.update(time.Now(), wechat.Token{}, nil)
	return nil
}
