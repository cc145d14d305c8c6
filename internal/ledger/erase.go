package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/names"
	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/internal/seal"
)

// Erasure names people whose data are to go.
type Erasure struct {
	OpenIDs []string
	Users   []string // the business's own user ids; name their openids, too
	// Tasks takes the tasks of these messages off their queues, where their payloads
	// name the person; one that is not there, or is being sent, is no error. It is
	// called before the names that let a message be found are removed: when it
	// fails, the erasure stops, and a repeated Erase finds the messages again. Required.
	Tasks func(ctx context.Context, messages []Ref) error
}

// Ref names a message.
type Ref struct {
	ID    string
	Class job.Class
	State State // after the erasure
	Ended bool  // by the erasure: it had not been sent
}

// Erase removes what is readable of people in the account's ledger, and returns
// their messages. The records stay, without recipient, user and hash, so that their IDs
// are not used twice and later receipts still find them; kept payloads,
// suppressions and the latest messages are removed. The users' openids are the
// roster's: the person may have enrolled again since.
//
// A message that was not sent yet ends as cancelled with the reason
// ReasonErased, or as unknown when an attempt may have arrived. One that is being
// sent loses its recipient at once too; its worker, which has the openid in memory
// alone, ends it, and it is not tried again. A payload that a worker holds can be on
// its queue again after Tasks has run, until the worker drops it.
//
// Remove the people from the roster first, or a message to one of their users
// may begin behind the search. The search reads every record of the account:
// name many people at once.
func (l *Ledger) Erase(ctx context.Context, e Erasure) ([]Ref, error) {
	if e.Tasks == nil {
		return nil, errors.New("ledger: erase: Tasks is required")
	}
	if len(e.OpenIDs)+len(e.Users) == 0 {
		return nil, nil
	}
	people := newPeople(e)
	var refs []Ref
	err := l.eachPart(ctx, func(part []named) error {
		found, err := l.eraseIn(ctx, part, people, e.Tasks)
		refs = append(refs, found...)
		return err
	})
	if err != nil {
		return refs, err
	}
	if err := l.unindex(ctx, people); err != nil {
		return refs, err
	}
	return refs, l.erasePeople(ctx, people)
}

// Traces is what names people, see Search.
type Traces struct {
	Recipients   []string // openids that messages to the users went or go to
	Messages     int      // that name one of the users or openids
	Suppressions int      // of the openids
}

// Search returns what names these users and openids. It reads every record and
// suppression of the account.
func (l *Ledger) Search(ctx context.Context, users, openids []string) (Traces, error) {
	var found Traces
	p := newPeople(Erasure{OpenIDs: openids, Users: users})
	recipients := map[string]bool{}
	err := l.eachPart(ctx, func(part []named) error {
		for _, r := range part {
			if p.users[r.user] && r.to != "" {
				recipients[r.to] = true
			}
			if p.users[r.user] || p.openids[r.to] {
				found.Messages++
			}
		}
		return nil
	})
	if err != nil {
		return found, err
	}
	found.Recipients = slices.Sorted(maps.Keys(recipients))
	suppressions, err := l.suppressionsOf(ctx, p)
	found.Suppressions = len(suppressions)
	return found, err
}

// named is whom a record names.
type named struct{ key, to, user string }

// eachPart calls do for all records of the account, some at a time.
func (l *Ledger) eachPart(ctx context.Context, do func(part []named) error) error {
	return l.eachKey(ctx, l.recordKey(""), func(keys []string) error {
		records, err := l.names(ctx, keys)
		if err != nil {
			return err
		}
		return do(records)
	})
}

// eachKey calls do for all keys with a prefix, some at a time.
func (l *Ledger) eachKey(ctx context.Context, prefix string, do func(keys []string) error) error {
	if err := names.EachKey(ctx, l.rdb, l.account, prefix, do); err != nil {
		return fmt.Errorf("ledger: search the keys: %w", err)
	}
	return nil
}

// names reads whom the records of keys name.
func (l *Ledger) names(ctx context.Context, keys []string) ([]named, error) {
	cmds := make([]redis.Cmder, len(keys))
	for i, key := range keys {
		cmds[i] = redis.NewSliceCmd(ctx, "hmget", key, "t", "u")
	}
	if err := l.do(ctx, "search the records", cmds...); err != nil {
		return nil, err
	}
	out := make([]named, len(keys))
	for i, key := range keys {
		cmd, _ := cmds[i].(*redis.SliceCmd)
		out[i].key = key
		to, _ := cmd.Val()[0].(string)
		user, _ := cmd.Val()[1].(string)
		out[i].to, out[i].user = l.sealed.Open(seal.OpenID, to), l.sealed.Open(seal.User, user)
	}
	return out, nil
}

// people is who is to be erased.
type people struct{ openids, users map[string]bool }

func newPeople(e Erasure) people {
	p := people{openids: map[string]bool{}, users: map[string]bool{}}
	for _, openid := range e.OpenIDs {
		p.openids[openid] = openid != "" // an empty name is that of records already erased
	}
	for _, user := range e.Users {
		p.users[user] = user != ""
	}
	return p
}

