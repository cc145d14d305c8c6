package enroll

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/broker"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
)

// Why a person's data was erased; the audit trail keeps the word.
const (
	WhyRevoked      = "authorization-revoked" // user_authorization_revoke
	WhyCancelled    = "account-cancelled"     // user_authorization_cancellation
	WhyUnsubscribed = "unsubscribed"          // with Account.EraseUnsubscribed
	WhyAdmin        = "by-admin"
)

// Records forget a person: *ledger.Ledger.
type Records interface {
	Erase(ctx context.Context, who ledger.Erasure) ([]ledger.Ref, error)
	Audit(ctx context.Context, e ledger.Entry) error
}

// Tasks takes a message's task off its queue: *broker.Inspector.
type Tasks interface {
	Delete(ctx context.Context, account string, class job.Class, id string) error
}

// Person is whose data goes: an openid, or one of the business's users with all
// openids that are nobody else's. One of the two.
type Person struct{ OpenID, User string }

// Erased is what Erase found.
type Erased struct {
	Bindings int // taken off the roster
	Messages int // whose recipient was erased; those still waiting are cancelled
}

// Eraser forgets persons everywhere in one account: the roster, the records of
// messages, payloads that wait, suppressions. What stays tells nothing of them:
// a message's ID, state and times. Each erasure leaves a line in the audit trail.
//
// Records are found by reading through all of the account, so persons who come
// while that goes on are done together in the next round.
type Eraser struct {
	roster  *Roster
	records Records
	tasks   Tasks

	mu      sync.Mutex
	waiting []*erasure
	running bool
}

type erasure struct {
	person Person
	why    string
	found  Erased
	err    error
	done   chan struct{}
}

// NewEraser of one account.
func NewEraser(roster *Roster, records Records, tasks Tasks) *Eraser {
	return &Eraser{roster: roster, records: records, tasks: tasks}
}

// Erase forgets p. After an error some of it may be gone: repeat it.
func (e *Eraser) Erase(ctx context.Context, p Person, why string) (Erased, error) {
	if (p.OpenID == "") == (p.User == "") {
		return Erased{}, errors.New("enroll: erase takes either an openid or a user")
	}
	one := &erasure{person: p, why: why, done: make(chan struct{})}
	e.mu.Lock()
	e.waiting = append(e.waiting, one)
	first := !e.running
	e.running = true
	e.mu.Unlock()
	if first {
		go e.work(context.WithoutCancel(ctx))
	}
	select {
	case <-one.done:
		return one.found, one.err
	case <-ctx.Done():
		return Erased{}, fmt.Errorf("enroll: the erasure goes on: %w", ctx.Err())
	}
}

// work does rounds until nobody waits.
func (e *Eraser) work(ctx context.Context) {
	for {
		e.mu.Lock()
		round := e.waiting
		e.waiting = nil
		e.running = len(round) > 0
		e.mu.Unlock()
		if len(round) == 0 {
			return
		}
		err := e.round(ctx, round)
		for _, one := range round {
			one.err = errors.Join(one.err, err)
			close(one.done)
		}
	}
}

// Finish carries on what a process began and did not live to end.
func (e *Eraser) Finish(ctx context.Context) error {
	left, err := e.roster.rdb.SCard(ctx, e.roster.keys.erasing()).Result()
	if err != nil || left == 0 {
		return wrap(err, "look for unfinished erasures")
	}
	return e.round(ctx, nil)
}

// round erases several persons in one pass over the records. They are taken off
// the roster first, so that no message to them begins behind the search; what
// the search needs is noted before, until it is through.
func (e *Eraser) round(ctx context.Context, round []*erasure) error {
	persons := make([]traces, len(round))
	for i, one := range round {
		var err error
		if persons[i], err = e.roster.traces(ctx, one.person); err != nil {
			return err
		}
		if err := e.roster.note(ctx, persons[i]); err != nil {
			return err
		}
		if one.found.Bindings, err = e.roster.forget(ctx, persons[i]); err != nil {
			return err
		}
	}
	noted, err := e.roster.rdb.SMembers(ctx, e.roster.keys.erasing()).Result()
	if err != nil || len(noted) == 0 {
		return wrap(err, "read what is to be erased")
	}
	who := ledger.Erasure{Tasks: e.dropTasks}
	for _, name := range noted {
		if openid, ok := strings.CutPrefix(name, "o:"); ok {
			who.OpenIDs = append(who.OpenIDs, openid)
		} else {
			who.Users = append(who.Users, strings.TrimPrefix(name, "u:"))
		}
	}
	refs, err := e.records.Erase(ctx, who)
	if err != nil {
		return fmt.Errorf("enroll: erase: %w", err)
	}
	if err := e.roster.rdb.SRem(ctx, e.roster.keys.erasing(), noted).Err(); err != nil {
		return wrap(err, "end the erasure")
	}
	for _, one := range round {
		one.found.Messages = len(refs) // of all that were erased together
		if err := e.audit(ctx, one); err != nil {
			return err
		}
	}
	return nil
}

