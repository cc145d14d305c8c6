package wechat_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/wxnotify/wxnotify/wechat"
)

func TestSnd02BodyHasNoEscapesThatJSONDoesNotRequire(t *testing.T) {
	t.Parallel()
	m := orderPaid()
	m.Data = map[string]wechat.Field{"thing1": {Value: "<a> & 'b' \"c\" \\ 中文 😀 \u2028\u2029 \x7f"}}
	body, err := wechat.MarshalBody(m)
	must(t, err)
	want := `{"touser":"` + canaryOpenID + `","template_id":"ngqIpbwh8bUfcSsECmogfXcV14J0tQlEpBO27izEYtY",` +
		`"url":"https://example.com/orders/1001?a=1&b=2","data":{"thing1":{"value":"<a> & 'b' \"c\" \\ 中文 😀 ` + "\u2028\u2029 \x7f" + `"}}}`
	if string(body) != want {
		t.Errorf("got  %s\nwant %s", body, want)
	}
	if strings.Contains(string(body), `\u`) || strings.HasSuffix(string(body), "\n") {
		t.Errorf("escapes or a newline in %q", body)
	}
	for _, control := range []string{"\x00", "\n", "\r", "\t", "\x1b", "\x7f", "\u0085"} {
		m.Data = map[string]wechat.Field{"thing1": {Value: "a" + control + "b"}}
		if got := codesOf(m.Validate()); got != "data.thing1.value control-character" {
			t.Errorf("%q: Validate returned %q", control, got)
		}
		// A caller who does not validate still gets well-formed JSON.
		body, err := wechat.MarshalBody(m)
		if err != nil || !json.Valid(body) {
			t.Errorf("%q: body %q, %v", control, body, err)
		}
	}
}

func TestSnd03BodyOmitsAnUnsetMiniProgram(t *testing.T) {
	t.Parallel()
	m := orderPaid()
	for _, p := range []*wechat.MiniProgram{nil, {}} {
		m.MiniProgram = p
		body, err := wechat.MarshalBody(m)
		if err != nil || strings.Contains(string(body), "miniprogram") {
			t.Errorf("body %s, %v", body, err)
		}
	}
	m.MiniProgram = &wechat.MiniProgram{AppID: "wx1", PagePath: "index?a=1&b=2"}
	m.ClientMsgID = "order-1001"
	body, err := wechat.MarshalBody(m)
	if err != nil || !strings.Contains(string(body), `"miniprogram":{"appid":"wx1","pagepath":"index?a=1&b=2"},"client_msg_id":"order-1001","data"`) {
		t.Errorf("body %s, %v", body, err)
	}
	m.MiniProgram.PagePath = ""
	if body, _ := wechat.MarshalBody(m); !strings.Contains(string(body), `"miniprogram":{"appid":"wx1"},`) {
		t.Errorf("an empty pagepath is not left out: %s", body)
	}
}

func TestMarshalBodyRefusesInvalidUTF8(t *testing.T) {
	t.Parallel()
	m := orderPaid()
	m.Data["thing1"] = wechat.Field{Value: "\xc9\xcc\xc6\xb7"} // GBK
	m.URL = "https://h/\xff"
	_, err := wechat.MarshalBody(m)
	if got := codesOf(err); got != "url not-utf8; data.thing1.value not-utf8" {
		t.Errorf("got %q", got)
	}
	if _, err := wechat.MarshalBody(nil); codesOf(err) != " message-missing" {
		t.Errorf("nil: %v", err)
	}
	c := newClient(t, answers(t, answerOK), newSource())
	var invalid *wechat.InvalidError
	if _, err := c.SendTemplate(t.Context(), m); !errors.As(err, &invalid) {
		t.Errorf("SendTemplate: %v", err)
	}
}

