package wechat_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/wxnotify/wxnotify/wechat"
)

// codesOf prints an *InvalidError as "path code; path code". Empty for nil.
func codesOf(err error) string {
	var invalid *wechat.InvalidError
	if err == nil {
		return ""
	}
	if !errors.As(err, &invalid) {
		return "no InvalidError: " + err.Error()
	}
	return faultCodes(invalid.Faults)
}

func faultCodes(faults []wechat.Fault) string {
	parts := make([]string, 0, len(faults))
	for _, f := range faults {
		parts = append(parts, f.Path+" "+string(f.Code))
	}
	return strings.Join(parts, "; ")
}

func TestValidMessages(t *testing.T) {
	t.Parallel()
	if err := orderPaid().Validate(); err != nil {
		t.Error(err)
	}
	if err := orderPaid().ValidateFor([]string{"thing1", "character_string2", "time3", "amount4"}); err != nil {
		t.Error(err)
	}
	m := orderPaid()
	m.ToUser = ""
	if err := m.ValidateContent(); err != nil {
		t.Errorf("ValidateContent minds the recipient: %v", err)
	}
}

func TestValidateReportsEveryFault(t *testing.T) {
	t.Parallel()
	m := &wechat.TemplateMessage{
		ToUser: "o1,o2", TemplateID: " ", URL: "javascript:alert(1)",
		MiniProgram: &wechat.MiniProgram{PagePath: "a\nb"}, ClientMsgID: strings.Repeat("x", 33),
		Data: map[string]wechat.Field{
			"thing1": {Value: strings.Repeat("好", 21)}, "time2": {Value: "tomorrow"}, "thing3.DATA": {Value: "x"},
			"": {Value: "x"}, "thing 4": {Value: "x"}, "thing5": {Value: " "}, "thing6": {Value: "a\x00"}, "thing7": {Value: "\xff"},
		},
	}
	want := "touser openid-several; data.thing7.value not-utf8; template_id template-missing; url url-invalid; " +
		"miniprogram.appid miniprogram-appid-missing; miniprogram.pagepath control-character; client_msg_id client-msg-id-invalid; " +
		`data key-empty; data["thing 4"] key-invalid; data.thing1.value value-too-long; data["thing3.DATA"] key-suffix; data.thing5.value value-empty; ` +
		"data.thing6.value control-character; data.time2.value value-form"
	got := codesOf(m.Validate())
	sorted := func(s string) string { return sortParts(s) }
	if sorted(got) != sorted(want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if codesOf((*wechat.TemplateMessage)(nil).Validate()) != " message-missing" ||
		codesOf((*wechat.TemplateMessage)(nil).ValidateContent()) != " message-missing" ||
		codesOf((*wechat.TemplateMessage)(nil).ValidateFor(nil)) != " message-missing" ||
		(*wechat.TemplateMessage)(nil).Warnings() != nil {
		t.Error("nil is not refused")
	}
	if got := codesOf((&wechat.TemplateMessage{}).Validate()); got != "touser openid-missing; template_id template-missing; data data-missing" {
		t.Errorf("empty message: %s", got)
	}
}

func sortParts(s string) string {
	parts := strings.Split(s, "; ")
	for i := range parts {
		for j := i + 1; j < len(parts); j++ {
			if parts[j] < parts[i] {
				parts[i], parts[j] = parts[j], parts[i]
			}
		}
	}
	return strings.Join(parts, "; ")
}

func TestFaultTextsHaveTheRemedyAndNoValue(t *testing.T) {
	t.Parallel()
	m := orderPaid()
	m.ToUser = canaryOpenID + ";" + canaryOpenID
	m.Data["thing1"] = wechat.Field{Value: strings.Repeat("canary ", 20)}
	err := m.Validate()
	if err == nil || strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "CANARY") {
		t.Errorf("%v quotes what was given", err)
	}
	want := "wechat: message refused: touser has several recipients: enqueue one message for each recipient (openid-several); " +
		"data.thing1.value is too long: it counts 140, at most 20 are allowed: shorten the text (value-too-long)"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	many := orderPaid()
	for i := range 40 {
		many.Data["thing"+strings.Repeat("1", i+2)] = wechat.Field{}
	}
	if text := many.Validate().Error(); !strings.HasSuffix(text, "and 20 more faults") || len(text) > 4000 {
		t.Errorf("forty faults read %q", text)
	}
}

