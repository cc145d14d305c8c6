package wechattest_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

func TestChangeOpenIDConvertsFollowersFor15Days(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, wechattest.Config{Strangers: true, Accounts: []wechattest.AccountConfig{
			{AppID: wechattest.AppID, OpenIDPrefix: "oNew"}, {AppID: "wxsim000000000old", OpenIDPrefix: "oOld"},
		}})
		old := b.p.Account("wxsim000000000old")
		old.Follow("oOldFollower")
		change := func(from string) reply {
			t.Helper()
			return b.post("/cgi-bin/changeopenid", `{"from_appid":"`+from+`","openid_list":["oOldFollower","oOldStranger"]}`)
		}
		if r := change("wxsim000000000old"); r.code() != 63178 {
			t.Errorf("before the migration: %v", r)
		}
		b.a.MigrateFrom("wxsim000000000old")
		r := change("wxsim000000000old")
		list, _ := r["result_list"].([]any)
		if r.code() != 0 || len(list) != 2 {
			t.Fatalf("%v", r)
		}
		first, second := list[0].(map[string]any), list[1].(map[string]any)
		moved, _ := first["new_openid"].(string)
		if !strings.HasPrefix(moved, "oNew") || first["err_msg"] != "ok" || second["err_msg"] != "ori_openid error" || second["new_openid"] != nil {
			t.Errorf("%v", list)
		}
		if old.Follows("oOldFollower") || !b.a.Follows(moved) {
			t.Error("the follower did not move")
		}
		if r := change("wx0123456789abcdef"); r.code() != 63178 {
			t.Errorf("of another account: %v", r)
		}
		time.Sleep(15*24*time.Hour + time.Second) // virtual
		b.token = b.fetchStable(false).str("access_token")
		if r := change("wxsim000000000old"); r.code() != 63178 {
			t.Errorf("after 15 days: %v", r)
		}
	})
}
