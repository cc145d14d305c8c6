package enroll

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/seal"
	"github.com/wxnotify/wxnotify/wechat"
)

// ByMigration is how an openid came to be bound that Migrate converted.
const ByMigration = "migration"

// Converted is what Migrate did with one binding of the previous account.
type Converted struct {
	User, Old string
	New       string // empty: WeChat did not convert it, and the binding stays where it is
	Bound     Bound  // BoundNow or BoundBefore; UserFull and UserTaken: the binding stays where it is
	Message   string // WeChat's reason where it did not convert it
}

// Moved reports that the binding is on the roster of the new account now, and not on
// that of the previous one.
func (c Converted) Moved() bool { return c.Bound == BoundNow || c.Bound == BoundBefore }

// Migration is what Migrate moves.
type Migration struct {
	// From is the appid of the previous account, whose roster is in the same Redis.
	From string
	// FromID is what WeChat is told, such as the original id gh_…. Default: From.
	FromID string
}

// Migrate moves the roster of another account here, after WeChat has moved its followers
// (帐号迁移): WeChat converts their openids for 15 days (changeopenid, 100 a call). Of each
// binding, the new openid is bound to the user, the old one is suppressed in both accounts,
// and the old binding is removed. An operator's suppression of the old openid, and a follower's refusal of messages, go
// with the person. What could not be converted stays on the roster of the previous account.
//
// What is left there is what is left to do: after an error or a crash the next call goes
// on with it, and converts nothing twice. each is called with every result.
func (r *Roster) Migrate(ctx context.Context, mig Migration, each func(Converted) error) error {
	switch {
	case r.cfg.WeChat == nil:
		return errors.New("enroll: Migrate needs a WeChat client")
	case mig.From == r.account:
		return errors.New("enroll: the previous account is the new one")
	case mig.FromID == "":
		mig.FromID = mig.From
	}
	cfg := r.cfg
	cfg.Account = mig.From
	from, err := NewRoster(cfg)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	from = from.By(r.actor)
	for cursor, first := "", true; first || cursor != ""; first = false {
		var list []Binding
		list, cursor, err = from.Page(ctx, cursor, wechat.MaxBatch)
		if err != nil {
			return err
		}
		for part := range slices.Chunk(list, wechat.MaxBatch) {
			if err := r.migrateBatch(ctx, from, mig.FromID, part, each); err != nil {
				return err
			}
		}
	}
	return nil
}

// migrateBatch converts up to 100 bindings.
func (r *Roster) migrateBatch(ctx context.Context, from *Roster, fromID string, list []Binding, each func(Converted) error) error {
	var openids []string
	for _, b := range list {
		if !slices.Contains(openids, b.OpenID) {
			openids = append(openids, b.OpenID)
		}
	}
	answers, err := r.cfg.WeChat.ChangeOpenIDs(ctx, fromID, openids)
	if err != nil {
		return fmt.Errorf("enroll: convert openids: %w", err)
	}
	changed := make(map[string]wechat.ChangedOpenID, len(answers))
	for _, a := range answers {
		changed[a.Old] = a
	}
	for _, b := range list {
		a, answered := changed[b.OpenID]
		if !answered {
			a.Message = "WeChat's answer does not have it"
		}
		c := Converted{User: b.User, Old: b.OpenID, New: a.New, Message: a.Message}
		if c.New != "" {
			c.Message = ""
			if c.Bound, err = r.moveBinding(ctx, from, b, c.New); err != nil {
				return err
			}
		}
		if err := each(c); err != nil {
			return err
		}
	}
	return nil
}

// moveBinding moves one binding. The old binding is removed last: until then everything is
// repeated after a crash.
func (r *Roster) moveBinding(ctx context.Context, from *Roster, old Binding, openid string) (Bound, error) {
	if err := r.takeSuppression(ctx, from, old.OpenID, openid); err != nil {
		return "", err
	}
	b := Binding{User: old.User, OpenID: openid, How: ByMigration}
	bound, err := r.rdb.HExists(ctx, r.records.UserKey(b.User), r.names().Seal(seal.OpenID, openid)).Result()
	if err != nil {
		return "", wrap(err, "read the roster")
	}
	result := BoundBefore
	if !bound {
		// The time of the old binding keeps the order of a user's openids.
		keys, args := r.bindCall(b, old.BoundAt)
		text, err := bindCalls.Run(ctx, r.rdb, keys, args...).Text()
		if result = Bound(text); err != nil || result != BoundNow {
			return result, wrap(err, "bind")
		}
	}
	for _, of := range []*Roster{r, from} {
		if err := of.records.Migrated(ctx, old.OpenID); err != nil {
			return "", wrap(err, "suppress an old openid")
		}
		if _, err := of.Unbind(ctx, old.User, old.OpenID); err != nil {
			return "", err
		}
	}
	return result, nil
}

// takeSuppression gives the new openid the suppression of the old one. That of a
// follower who left says nothing: WeChat converts followers only.
func (r *Roster) takeSuppression(ctx context.Context, from *Roster, old, openid string) error {
	list, err := from.records.Suppressed(ctx, ledger.Recipient{OpenID: old})
	if err != nil || list[0] == nil || !list[0].Stays() {
		return wrap(err, "read a suppression")
	}
	s := *list[0]
	s.OpenID = openid
	return wrap(r.records.Suppress(ctx, s), "take a suppression along")
}
