package wechat_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/wechat"
)

func TestChangeOpenIDsTellsEachResult(t *testing.T) {
	t.Parallel()
	p := answers(t, `{"errcode":0,"errmsg":"ok","result_list":[`+
		`{"ori_openid":"oOld1","new_openid":"oNew1","err_msg":"ok"},{"ori_openid":"oOld2","err_msg":"ori_openid error"}]}`)
	got, err := newClient(t, p, wechat.StaticToken("t")).ChangeOpenIDs(t.Context(), "wx0123456789abcdef", []string{"oOld1", "oOld2"})
	want := []wechat.ChangedOpenID{{Old: "oOld1", New: "oNew1", Message: "ok"}, {Old: "oOld2", Message: "ori_openid error"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	call := p.calls()[0]
	if call.path != "/cgi-bin/changeopenid" || call.body != `{"from_appid":"wx0123456789abcdef","openid_list":["oOld1","oOld2"]}` {
		t.Errorf("%s %s", call.path, call.body)
	}
}

func TestFollowersEndsAtAnEmptyPage(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ answer, next string }{
		"no data":                {`{"total":2,"count":0,"next_openid":""}`, "o2"},
		"no data, a next":        {`{"total":2,"count":0,"next_openid":"o2"}`, "o2"},
		"the same page for ever": {`{"total":2,"count":1,"data":{"openid":["o2"]},"next_openid":"o2"}`, "o2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			page, err := newClient(t, answers(t, tt.answer), wechat.StaticToken("t")).Followers(t.Context(), tt.next)
			if err != nil || page.Next != "" || page.Total != 2 {
				t.Errorf("%+v, %v", page, err)
			}
		})
	}
}

func TestBatchesAreBoundedBeforeTheCall(t *testing.T) {
	t.Parallel()
	p := answers(t, `{}`)
	c := newClient(t, p, wechat.StaticToken("t"))
	for _, n := range []int{0, wechat.MaxBatch + 1} {
		openids := make([]string, n)
		if _, err := c.UserInfos(t.Context(), openids); err == nil || !strings.Contains(err.Error(), "1 to 100") {
			t.Errorf("UserInfos of %d: %v", n, err)
		}
		if _, err := c.ChangeOpenIDs(t.Context(), "wx", openids); err == nil || !strings.Contains(err.Error(), "1 to 100") {
			t.Errorf("ChangeOpenIDs of %d: %v", n, err)
		}
	}
	if n := len(p.calls()); n != 0 {
		t.Errorf("%d calls were made", n)
	}
}

func TestAnswersWithoutTheirListAreUnreadable(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{}`, `{"errcode":0}`, `{"user_info_list":[{"openid":"o1"}]}`} {
		c := newClient(t, answers(t, body), wechat.StaticToken("t"))
		_, infos := c.UserInfos(t.Context(), []string{"o1"})
		_, followers := c.Followers(t.Context(), "")
		_, changed := c.ChangeOpenIDs(t.Context(), "wx", []string{"o1"})
		for name, err := range map[string]error{"UserInfos": infos, "Followers": followers, "ChangeOpenIDs": changed} {
			if err == nil || !strings.Contains(err.Error(), "the answer") {
				t.Errorf("%s of %s: %v", name, body, err)
			}
		}
	}
}
