package enroll

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/names"
	"github.com/wxnotify/wxnotify/internal/seal"
	"github.com/wxnotify/wxnotify/internal/ticket"
)

// BindPolicy says what a further openid of a user does.
type BindPolicy string

// The policies.
const (
	// BindLatest binds it: messages go to the openid that was bound last and may be
	// written to. The default.
	BindLatest BindPolicy = "latest"
	// BindFirst refuses it until the user's openids are unbound.
	BindFirst BindPolicy = "first"
)

// Bound is what Bind did.
type Bound string

// The outcomes of Bind.
const (
	BoundNow    Bound = "bound"
	BoundAgain  Bound = "again" // this openid was bound by the ticket before: nothing changed
	TicketSpent Bound = "spent" // the ticket has been used
	UserTaken   Bound = "taken" // with BindFirst: the user has another openid
	UserFull    Bound = "full"  // the user has 16 openids
)

//go:embed lua/bind.lua
var bindLua string

//go:embed lua/unbind.lua
var unbindLua string

var (
	bindScript   = redis.NewScript(bindLua)
	unbindScript = redis.NewScript(unbindLua)
)

// By returns the roster for changes by actor, a command or a person: the audit trail
// names it.
func (r *Roster) By(actor string) *Roster {
	with := *r
	with.actor = actor
	return &with
}

// Bind adds b. A user may have up to 16 openids; messages go to the one bound
// last that may be written to. A ticket binds one openid, once; it
// binds none again after that one was unbound or erased. UnionID and Follows are kept from earlier
// when b does not tell. The audit trail and Config.OnChange get the change.
func (r *Roster) Bind(ctx context.Context, b Binding, t *ticket.Ticket) (Bound, error) {
	if b.User == "" || b.OpenID == "" {
		return "", errors.New("enroll: a binding needs a user and an openid")
	}
	if err := r.admit(ctx); err != nil {
		return "", err
	}
	keys, args := r.bindCall(b, time.Now())
	if t != nil {
		keys = append(keys, r.keys.ticket(t.ID), r.keys.ticketsOf(b.OpenID))
		args[bindTicket], args[bindTicketEnds] = t.ID.String(), ticketEnds(*t).UnixMilli()
	}
	reply, err := bindScript.Run(ctx, r.rdb, keys, args...).Text()
	if err != nil {
		return "", fmt.Errorf("enroll: bind: %w", names.Explain(err))
	}
	return Bound(reply), nil
}

// Places in the arguments of bind.lua, for a binding by a ticket.
const bindTicket, bindTicketEnds = 10, 11

// bindCall are the keys and arguments of bind.lua, for a binding without a ticket.
func (r *Roster) bindCall(b Binding, now time.Time) (keys []string, args []any) {
	follows, first, n := "", "0", r.names()
	if b.Follows != nil {
		follows = flag(*b.Follows)
	}
	if r.cfg.Bind == BindFirst {
		first = "1"
	}
	args = []any{
		n.Seal(seal.User, b.User), n.Seal(seal.OpenID, b.OpenID), now.UnixMilli(), b.How, n.Seal(seal.UnionID, b.UnionID), follows, ledger.MaxOpenIDs, first,
		ledger.MaxBindings, maxChanges, "", int64(0), randomName(),
	}
	return append(r.changed(b.User, b.OpenID), r.trailKeys()...), append(args, r.trailLine(b.User, b.OpenID, b.How)...)
}

// ticketEnds is when the state of a ticket is forgotten: a follower may be on the way
// through WeChat's page when the ticket expires. It is a minute from now at least.
func ticketEnds(t ticket.Ticket) time.Time {
	ends, least := t.ExpiresAt.Add(stateLife), time.Now().Add(time.Minute)
	if ends.Before(least) {
		return least
	}
	return ends
}

// Unbind takes openid from user; an empty openid means all of them. It returns
// how many there were. The links by which they were bound cannot be used again. The
// audit trail and Config.OnChange get the change.
func (r *Roster) Unbind(ctx context.Context, user, openid string) (int, error) {
	return r.unbind(ctx, user, openid, true)
}

