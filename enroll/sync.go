package enroll

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/seal"
	"github.com/wxnotify/wxnotify/wechat"
)

// keepSync is how long a synchronization that was stopped can be resumed.
const keepSync = 7 * 24 * time.Hour

// Synced counts what Sync found, those of the runs before among them when it was resumed.
type Synced struct {
	Total    int64 `json:"followers"`           // as WeChat says
	Listed   int64 `json:"read"`                // followers that were read
	Bound    int64 `json:"bound"`               // of those, on the roster
	Joined   int64 `json:"joined"`              // on the roster, and not known to follow before
	Left     int64 `json:"left"`                // on the roster, and do not follow any more
	Lifted   int64 `json:"suppressions_lifted"` // because the person follows
	NotOurs  int64 `json:"not_of_this_account"` // on the roster, and unknown to WeChat in this account
	Resumed  bool  `json:"resumed"`             // the list was not read from its start
	Complete bool  `json:"-"`
}

// syncState is what is kept of a synchronization until it is complete.
type syncState struct {
	number string // of this synchronization: when it began, in Unix milliseconds
	next   string // openid after which the list goes on
	listed bool   // the list was read to its end
	cursor string // of the roster, which is read after the list
	done   Synced
}

// Sync reads all followers of the account (user/get, 10 000 a call) and marks them and
// those who left on the roster: what events did not tell, because there was no callback or
// it was down. Whom the list lacks it asks for one by one (user/info/batchget) before it
// marks them. It ends suppressions of those who follow, and suppresses those who left, or
// with EraseUnsubscribed erases them. It keeps one page in memory. After an error, such as WeChat's quota of 500
// lists a day, and after a crash, the next call goes on where it stopped, within 7 days; restart begins anew.
// progress is called after each step; it may be nil.
func (r *Roster) Sync(ctx context.Context, restart bool, progress func(Synced)) (Synced, error) {
	if r.cfg.WeChat == nil {
		return Synced{}, errors.New("enroll: Sync needs a WeChat client")
	}
	if progress == nil {
		progress = func(Synced) {}
	}
	s, err := r.loadSync(ctx, restart)
	if err != nil {
		return Synced{}, err
	}
	for !s.listed {
		if err := r.syncPage(ctx, &s); err != nil {
			return s.done, err
		}
		progress(s.done)
	}
	for !s.done.Complete {
		if err := r.syncLeavers(ctx, &s); err != nil {
			return s.done, err
		}
		progress(s.done)
	}
	return s.done, wrap(r.rdb.Del(ctx, r.keys.sync()).Err(), "end the synchronization")
}

// syncPage reads one page of followers.
func (r *Roster) syncPage(ctx context.Context, s *syncState) error {
	page, err := r.cfg.WeChat.Followers(ctx, s.next)
	var refusal *wechat.Error
	if errors.As(err, &refusal) && refusal.Code == wechat.CodeInvalidOpenID && s.next != "" {
		_ = r.rdb.Del(ctx, r.keys.sync()).Err() // else the next one fails, too
		return fmt.Errorf("enroll: the follower after whom the list goes on has left: begin anew: %w", err)
	}
	if err != nil {
		return fmt.Errorf("enroll: list the followers: %w", err)
	}
	follows := true
	facts := make([]fact, 0, len(page.OpenIDs))
	for _, openid := range page.OpenIDs {
		facts = append(facts, fact{openid: openid, follows: &follows, number: s.number})
	}
	known, err := r.noteFacts(ctx, facts)
	if err != nil {
		return err
	}
	quiet := make([]string, 0, len(facts)) // no event said anything of them
	for i, k := range known {
		if k.bound {
			s.done.Bound++
		}
		if k.bound && !k.event && (k.follows == nil || !*k.follows) {
			s.done.Joined++
		}
		if !k.event {
			quiet = append(quiet, facts[i].openid)
		}
	}
	lifted, err := r.records.Listed(ctx, quiet...)
	if err != nil {
		return wrap(err, "lift suppressions")
	}
	s.done.Lifted += int64(lifted)
	s.done.Listed += int64(len(facts))
	s.done.Total = page.Total
	s.next, s.listed = page.Next, page.Next == ""
	return r.saveSync(ctx, s)
}

