package enroll

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/apikey"
	"github.com/wxnotify/wxnotify/internal/events"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/seal"
	"github.com/wxnotify/wxnotify/wechat"
)

// Why a person's data is erased. The notes of erasures and the audit trail keep the word.
const (
	whyRevoked      = "authorization-revoked" // user_authorization_revoke
	whyCancelled    = "account-cancelled"     // user_authorization_cancellation
	whyUnsubscribed = "unsubscribed"          // with RosterConfig.EraseUnsubscribed
	whyAdmin        = "by-admin"              // by Roster.Erase
)

// Person is whose data goes: an openid, or one of the business's users with all
// openids that no other user has. One of the two.
type Person struct{ OpenID, User string }

// Erased is what Erase found.
type Erased struct {
	Bindings int // taken off the roster
	Messages int // whose recipient was erased; those still waiting are cancelled
	// OpenIDs counts those of a user that no binding named, but a message to the user
	// did: they were unbound before, or the binding was lost.
	OpenIDs      int
	Suppressions int // of an openid that was named
	Events       int // of WeChat that waited to be applied
	Guests       int // entries of guest lists of API keys
}

// Nothing reports that nothing of the person was found.
func (e Erased) Nothing() bool { return e == Erased{} }

// ErrSending says that workers still send messages of the person, or have not come
// back: their payloads are on a queue.
var ErrSending = errors.New("enroll: messages of the person are still being sent, and their payloads cannot be removed yet")

// Erase forgets p, and all others who are noted, everywhere in the account: the roster,
// their tickets, the records of messages, payloads that wait in whatever queue,
// suppressions, events that wait, guest lists of API keys. What stays tells nothing of them: a message's ID, state
// and times, and that a ticket was used. Each erasure leaves a line in the audit trail.
//
// Records and tasks are found by reading through all of the account, so all who are
// noted when that begins are done together. Of a user it erases the openids too
// that no other user has: those that are bound, and those that messages to the user
// went to. It waits up to 30 s for messages that are being sent. After an error,
// [ErrSending] among them, some of it may be gone: repeat it, or leave it to the next
// process that serves the account.
func (r *Roster) Erase(ctx context.Context, p Person) (Erased, error) {
	users, openids := []string{p.User}, []string{p.OpenID} // an empty one matches nothing
	before, err := r.records.Search(ctx, users, openids)
	if err != nil {
		return Erased{}, fmt.Errorf("enroll: erase: %w", err)
	}
	found := Erased{Messages: before.Messages, Suppressions: before.Suppressions}
	if found.Bindings, found.OpenIDs, err = r.beginErasure(ctx, p, whyAdmin, before.Recipients...); err != nil {
		return found, err
	}
	did, err := r.finishErasures(ctx)
	// Another process may have begun with it, and have counted some of the messages.
	found.Messages, found.Events, found.Guests = max(found.Messages, did.messages), did.events, did.guests
	return found, err
}

// beginErasure takes p off the roster, so that no message to it begins behind the
// search, and notes what the search needs. The note is written anew after that: a
// search that began in between does not end it. known are openids that messages to the
// user went to; it returns how many of them no binding named.
func (r *Roster) beginErasure(ctx context.Context, p Person, why string, known ...string) (bindings, openids int, err error) {
	if (p.OpenID == "") == (p.User == "") {
		return 0, 0, errors.New("enroll: erase takes either an openid or a user")
	}
	t, err := r.findTraces(ctx, p)
	if err != nil {
		return 0, 0, err
	}
	for _, openid := range known {
		users, err := r.Users(ctx, openid)
		if err != nil {
			return 0, 0, err
		}
		if len(users) == 0 && !slices.Contains(t.openids, openid) {
			t.openids = append(t.openids, openid)
			openids++
		}
	}
	if err := r.noteErasure(ctx, t, why); err != nil {
		return 0, 0, err
	}
	if bindings, err = r.forgetTraces(ctx, t); err != nil {
		return bindings, openids, err
	}
	return bindings, openids, r.noteErasure(ctx, t, why)
}

// searched is what one search found.
type searched struct {
	people, messages, events, guests int
	ended                            []ledger.Ref // messages that had not been sent
}