func (e *Eraser) dropTasks(ctx context.Context, messages []ledger.Ref) error {
	for _, m := range messages {
		err := e.tasks.Delete(ctx, e.roster.account, m.Class, m.ID)
		if err != nil && !errors.Is(err, broker.ErrNotFound) && !errors.Is(err, broker.ErrActive) {
			return fmt.Errorf("enroll: erase a waiting message: %w", err)
		}
	}
	return nil
}

func (e *Eraser) audit(ctx context.Context, one *erasure) error {
	actor := "wechat"
	if one.why == WhyAdmin {
		actor = "wxnotify enroll erase"
	}
	return wrap(e.records.Audit(ctx, ledger.Entry{
		Action: "erased", Actor: actor, OpenID: one.person.OpenID, User: one.person.User, Detail: one.why,
	}), "write the audit trail")
}

// traces are what names a person in one account.
type traces struct {
	person  Person
	openids []string // that are the person's alone
	users   []string // that are the person's alone
	pairs   [][2]string
}

// traces finds the openids of a user that are nobody else's, or the users of an
// openid that have no other.
func (r *Roster) traces(ctx context.Context, p Person) (traces, error) {
	t := traces{person: p}
	if p.OpenID != "" {
		t.openids = []string{p.OpenID}
		users, err := r.Users(ctx, p.OpenID)
		if err != nil {
			return t, err
		}
		for _, u := range users {
			t.pairs = append(t.pairs, [2]string{u, p.OpenID})
			others, err := r.rdb.HLen(ctx, ledger.UserKey(r.account, u)).Result()
			if err != nil {
				return t, wrap(err, "read the roster")
			}
			if others <= 1 {
				t.users = append(t.users, u)
			}
		}
		return t, nil
	}
	t.users = []string{p.User}
	openids, err := r.rdb.HKeys(ctx, ledger.UserKey(r.account, p.User)).Result()
	if err != nil {
		return t, wrap(err, "read the roster")
	}
	for _, o := range openids {
		t.pairs = append(t.pairs, [2]string{p.User, o})
		users, err := r.Users(ctx, o)
		if err != nil {
			return t, err
		}
		if len(users) <= 1 {
			t.openids = append(t.openids, o)
		}
	}
	return t, nil
}

// note remembers whom to search for.
func (r *Roster) note(ctx context.Context, t traces) error {
	var names []any
	for _, o := range t.openids {
		names = append(names, "o:"+o)
	}
	for _, u := range t.users {
		names = append(names, "u:"+u)
	}
	if len(names) == 0 {
		return nil
	}
	return wrap(r.rdb.SAdd(ctx, r.keys.erasing(), names...).Err(), "begin the erasure")
}

// forget takes the traces off the roster.
func (r *Roster) forget(ctx context.Context, t traces) (int, error) {
	n := 0
	for _, pair := range t.pairs {
		gone, err := r.Unbind(ctx, pair[0], pair[1])
		if err != nil {
			return n, err
		}
		n += gone
	}
	pipe := r.rdb.Pipeline()
	for _, o := range t.openids {
		pipe.Del(ctx, r.keys.follower(o))
		pipe.Del(ctx, r.keys.followed(o))
	}
	for _, u := range t.users {
		pipe.Del(ctx, ledger.UserKey(r.account, u))
		pipe.ZRem(ctx, r.keys.roster(), u)
	}
	_, err := pipe.Exec(ctx)
	if errors.Is(err, redis.Nil) {
		err = nil
	}
	return n, wrap(err, "erase from the roster")
}
