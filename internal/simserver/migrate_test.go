package simserver_test

import (
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

func TestMigrateMovesTheFollowersOfAnotherAccount(t *testing.T) {
	t.Parallel()
	b := setup(t, wechattest.Config{Strangers: true, Accounts: []wechattest.AccountConfig{{AppID: "wx1"}, {AppID: "wx2"}}})
	for body, want := range map[string]string{
		`{"account":"wx1"}`: "from is not on this platform", `{"account":"wx1","from":"wx3"}`: "from is not on this platform",
		`{"account":"wx1","from":"wx1"}`: "from is the account itself",
	} {
		if w := b.do("POST", "/_sim/migrate", body); w.Code != 400 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
	b.p.Account("wx2").Follow("oOld1")
	b.control("POST", "migrate", `{"account":"wx1","from":"wx2"}`)
	if w := b.do("POST", "/cgi-bin/changeopenid?access_token="+b.token, `{"from_appid":"wx2","openid_list":["oOld1"]}`); !strings.Contains(w.Body.String(), `"new_openid":"oM`) {
		t.Errorf("%s", w.Body)
	}
}
