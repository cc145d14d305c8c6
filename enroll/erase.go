package enroll

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/queue"
)

// Why a person's data was erased; the audit trail keeps the word.
const (
	WhyRevoked      = "authorization-revoked" // user_authorization_revoke
	WhyCancelled    = "account-cancelled"     // user_authorization_cancellation
	WhyUnsubscribed = "unsubscribed"          // with Account.EraseUnsubscribed
	WhyAdmin        = "by-admin"
)

// Person is whose data goes: an openid, or one of the business's users with all
// openids that no other user has. One of the two.
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
// Records are found by reading through all of the account, so all who are noted
// when that begins are done together.
type Eraser struct {
	roster  *Roster
	records *ledger.Ledger
	tasks   *queue.Inspector
}

// NewEraser of one account. It does not talk to Redis.
func NewEraser(rdb redis.UniversalClient, appID string) (*Eraser, error) {
	roster, err := NewRoster(rdb, appID)
	if err != nil {
		return nil, err
	}
	records, err := ledger.New(rdb, ledger.Config{Account: appID})
	if err != nil {
		return nil, fmt.Errorf("enroll: %w", err)
	}
	return &Eraser{roster: roster, records: records, tasks: queue.NewInspector(rdb)}, nil
}

// Erase forgets p, and all others who are noted. After an error some of it may be
// gone: repeat it, or leave it to the next process that serves the account.
func (e *Eraser) Erase(ctx context.Context, p Person, why string) (Erased, error) {
	bindings, err := e.begin(ctx, p, why)
	if err != nil {
		return Erased{}, err
	}
	found, err := e.finish(ctx)
	return Erased{Bindings: bindings, Messages: found.messages}, err
}

// begin takes p off the roster, so that no message to it begins behind the
// search, and notes what the search needs. The note is written anew after that: a
// search that began in between does not end it.
func (e *Eraser) begin(ctx context.Context, p Person, why string) (bindings int, err error) {
	if (p.OpenID == "") == (p.User == "") {
		return 0, errors.New("enroll: erase takes either an openid or a user")
	}
	t, err := e.roster.traces(ctx, p)
	if err != nil {
		return 0, err
	}
	if err := e.roster.note(ctx, t, why); err != nil {
		return 0, err
	}
	if bindings, err = e.roster.forget(ctx, t); err != nil {
		return bindings, err
	}
	return bindings, e.roster.note(ctx, t, why)
}

// searched is what one search found.
type searched struct{ people, messages int }

// finish erases all who are noted.
func (e *Eraser) finish(ctx context.Context) (searched, error) {
	noted, err := e.roster.rdb.HGetAll(ctx, e.roster.keys.erasing()).Result()
	if err != nil || len(noted) == 0 {
		return searched{}, wrap(err, "read what is to be erased")
	}
	who := ledger.Erasure{Tasks: e.dropTasks}
	for name := range noted {
		if openid, ok := strings.CutPrefix(name, "o:"); ok {
			who.OpenIDs = append(who.OpenIDs, openid)
		} else {
			who.Users = append(who.Users, strings.TrimPrefix(name, "u:"))
		}
	}
	refs, err := e.records.Erase(ctx, who)
	if err != nil {
		return searched{}, fmt.Errorf("enroll: erase: %w", err)
	}
	found := searched{messages: len(refs)}
	for name, note := range noted {
		if err := e.audit(ctx, name, note); err != nil {
			return found, err
		}
		ended, err := endNote.Run(ctx, e.roster.rdb, []string{e.roster.keys.erasing()}, name, note).Int()
		if err != nil {
			return found, wrap(err, "end the erasure")
		}
		found.people += ended
	}
	return found, nil
}

// endNote removes a note unless it was written anew.
var endNote = redis.NewScript(`
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then
  return redis.call('HDEL', KEYS[1], ARGV[1])
end
return 0
`)

func (e *Eraser) dropTasks(ctx context.Context, messages []ledger.Ref) error {
	for _, m := range messages {
		err := e.tasks.Delete(ctx, e.roster.account, m.Class, m.ID)
		if err != nil && !errors.Is(err, queue.ErrNotFound) && !errors.Is(err, queue.ErrActive) {
			return fmt.Errorf("enroll: erase a waiting message: %w", err)
		}
	}
	return nil
}

func (e *Eraser) audit(ctx context.Context, name, note string) error {
	why, _, _ := strings.Cut(note, " ")
	entry := ledger.Entry{Action: "erased", Actor: "wechat", Detail: why}
	if why == WhyAdmin {
		entry.Actor = "wxnotify enroll erase"
	}
	if openid, ok := strings.CutPrefix(name, "o:"); ok {
		entry.OpenID = openid
	} else {
		entry.User = strings.TrimPrefix(name, "u:")
	}
	return wrap(e.records.Audit(ctx, entry), "write the audit trail")
}

// traces are what names a person in one account.
type traces struct {
	person  Person
	openids []string // that are the person's alone
	users   []string // that are the person's alone
	pairs   [][2]string
}

// traces finds the openids of a user that no other user has, or the users of an
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

// note remembers whom to search for, and why; each note is one of its own.
func (r *Roster) note(ctx context.Context, t traces, why string) error {
	var notes []any
	for _, o := range t.openids {
		notes = append(notes, "o:"+o, why+" "+randomName())
	}
	for _, u := range t.users {
		notes = append(notes, "u:"+u, why+" "+randomName())
	}
	if len(notes) == 0 {
		return nil
	}
	return wrap(r.rdb.HSet(ctx, r.keys.erasing(), notes...).Err(), "begin the erasure")
}

// forget takes the traces off the roster.
func (r *Roster) forget(ctx context.Context, t traces) (int, error) {
	n := 0
	for _, pair := range t.pairs {
		gone, err := r.forgetBinding(ctx, pair[0], pair[1])
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
