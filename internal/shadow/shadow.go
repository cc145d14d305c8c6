// Package shadow says what would become of messages, and sends nothing: a business hands it
// the messages that its present system sends, and compares before it moves. For the
// command line and the HTTP API.
//
// It reads records, roster and suppressions, and the state of the gate once. It writes nothing.
package shadow

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/seal"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/ratelimit"
)

// Would is what would become of a message.
type Would string

// The outcomes.
const (
	Send       Would = "send"       // at its time
	Wait       Would = "wait"       // until the quota is reset
	Expire     Would = "expire"     // its not_after is before the reset
	Known      Would = "known"      // its ID was used before: nothing would be enqueued
	Suppressed Would = "suppressed" // rejected without a call: the recipient must not be written to
	NoUser     Would = "no-user"    // rejected without a call: the user is not on the roster
	Refused    Would = "refused"    // has faults; counted by Shadow.Refuse
)

// Outcome is what would become of one message.
type Outcome struct {
	Would  Would
	Reason string         // of Suppressed
	State  producer.State // of Known: how far the message with this ID has come
}

// Forecast is what all messages together would do.
type Forecast struct {
	Messages int           `json:"messages"`
	Would    map[Would]int `json:"would"`
	// Quota is the day's quota that is left for these messages, the reserve for class
	// critical included; negative: not known.
	Quota    int64     `json:"quota_left"`
	ResetsAt time.Time `json:"quota_resets_at"`
	// Seconds is how long sending today's part takes at the rate in force; 0: no rate is set.
	Seconds float64 `json:"seconds"`
	// Closed names what closes the gate now: nothing would be sent until that ends.
	Closed []ratelimit.Reason `json:"closed,omitempty"`
}

// Gate tells the state of quota and rate. *ratelimit.Gate is one.
type Gate interface {
	State(ctx context.Context) (ratelimit.State, error)
}

// Shadow looks at the messages of one account. It is not safe for concurrent use.
type Shadow struct {
	records *ledger.Ledger
	state   ratelimit.State
	counts  map[Would]int
	booked  int64 // of today's quota, by the messages before
}

// New reads the state of the gate. records must be of the same account.
func New(ctx context.Context, records *ledger.Ledger, gate Gate) (*Shadow, error) {
	state, err := gate.State(ctx)
	if err != nil {
		return nil, fmt.Errorf("shadow: read the quota: %w", err)
	}
	return &Shadow{records: records, state: state, counts: map[Would]int{}}, nil
}

// Refuse counts a message that has faults.
func (s *Shadow) Refuse() { s.counts[Refused]++ }

// Look says what would become of messages without faults, in their order. IDs within one
// call must differ.
func (s *Shadow) Look(ctx context.Context, messages []producer.Message) ([]Outcome, error) {
	ids := make([]string, 0, len(messages))
	for _, m := range messages {
		ids = append(ids, m.ID)
	}
	records, err := s.records.Get(ctx, ids...)
	if err != nil {
		return nil, fmt.Errorf("shadow: %w", err)
	}
	openids, err := s.openids(ctx, messages)
	if err != nil {
		return nil, err
	}
	var recipients []ledger.Recipient
	for i, m := range messages {
		for _, openid := range openids[i] {
			recipients = append(recipients, ledger.Recipient{OpenID: openid, Template: m.Message.TemplateID})
		}
	}
	suppressed, err := s.records.Suppressed(ctx, recipients...)
	if err != nil {
		return nil, fmt.Errorf("shadow: %w", err)
	}
	out := make([]Outcome, 0, len(messages))
	for i, m := range messages {
		n := len(openids[i])
		o := s.judge(m, records[i], suppressed[:n])
		suppressed = suppressed[n:]
		s.counts[o.Would]++
		out = append(out, o)
	}
	return out, nil
}

// judge decides as the queue and a worker would.
func (s *Shadow) judge(m producer.Message, record *ledger.Record, suppressed []*ledger.Suppression) Outcome {
	if record != nil {
		return Outcome{Would: Known, State: record.State}
	}
	if len(suppressed) == 0 {
		return Outcome{Would: NoUser}
	}
	if !slices.Contains(suppressed, nil) {
		return Outcome{Would: Suppressed, Reason: suppressed[0].Reason}
	}
	if m.Terms.Test || job.Simulated(m.Message.ToUser) {
		return Outcome{Would: Send} // costs no quota
	}
	if m.Terms.NotBefore.After(s.state.ResetsAt) {
		return Outcome{Would: Send} // of another day's
	}
	if s.state.Cap > 0 {
		limit := s.state.Cap
		if m.Terms.Class != producer.Critical {
			limit -= s.state.Reserve
		}
		if s.state.Used+s.booked >= limit {
			if at := m.Terms.NotAfter; !at.IsZero() && at.Before(s.state.ResetsAt) {
				return Outcome{Would: Expire}
			}
			return Outcome{Would: Wait}
		}
	}
	s.booked++
	return Outcome{Would: Send}
}

// openids are those that each message may go to, the preferred one first.
func (s *Shadow) openids(ctx context.Context, messages []producer.Message) ([][]string, error) {
	out := make([][]string, len(messages))
	users := make([]*redis.MapStringStringCmd, len(messages))
	pipe := s.records.Redis().Pipeline()
	for i, m := range messages {
		if m.Terms.User == "" {
			out[i] = []string{m.Message.ToUser}
			continue
		}
		users[i] = pipe.HGetAll(ctx, s.records.UserKey(m.Terms.User))
	}
	if pipe.Len() == 0 {
		return out, nil
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("shadow: read the roster: %w", err)
	}
	for i, cmd := range users {
		if cmd != nil {
			out[i] = latestFirst(cmd.Val())
			for j, openid := range out[i] {
				out[i][j] = s.records.Names().Open(seal.OpenID, openid)
			}
		}
	}
	return out, nil
}

// latestFirst orders a user's openids as ledger.Begin does.
func latestFirst(bound map[string]string) []string {
	at := func(openid string) int64 {
		text, _, _ := strings.Cut(bound[openid], " ")
		n, _ := strconv.ParseInt(text, 10, 64)
		return n
	}
	openids := make([]string, 0, len(bound))
	for openid := range bound {
		openids = append(openids, openid)
	}
	slices.SortFunc(openids, func(a, b string) int { return cmp.Or(cmp.Compare(at(b), at(a)), strings.Compare(a, b)) })
	return openids
}

// Forecast sums up.
func (s *Shadow) Forecast() Forecast {
	f := Forecast{Would: s.counts, Quota: -1, ResetsAt: s.state.ResetsAt}
	for _, n := range s.counts {
		f.Messages += n
	}
	if s.state.Cap > 0 {
		f.Quota = max(0, s.state.Cap-s.state.Used)
	}
	if s.state.Rate > 0 {
		f.Seconds = float64(s.booked) / s.state.Rate
	}
	for _, p := range s.state.Closures() {
		f.Closed = append(f.Closed, p.Reason)
	}
	return f
}
