package wechat_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/wechat"
)

func TestValidateFormsOfTimesAmountsAndURLs(t *testing.T) {
	t.Parallel()
	for key, values := range map[string]struct{ good, bad []string }{
		"time2": {
			[]string{"2026-11-22", "2026-11-22 08:30", "2026-11-22 24:00:00", "2026/11/22", "2026-11", "08:30", "2026-11-22 08:30~09:30"},
			[]string{"2026-13-22", "2026-00-01", "2026-11-32", "2026-11-22 25:30", "2026-11-22 24:59:59", "2026-11-22 08:60", "2026-11-22 08:30:60", "2026-11-22x08:30", "2026-11-2a"},
		},
		"amount3": {
			[]string{"¥128.50", "128", "123456789012", "¥1,280.50", "￥5", "-¥5", "5元", "$ 5.0"},
			[]string{"1234567890123", "¥", "5.", ".5", "¥¥5", "五元", "5.0.0"},
		},
	} {
		for _, value := range values.good {
			if err := oneField(key, value, "https://shop.example.com/a").Validate(); err != nil {
				t.Errorf("%s %q is refused: %v", key, value, err)
			}
		}
		for _, value := range values.bad {
			var invalid *wechat.InvalidError
			if err := oneField(key, value, "https://shop.example.com/a").Validate(); !errors.As(err, &invalid) {
				t.Errorf("%s %q is accepted", key, value)
			} else if invalid.Faults[0].Path != "data."+key+".value" {
				t.Errorf("%s %q: the fault is at %q", key, value, invalid.Faults[0].Path)
			}
		}
	}
	for _, url := range []string{"http://a", "https://shop.example.com/a?b=c&d=~e", "https://shop.example.com:8443/%E5#f", "https://u:p@a.example.com/"} {
		if err := oneField("thing1", "x", url).Validate(); err != nil {
			t.Errorf("%q is refused: %v", url, err)
		}
	}
	for _, url := range []string{"https://", "https:///a", "https://?a", "ftp://a", "https://a b", "https://:80", "//a"} {
		if err := oneField("thing1", "x", url).Validate(); err == nil {
			t.Errorf("%q is accepted", url)
		}
	}
}

func TestCharactersThatLookRightAreNamedAsTheCause(t *testing.T) {
	t.Parallel()
	const wide = "has full-width characters: write digits as 0-9"
	for _, tt := range []struct{ key, value, want string }{
		{"phone_number1", "１３８００００４５６７", wide},
		{"number1", "３．１４", wide},
		{"number1", "3．14", wide},
		{"amount1", "￥１００．００", wide},
		{"amount1", "１００元", wide},
		{"amount1", "１２３４５６７８９０１２３", wide},
		{"time1", "２０２６年１１月２２日　１５：０１", wide},
		{"time1", "２０２６-１３-01", wide},
		{"date1", "2026－11－22", wide},
		{"letter1", "ＡＢＣ", wide},
		{"car_number1", "粤Ａ８Z888", wide},
		{"number1", "\u202d12\u202c", "has the character U+202D, which is not seen: remove it"},
		{"amount1", "¥100\u200b", "has the character U+200B, which is not seen: remove it"},
		{"time1", "\ufeff2026-11-22 15:01", "has the character U+FEFF, which is not seen: remove it"},
		{"time1", "明天１５点", "is not a time"},
		{"time1", "明天\u200b", "is not a time"},
		{"letter1", "a１", "has characters other than letters"},
		{"name1", "张三３", "has digits"},
		{"amount1", "一百", "is not an amount"},
		{"phone_number1", "١٣٨", "has no digits 0-9"},
	} {
		if err := wechat.ValidateValue(tt.key, tt.value); err == nil || !strings.Contains(err.Error(), ".value "+tt.want) {
			t.Errorf("%s=%s: %v, want %q", tt.key, tt.value, err, tt.want)
		}
	}
}

func TestWarningsNameIDsOfAnotherForm(t *testing.T) {
	t.Parallel()
	const openID, appid = canaryOpenID, "wx0123456789abcdef"
	for _, tt := range []struct{ to, appid, want string }{
		{openID, appid, ""},
		{"", "", ""},
		{"13812345678", "", "touser openid-form"},
		{"u" + openID[1:], "", "touser openid-form"},
		{openID[1:], "", "touser openid-form"},
		{openID, "foo", "miniprogram.appid miniprogram-appid-form"},
		{openID, "wx0123456789ABCDEF", "miniprogram.appid miniprogram-appid-form"},
		{openID, "gh_0123456789ab", "miniprogram.appid miniprogram-appid-form"},
		{"o,o", "a b", ""}, // those are faults
	} {
		m := orderPaid()
		m.ToUser = tt.to
		m.MiniProgram = &wechat.MiniProgram{AppID: tt.appid}
		if got := faultCodes(m.Warnings()); got != tt.want {
			t.Errorf("to %q, appid %q: %q, want %q", tt.to, tt.appid, got, tt.want)
		}
	}
}

func oneField(key, value, url string) *wechat.TemplateMessage {
	return &wechat.TemplateMessage{
		ToUser: "oABC", TemplateID: "T1", URL: url, Data: map[string]wechat.Field{key: {Value: value}},
	}
}