// finishErasures erases all who are noted.
func (r *Roster) finishErasures(ctx context.Context) (searched, error) {
	if err := r.admit(ctx); err != nil {
		return searched{}, err
	}
	noted, err := r.rdb.HGetAll(ctx, r.keys.erasing()).Result()
	if err != nil || len(noted) == 0 {
		return searched{}, wrap(err, "read what is to be erased")
	}
	who := r.peopleOf(noted)
	var found searched
	var sending []queue.Ref
	refs, err := r.records.Erase(ctx, ledger.Erasure{
		OpenIDs: slices.Sorted(maps.Keys(who.openids)), Users: slices.Sorted(maps.Keys(who.users)),
		Tasks: func(ctx context.Context, messages []ledger.Ref) error {
			var tasks []queue.Ref
			for _, m := range messages {
				tasks = append(tasks, queue.Ref{ID: m.ID, Class: m.Class})
			}
			active, err := r.dropTasks(ctx, tasks)
			sending = append(sending, active...)
			return err
		},
	})
	found.messages = len(refs)
	if err != nil {
		return found, fmt.Errorf("enroll: erase: %w", err)
	}
	if found.events, err = r.dropEvents(ctx, who); err != nil {
		return found, err
	}
	if err := r.dropChanges(ctx, func(c Change) bool {
		return who.names(c.OpenID) || who.names(c.Previous) || who.users[c.User]
	}); err != nil {
		return found, err
	}
	if found.guests, err = apikey.NewStore(r.rdb, r.account).Forget(ctx, func(guest string) bool { return who.names(guest) || who.users[guest] }); err != nil {
		return found, fmt.Errorf("enroll: erase: %w", err)
	}
	if err := r.dropSync(ctx, who); err != nil {
		return found, err
	}
	if err := r.dropRest(ctx, who, sending); err != nil {
		return found, err
	}
	for _, ref := range refs {
		if ref.Ended {
			found.ended = append(found.ended, ref)
		}
	}
	for name, note := range noted {
		if err := r.auditErasure(ctx, name, note); err != nil {
			return found, err
		}
		ended, err := endNote.Run(ctx, r.rdb, []string{r.keys.erasing()}, name, note).Int()
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

func (r *Roster) auditErasure(ctx context.Context, name, note string) error {
	why, _, _ := strings.Cut(note, " ")
	entry := ledger.Entry{Action: "erased", Actor: "wechat", Detail: why}
	if why == whyAdmin {
		entry.Actor = "operator" // the line before it names the person
	}
	if openid, ok := strings.CutPrefix(name, "o:"); ok {
		entry.OpenID = r.names().Open(seal.OpenID, openid)
	} else {
		entry.User = r.names().Open(seal.User, strings.TrimPrefix(name, "u:"))
	}
	if err := r.records.Audit(ctx, entry); err != nil {
		return wrap(err, "write the audit trail")
	}
	who := events.Person{How: why}
	if entry.OpenID != "" {
		who.OpenID = wechat.MaskOpenID(entry.OpenID)
	}
	if entry.User != "" {
		who.User = wechat.MaskOpenID(entry.User)
	}
	return wrap(events.Publish(ctx, r.records, events.UserErased, who), "write the event")
}

// traces are what names a person in one account.
type traces struct {
	person  Person
	openids []string // that are the person's alone
	users   []string // that are the person's alone
	pairs   [][2]string
}

// findTraces finds the openids of a user that no other user has, or the users of an
// openid that have no other.
func (r *Roster) findTraces(ctx context.Context, p Person) (traces, error) {
	t := traces{person: p}
	if p.OpenID != "" {
		t.openids = []string{p.OpenID}
		users, err := r.Users(ctx, p.OpenID)
		if err != nil {
			return t, err
		}
		for _, u := range users {
			t.pairs = append(t.pairs, [2]string{u, p.OpenID})
			others, err := r.rdb.HLen(ctx, r.records.UserKey(u)).Result()
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
	openids, err := r.openidsOf(ctx, p.User)
	if err != nil {
		return t, err
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

// noteErasure remembers whom to search for, why, and which event was the latest then; each
// note is one of its own.
func (r *Roster) noteErasure(ctx context.Context, t traces, why string) error {
	latest, err := r.rdb.XRevRangeN(ctx, r.keys.inbox(), "+", "-", 1).Result()
	if err != nil {
		return wrap(err, "begin the erasure")
	}
	until := "0-0"
	if len(latest) > 0 {
		until = latest[0].ID
	}
	var notes []any
	for _, o := range t.openids {
		notes = append(notes, "o:"+r.names().Seal(seal.OpenID, o), why+" "+until+" "+randomName())
	}
	for _, u := range t.users {
		notes = append(notes, "u:"+r.names().Seal(seal.User, u), why+" "+until+" "+randomName())
	}
	if len(notes) == 0 {
		return nil
	}
	return wrap(r.rdb.HSet(ctx, r.keys.erasing(), notes...).Err(), "begin the erasure")
}

// forgetTraces takes the traces off the roster. It removes the pairs alone, so that a binding
// which is made at the same time is there whole; the last pair takes the user off the roster, and the
// openid's hash with it.
func (r *Roster) forgetTraces(ctx context.Context, t traces) (int, error) {
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
		pipe.Del(ctx, r.keys.followed(o))
		pipe.Del(ctx, r.keys.ticketsOf(o)) // voided by forgetBinding
	}
	_, err := pipe.Exec(ctx)
	if errors.Is(err, redis.Nil) {
		err = nil
	}
	return n, wrap(err, "erase from the roster")
}
