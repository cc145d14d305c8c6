package wechat_test

import (
	"errors"
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

func oneField(key, value, url string) *wechat.TemplateMessage {
	return &wechat.TemplateMessage{
		ToUser: "oABC", TemplateID: "T1", URL: url, Data: map[string]wechat.Field{key: {Value: value}},
	}
}