// syncLeavers reads a page of the roster and asks WeChat about those that were not listed.
func (r *Roster) syncLeavers(ctx context.Context, s *syncState) error {
	list, next, err := r.Page(ctx, s.cursor, ImportBatch)
	if err != nil {
		return err
	}
	absent, err := r.absent(ctx, list, s.number)
	if err != nil {
		return err
	}
	users, err := r.askFollowers(ctx, absent)
	if err != nil {
		return err
	}
	for _, openid := range absent {
		u, known := users[openid]
		if !known {
			s.done.NotOurs++
			continue
		}
		before, err := r.noteFacts(ctx, []fact{{openid: openid, follows: &u.Subscribed, number: s.number}})
		if err != nil {
			return err
		}
		if before[0].event {
			continue // it was told, and written
		}
		if !u.Subscribed {
			s.done.Left++
		}
		if err := r.applyFollows(ctx, openid, u.Subscribed); err != nil {
			return err
		}
	}
	s.cursor, s.done.Complete = next, next == ""
	return r.saveSync(ctx, s)
}

// absent are the openids of the bindings, each once, that this synchronization has not met.
func (r *Roster) absent(ctx context.Context, list []Binding, number string) ([]string, error) {
	pipe := r.rdb.Pipeline()
	marks := make([]*redis.StringCmd, len(list))
	for i, b := range list {
		marks[i] = pipe.HGet(ctx, r.keys.follower(b.OpenID), "y")
	}
	if len(list) > 0 {
		if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
			return nil, wrap(err, "read the roster")
		}
	}
	var out []string
	seen := map[string]bool{}
	for i, b := range list {
		if marks[i].Val() != number && !seen[b.OpenID] && !job.Simulated(b.OpenID) {
			out, seen[b.OpenID] = append(out, b.OpenID), true
		}
	}
	return out, nil
}

// sync is a hash of a synchronization that is not complete.
func (k keys) sync() string { return k.under(syncKey) }

func (r *Roster) loadSync(ctx context.Context, restart bool) (syncState, error) {
	s := syncState{number: strconv.FormatInt(time.Now().UnixMilli(), 10)}
	if restart {
		return s, nil
	}
	f, err := r.rdb.HGetAll(ctx, r.keys.sync()).Result()
	if err != nil || len(f) == 0 {
		return s, wrap(err, "read the synchronization")
	}
	s = syncState{number: f["number"], next: r.names().Open(seal.OpenID, f["next"]), listed: f["listed"] == "1", cursor: f["cursor"]}
	for name, into := range s.done.fields() {
		*into, _ = strconv.ParseInt(f[name], 10, 64)
	}
	s.done.Resumed = true
	return s, nil
}

func (r *Roster) saveSync(ctx context.Context, s *syncState) error {
	key := r.keys.sync()
	args := []any{"number", s.number, "next", r.names().Seal(seal.OpenID, s.next), "listed", flag(s.listed), "cursor", s.cursor}
	for name, from := range s.done.fields() {
		args = append(args, name, *from)
	}
	_, err := r.rdb.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.HSet(ctx, key, args...)
		pipe.PExpire(ctx, key, keepSync)
		return nil
	})
	return wrap(err, "save the synchronization")
}

// fields are the counts by their names in Redis.
func (s *Synced) fields() map[string]*int64 {
	return map[string]*int64{
		"total": &s.Total, "read": &s.Listed, "bound": &s.Bound, "joined": &s.Joined, "lifted": &s.Lifted,
		"left": &s.Left, "foreign": &s.NotOurs,
	}
}
