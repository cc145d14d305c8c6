package enroll_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

const (
	previousID = "wxsim0000000000old"
	batchPath  = "/cgi-bin/user/info/batchget"
	changePath = "/cgi-bin/changeopenid"
	listPath   = "/cgi-bin/user/get"
)

// mover is the roster of w as a command has it, with rdb.
func (w *world) mover(rdb redis.UniversalClient, change ...func(*enroll.RosterConfig)) *enroll.Roster {
	w.t.Helper()
	return newRoster(w.t, rdb, appID, func(c *enroll.RosterConfig) {
		c.WeChat, _ = w.account(appID).Platform.(*wechat.Client)
		for _, f := range change {
			f(c)
		}
	}).By("test")
}

// follows is what the roster says of the first openid of a user.
func (w *world) follows(user string) string {
	w.t.Helper()
	list, err := w.roster.Of(w.t.Context(), user)
	must(w.t, err)
	switch {
	case len(list) == 0:
		return "not bound"
	case list[0].Follows == nil:
		return "not known"
	default:
		return strconv.FormatBool(*list[0].Follows)
	}
}

func boundOf(list []enroll.Imported) (out []enroll.Bound) {
	for _, i := range list {
		out = append(out, i.Bound)
	}
	return out
}

func TestImportChecksOnceAndBindsOnce(t *testing.T) {
	t.Parallel()
	story(t, settings{platform: wechattest.Config{UnionIDs: true, Accounts: []wechattest.AccountConfig{{AppID: appID, OpenIDPrefix: "oA"}}}}, func(t *testing.T, w *world) {
		w.p.Account(appID).Unfollow("oA-left")
		m := w.mover(w.rdb)
		list := func() []enroll.Binding {
			return []enroll.Binding{
				binding("u1", "oA-1"), binding("u2", "oA-left"), binding("u3", "oB-1"), binding("u1", "oA-1"),
				{User: "u4", OpenID: "oA-4", UnionID: "oUother", How: "import"},
				binding("u5", "wxn-sim-delivered"), binding("u1", "oA-0"),
			}
		}
		want := []enroll.Bound{
			enroll.BoundNow, enroll.BoundNow, enroll.NotOurs, enroll.BoundBefore, enroll.OtherUnionID, enroll.BoundNow, enroll.BoundNow,
		}
		got, err := m.Import(t.Context(), list(), true)
		must(t, err)
		if said := boundOf(got); !slices.Equal(said, want) {
			t.Errorf("%v, want %v", said, want)
		}
		if w.follows("u1") != "true" || w.follows("u2") != "false" || w.follows("u3") != "not bound" || w.follows("u4") != "not bound" {
			t.Errorf("%s %s %s %s", w.follows("u1"), w.follows("u2"), w.follows("u3"), w.follows("u4"))
		}
		if of, _ := w.roster.Of(t.Context(), "u1"); len(of) != 2 || of[0].OpenID != "oA-0" || of[0].UnionID == "" {
			t.Errorf("the last line of a user is not the latest openid: %+v", of)
		}
		if s := w.suppression("oA-left"); s == nil || s.Reason != "unsubscribed" {
			t.Errorf("the openid that left: %+v", s)
		}
		calls := w.p.Calls(batchPath).Total
		again, err := m.Import(t.Context(), list()[:2], true)
		must(t, err)
		if said := boundOf(again); !slices.Equal(said, []enroll.Bound{enroll.BoundBefore, enroll.BoundBefore}) {
			t.Errorf("again: %v", said)
		}
		if n := w.p.Calls(batchPath).Total - calls; n != 0 {
			t.Errorf("%d calls for what is known", n)
		}
		if changes, _ := w.rdb.XLen(t.Context(), ledger.BindingsKey(appID)).Result(); changes != 4 {
			t.Errorf("%d lines in the trail of bindings, want 4", changes)
		}
	})
}

func TestImportKeepsTheBindPolicyAndTellsUnionIDsLater(t *testing.T) {
	t.Parallel()
	_, rdb := redistest.Mini(t)
	m := newRoster(t, rdb, appID, func(c *enroll.RosterConfig) { c.Bind = enroll.BindFirst })
	got, err := m.Import(t.Context(), []enroll.Binding{binding("u1", "o1"), binding("u1", "o2"), {User: "u1", OpenID: "o1", UnionID: "oU1"}}, false)
	must(t, err)
	if said := boundOf(got); !slices.Equal(said, []enroll.Bound{enroll.BoundNow, enroll.UserTaken, enroll.BoundBefore}) || !got[1].Refused() || got[2].Refused() {
		t.Errorf("%v", said)
	}
	if of, _ := m.Of(t.Context(), "u1"); len(of) != 1 || of[0].UnionID != "oU1" {
		t.Errorf("%+v", of)
	}
	if _, err := m.Import(t.Context(), []enroll.Binding{binding("u1", "o1")}, true); err == nil {
		t.Error("checked without a WeChat client")
	}
	if _, err := m.Import(t.Context(), []enroll.Binding{{User: "u1"}}, false); err == nil {
		t.Error("bound nothing to a user")
	}
}