func TestValidateChecksAllFieldsOfTheMessage(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		edit func(*wechat.TemplateMessage)
		want string
	}{
		{"openid of 64", func(m *wechat.TemplateMessage) { m.ToUser = strings.Repeat("o", 64) }, ""},
		{"openid of 65", func(m *wechat.TemplateMessage) { m.ToUser = strings.Repeat("o", 65) }, "touser openid-invalid"},
		{"openid with a quote", func(m *wechat.TemplateMessage) { m.ToUser = `o"1` }, "touser openid-invalid"},
		{"a sentence for an openid", func(m *wechat.TemplateMessage) { m.ToUser = "not an openid" }, "touser openid-invalid"},
		{"an array of openids as text", func(m *wechat.TemplateMessage) { m.ToUser = `["o1","o2"]` }, "touser openid-several"},
		{"openid in Chinese", func(m *wechat.TemplateMessage) { m.ToUser = "张三" }, "touser openid-invalid"},
		{"openid with NUL", func(m *wechat.TemplateMessage) { m.ToUser = "o\x00" }, "touser openid-invalid"},
		{"openid not UTF-8", func(m *wechat.TemplateMessage) { m.ToUser = "o\xff" }, "touser not-utf8"},
		{"openid is blank", func(m *wechat.TemplateMessage) { m.ToUser = " \t" }, "touser openid-missing"},
		{"two openids", func(m *wechat.TemplateMessage) { m.ToUser = "o1 o2" }, "touser openid-several"},
		{"two openids, Chinese comma", func(m *wechat.TemplateMessage) { m.ToUser = "o1，o2" }, "touser openid-several"},
		{"template of 65", func(m *wechat.TemplateMessage) { m.TemplateID = strings.Repeat("t", 65) }, "template_id template-invalid"},
		{"template with a space", func(m *wechat.TemplateMessage) { m.TemplateID = "a b" }, "template_id template-invalid"},
		{"no url", func(m *wechat.TemplateMessage) { m.URL = "" }, ""},
		{"http", func(m *wechat.TemplateMessage) { m.URL = "http://h:8080/p?q=中文#f" }, ""},
		{"upper-case scheme", func(m *wechat.TemplateMessage) { m.URL = "HTTPS://h" }, ""},
		{"no scheme", func(m *wechat.TemplateMessage) { m.URL = "example.com/a" }, "url url-invalid"},
		{"no host", func(m *wechat.TemplateMessage) { m.URL = "https:///a" }, "url url-invalid"},
		{"weixin scheme", func(m *wechat.TemplateMessage) { m.URL = "weixin://x" }, "url url-invalid"},
		{"url with a newline", func(m *wechat.TemplateMessage) { m.URL = "https://h/\na" }, "url url-invalid"},
		{"url with a space", func(m *wechat.TemplateMessage) { m.URL = "https://h/a b" }, "url url-invalid"},
		{"url that a decoder replaced", func(m *wechat.TemplateMessage) { m.URL = "https://h/\uFFFD" }, "url url-invalid"},
		{"page that a decoder replaced", func(m *wechat.TemplateMessage) {
			m.MiniProgram = &wechat.MiniProgram{AppID: "wx1", PagePath: "p?a=\uFFFD"}
		}, "miniprogram.pagepath text-replaced"},
		{"value that a decoder replaced", func(m *wechat.TemplateMessage) { m.Data["thing1"] = wechat.Field{Value: "\uFFFDֳ"} }, "data.thing1.value text-replaced"},
		{"url with a bad escape", func(m *wechat.TemplateMessage) { m.URL = "https://h/%zz" }, "url url-invalid"},
		{"empty mini program", func(m *wechat.TemplateMessage) { m.MiniProgram = &wechat.MiniProgram{} }, ""},
		{"mini program", func(m *wechat.TemplateMessage) { m.MiniProgram = &wechat.MiniProgram{AppID: "wx1", PagePath: "a?b=c"} }, ""},
		{"mini program without appid", func(m *wechat.TemplateMessage) { m.MiniProgram = &wechat.MiniProgram{PagePath: "a"} }, "miniprogram.appid miniprogram-appid-missing"},
		{"mini program with odd appid", func(m *wechat.TemplateMessage) { m.MiniProgram = &wechat.MiniProgram{AppID: "wx 1"} }, "miniprogram.appid miniprogram-invalid"},
		{"client_msg_id of 32", func(m *wechat.TemplateMessage) { m.ClientMsgID = strings.Repeat("a", 32) }, ""},
		{"client_msg_id with a dot", func(m *wechat.TemplateMessage) { m.ClientMsgID = "a.b" }, "client_msg_id client-msg-id-invalid"},
		{"16 KB", func(m *wechat.TemplateMessage) { m.Data["other"] = wechat.Field{Value: strings.Repeat("x", 16<<10)} }, " body-too-large"},
		{"16 KB with escapes", func(m *wechat.TemplateMessage) { m.Data["other"] = wechat.Field{Value: strings.Repeat("\"", 9000)} }, " body-too-large"},
		{"just below 16 KB", func(m *wechat.TemplateMessage) { m.Data["other"] = wechat.Field{Value: strings.Repeat("x", 15<<10)} }, ""},
		{"color with NUL", func(m *wechat.TemplateMessage) { m.Data["thing1"] = wechat.Field{Value: "x", Color: "\x00"} }, "data.thing1.color control-character"},
		{"no data", func(m *wechat.TemplateMessage) { m.Data = nil }, "data data-missing"},
	}
	for _, tt := range tests {
		m := orderPaid()
		tt.edit(m)
		if got := codesOf(m.Validate()); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestTpl02KeysAreComparedWithTheTemplate(t *testing.T) {
	t.Parallel()
	m := orderPaid()
	m.Data = map[string]wechat.Field{"thing1": {Value: ""}, "thing2.DATA": {Value: "x"}, "extra3": {Value: "x"}}
	keys := wechat.ParseTemplateKeys("{{thing1.DATA}} {{thing2.DATA}} {{time4.DATA}}")
	want := `data.thing1.value value-empty; data["thing2.DATA"] key-suffix; data.thing2 key-missing; data.time4 key-missing; data.extra3 key-unknown`
	if got := codesOf(m.ValidateFor(keys)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestTpl03ValuesAreCheckedByType(t *testing.T) {
	t.Parallel()
	const long, form, empty = "value-too-long", "value-form", "value-empty"
	tests := []struct{ key, value, want string }{
		{"thing1", strings.Repeat("好", 20), ""},
		{"thing1", strings.Repeat("好", 21), long},
		{"thing1", strings.Repeat("😀", 10), ""},
		{"thing1", strings.Repeat("😀", 10) + "a", long},
		{"thing1", "a\nb", "control-character"},
		{"thing1", "\u3000\u00a0 ", empty},
		{"thing1", "\u200b", empty},
		{"thing1", "\ufeff \u2060\u200e", empty},
		{"keyword1", "\u202a\u202c", empty},
		{"thing1", "\u3164\u115f\ufe0f\u00ad", empty},
		{"time1", "\u200d", empty},
		{"const1", "\u200b", ""},
		{"thing1", "\u200b1", ""},
		{"short_thing1", strings.Repeat("好", 20), ""},
		{"short_thing1", strings.Repeat("好", 21), long},
		{"character_string1", strings.Repeat("A", 32), ""},
		{"character_string1", strings.Repeat("A", 33), long},
		{"character_string1", "NO.2024-#1/a_b", ""},
		{"character_string1", "订单1", form},
		{"phone_number1", "+86-0766-66888866", ""},
		{"phone_number1", "+86-0766-668888661", long},
		{"phone_number1", "call me", form},
		{"phone_number1", "---", form},
		{"car_number1", "粤A8Z888挂", ""},
		{"car_number1", "粤A8Z888挂9", long},
		{"const1", strings.Repeat("好", 20), ""},
		{"const1", strings.Repeat("好", 21), long},
		{"const1", "", ""},
		{"amount1", "¥100.21", ""},
		{"amount1", "￥100.21", ""},
		{"amount1", "100元", ""},
		{"amount1", "$1,000.00", ""},
		{"amount1", "-5.00", ""},
		{"amount1", "123456789012", ""},
		{"amount1", "1234567890123", form},
		{"amount1", "¥", form},
		{"amount1", "free", form},
		{"amount1", "¥¥1", form},
		{"amount1", "1.2.3", form},
		{"time1", "2019年10月1日 15:01", ""},
		{"time1", "2019年10月1日", ""},
		{"time1", "15:01", ""},
		{"time1", "2019-10-01 15:01:02", ""},
		{"time1", "2019-10-01 15:01~2019-10-02 16:00", ""},
		{"time1", "15:01 ~ 16:30", ""},
		{"time1", "10月1日 15:01", ""},
		{"time1", "2019年10月", ""},
		{"time1", "2019/10/1 8时30分", ""},
		{"time1", "tomorrow", form},
		{"time1", "明天", form},
		{"time1", "3:01 PM", form},
		{"time1", "2019-13-01", form},
		{"time1", "2019-10-32 10:00", form},
		{"time1", "25:00", form},
		{"time1", "15:60", form},
		{"time1", "1~2~3", form},
		{"time1", "~", form},
		{"time1", "15:01~", form},
		{"time1", "", empty},
		{"date1", "2019年10月1日", ""},
		{"date1", "soon", form},
		{"number1", "3.14", ""},
		{"number1", "3,14", form},
		{"number1", strings.Repeat("9", 33), long},
		{"letter1", "abcXYZ", ""},
		{"letter1", "abc1", form},
		{"letter1", strings.Repeat("a", 33), long},
		{"symbol1", "+-*/=", ""},
		{"symbol1", "+-*/=!", long},
		{"name1", strings.Repeat("张", 10), ""},
		{"name1", strings.Repeat("张", 11), long},
		{"name1", strings.Repeat("a", 20), ""},
		{"name1", strings.Repeat("a", 21), long},
		{"symbol1", "+1", form},
		{"symbol1", "好", form},
		{"name1", "阿卜杜拉·买买提", ""},
		{"name1", "王Wang Xiaoli", long},
		{"name1", "张三3", form},
		{"phrase1", "已完成交", ""},
		{"phrase1", "已经完成交", ""},
		{"phrase1", "已经完成交付", long},
		{"phrase1", "OK", form},
		{"phrase1", "已完成!", form},
		{"car_number1", "粤好8Z888", form},
		{"car_number1", "粤A·8888", form},
		{"car_number1", "WJ01警", ""},
		{"time1", "2026-02-30", form},
		{"time1", "2024-02-29 10:00", ""},
		{"time1", "2026-02-29", form},
		{"time1", "2026年4月31日 10:00", form},
		{"time1", "4月31日", form},
		{"time1", "2月29日", ""},
		{"time1", "25:61", form},
		{"time1", "24:00", ""},
		{"time1", "24:01", form},
		{"time1", "2026-10-01~2026-09-31", form},
		{"date1", "2026-02-30", form},
		{"date1", "15:01", form},
		{"date1", "2026-10-01 15:01~16:01", ""},
		{"date1", "15:01~2026-10-01", form},
		{"date1", "01-01", ""},
		{"date1", "2018-01", ""},
		{"enum1", strings.Repeat("x", 100), ""},
		{"unheard_of1", strings.Repeat("好", 100), ""},
		{"unheard_of1", "", empty},
		{"name", strings.Repeat("张", 30), ""},
		{"time", "tomorrow", ""},
		{"Time1", "tomorrow", ""},
		{"thing", strings.Repeat("好", 30), ""},
		{"order2Sn", "x", ""},
		{"first", "", ""},
		{"first", "您好\n欢迎", ""},
		{"first", "a\x00", "control-character"},
		{"keyword1", strings.Repeat("好", 25), ""},
		{"keyword1", "", empty},
		{"remark", "谢谢", ""},
	}
	for _, tt := range tests {
		m := orderPaid()
		m.Data = map[string]wechat.Field{tt.key: {Value: tt.value}}
		want := tt.want
		if want != "" {
			want = "data." + tt.key + ".value " + want
		}
		if got := codesOf(m.Validate()); got != want {
			t.Errorf("%s=%q: %q, want %q", tt.key, tt.value, got, want)
		}
	}
}

// A key may be an openid when a caller's program exchanged names and values.
func TestFaultsMaskKeysThatMayBeOpenIDs(t *testing.T) {
	t.Parallel()
	for _, key := range []string{canaryOpenID, canaryOpenID + " "} {
		m := orderPaid()
		m.Data[key] = wechat.Field{Value: ""}
		if err := m.Validate(); err == nil || strings.Contains(err.Error(), canaryOpenID) {
			t.Errorf("%v shows the key", err)
		}
	}
	if got := codesOf(wechat.ValidateValue("character_string_of_orders12", "")); got != "data.character_string_of_orders12.value value-empty" {
		t.Errorf("a long key is masked: %s", got)
	}
}

func TestValidateValueChecksOneValue(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ key, value, want string }{
		{"thing1", "苹果", ""},
		{"thing1", strings.Repeat("好", 21), "data.thing1.value value-too-long"},
		{"time2", "tomorrow", "data.time2.value value-form"},
		{"amount3", " ", "data.amount3.value value-empty"},
		{"first", "", ""},
		{"thing 1", "x", `data["thing 1"] key-invalid`},
		{"姓名", "x", `data["姓名"] key-invalid`},
		{"姓\u200b\u202e\u3000\x00", "x", `data["姓\u200b\u202e\u3000\x00"] key-invalid`},
	} {
		if got := codesOf(wechat.ValidateValue(tt.key, tt.value)); got != tt.want {
			t.Errorf("%s=%q: %q, want %q", tt.key, tt.value, got, tt.want)
		}
	}
}

// The lengths are those at which a published SDK truncates.
func TestPublishedFieldLimitsHold(t *testing.T) {
	t.Parallel()
	for _, row := range readSamples(t).FieldLimits {
		m := orderPaid()
		m.Data = map[string]wechat.Field{row.Key: {Value: row.Value}}
		err := m.Validate()
		if refused := err != nil; refused != (row.Limit != nil) {
			t.Errorf("%s: %v", row.ID, err)
		}
	}
}

func TestTpl03TruncateShortensThingsOnly(t *testing.T) {
	t.Parallel()
	family := "👨\u200d👩\u200d👧" // 8 units
	tests := []struct{ key, value, want string }{
		{"thing1", strings.Repeat("好", 20), strings.Repeat("好", 20)},
		{"thing1", strings.Repeat("好", 21), strings.Repeat("好", 19) + "…"},
		{"thing1", strings.Repeat("😀", 11), strings.Repeat("😀", 9) + "…"},
		{"thing1", strings.Repeat("a", 15) + family + "x", strings.Repeat("a", 15) + "…"},
		{"thing1", strings.Repeat("a", 18) + "e\u0301e\u0301", strings.Repeat("a", 18) + "…"},
		{"thing1", strings.Repeat("a", 17) + "👍🏽 and more", strings.Repeat("a", 17) + "…"},
		{"thing1", strings.Repeat("a", 15) + "    tail", strings.Repeat("a", 15) + "…"},
		{"thing1", strings.Repeat("\u0301", 30), "…"},
		{"short_thing1", strings.Repeat("b", 30), strings.Repeat("b", 19) + "…"},
		{"character_string1", strings.Repeat("1", 40), strings.Repeat("1", 40)},
		{"phone_number1", strings.Repeat("1", 40), strings.Repeat("1", 40)},
		{"const1", strings.Repeat("好", 30), strings.Repeat("好", 30)},
		{"keyword1", strings.Repeat("好", 30), strings.Repeat("好", 30)},
		{"thing", strings.Repeat("好", 30), strings.Repeat("好", 30)},
	}
	for _, tt := range tests {
		m := orderPaid()
		m.Data = map[string]wechat.Field{tt.key: {Value: tt.value, Color: "#1"}}
		short, paths := wechat.Truncate(m)
		if got := short.Data[tt.key].Value; got != tt.want {
			t.Errorf("%s=%q: %q, want %q", tt.key, tt.value, got, tt.want)
		}
		if cut := tt.value != tt.want; cut != (strings.Join(paths, "") == "data."+tt.key+".value") {
			t.Errorf("%s=%q: paths %q", tt.key, tt.value, paths)
		}
		if m.Data[tt.key].Value != tt.value || short.Data[tt.key].Color != "#1" {
			t.Errorf("%s: the original was changed, or the color lost", tt.key)
		}
	}
	if m, paths := wechat.Truncate(nil); m != nil || paths != nil {
		t.Error("nil is not nil")
	}
}

func TestTpl0456WarningsNameWhatIsNotShown(t *testing.T) {
	t.Parallel()
	tests := []struct{ key, value, color, want string }{
		{"first", "您好", "", "data.first historic-hidden"},
		{"remark", "谢谢 😀", "#173177", "data.remark historic-hidden; data.remark.value emoji-not-shown; data.remark.color color-not-shown"},
		{"first", "", "", ""},
		{"keyword1", strings.Repeat("好", 20), "", ""},
		{"keyword1", strings.Repeat("好", 25), "", "data.keyword1.value historic-cut"},
		{"keyword1", strings.Repeat("好", 19) + "ORDER20240501", "", ""},
		{"keyword1", "a\nb", "", "data.keyword1.value line-break"},
		{"thing1", "x", "", ""},
		{"thing1", "☀️", "", "data.thing1.value emoji-not-shown"},
		{"thing1", "⭐", "", "data.thing1.value emoji-not-shown"},
		{"thing1", "⏰", "", "data.thing1.value emoji-not-shown"},
		{"thing1", "a\u2028b", "", "data.thing1.value line-break"},
		{"short_thing1", strings.Repeat("好", 11), "", "data.short_thing1.value short-thing-long"},
		{"thing1", "¥\u202e001", "", "data.thing1.value writing-direction"},
		{"thing1", "\u2066a\u2069", "", "data.thing1.value writing-direction"},
		{"thing1", "\u200eשלום", "", ""},
	}
	for _, tt := range tests {
		m := orderPaid()
		m.Data = map[string]wechat.Field{tt.key: {Value: tt.value, Color: tt.color}}
		if got := faultCodes(m.Warnings()); got != tt.want {
			t.Errorf("%s=%q: %q, want %q", tt.key, tt.value, got, tt.want)
		}
		if err := m.Validate(); err != nil {
			t.Errorf("%s=%q: a warning is no fault: %v", tt.key, tt.value, err)
		}
	}
}

func TestTpl01ParseTemplateKeysFindsEachKeyOnce(t *testing.T) {
	t.Parallel()
	tests := []struct{ content, want string }{
		{"订单号:{{character_string1.DATA}}\n金额:{{amount2.DATA}}", "character_string1 amount2"},
		{"{ {thing9.DATA} }\n{ {thing1.DATA} }", "thing9 thing1"},
		{"{{first.DATA}}\n{{ keyword1.DATA }}\n{{remark.DATA}}", "first keyword1 remark"},
		{"{{thing1.DATA}} {{thing1.DATA}}", "thing1"},
		{"{{order2Sn.DATA}} {{_x.DATA}}", "order2Sn _x"},
		{"{{thing1}} {thing2.DATA} {{thing3.data}} {{3.DATA}}", ""},
		{"", ""},
	}
	for _, tt := range tests {
		if got := strings.Join(wechat.ParseTemplateKeys(tt.content), " "); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.content, got, tt.want)
		}
	}
}