// eraseIn erases the people's messages among these records.
func (l *Ledger) eraseIn(ctx context.Context, part []named, p people, tasks func(context.Context, []Ref) error) ([]Ref, error) {
	var ids []string
	for _, r := range part {
		if p.openids[r.to] || p.users[r.user] {
			ids = append(ids, strings.TrimPrefix(r.key, l.recordKey("")))
		}
	}
	refs, err := l.eraseStep(ctx, ids, "end")
	if err != nil || len(refs) == 0 {
		return nil, err
	}
	if err := tasks(ctx, refs); err != nil {
		return nil, fmt.Errorf("ledger: erase: %w", err)
	}
	ended := map[string]bool{}
	for _, r := range refs {
		ended[r.ID] = r.Ended
	}
	refs, err = l.eraseStep(ctx, ids, "drop")
	for i := range refs {
		refs[i].Ended = ended[refs[i].ID]
	}
	return refs, err
}

func (l *Ledger) eraseStep(ctx context.Context, ids []string, step string) ([]Ref, error) {
	now := time.Now()
	calls := make([]redis.Cmder, len(ids))
	for i, id := range ids {
		keys := l.telling(now, l.recordKey(id), l.deadKey(), l.payloadKey(id), l.oldDeadLetterKey(id))
		calls[i] = l.lua["erase"].Call(ctx, keys, "step", step, "now", stamp(now), "id", id, "keep", millis(l.cfg.Keep))
	}
	if err := l.do(ctx, "erase", calls...); err != nil {
		return nil, err
	}
	var refs []Ref
	for i, id := range ids {
		call, _ := calls[i].(*redisx.Call)
		if v, err := stringList(call.Val(), 3); err == nil {
			refs = append(refs, Ref{ID: id, Class: classOf(v[0]), State: stateOf(v[1]), Ended: v[2] == "1"})
		}
	}
	return refs, nil
}

// erasePeople removes what is kept of them beside their messages.
func (l *Ledger) erasePeople(ctx context.Context, p people) error {
	var cmds []redis.Cmder
	for openid := range p.openids {
		cmds = append(cmds, redis.NewIntCmd(ctx, "del", l.latestKey(openid)))
	}
	suppressions, err := l.suppressionsOf(ctx, p)
	if err != nil {
		return err
	}
	for _, name := range suppressions {
		cmds = append(cmds, redis.NewIntCmd(ctx, "hdel", l.suppressionsKey(), name),
			redis.NewIntCmd(ctx, "hdel", l.suppressionStartsKey(), name),
			redis.NewIntCmd(ctx, "zrem", l.suppressionEndsKey(), name))
	}
	events, err := l.eventsOf(ctx, p)
	if err != nil {
		return err
	}
	for _, id := range events {
		cmds = append(cmds, redis.NewIntCmd(ctx, "xdel", l.EventsKey(), id))
	}
	for part := range slices.Chunk(cmds, pipelineSize) {
		if err := l.do(ctx, "erase", part...); err != nil {
			return err
		}
	}
	return nil
}

// suppressionsOf lists the names of the people's suppressions, also of those that are
// over.
func (l *Ledger) suppressionsOf(ctx context.Context, p people) ([]string, error) {
	var found []string
	for cursor, more := uint64(0), true; more; more = cursor != 0 {
		var list []string // names and values
		var err error
		if list, cursor, err = l.rdb.HScan(ctx, l.suppressionsKey(), cursor, "", pipelineSize).Result(); err != nil {
			return found, fmt.Errorf("ledger: search the suppressions: %w", err)
		}
		for i := 0; i+1 < len(list); i += 2 {
			if openid, _, _ := strings.Cut(list[i], "|"); p.openids[l.sealed.Open(seal.OpenID, openid)] {
				found = append(found, list[i])
			}
		}
	}
	return found, nil
}

// eventsOf lists the entries of the stream of events that name the people.
func (l *Ledger) eventsOf(ctx context.Context, p people) ([]string, error) {
	var found []string
	for from := "-"; ; {
		list, err := l.rdb.XRangeN(ctx, l.EventsKey(), from, "+", eventsStep).Result()
		if err != nil {
			return nil, fmt.Errorf("ledger: search the events: %w", err)
		}
		for _, m := range list {
			from = "(" + m.ID
			text, ok := m.Values["e"].(string)
			var e struct {
				Data struct {
					User     string `json:"user"`
					OpenID   string `json:"openid"`
					Previous string `json:"previous_openid"`
				} `json:"data"`
			}
			open := l.sealed.Open
			if ok && json.Unmarshal([]byte(text), &e) == nil && (p.openids[open(seal.OpenID, e.Data.OpenID)] ||
				p.openids[open(seal.OpenID, e.Data.Previous)] || p.users[open(seal.User, e.Data.User)]) {
				found = append(found, m.ID)
			}
		}
		if len(list) < eventsStep {
			return found, nil
		}
	}
}

// eventsStep is how many entries are read at once.
const eventsStep = 1000
