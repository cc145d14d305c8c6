package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
)

// Erasure names people whose data are to go.
type Erasure struct {
	OpenIDs []string
	Users   []string // the business's own user ids; name their openids, too
	// Tasks takes tasks of these messages off their queues, where their payloads
	// name the person; one that is not there, or is being sent, is no error. It is
	// called before the last that lets a message be found goes, so that an error,
	// which stops the erasure, leaves nothing behind that Erase would not find when
	// it is run again. Nil: the caller does so with what Erase returns.
	Tasks func(ctx context.Context, messages []Ref) error
}

// Ref names a message.
type Ref struct {
	ID    string
	Class job.Class
	State State // after the erasure
}

// Erase drops what is readable of people in the account's ledger, and returns
// their messages. The records stay, without recipient and user, so that their IDs
// are not used twice and what WeChat still tells of them is joined; kept
// payloads, suppressions and what is under way go. The users' openids are the
// roster's: somebody may have enrolled again meanwhile.
//
// A message that was not sent yet ends as cancelled with the reason
// ReasonErased, or as unknown when an attempt may have arrived. One that is being
// sent at this moment loses its recipient at once too; its worker, which has the
// openid in memory alone, ends it, and it is not tried again. A payload that is in
// a worker's hands can be on its queue again after Tasks has run, until the worker
// drops it.
//
// Remove the people from the roster first, or a message to one of their users
// may begin behind the search. The search reads every record of the account:
// name many people at once.
func (l *Ledger) Erase(ctx context.Context, e Erasure) ([]Ref, error) {
	people := &people{openids: setOf(e.OpenIDs), users: setOf(e.Users)}
	if len(people.openids)+len(people.users) == 0 {
		return nil, nil
	}
	node, err := l.master(ctx)
	if err != nil {
		return nil, err
	}
	var refs []Ref
	pattern := escapePattern(l.recordKey("")) + "*"
	for cursor, first := uint64(0), true; first || cursor != 0; first = false {
		var keys []string
		keys, cursor, err = node.Scan(ctx, cursor, pattern, batchSize).Result()
		if err != nil {
			return refs, fmt.Errorf("ledger: search the records: %w", err)
		}
		ids, err := l.messagesOf(ctx, people, keys)
		if err != nil {
			return refs, err
		}
		found, err := l.eraseMessages(ctx, ids, e.Tasks)
		refs = append(refs, found...)
		if err != nil {
			return refs, err
		}
	}
	return refs, l.erasePeople(ctx, people)
}

// people is who is to be erased.
type people struct{ openids, users map[string]bool }

func setOf(names []string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		if name != "" {
			set[name] = true
		}
	}
	return set
}

// scanner is a server that lists its keys.
type scanner interface {
	Scan(ctx context.Context, cursor uint64, match string, count int64) *redis.ScanCmd
}

// master is the server that has the account's keys.
func (l *Ledger) master(ctx context.Context) (scanner, error) { //nolint:ireturn // one server, or a cluster's
	cluster, ok := l.batch.rdb.(*redis.ClusterClient)
	if !ok {
		return l.batch.rdb, nil
	}
	node, err := cluster.MasterForKey(ctx, l.prefix)
	if err != nil {
		return nil, fmt.Errorf("ledger: find the account's server: %w", err)
	}
	return node, nil
}

func escapePattern(text string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace(text)
}

// messagesOf picks the people's messages among the records of keys.
func (l *Ledger) messagesOf(ctx context.Context, p *people, keys []string) ([]string, error) {
	var ids []string
	for len(keys) > 0 {
		part := keys[:min(len(keys), batchSize)]
		keys = keys[len(part):]
		cmds, ops := make([]*redis.SliceCmd, len(part)), make([]*op, len(part))
		for i, key := range part {
			cmds[i] = redis.NewSliceCmd(ctx, "hmget", key, "t", "u")
			ops[i] = &op{plain: cmds[i]}
		}
		if err := l.batch.do(ctx, ops...); err != nil {
			return nil, fmt.Errorf("ledger: search the records: %w", err)
		}
		for i, key := range part {
			to, _ := cmds[i].Val()[0].(string)
			user, _ := cmds[i].Val()[1].(string)
			if p.openids[to] || p.users[user] {
				ids = append(ids, strings.TrimPrefix(key, l.recordKey("")))
			}
		}
	}
	return ids, nil
}

