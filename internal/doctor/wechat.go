package doctor

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/wechat"
)

// wechatCheck asks WeChat from this machine, without Redis. Its token is the stable one
// without force: WeChat returns the current token, so that nothing of the fleet changes,
// also when the fleet uses tokens of classic mode, which are apart from these.
func wechatCheck(in Installation, a Account, rdb redis.UniversalClient) Check {
	var token wechat.Token
	ask := func(do func(context.Context, *Notes, *wechat.Client)) func(context.Context, *Notes) {
		return func(ctx context.Context, n *Notes) {
			client, err := wechat.NewClient(a.WeChat, fixedToken{token})
			if err != nil {
				n.Add("setting-fault", "cause", err.Error())
				return
			}
			do(ctx, n, client)
		}
	}
	c := Check{Name: "wechat", Account: a.AppID, Then: []Check{
		{Name: "quota", Account: a.AppID, Run: ask(func(ctx context.Context, n *Notes, client *wechat.Client) { checkQuota(ctx, n, in, a, client) })},
		{Name: "templates", Account: a.AppID, Run: ask(func(ctx context.Context, n *Notes, client *wechat.Client) {
			checkTemplates(ctx, n, in, a, client, rdb)
		})},
	}}
	c.Run = func(ctx context.Context, n *Notes) {
		if a.WeChat.AppSecret.IsZero() {
			n.Add("appsecret-missing")
			n.Stop()
			return
		}
		fetcher, err := wechat.NewTokenFetcher(a.WeChat)
		if err != nil {
			n.Add("setting-fault", "cause", err.Error())
			n.Stop()
			return
		}
		defer fetcher.CloseIdleConnections()
		if token, err = fetcher.FetchStable(ctx, false); err != nil {
			noteRefusal(n, in, err, true)
			n.Stop()
			return
		}
		n.Detail("AppSecret and this machine's address are accepted", "AppSecret 和本机地址均被接受")
	}
	return c
}

// fixedToken is a token that is neither kept nor renewed.
type fixedToken struct{ token wechat.Token }

func (f fixedToken) Token(context.Context) (wechat.Token, error)    { return f.token, nil }
func (f fixedToken) Invalidate(context.Context, wechat.Token) error { return nil }

// noteRefusal notes an error of a call of WeChat. What is not needed to send is a warning
// when WeChat refuses it.
func noteRefusal(n *Notes, in Installation, err error, needed bool) {
	r := refusalOf(err, n.lang)
	fields := []string{"cause", err.Error(), "remedy", r.remedy, "address", r.address}
	code := Code("wechat-refuses")
	switch {
	case r.code == 0:
		code, fields = "wechat-unreachable", []string{"cause", causeOf(n, err, in.ErrorText)}
	case r.code == wechat.CodeIPNotListed, r.code == 61004, r.code == 45035:
		code = "ip-not-listed"
	case needed && (r.code == wechat.CodeInvalidSecret || r.code == wechat.CodeInvalidCredential):
		code = "appsecret-wrong"
	case needed && r.code == wechat.CodeInvalidAppID:
		code = "appid-wrong"
	case !needed:
		code = "wechat-not-told"
	}
	n.Add(code, fields...)
}

func checkQuota(ctx context.Context, n *Notes, in Installation, a Account, client *wechat.Client) {
	q, err := client.Quota(ctx, wechat.SendPath)
	if err != nil {
		noteRefusal(n, in, err, false)
		return
	}
	fields := []string{
		"used", strconv.FormatInt(q.Used, 10), "limit", strconv.FormatInt(q.DailyLimit, 10), "ours", strconv.FormatInt(a.DailyQuota, 10),
	}
	n.Detail("WeChat says {used} of {limit} used", "微信答复已用 {used} / {limit}", fields...)
	if q.Remain <= 0 {
		n.Add("quota-used-up", fields...)
	}
	if a.DailyQuota > q.DailyLimit && q.DailyLimit > 0 {
		n.Add("quota-setting", fields...)
	}
}

func checkTemplates(ctx context.Context, n *Notes, in Installation, a Account, client *wechat.Client, rdb redis.UniversalClient) {
	used := waitingTemplates(ctx, a, rdb)
	for _, id := range a.Templates {
		used[id] += 0
	}
	list, err := client.Templates(ctx)
	if err != nil {
		noteRefusal(n, in, err, false)
		return
	}
	n.Detail("{count} listed by WeChat", "微信列出 {count} 个", "count", strconv.Itoa(len(list)))
	if len(list) == 0 {
		n.Add("templates-none")
	}
	for _, id := range slices.Sorted(maps.Keys(used)) {
		if slices.ContainsFunc(list, func(t wechat.Template) bool { return t.ID == id }) {
			continue
		}
		by := text{"you named", "由你指定"}
		if used[id] > 0 {
			count := strconv.Itoa(used[id])
			by = text{count + " waiting messages name", "有 " + count + " 条等待的消息使用它"}
		}
		n.Add("template-unknown", "template", id, "messages", by.in(n.lang))
	}
}

const (
	// mostRead bounds the waiting messages whose templates are looked at.
	mostRead = 2000
	// readShare leaves WeChat the rest of the check's time.
	readShare = 1.0 / 3
)

// waitingTemplates counts the template ids of waiting messages, of the first ones when
// there are many. Without Redis there are none.
func waitingTemplates(ctx context.Context, a Account, rdb redis.UniversalClient) map[string]int {
	used := map[string]int{}
	if rdb == nil {
		return used
	}
	ctx, cancel := part(ctx, readShare)
	defer cancel()
	read := 0
	_, _, _ = queue.NewInspector(rdb).Each(ctx, a.AppID, func(t queue.Ref, payload []byte) []byte {
		if read++; read >= mostRead {
			cancel()
		}
		var body struct {
			TemplateID string `json:"template_id"`
		}
		envelope, err := a.messages().Parse(t.ID, payload)
		if err == nil && json.Unmarshal(envelope.Body, &body) == nil && body.TemplateID != "" {
			used[body.TemplateID]++
		}
		return nil
	}) // an error leaves what was read
	return used
}