// forgetBinding is Unbind for an erasure. It writes no line about the unbinding, because
// the erasure has its own, and removes changes of the pair that OnChange did not get yet.
func (r *Roster) forgetBinding(ctx context.Context, user, openid string) (int, error) {
	n, err := r.unbind(ctx, user, openid, false)
	if err != nil {
		return n, err
	}
	return n, r.dropChanges(ctx, func(c Change) bool { return c.User == user && (c.OpenID == openid || c.Previous == openid) })
}

func (r *Roster) unbind(ctx context.Context, user, openid string, recorded bool) (int, error) {
	openids := []string{openid}
	if openid == "" {
		var err error
		if openids, err = r.openidsOf(ctx, user); err != nil {
			return 0, fmt.Errorf("enroll: unbind: %w", err)
		}
	}
	if err := r.admit(ctx); err != nil {
		return 0, err
	}
	n := 0
	for _, o := range openids {
		keys := r.changed(user, o)
		if recorded {
			keys = append(keys, r.trailKeys()...)
		}
		args := append([]any{r.names().Seal(seal.User, user), r.names().Seal(seal.OpenID, o), time.Now().UnixMilli(), ledger.MaxBindings, maxChanges, r.actor}, r.trailLine(user, o, "")...)
		gone, err := unbindScript.Run(ctx, r.rdb, keys, args...).Int()
		if err != nil {
			return n, wrap(err, "unbind")
		}
		n += gone
		if err := r.voidTickets(ctx, user, o); err != nil {
			return n, err
		}
	}
	return n, nil
}

// openidsOf are those of a user, in no order.
func (r *Roster) openidsOf(ctx context.Context, user string) ([]string, error) {
	if err := r.admit(ctx); err != nil {
		return nil, err
	}
	openids, err := r.rdb.HKeys(ctx, r.records.UserKey(user)).Result()
	for i, openid := range openids {
		openids[i] = r.names().Open(seal.OpenID, openid)
	}
	return openids, wrap(err, "read the roster")
}

// voidTickets removes what is kept of the tickets that bound openid to user, but for
// the mark that they were used.
func (r *Roster) voidTickets(ctx context.Context, user, openid string) error {
	key := r.keys.ticketsOf(openid)
	used, err := r.rdb.ZRangeWithScores(ctx, key, 0, -1).Result()
	if err != nil || len(used) == 0 {
		return wrap(err, "read the tickets of a follower")
	}
	_, err = r.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, z := range used {
			member, _ := z.Member.(string)
			name, whose, _ := strings.Cut(member, " ")
			id, err := ticket.ParseID(name)
			if err != nil || r.names().Open(seal.User, whose) != user {
				continue
			}
			pipe.HDel(ctx, r.keys.ticket(id), "s", "n", "e", "q")
			pipe.HSet(ctx, r.keys.ticket(id), "u", voidMark)
			pipe.PExpireAt(ctx, r.keys.ticket(id), time.UnixMilli(int64(z.Score)))
			pipe.Del(ctx, r.keys.qr(name), r.keys.qr(name)+":lock", ticket.HandOffKey(r.account, id))
			pipe.ZRem(ctx, key, member)
		}
		return nil
	})
	return wrap(err, "void the tickets of a follower")
}

// changed are the keys that hold a binding.
func (r *Roster) changed(user, openid string) []string {
	return []string{r.records.UserKey(user), r.keys.follower(openid), r.keys.roster()}
}

// trailKeys are the keys to which a change is written.
func (r *Roster) trailKeys() []string {
	return []string{ledger.BindingsKey(r.account), r.keys.changes()}
}

// trailLine is a line of the trail of bindings without its action.
func (r *Roster) trailLine(user, openid, how string) []any {
	e := ledger.Entry{Actor: r.actor, User: user, OpenID: openid}
	if how != "" {
		e.Detail = "by " + how
	}
	return ledger.AuditFields(e)[2:]
}