// eraseMessages ends the messages, has their tasks taken off, and drops the rest.
func (l *Ledger) eraseMessages(ctx context.Context, ids []string, tasks func(context.Context, []Ref) error) ([]Ref, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	refs, err := l.eraseStep(ctx, ids, "end", false)
	if err != nil {
		return nil, err
	}
	if tasks != nil {
		if err := tasks(ctx, refs); err != nil {
			return nil, fmt.Errorf("ledger: erase: %w", err)
		}
	}
	return l.eraseStep(ctx, ids, "drop", tasks != nil)
}

func (l *Ledger) eraseStep(ctx context.Context, ids []string, step string, gone bool) ([]Ref, error) {
	now := time.Now()
	var refs []Ref
	for len(ids) > 0 {
		part := ids[:min(len(ids), batchSize)]
		ids = ids[len(part):]
		ops := make([]*op, len(part))
		for i, id := range part {
			ops[i] = &op{
				script: l.scripts.erase,
				keys:   []string{l.recordKey(id), l.countsKey(day(now)), l.deadKey(), l.letterKey(id), l.payloadKey(id)},
				args:   []any{step, stamp(now), id, millis(l.cfg.Keep), flag(gone)},
			}
		}
		if err := l.batch.do(ctx, ops...); err != nil {
			return refs, fmt.Errorf("ledger: erase: %w", err)
		}
		for i, id := range part {
			if v, err := texts(ops[i].cmd.Val(), 2); err == nil {
				refs = append(refs, Ref{ID: id, Class: classOf(v[0]), State: stateOf(v[1])})
			}
		}
	}
	return refs, nil
}

// erasePeople drops what is kept of them beside their messages.
func (l *Ledger) erasePeople(ctx context.Context, p *people) error {
	var ops []*op
	for openid := range p.openids {
		ops = append(ops, &op{plain: redis.NewIntCmd(ctx, "del", l.nearKey(openid))})
	}
	held, err := l.suppressionsOf(ctx, p)
	if err != nil {
		return err
	}
	for _, member := range held {
		ops = append(ops,
			&op{plain: redis.NewIntCmd(ctx, "hdel", l.suppressionsKey(), member)},
			&op{plain: redis.NewIntCmd(ctx, "zrem", l.suppressionEndsKey(), member)})
	}
	for len(ops) > 0 {
		part := ops[:min(len(ops), batchSize)]
		ops = ops[len(part):]
		if err := l.batch.do(ctx, part...); err != nil {
			return fmt.Errorf("ledger: erase: %w", err)
		}
	}
	return nil
}

// suppressionsOf lists the people's entries, those that are over included.
func (l *Ledger) suppressionsOf(ctx context.Context, p *people) ([]string, error) {
	var held []string
	for cursor, first := uint64(0), true; first || cursor != 0; first = false {
		cmd := redis.NewScanCmd(ctx, nil, "hscan", l.suppressionsKey(), cursor, "count", batchSize)
		if err := l.batch.do(ctx, &op{plain: cmd}); err != nil && !errors.Is(err, redis.Nil) {
			return nil, fmt.Errorf("ledger: search the suppressions: %w", err)
		}
		var list []string
		list, cursor = cmd.Val()
		for i := 0; i+1 < len(list); i += 2 {
			if openid, _, _ := strings.Cut(list[i], "|"); p.openids[openid] {
				held = append(held, list[i])
			}
		}
	}
	return held, nil
}