// FuzzValidate checks that a valid message is valid JSON within the limits, and
// that truncation leaves no thing too long.
func FuzzValidate(f *testing.F) {
	f.Add("o1", "T", "https://h/", "thing1", "商品", "wx1")
	f.Add("o1,o2", "", "x", "time2.DATA", "tomorrow", "")
	f.Add("o\xff", "T\x00", "http://\n", "", "😀\u200d", "wx")
	f.Add("o1", "T", "", "thing1", strings.Repeat("e\u0301😀", 20), "")
	f.Fuzz(func(t *testing.T, to, template, link, key, value, appid string) {
		m := &wechat.TemplateMessage{
			ToUser: to, TemplateID: template, URL: link,
			MiniProgram: &wechat.MiniProgram{AppID: appid}, Data: map[string]wechat.Field{key: {Value: value}},
		}
		_ = m.Warnings()
		err := m.Validate()
		if err != nil {
			text := err.Error()
			if !utf8.ValidString(text) || strings.ContainsAny(text, "\n\r\x00") {
				t.Errorf("%q is not one line", text)
			}
		} else if body, err := wechat.MarshalBody(m); err != nil || len(body) > 16<<10 {
			t.Errorf("valid, but MarshalBody returned %v and %d bytes", err, len(body))
		}
		short, paths := wechat.Truncate(m)
		cut := short.Data[key].Value
		if len(paths) > 0 && (len(utf16.Encode([]rune(cut))) > 20 || !strings.HasSuffix(cut, "…") || !utf8.ValidString(cut) && utf8.ValidString(value)) {
			t.Errorf("%q was cut to %q", value, cut)
		}
	})
}