func TestSyncMarksFollowersAndLeavers(t *testing.T) {
	t.Parallel()
	for name, erase := range map[string]bool{"suppress": false, "erase": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			story(t, settings{platform: wechattest.Config{Strangers: true, Accounts: []wechattest.AccountConfig{{AppID: appID, OpenIDPrefix: "o"}}}}, func(t *testing.T, w *world) {
				a := w.p.Account(appID)
				a.Follow("o-joined", "o-stays", "o-unbound", "o-refuses")
				for user, openid := range map[string]string{
					"joined": "o-joined", "left": "o-left", "stays": "o-stays", "foreign": "x-foreign", "refuses": "o-refuses", "simulated": "wxn-sim-delivered",
				} {
					_, err := w.roster.Bind(t.Context(), binding(user, openid), nil)
					must(t, err)
				}
				must(t, w.roster.Follow(t.Context(), "o-left", true))
				must(t, w.roster.Follow(t.Context(), "o-stays", true))
				must(t, w.records.Unsubscribed(t.Context(), "o-unbound")) // it has come back, and no event told
				must(t, w.records.Suppress(t.Context(), ledger.Suppression{OpenID: "o-refuses", Reason: "user-block"}))
				var steps int
				done, err := w.mover(w.rdb, func(c *enroll.RosterConfig) { c.EraseUnsubscribed = erase }).
					Sync(t.Context(), false, func(enroll.Synced) { steps++ })
				must(t, err)
				want := enroll.Synced{Total: 4, Listed: 4, Bound: 3, Joined: 2, Lifted: 1, Left: 1, NotOurs: 1, Complete: true}
				if done != want || steps < 2 {
					t.Errorf("%+v after %d steps, want %+v", done, steps, want)
				}
				if w.follows("joined") != "true" || w.follows("stays") != "true" || w.follows("foreign") != "not known" {
					t.Errorf("%s %s %s", w.follows("joined"), w.follows("stays"), w.follows("foreign"))
				}
				if w.suppression("o-unbound") != nil || w.suppression("o-refuses") == nil {
					t.Error("the list of followers proves that they follow, and nothing else")
				}
				if erase && w.follows("left") != "not bound" || !erase && (w.follows("left") != "false" || w.suppression("o-left") == nil) {
					t.Errorf("left: %s", w.follows("left"))
				}
				if n, _ := w.rdb.Exists(t.Context(), "wxn:{"+appID+"}:sync").Result(); n != 0 {
					t.Error("the state of a complete synchronization stays")
				}
			})
		})
	}
}

// A follower who leaves while the list is read is not marked as following again: the event
// is newer.
func TestSyncBelievesEventsOfTheLastHour(t *testing.T) {
	t.Parallel()
	story(t, settings{platform: wechattest.Config{Strangers: true}, run: true}, func(t *testing.T, w *world) {
		w.p.Account(appID).Subscribe("o-1", "")
		settle()
		_, err := w.roster.Bind(t.Context(), binding("u1", "o-1"), nil)
		must(t, err)
		stale := &staleList{FollowerAPI: w.account(appID).Platform.(*wechat.Client), before: func() {
			w.p.Account(appID).Unsubscribe("o-1")
			settle()
		}}
		done, err := w.mover(w.rdb, func(c *enroll.RosterConfig) { c.WeChat = stale }).Sync(t.Context(), false, nil)
		must(t, err)
		if w.follows("u1") != "false" || w.suppression("o-1") == nil || done.Lifted != 0 {
			t.Errorf("%s, suppressed %v, %+v", w.follows("u1"), w.suppression("o-1"), done)
		}
	})
}

// staleList answers with a list that is older than an event.
type staleList struct {
	enroll.FollowerAPI
	before func()
}

func (s *staleList) Followers(ctx context.Context, next string) (wechat.FollowerPage, error) {
	page, err := s.FollowerAPI.Followers(ctx, next)
	if next == "" {
		s.before()
	}
	return page, err
}

func TestSyncGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("one goroutine: nothing for the race detector, and go test runs it whole")
	}
	story(t, settings{platform: wechattest.Config{Strangers: true}}, func(t *testing.T, w *world) {
		a := w.p.Account(appID)
		const followers = 25_000
		all := make([]string, followers)
		for i := range all {
			all[i] = fmt.Sprintf("o-%05d", i)
		}
		a.Follow(all...)
		_, err := w.roster.Bind(t.Context(), binding("last", all[followers-1]), nil)
		must(t, err)
		m := w.mover(w.rdb)
		w.p.Script(wechattest.OK().On(listPath), wechattest.OK().On(listPath), wechattest.Errcode(wechat.CodeQuota).On(listPath))
		done, err := m.Sync(t.Context(), false, nil)
		if err == nil || done.Listed != 20_000 {
			t.Fatalf("the quota: %+v, %v", done, err)
		}
		calls := w.p.Calls(listPath).Total
		done, err = m.Sync(t.Context(), false, nil)
		must(t, err)
		if done.Listed != followers || !done.Resumed || !done.Complete || w.follows("last") != "true" {
			t.Errorf("%+v", done)
		}
		if n := w.p.Calls(listPath).Total - calls; n != 2 { // the third page, and the empty one
			t.Errorf("%d calls to go on", n)
		}
		w.p.Script(wechattest.OK().On(listPath), wechattest.Errcode(wechat.CodeInvalidOpenID).On(listPath))
		if _, err = m.Sync(t.Context(), true, nil); err == nil || !strings.Contains(err.Error(), "begin anew") {
			t.Errorf("the cursor has left: %v", err)
		}
		if done, err = m.Sync(t.Context(), false, nil); err != nil || done.Resumed {
			t.Errorf("after the cursor has left: %+v %v", done, err)
		}
	})
}

// migration is a platform on which previousID has moved to appID, and its roster.
func newMigration(t *testing.T, rdb *redis.Client, followers int) (*world, *enroll.Roster) {
	t.Helper()
	w := newWorld(t, settings{redis: rdb, platform: wechattest.Config{Strangers: true, Accounts: []wechattest.AccountConfig{
		{AppID: appID, OpenIDPrefix: "oN"}, {AppID: previousID, OpenIDPrefix: "oP"},
	}}})
	previous := newRoster(t, w.rdb, previousID, nil)
	for i := range followers {
		openid := fmt.Sprintf("oP-%04d", i)
		w.p.Account(previousID).Follow(openid)
		_, err := previous.Bind(t.Context(), binding(fmt.Sprintf("u%04d", i), openid), nil)
		must(t, err)
	}
	return w, previous
}

func TestMigrateConvertsSuppressesAndRewrites(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, previous := newMigration(t, nil, 250)
		_, err := previous.Bind(t.Context(), binding("left", "oP-left"), nil)
		must(t, err)
		time.Sleep(time.Second) // virtual
		w.p.Account(previousID).Follow("oP-second")
		_, err = previous.Bind(t.Context(), binding("u0000", "oP-second"), nil) // the latest of that user
		must(t, err)
		old, err := ledger.New(w.rdb, previousID, nil, ledger.Config{})
		must(t, err)
		defer func() { _ = old.Close() }()
		must(t, old.Suppress(t.Context(), ledger.Suppression{OpenID: "oP-0001", Reason: "complained", ByAdmin: true}))
		must(t, old.Unsubscribed(t.Context(), "oP-0002"))
		w.p.Account(appID).MigrateFrom(previousID)

		results := map[string]enroll.Converted{}
		err = w.mover(w.rdb).Migrate(t.Context(), enroll.Migration{From: previousID}, func(c enroll.Converted) error {
			results[c.Old] = c
			return nil
		})
		must(t, err)
		if n := w.p.Calls(changePath).Total; n > 4 {
			t.Errorf("%d calls for 252 openids", n)
		}
		for openid, r := range results {
			if moved := openid != "oP-left"; r.Moved() != moved || moved != strings.HasPrefix(r.New, "oN") {
				t.Errorf("%s: %+v", openid, r)
			}
		}
		if r := results["oP-left"]; r.Message != "ori_openid error" {
			t.Errorf("%+v", r)
		}
		if n, _ := previous.Count(t.Context()); n != 1 {
			t.Errorf("%d users stay on the previous roster, want the one that was not converted", n)
		}
		of, err := w.roster.Of(t.Context(), "u0000")
		if err != nil || len(of) != 2 || of[0].OpenID != results["oP-second"].New || of[0].How != enroll.ByMigration {
			t.Errorf("%+v %v", of, err)
		}
		for _, records := range []*ledger.Ledger{w.records, old} {
			list, err := records.Suppressed(t.Context(), ledger.Recipient{OpenID: "oP-0000"})
			if err != nil || list[0] == nil || list[0].Reason != "account-migrated" {
				t.Errorf("the old openid: %+v %v", list, err)
			}
		}
		if s := w.suppression(results["oP-0001"].New); s == nil || !s.ByAdmin || s.Reason != "complained" {
			t.Errorf("an operator's suppression did not go with the person: %+v", s)
		}
		if s := w.suppression(results["oP-0002"].New); s != nil {
			t.Errorf("one who follows again is suppressed: %+v", s)
		}
	})
}

