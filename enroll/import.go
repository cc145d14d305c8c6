package enroll

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/internal/seal"
)

// ByImport is how an imported openid came to be bound.
const ByImport = "import"

// ImportBatch is a good number of bindings for one call of Import.
const ImportBatch = 500

// The outcomes of Import, beside those of Bind.
const (
	// BoundBefore: the binding is there already; nothing changed but what the file or
	// WeChat tells of the follower.
	BoundBefore Bound = "unchanged"
	// NotOurs: WeChat does not know the openid in this account.
	NotOurs Bound = "not-of-this-account"
	// OtherUnionID: WeChat knows the openid with another unionid.
	OtherUnionID Bound = "other-unionid"
)

// Imported is what Import did with one binding.
type Imported struct {
	Bound   Bound
	Follows *bool // nil: not known
}

// Refused reports that the binding is not on the roster.
func (i Imported) Refused() bool {
	return i.Bound != BoundNow && i.Bound != BoundBefore
}

// Import binds openids that another system has captured, in their order, and returns one result
// for each. With check it asks WeChat about those that are new or whose following is not known (user/info/batchget,
// 100 a call): an openid of another account and one with another unionid are refused, and
// one that does not follow is bound and suppressed. What is bound already stays as it is,
// so that an import that was stopped may be repeated. An error says that the batch may be done in part.
func (r *Roster) Import(ctx context.Context, list []Binding, check bool) ([]Imported, error) {
	out := make([]Imported, len(list))
	err := r.readBound(ctx, list, out)
	if err == nil && check {
		err = r.checkImport(ctx, list, out)
	}
	if err != nil {
		return nil, err
	}
	if err := r.bindImported(ctx, list, out); err != nil {
		return nil, err
	}
	return out, r.noteImported(ctx, list, out)
}

// readBound sets BoundBefore and Follows of what is bound.
func (r *Roster) readBound(ctx context.Context, list []Binding, out []Imported) error {
	if err := r.admit(ctx); err != nil {
		return err
	}
	n := r.names()
	pipe := r.rdb.Pipeline()
	bound := make([]*redis.BoolCmd, len(list))
	follows := make([]*redis.StringCmd, len(list))
	for i, b := range list {
		if b.User == "" || b.OpenID == "" {
			return errors.New("enroll: a binding needs a user and an openid")
		}
		bound[i] = pipe.HExists(ctx, r.records.UserKey(b.User), n.Seal(seal.OpenID, b.OpenID))
		follows[i] = pipe.HGet(ctx, r.keys.follower(b.OpenID), "f")
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return wrap(err, "read the roster")
	}
	seen := map[[2]string]bool{}
	for i, b := range list {
		pair := [2]string{b.User, b.OpenID}
		if bound[i].Val() || seen[pair] {
			out[i].Bound = BoundBefore
		}
		seen[pair] = true
		if f := follows[i].Val(); f != "" {
			yes := f == "1"
			out[i].Follows = &yes
		}
	}
	return nil
}

// checkImport asks WeChat and refuses what it contradicts. An answer that is known already
// is not asked for again: a repeated import costs WeChat's quota for the rest only.
func (r *Roster) checkImport(ctx context.Context, list []Binding, out []Imported) error {
	if r.cfg.WeChat == nil {
		return errors.New("enroll: the check needs a WeChat client")
	}
	var openids []string
	asked := map[string]bool{}
	for i, b := range list {
		known := out[i].Bound == BoundBefore && out[i].Follows != nil
		if !known && !asked[b.OpenID] && !job.Simulated(b.OpenID) {
			openids, asked[b.OpenID] = append(openids, b.OpenID), true
		}
	}
	users, err := r.askFollowers(ctx, openids)
	if err != nil {
		return err
	}
	for i := range list {
		b := &list[i]
		if !asked[b.OpenID] {
			continue
		}
		u, known := users[b.OpenID]
		switch {
		case !known:
			out[i].Bound = NotOurs
		case b.UnionID != "" && u.UnionID != "" && b.UnionID != u.UnionID:
			out[i].Bound = OtherUnionID
		default:
			out[i].Follows, b.Follows = &u.Subscribed, &u.Subscribed
			if u.UnionID != "" {
				b.UnionID = u.UnionID
			}
		}
	}
	return nil
}

// bindImported binds what has no outcome yet.
func (r *Roster) bindImported(ctx context.Context, list []Binding, out []Imported) error {
	var calls []redis.Cmder
	var at []int
	now := time.Now()
	nth := map[string]int{} // of the user's openids: messages go to the last, so that the times must differ
	for i, b := range list {
		if out[i].Bound == "" {
			keys, args := r.bindCall(b, now.Add(time.Duration(nth[b.User])*time.Millisecond))
			nth[b.User]++
			calls, at = append(calls, bindCalls.Call(ctx, keys, args...)), append(at, i)
		}
	}
	redisx.Exec(ctx, r.rdb, calls...)
	for j, c := range calls {
		call, _ := c.(*redisx.Call)
		reply, err := call.Text()
		if err != nil {
			return wrap(err, "bind")
		}
		out[at[j]].Bound = Bound(reply)
	}
	return nil
}

// noteImported writes what the file and WeChat tell of those that are bound.
func (r *Roster) noteImported(ctx context.Context, list []Binding, out []Imported) error {
	var facts []fact
	for i, b := range list {
		if out[i].Bound == BoundBefore && (b.UnionID != "" || b.Follows != nil) {
			facts = append(facts, fact{openid: b.OpenID, follows: b.Follows, unionid: b.UnionID})
		}
		if !out[i].Refused() && b.Follows != nil {
			if err := r.applyFollows(ctx, b.OpenID, *b.Follows); err != nil {
				return err
			}
		}
	}
	_, err := r.noteFacts(ctx, facts)
	return err
}
