package wechattest_test

import (
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

func TestSendReachesTheRecipient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, wechattest.Config{})
		body := order(openid, "order-1")
		r := b.send(body)
		if r.code() != 0 || r.msg() != "ok" || r.num("msgid") <= 1<<53 {
			t.Fatalf("answer = %v, want errcode 0 and a msgid beyond 2^53", r)
		}
		seen := b.p.Seen()
		if len(seen) != 1 || string(seen[0].Body) != body || int64(seen[0].MsgID) != r.num("msgid") ||
			seen[0].OpenID != openid || seen[0].ClientMsgID != "order-1" || seen[0].AppID != wechattest.AppID {
			t.Fatalf("seen = %+v, want the one message byte for byte", seen)
		}
		m, err := seen[0].Message()
		if err != nil || m.Data["thing1"].Value != "红富士苹果 & <梨>" {
			t.Fatalf("message = %+v, %v", m, err)
		}
	})
}

// with is a message for openid with these parts of the body.
func with(parts ...string) string { return "{" + strings.Join(parts, ",") + "}" }

// refusal is a send that the platform answers with an errcode.
type refusal struct {
	name, body string
	cfg        wechattest.Config
	prepare    func(*wechattest.Account)
	want       wechat.Code
	text       string
}

// The parts of a body that is accepted.
const (
	partTo   = `"touser":"` + openid + `"`
	partID   = `"template_id":"` + wechattest.TemplateOrderPaid + `"`
	partData = `"data":{"thing1":{"value":"苹果"},"time2":{"value":"15:01"},"amount3":{"value":"1元"}}`
)

func TestSendRefusesBodies(t *testing.T) {
	t.Parallel()
	const to, id, data = partTo, partID, partData
	checkRefusals(t, []refusal{
		{name: "empty body", want: 44002, text: "empty post data"},
		{name: "cut json", body: `{"touser":`, want: 47001, text: "data format error"},
		{name: "not an object", body: `[]`, want: 47001},
		{name: "byte order mark", body: "\xef\xbb\xbf" + with(to, id, data), want: 47001},
		{name: "bad utf-8", body: with(to, id, "\"data\":{\"thing1\":{\"value\":\"\xff\"}}"), want: 40033},
		{name: "two recipients", body: with(`"touser":["a","b"]`, id, data), want: 47001},
		{name: "value is a number", body: with(to, id, `"data":{"thing1":{"value":1}}`), want: 47001},
		{name: "data is text", body: with(to, id, `"data":"x"`), want: 47001},
		{name: "no data", body: with(to, id), want: 47001},
		{name: "toUser is no touser", body: with(`"toUser":"`+openid+`"`, id, data), want: 40003},
		{name: "openid with a space", body: with(`"touser":"o x"`, id, data), want: 40003, text: "invalid openid"},
		{name: "openid too long", body: with(`"touser":"`+strings.Repeat("o", 65)+`"`, id, data), want: 40003},
		{name: "no template", body: with(to, data), want: 40036},
		{name: "unknown template", body: with(to, `"template_id":"x"`, data), want: 40037, text: "invalid template_id"},
		{name: "long url", body: with(to, id, data, `"url":"http://x/`+strings.Repeat("x", 2048)+`"`), want: 40039},
		{name: "mini program without appid", body: with(to, id, data, `"miniprogram":{"pagepath":"x"}`), want: 40166},
	})
}

func TestSendRefusesForTheAccount(t *testing.T) {
	t.Parallel()
	const to, id, data = partTo, partID, partData
	refuse := func(a *wechattest.Account) { a.Refuse(openid, wechattest.TemplateOrderPaid) }
	checkRefusals(t, []refusal{
		{
			name: "deleted template", body: with(to, id, data), want: 40037,
			prepare: func(a *wechattest.Account) { a.DeleteTemplate(wechattest.TemplateOrderPaid) },
		},
		{
			name: "banned template", body: with(to, `"template_id":"ban"`, data), want: 43116,
			prepare: func(a *wechattest.Account) { a.AddTemplate(wechattest.Template{ID: "ban", Banned: true}) },
		},
		{
			name: "key missing", body: with(to, id, `"data":{"thing1":{"value":"x"},"amount3":{"value":"1"}}`),
			want: 47003, text: "argument invalid! data.time2.value is empty rid: ",
		},
		{
			name: "value blank", body: with(to, id, `"data":{"thing1":{"value":"  "},"time2":{"value":"15:01"},"amount3":{"value":"1"}}`),
			want: 47003, text: "argument invalid! data.thing1.value is empty rid: ",
		},
		{
			name: "value too long", body: with(to, id, strings.Replace(data, "苹果", strings.Repeat("长", 21), 1)),
			want: 47003, text: "argument invalid! data.thing1.value invalid rid: ",
		},
		{name: "stranger", body: with(to, id, data), cfg: wechattest.Config{Strangers: true}, want: 43004, text: "require subscribe"},
		{name: "unfollowed", body: with(to, id, data), prepare: func(a *wechattest.Account) { a.Unfollow(openid) }, want: 43004},
		{name: "refused template", body: with(to, id, data), prepare: refuse, want: 43101},
		{name: "too frequent", body: with(to, id, data), prepare: func(a *wechattest.Account) { a.Reject(openid, 43117) }, want: 43117},
		{name: "account punished", body: with(to, id, data), prepare: func(a *wechattest.Account) { a.Freeze(48004) }, want: 48004},
		{name: "over 1 MB", body: with(to, id, data, `"x":"`+strings.Repeat("x", 1<<20)+`"`), want: 45002},
	})
}

