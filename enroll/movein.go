package enroll

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/internal/seal"
	"github.com/wxnotify/wxnotify/wechat"
)

//go:embed lua/note.lua
var noteLua string

// Scripts that are called many at once.
var (
	noteCalls = redisx.NewScript(noteLua)
	bindCalls = redisx.NewScript(bindLua)
)

// FollowerAPI is what Import, Sync and Migrate ask WeChat: *wechat.Client.
type FollowerAPI interface {
	UserInfos(ctx context.Context, openids []string) ([]wechat.UserInfo, error)
	Followers(ctx context.Context, next string) (wechat.FollowerPage, error)
	ChangeOpenIDs(ctx context.Context, from string, openids []string) ([]wechat.ChangedOpenID, error)
}

// fact is what is known of a follower.
type fact struct {
	openid  string
	follows *bool // nil: not known
	unionid string
	number  string // of the synchronization
}

// knownBefore is what was known of a follower before.
type knownBefore struct {
	bound   bool
	follows *bool
	event   bool // an event said something within the last hour
}

// noteSize bounds the followers of one script call: Redis does nothing else for less
// than a millisecond.
const noteSize = 200

// noteFacts writes facts about those of the followers that are bound.
func (r *Roster) noteFacts(ctx context.Context, facts []fact) ([]knownBefore, error) {
	if err := r.admit(ctx); err != nil {
		return nil, err
	}
	var calls []redis.Cmder
	for part := range slices.Chunk(facts, noteSize) {
		keys, args := make([]string, 0, 2*len(part)), make([]any, 0, 3*len(part))
		for _, f := range part {
			follows := ""
			if f.follows != nil {
				follows = flag(*f.follows)
			}
			keys = append(keys, r.keys.follower(f.openid), r.keys.followed(f.openid))
			args = append(args, follows, r.names().Seal(seal.UnionID, f.unionid), f.number)
		}
		calls = append(calls, noteCalls.Call(ctx, keys, args...))
	}
	redisx.Exec(ctx, r.rdb, calls...)
	out := make([]knownBefore, 0, len(facts))
	for _, c := range calls {
		call, _ := c.(*redisx.Call)
		reply, err := call.StringSlice()
		if err != nil {
			return nil, wrap(err, "note what is known of followers")
		}
		for _, s := range reply {
			out = append(out, knownBeforeOf(s))
		}
	}
	return out, nil
}

func knownBeforeOf(reply string) knownBefore {
	n := knownBefore{bound: reply[0] != '-', event: len(reply) > 1}
	if reply[0] == '0' || reply[0] == '1' {
		follows := reply[0] == '1'
		n.follows = &follows
	}
	return n
}

// askFollowers asks WeChat for users. What it refuses as a whole because of openids of another
// account it asks for in parts: those are missing in what is returned, and so are openids that
// the answer lacks.
func (r *Roster) askFollowers(ctx context.Context, openids []string) (map[string]wechat.UserInfo, error) {
	known := make(map[string]wechat.UserInfo, len(openids))
	for part := range slices.Chunk(openids, wechat.MaxBatch) {
		if err := r.askPart(ctx, part, known); err != nil {
			return nil, err
		}
	}
	return known, nil
}

func (r *Roster) askPart(ctx context.Context, openids []string, into map[string]wechat.UserInfo) error {
	list, err := r.cfg.WeChat.UserInfos(ctx, openids)
	var refusal *wechat.Error
	switch {
	case errors.As(err, &refusal) && refusal.Code == wechat.CodeInvalidOpenID && len(openids) == 1:
		return nil
	case errors.As(err, &refusal) && refusal.Code == wechat.CodeInvalidOpenID:
		half := len(openids) / 2
		if err := r.askPart(ctx, openids[:half], into); err != nil {
			return err
		}
		return r.askPart(ctx, openids[half:], into)
	case err != nil:
		return fmt.Errorf("enroll: ask WeChat for followers: %w", err)
	}
	for _, u := range list {
		into[u.OpenID] = u
	}
	return nil
}

// applyFollows writes whether an openid follows, as WeChat has just answered: to the suppressions
// or, with EraseUnsubscribed, by an erasure.
func (r *Roster) applyFollows(ctx context.Context, openid string, follows bool) error {
	switch {
	case follows:
		_, err := r.records.Listed(ctx, openid)
		return wrap(err, "lift a suppression")
	case r.cfg.EraseUnsubscribed:
		_, _, err := r.beginErasure(ctx, Person{OpenID: openid}, whyUnsubscribed)
		return err
	default:
		return wrap(r.records.Unsubscribed(ctx, openid), "suppress a follower who left")
	}
}
