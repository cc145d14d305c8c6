package wechat_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"github.com/wxnotify/wxnotify/wechat"
)

func hasHan(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return unicode.Is(unicode.Han, r) })
}

func TestEveryTextOfTheTablesIsThereInChinese(t *testing.T) {
	t.Parallel()
	check := func(what any, texts ...string) {
		for _, text := range texts {
			if !hasHan(text) {
				t.Errorf("%v has no Chinese text: %q", what, text)
			}
		}
	}
	for _, code := range append(wechat.Codes(), 77777) {
		remedy := code.RemedyIn(wechat.Chinese)
		check(code, remedy)
		if !strings.HasSuffix(remedy, "。") {
			t.Errorf("%d: %q is not a sentence", code, remedy)
		}
	}
	for _, kind := range wechat.Kinds() {
		check(kind, kind.MeaningIn(wechat.Chinese))
	}
	for _, fault := range wechat.CallbackFaults() {
		check(fault, fault.Meaning(wechat.Chinese), fault.RemedyIn(wechat.Chinese))
	}
	for _, code := range wechat.FaultCodes() {
		check(code, code.Meaning(wechat.Chinese), code.Remedy(wechat.Chinese), wechat.Fault{Path: "id", Code: code}.MessageIn(wechat.Chinese))
	}
}

func TestAnotherLanguageReadsAsEnglish(t *testing.T) {
	t.Parallel()
	if got := wechat.CodeQuota.RemedyIn("fr"); got != wechat.CodeQuota.Remedy() || hasHan(got) {
		t.Errorf("got %q", got)
	}
}

// Each special case of a remedy and of a fault's text has its own Chinese.
func TestSpecificTextsKeepTheirFactsInChinese(t *testing.T) {
	t.Parallel()
	remedies := []struct {
		err  *wechat.Error
		fact string
	}{
		{&wechat.Error{Op: wechat.SendPath, Code: 47003, Msg: "argument invalid! data.time2.value is empty"}, "data.time2.value"},
		{&wechat.Error{Op: "/cgi-bin/token", Code: 40164, Msg: "invalid ip 1.2.3.4, not in whitelist"}, "1.2.3.4"},
		{&wechat.Error{Op: "/cgi-bin/token", Code: 40013}, "appid"},
		{&wechat.Error{Op: "/cgi-bin/token", Code: 45009}, "stable_token"},
		{&wechat.Error{Op: "/sns/userinfo", Code: 48001}, "snsapi_userinfo"},
		{&wechat.Error{Op: "/sns/oauth2/access_token", Code: 48001}, "接口权限"},
		{&wechat.Error{Op: "/sns/userinfo", Code: 40003}, "token"},
	}
	for _, tt := range remedies {
		remedy := tt.err.RemedyIn(wechat.Chinese)
		if !hasHan(remedy) || !strings.Contains(remedy, tt.fact) || !strings.Contains(tt.err.Remedy(), tt.fact) {
			t.Errorf("%v: %q, %q", tt.err, remedy, tt.err.Remedy())
		}
	}
	values := map[string]string{
		"thing1": strings.Repeat("长", 30), "name1": strings.Repeat("长", 11), "symbol1": "123456", "time1": "soon", "amount1": "much",
		"amount2": "1234567890123", "number1": "one", "letter1": "1", "phone_number1": "abc", "phone_number2": "+-", "character_string1": "字",
	}
	m := &wechat.TemplateMessage{ToUser: "oabcdefghijklmnopqrstuvwxyz01", TemplateID: "t", Data: map[string]wechat.Field{}}
	for key, value := range values {
		m.Data[key] = wechat.Field{Value: value}
	}
	var invalid *wechat.InvalidError
	if !errors.As(m.Validate(), &invalid) || len(invalid.Faults) != len(values) {
		t.Fatalf("want a fault for each of %d values: %v", len(values), m.Validate())
	}
	for _, f := range invalid.Faults {
		if !hasHan(f.MessageIn(wechat.Chinese)) || f.MessageIn(wechat.English) != f.Message || !strings.Contains(f.In(wechat.Chinese), f.Path) {
			t.Errorf("%s: %q", f, f.In(wechat.Chinese))
		}
	}
	if text := invalid.In(wechat.Chinese); !strings.Contains(text, "计 30，最多 20") || !strings.Contains(text, "；") {
		t.Errorf("the whole text is %q", text)
	}
}

func TestFaultsOfReadingAreThereInChinese(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`[]`, `{"touser":1}`, `{"toUser":"o"}`, `{"colour":"red"}`, `{"data":1}`} {
		_, err := wechat.ParseTemplateMessage([]byte(body))
		var invalid *wechat.InvalidError
		if !errors.As(err, &invalid) {
			t.Errorf("%s is accepted: %v", body, err)
			continue
		}
		for _, f := range invalid.Faults {
			if !hasHan(f.MessageIn(wechat.Chinese)) {
				t.Errorf("%s: %s", body, fmt.Sprint(f))
			}
		}
	}
}

func TestEveryCodeOfARefusedAddressIsOne(t *testing.T) {
	t.Parallel()
	for _, code := range wechat.Codes() {
		about := strings.Contains(code.Remedy(), "API IP 白名单")
		if code.RefusesAddress() != about || about && code.Kind() != wechat.KindAccount {
			t.Errorf("%d: RefusesAddress is %v, its remedy is %q, its kind %v", code, code.RefusesAddress(), code.Remedy(), code.Kind())
		}
	}
	for errmsg, want := range map[string]string{
		"access clientip is not registered requestIP: 203.0.113.7 rid: x": "203.0.113.7",
		"access clientip is not registered":                               "",
	} {
		if got := (&wechat.Error{Op: wechat.SendPath, Code: 61004, Msg: errmsg}).IP(); got != want {
			t.Errorf("%q: ip %q, want %q", errmsg, got, want)
		}
	}
}