// FuzzMarshalBody checks that equal messages give equal bytes, and that decoding
// them gives the message.
func FuzzMarshalBody(f *testing.F) {
	f.Add("o1", "T", "https://h/?a=1&b=<2>", "thing1", "<商品> & \u2028 \"x\"\\", "#fff")
	f.Add("", "\\", "\n", "k\x00", "\xff", "😀")
	f.Fuzz(func(t *testing.T, to, template, link, key, value, color string) {
		m := &wechat.TemplateMessage{
			ToUser: to, TemplateID: template, URL: link, ClientMsgID: key,
			MiniProgram: &wechat.MiniProgram{AppID: template, PagePath: value},
			Data:        map[string]wechat.Field{key: {Value: value, Color: color}, "b": {Value: color}, "a": {}},
		}
		body, err := wechat.MarshalBody(m)
		if err != nil {
			if utf8.ValidString(to + "\n" + template + "\n" + link + "\n" + key + "\n" + value + "\n" + color) {
				t.Fatalf("valid UTF-8 refused: %v", err)
			}
			return
		}
		again, _ := wechat.MarshalBody(m)
		if string(again) != string(body) {
			t.Fatalf("two encodings: %q and %q", body, again)
		}
		var back wechat.TemplateMessage
		if err := json.Unmarshal(body, &back); err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		if *m.MiniProgram == (wechat.MiniProgram{}) {
			m.MiniProgram = nil
		}
		if !reflect.DeepEqual(&back, m) {
			t.Fatalf("%+v was decoded as %+v", m, back)
		}
		if parsed, err := wechat.ParseTemplateMessage(body); strings.Contains(string(body), "\uFFFD") {
			if codesOf(err) == "" {
				t.Fatalf("%q was read: the text may have been replaced by a decoder", body)
			}
		} else if err != nil || !reflect.DeepEqual(parsed, m) {
			t.Fatalf("ParseTemplateMessage(%q) = %+v, %v", body, parsed, err)
		}
	})
}

func TestParseTemplateMessageListsEveryWrongField(t *testing.T) {
	t.Parallel()
	m, err := wechat.ParseTemplateMessage([]byte("\xEF\xBB\xBF" + `{"touser":"o1","template_id":"T","topcolor":"#fff","miniprogram":{"appid":"wx1","path":"p"},"data":{"thing1":{"value":"v","color":"#1"}}}`))
	want := &wechat.TemplateMessage{
		ToUser: "o1", TemplateID: "T", MiniProgram: &wechat.MiniProgram{AppID: "wx1", PagePath: "p"},
		Data: map[string]wechat.Field{"thing1": {Value: "v", Color: "#1"}},
	}
	if err != nil || !reflect.DeepEqual(m, want) {
		t.Errorf("got %+v, %v", m, err)
	}
	tests := []struct{ text, want string }{
		{``, " not-json"},
		{`null`, " not-json"},
		{`[]`, " not-json"},
		{`{`, " not-json"},
		{`{"toUser":"o1","templateId":"T","data":{}}`, "templateId field-unknown; toUser field-unknown"},
		{`{"touser":1,"url":["x"],"data":"x"}`, "data field-type; touser field-type; url field-type"},
		{
			`{"data":{"amount1":{"value":100},"thing2":"x","thing3":{"Value":"x"}}}`,
			"data.amount1.value field-type; data.thing2 field-type; data.thing3.Value field-unknown",
		},
		{`{"miniprogram":{"appId":"x"},"data":{}}`, "miniprogram.appId field-unknown"},
		{`{"miniprogram":"x","data":null}`, "miniprogram field-type"},
	}
	for _, tt := range tests {
		m, err := wechat.ParseTemplateMessage([]byte(tt.text))
		if got := codesOf(err); got != tt.want || m != nil {
			t.Errorf("%s: %q, want %q", tt.text, got, tt.want)
		}
	}
	_, err = wechat.ParseTemplateMessage([]byte(`{"toUser":"o1","data":{}}`))
	if err == nil || !strings.Contains(err.Error(), "write touser") {
		t.Errorf("%v does not say which name is meant", err)
	}
	var p wechat.MiniProgram
	if err := json.Unmarshal([]byte(`"x"`), &p); err == nil {
		t.Error("a text was accepted as a mini program")
	}
}
