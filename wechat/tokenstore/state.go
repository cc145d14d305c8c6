package tokenstore

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// State is what operators see of the fleet's token; never its value.
type State struct {
	Mode        string    `json:"mode"`
	Fingerprint string    `json:"fingerprint,omitempty"` // empty: there is no token
	Generation  int64     `json:"generation,omitempty"`
	FetchedAt   time.Time `json:"fetched_at,omitzero"`
	RefreshAt   time.Time `json:"refresh_at,omitzero"` // when Run fetches the next one
	ExpiresAt   time.Time `json:"expires_at,omitzero"`
	// Age is how long ago the token was fetched, by Redis' clock.
	Age time.Duration `json:"age_ns,omitempty"`
	// Refused says that WeChat refused this token and the next is not here yet.
	Refused bool `json:"refused"`
	// Refreshing is the process that holds the lease; empty: none does.
	Refreshing string `json:"refreshing,omitempty"`

	// FetchesToday and ForcedToday count calls to WeChat since midnight in
	// China, the failed ones and the forced ones among them.
	FetchesToday int `json:"fetches_today"`
	ForcedToday  int `json:"forced_today"`

	// LastError is why the last fetch failed; nil once one succeeded.
	LastError error     `json:"-"`
	Error     string    `json:"error,omitempty"` // LastError as text
	Remedy    string    `json:"remedy,omitempty"`
	RetryAt   time.Time `json:"retry_at,omitzero"` // nobody asks WeChat before this

	// War says that more than Config.WarThreshold fresh tokens of Classic mode
	// were refused within an hour: another system fetches tokens of the account.
	War       bool   `json:"war"`
	Refusals  int    `json:"refusals"` // fresh tokens refused within the hour
	WarRemedy string `json:"war_remedy,omitempty"`
}

// State reads the token's state from Redis, times by Redis' clock. The error is
// Redis'.
func (s *Store) State(ctx context.Context) (State, error) {
	reply, err := s.eval(ctx, s.scripts.state, warWindow.Milliseconds())
	if err != nil {
		return State{}, fmt.Errorf("tokenstore: read the state: %w", err)
	}
	r := asRow(reply)
	now := time.UnixMilli(r.number(0)).UTC()
	st := State{
		Mode: s.cfg.Mode.String(), Fingerprint: r.text(5),
		Refused: r.text(6) == "1", Refreshing: leaseOwner(r.text(12)),
		FetchesToday: int(r.number(9)), ForcedToday: int(r.number(10)), Refusals: int(r.number(11)),
	}
	if st.Fingerprint != "" {
		st.Generation = r.number(1)
		st.FetchedAt = time.UnixMilli(r.number(2)).UTC()
		st.RefreshAt = time.UnixMilli(r.number(3)).UTC()
		st.ExpiresAt = time.UnixMilli(r.number(4)).UTC()
		st.Age = now.Sub(st.FetchedAt)
	}
	if text := r.text(8); text != "" {
		f := decodeFailure(text)
		st.LastError, st.Remedy = f.err(), f.remedy()
		st.Error = st.LastError.Error()
		st.RetryAt = time.UnixMilli(r.number(7)).UTC()
	}
	if st.Refusals > s.cfg.WarThreshold {
		st.War, st.WarRemedy = true, remedyWar
	}
	return st, nil
}

// leaseOwner cuts the question's number and the generation off a lease.
func leaseOwner(held string) string {
	if i := strings.LastIndexByte(held, '/'); i >= 0 {
		return held[:i]
	}
	return held
}

// Refresh fetches a token now, for an admin who has just mended something: it
// does not mind the back-off, but it waits for a fetch that is under way and
// takes its token. In Stable mode WeChat may hand out the same token again. The
// error is ctx's or an *UnavailableError.
func (s *Store) Refresh(ctx context.Context) (wechat.Token, error) {
	st, err := s.State(ctx)
	if err != nil {
		return wechat.Token{}, s.redisDown(err)
	}
	return s.lookup(ctx, modeAdmin, st.Generation)
}

// Drop makes the fleet forget the token and the back-off; the next Token
// fetches. Use it when a token leaked, after WeChat's console has ended it: in
// Stable mode WeChat hands the same one out again until then.
func (s *Store) Drop(ctx context.Context) error {
	s.refuse(s.view.Load().token.Generation)
	if _, err := s.eval(ctx, s.scripts.drop); err != nil {
		return fmt.Errorf("tokenstore: drop the token: %w", err)
	}
	now := time.Now()
	s.see(now, wechat.Token{}, time.Time{}, nil)
	return nil
}