func checkRefusals(t *testing.T, tests []refusal) {
	t.Helper()
	rid := regexp.MustCompile(` rid: [0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}$`)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, tt.cfg)
			if tt.prepare != nil {
				tt.prepare(b.a)
			}
			r := b.send(tt.body)
			if r.code() != tt.want || !strings.Contains(r.msg(), tt.text) || !rid.MatchString(r.msg()) {
				t.Errorf("answer = %v, want errcode %d, %q and a rid", r, tt.want, tt.text)
			}
			if n := b.p.SeenTotal(); n != 0 {
				t.Errorf("%d messages seen, want none", n)
			}
			if n := b.p.Calls(wechattest.SendPath).ByCode[tt.want]; n != 1 {
				t.Errorf("%d calls counted under %d, want 1", n, tt.want)
			}
		})
	}
}

func TestSendAccepts(t *testing.T) {
	t.Parallel()
	to, id := `"touser":"`+openid+`"`, `"template_id":"`+wechattest.TemplateOrderPaid+`"`
	data := `"data":{"thing1":{"value":"苹果","color":"#173177"},"time2":{"value":"15:01"},"amount3":{"value":"1元"},"extra9":{"value":""}}`
	historic := wechattest.Template{ID: "old", Content: "{{first.DATA}}\n订单:{{keyword1.DATA}}\n{{remark.DATA}}"}
	tests := []struct {
		name, body string
		cfg        wechattest.Config
	}{
		{name: "extra keys, color, topcolor", body: with(to, id, data, `"topcolor":"#FF0000"`)},
		{name: "white space", body: " {\n\t" + to + " ,\r\n" + id + ", \"data\" : " + data[len(`"data":`):] + "} "},
		{name: "unknown members of any type", body: with(`"a":{"b":[1,{"c":null}],"d":-1.5e3}`, `"e":true`, `"f":[]`, to, id, data)},
		{name: "unicode escapes", body: with(to, id, strings.Replace(data, "苹果", `\u82f9\u679c\n`[:12], 1))},
		{name: "empty mini program", body: with(to, id, data, `"miniprogram":{"appid":"","pagepath":""}`)},
		{name: "null mini program", body: with(to, id, data, `"miniprogram":null`)},
		{name: "historic template, long value, first missing", body: with(to, `"template_id":"old"`, `"data":{"keyword1":{"value":"`+strings.Repeat("长", 25)+`"}}`)},
		{name: "any template", body: with(to, `"template_id":"TEMPLATE_ID"`, `"data":{}`), cfg: wechattest.Config{AnyTemplate: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, tt.cfg)
			b.a.AddTemplate(historic)
			if r := b.send(tt.body); r.code() != 0 || b.p.SeenTotal() != 1 {
				t.Fatalf("answer = %v, seen %d; want 0 and 1", r, b.p.SeenTotal())
			}
		})
	}
}

func TestFollowerAndAccountChangesCanBeUndone(t *testing.T) {
	t.Parallel()
	b := setup(t, wechattest.Config{Strangers: true})
	b.a.Follow(openid)
	b.a.Refuse(openid, wechattest.TemplateOrderPaid)
	b.a.Allow(openid, wechattest.TemplateOrderPaid)
	b.a.Reject(openid, 50002)
	b.a.Reject(openid, 0)
	b.a.Freeze(50007)
	b.a.Freeze(0)
	if r := b.send(order(openid, "")); r.code() != 0 || !b.a.Follows(openid) || b.a.Follows("oOther") {
		t.Fatalf("answer = %v, want 0", r)
	}
}

func TestMul01OpenIDOfAnotherAccountIsInvalid(t *testing.T) {
	t.Parallel()
	b := setup(t, wechattest.Config{Accounts: []wechattest.AccountConfig{
		{AppID: wechattest.AppID, OpenIDPrefix: "oAAAA"}, {AppID: "wxB", OpenIDPrefix: "oBBBB"},
	}})
	if r := b.send(order("oBBBB1", "")); r.code() != 40003 {
		t.Fatalf("answer = %v, want 40003", r)
	}
	b.token = b.p.Account("wxB").FetchToken().Reveal()
	if r := b.send(order("oBBBB1", "")); r.code() != 0 || b.p.Seen()[0].AppID != "wxB" {
		t.Fatalf("answer = %v, want 0 from wxB", r)
	}
}
