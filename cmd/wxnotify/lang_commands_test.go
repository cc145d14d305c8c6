package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
)

// TestCommandsSpeakChinese: what a help desk reads; English is the words of the other
// tests.
func TestCommandsSpeakChinese(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	env := map[string]string{"WXNOTIFY_REDIS_URL": server.URL(), "WXNOTIFY_APPID": "wxa", "LC_ALL": "zh_CN.UTF-8", "WXNOTIFY_APPSECRET": canarySecret}
	look := func(args ...string) result { t.Helper(); return inProcess(t, env, args...) }
	file := func(name, text string) string { t.Helper(); return testutil.File(t, name, text) }
	body := func(thing string) string {
		return `{"touser":"oLanguage000000000000000001","template_id":"T","data":{"thing1":{"value":"` + thing + `"}}}` + "\n"
	}
	good, bad := file("good.ndjson", body("咖啡")+body("茶")), file("bad.ndjson", body("咖啡")+body(""))
	look("send", "--json", good, "--dry-run").has(t, 0, "将会入队", "收件人", "模板", "读取消息 2 条；拒绝 0；没有入队")
	look("send", "--json", bad).has(t, 1, "读取消息 2 条；入队 0，已有 0，拒绝 1，未尝试 1；请更正文件")
	look("send", "--json", good).has(t, 0, "queued 排队中", "入队 2", "没有账号 wxa 的 worker")
	look("send", "--json", good).has(t, 0, "已有此消息：未入队；它的状态是 queued", "已有 2")
	look("enroll", "audit").has(t, 0, "还没有更改")
	look("queues").has(t, 0, "账号 wxa：闸门", "待发", "暂停", "否")
	look("queues", "pause", "bulk", "--reason", "盘点").has(t, 0, "bulk: 已暂停")
	look("queues").has(t, 0, "暂停：盘点")
	look("queues", "resume", "bulk").has(t, 0, "bulk: 已恢复")
	look("token").has(t, 0, "账号 wxa", "token 无", "今日获取 0 次")
	look("enroll", "list").has(t, 0, "还没有用户登记")
	look("enroll", "list", "--user", "u").has(t, 1, "该用户尚未登记")
	look("enroll", "unbind", "--user", "u").has(t, 1, "没有可解除的绑定")

	var out, errOut bytes.Buffer
	a := &app{environment: environment{Stdout: &out, Stderr: &errOut}, lang: wechat.Chinese}
	check(t, a.revokeToken(t.Context(), "wxa", steps{{Refresh: 1, Of: 2, Wait: 1}, {Refresh: 2, Of: 2, Fingerprint: "abc"}}))
	if text := out.String() + errOut.String(); !strings.Contains(text, "强制刷新 2 / 2：完成") || !strings.Contains(text, "已作废") {
		t.Errorf("token revoke: %s", text)
	}
}

// steps is a revoker that takes these.
type steps []tokenstore.RevokeStep

func (s steps) Revoke(_ context.Context, step func(tokenstore.RevokeStep)) error {
	for _, one := range s {
		step(one)
	}
	return nil
}

// TestAppIDBesideAListOfAccountsIsWarnedOf: it would choose none of them.
func TestAppIDBesideAListOfAccountsIsWarnedOf(t *testing.T) {
	t.Parallel()
	file := testutil.File(t, "wxnotify.yaml", "accounts: [{appid: wx1111111111111111, rate: 20}]\n")
	env := map[string]string{"WXNOTIFY_CONFIG": file, "WXNOTIFY_APPID": "wx2222222222222222"}
	r := inProcess(t, env, "config")
	r.has(t, 0, "warning: WXNOTIFY_APPID: has no effect, since "+file+" lists accounts: name one of them with --account")
	if !strings.HasSuffix(r.stdout, "account wx1111111111111111\n  appid  wx1111111111111111  file\n  rate   20                  file\n") {
		t.Errorf("the account's own settings:\n%s", r.stdout)
	}
	delete(env, "WXNOTIFY_APPID")
	inProcess(t, env, "config").hasNot(t, "warning")
}