// stopper fails every command to Redis after a number of them, as a killed process would.
type stopper struct {
	redis.Hook
	left int
}

var errKilled = errors.New("killed")

func (s *stopper) DialHook(next redis.DialHook) redis.DialHook { return next }

func (s *stopper) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if s.left--; s.left < 0 {
			cmd.SetErr(errKilled)
			return errKilled
		}
		return next(ctx, cmd)
	}
}

func (s *stopper) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if s.left--; s.left < 0 {
			for _, cmd := range cmds {
				cmd.SetErr(errKilled)
			}
			return errKilled
		}
		return next(ctx, cmds)
	}
}

// Killed after every single command to Redis, and repeated, it ends as one that ran through.
func TestMigrateGoesOnAfterAKillAtAnyPoint(t *testing.T) {
	t.Parallel()
	kills := 0
	for step := 0; ; step++ {
		done := false
		synctest.Test(t, func(t *testing.T) {
			_, rdb := redistest.Mini(t)
			w, previous := newMigration(t, rdb, 3)
			w.p.Account(appID).MigrateFrom(previousID)
			options := *rdb.Options()
			dying := redis.NewClient(&options)
			t.Cleanup(func() { _ = dying.Close() })
			dying.AddHook(&stopper{left: step})
			nothing := func(enroll.Converted) error { return nil }
			err := w.mover(dying).Migrate(t.Context(), enroll.Migration{From: previousID}, nothing)
			if done = err == nil; !done && !errors.Is(err, errKilled) {
				t.Fatalf("after %d commands: %v", step, err)
			}
			must(t, w.mover(rdb).Migrate(t.Context(), enroll.Migration{From: previousID}, nothing))
			if n, _ := previous.Count(t.Context()); n != 0 {
				t.Errorf("after %d commands: %d users stay on the previous roster", step, n)
			}
			for i := range 3 {
				of, _ := w.roster.Of(t.Context(), fmt.Sprintf("u%04d", i))
				if old := fmt.Sprintf("oP-%04d", i); len(of) != 1 || w.suppression(old) == nil {
					t.Errorf("after %d commands: %+v, suppressed %v", step, of, w.suppression(old))
				}
			}
			lines, _ := w.rdb.XLen(t.Context(), ledger.BindingsKey(appID)).Result()
			if lines != 3 {
				t.Errorf("after %d commands: %d bindings in the trail, want 3", step, lines)
			}
		})
		if done {
			break
		}
		kills++
	}
	if kills < 20 {
		t.Errorf("killed only %d times", kills)
	}
}

func TestMigrateRefusesTheWrongAccounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, _ := newMigration(t, nil, 1)
		nothing := func(enroll.Converted) error { return nil }
		if err := w.mover(w.rdb).Migrate(t.Context(), enroll.Migration{From: appID}, nothing); err == nil {
			t.Error("from the account itself")
		}
		err := w.mover(w.rdb).Migrate(t.Context(), enroll.Migration{From: previousID}, nothing)
		var refusal *wechat.Error
		if !errors.As(err, &refusal) || refusal.Code != 63178 {
			t.Errorf("before the migration: %v", err)
		}
	})
}

// What moves in uses only the rights of docs/redis.md, and keys that it declares.
func TestMoveInOnARedisWithFewRights(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Strict(t)
	w, _ := newMigration(t, rdb.Client, 2)
	w.p.Account(appID).MigrateFrom(previousID)
	m := w.mover(rdb)
	must(t, m.Migrate(t.Context(), enroll.Migration{From: previousID}, func(enroll.Converted) error { return nil }))
	w.p.Account(appID).Follow("oN-1")
	_, err := m.Import(t.Context(), []enroll.Binding{binding("u1", "oN-1")}, true)
	must(t, err)
	done, err := m.Sync(t.Context(), false, nil)
	if err != nil || done.Bound != 3 {
		t.Errorf("%+v %v", done, err)
	}
}
