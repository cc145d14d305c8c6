package wechat_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/wechat"
)

func TestCheckJSONNamesWhatADecoderWouldRepairOrDrop(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"a":{"b":["x","\u4f60"]},"c":1.5e3,"d":null,"e":true,"f":[],"g":{}}`: "",
		`{"a":"😀 \ud83d\ude00 \\ud83d \""}`:                                    "",
		"\xEF\xBB\xBF{}\r\n":                                                   "",
		`7`:                                                                    "",
		`{"a":1,"b":2,"a":3}`:                                                  "a field-twice",
		`{"a":1,"\u0061":3}`:                                                   "a field-twice",
		`{"data":{"x":{"value":"1","value":"2"}},"data":{}}`: "data.x.value field-twice; data field-twice",
		"{\"a\":[{\"b\":\"\xd6\"}]}":                         "a[0].b not-utf8",
		"{\"\xd6\":1}":                                       `["�"] not-utf8`,
		"{\"a\":\"\uFFFD\"}":                                 "a text-replaced",
		`{"a":"\ufffd"}`:                                     "a text-replaced",
		`{"a":"\ud83d"}`:                                     "a half-surrogate",
		`{"a":"\ude00"}`:                                     "a half-surrogate",
		`{"a":"\ud83dx"}`:                                    "a half-surrogate",
		`{"a":"\ud83d\u0041"}`:                               "a half-surrogate",
		`{"a":"\ud83d\ud83d\ude00"}`:                         "a half-surrogate",
		`["\ud83d",{"b.c":"\ud83d"}]`:                        `[0] half-surrogate; [1]["b.c"] half-surrogate`,
		``:                                                   " not-json",
		`{"a":1,}`:                                           " not-json",
		`{} {}`:                                              " not-json",
	} {
		if got := codesOf(wechat.CheckJSON([]byte(text))); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	if err := wechat.CheckJSON([]byte(`{"咖":1},` + "\r\n")); err == nil || !strings.Contains(err.Error(), "is not JSON: character 8: ") {
		t.Errorf("%v does not name the place in one line", err)
	}
	err := wechat.CheckJSON([]byte("{\n  \"a\": x\n}"))
	if err == nil || !strings.Contains(err.Error(), "line 2, character 8") {
		t.Errorf("%v does not name the place", err)
	}
	for text, want := range map[string]string{
		"\xff\xfe{\x00}\x00": "is UTF-16", "\xfe\xff\x00{\x00}": "is UTF-16", "{\x00}\x00": "is UTF-16", "\x00{\x00}": "is UTF-16", "\xff\xfe\x00\x00{\x00\x00\x00": "UTF-32",
		"\x1f\x8b\x08\x00": "gzip", "<xml><a>1</a></xml>": "XML", " <html>": "XML",
		`{“a”:1}`: "write the ASCII one", `{"a"：1}`: "character 5: a character outside", "": "is empty: write",
	} {
		var invalid *wechat.InvalidError
		if err := wechat.CheckJSON([]byte(text)); !errors.As(err, &invalid) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "invalid character") || invalid.In(wechat.Chinese) == invalid.Error() {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if err := wechat.CheckJSON([]byte(`{"oABCDEFGHIJKLMNOPQRSTUVWXYZ12":"\ud83d"}`)); strings.Contains(err.Error(), "GHIJKLMNOP") {
		t.Errorf("%v shows an openid", err)
	}
}

func TestPointerIsAJSONPointer(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"": "", "touser": "/touser", "data.thing1.value": "/data/thing1/value", `data["thing 4"].value`: "/data/thing 4/value",
		`data["a/b~c.d"]`: "/data/a~1b~0c.d", "messages[12].message.data": "/messages/12/message/data", "[0]": "/0",
	} {
		if got := (wechat.Fault{Path: path}).Pointer(); got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}

// P03, P04, P06: what the reader cannot keep as it was given is refused by name.
func TestParseTemplateMessageDropsAndRepairsNothing(t *testing.T) {
	t.Parallel()
	body := func(member string) string { return `{"touser":"o1","template_id":"T","data":{},` + member + `}` }
	for text, want := range map[string]string{
		body(`"miniprogram":{"appid":"wx1","page":"p"}`):                       "",
		body(`"miniprogram":{"appid":"wx1","pagePath":"p"}`):                   "",
		body(`"miniprogram":{"appid":"wx1","path":"p","pagepath":"p"}`):        "",
		body(`"miniprogram":{"appid":"wx1","path":"p","pagepath":"q"}`):        "miniprogram.path field-twice",
		body(`"miniprogram":{"appid":"wx1","page_path":"p"}`):                  "miniprogram.page_path field-unknown",
		body(`"page":"p","miniprogram_state":"formal","lang":"zh_CN"`):         "lang other-kind; miniprogram_state other-kind; page other-kind",
		body(`"scene":"1","title":"x"`):                                        "scene other-kind; title other-kind",
		`{"touser":["o1","o2"],"data":{}}`:                                     "touser openid-several",
		body(`"to user":"o","a/b":1`):                                          `["a/b"] field-unknown; ["to user"] field-unknown`,
		body(`"miniprogram":{"page path":"p"}`):                                `miniprogram["page path"] field-unknown`,
		body(`"form_id":"1"`):                                                  "form_id other-kind",
		body(`"msgtype":"text"`):                                               "msgtype other-kind",
		body(`"mp_template_msg":{}`):                                           "mp_template_msg other-kind",
		body(`"url":null,"miniprogram":null,"client_msg_id":null`):             "",
		`{"data":{"a1":{"value":10},"b1":{"value":true},"c1":{"value":null}}}`: "data.a1.value field-type; data.b1.value field-type; data.c1.value field-type",
		`{"data":{"a1":{"value":["x"]},"b1":{"value":{"x":1}},"c1":7}}`:        "data.a1.value field-type; data.b1.value field-type; data.c1 field-type",
		"{\"data\":{\"thing1\":{\"value\":\"\xca\xd6\"}},\"x\":1}":             "data.thing1.value not-utf8; x field-unknown",
		`{"data":{"thing1":{"value":"\ud83d"},"thing1":{"value":"x"}}}`:        "data.thing1.value half-surrogate; data.thing1 field-twice",
	} {
		m, err := wechat.ParseTemplateMessage([]byte(text))
		if got := codesOf(err); got != want || (m == nil) != (want != "") {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
		if want == "" && strings.Contains(text, `"wx1"`) && m.MiniProgram.PagePath != "p" {
			t.Errorf("%s: the page is %q", text, m.MiniProgram.PagePath)
		}
	}
	_, err := wechat.ParseTemplateMessage([]byte(body(`"page":"p"`)))
	if err == nil || !strings.Contains(err.Error(), "subscribe notice") {
		t.Errorf("%v does not name the kind of message", err)
	}
	var p wechat.MiniProgram
	if err := json.Unmarshal([]byte(`{"appid":"wx1","page":"p"}`), &p); err != nil || p.PagePath != "p" {
		t.Errorf("json.Unmarshal: %+v, %v", p, err)
	}
}

// FuzzParseTemplateMessage checks that what is read without a fault says the same
// as the text: encoding it and reading it again gives the same message.
func FuzzParseTemplateMessage(f *testing.F) {
	f.Add([]byte(`{"touser":"o1","template_id":"T","miniprogram":{"appid":"wx1","page":"p"},"data":{"thing1":{"value":"\u4f60"}}}`))
	f.Add([]byte("{\"touser\":\"\xff\",\"data\":{\"\xff\":{\"value\":\"\\ud83d\"}}}"))
	f.Add([]byte(`{"data":{"a":{"value":"\ufffd"},"a":null}}`))
	f.Add([]byte("\xEF\xBB\xBF[{\"a\":[\"\n\"]}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := wechat.ParseTemplateMessage(data)
		if err != nil {
			if text := err.Error(); strings.ContainsAny(text, "\n\r\x00") {
				t.Errorf("%q is not one line", text)
			}
			return
		}
		body, err := wechat.MarshalBody(m)
		if err != nil {
			t.Fatalf("%q was read as %+v, which cannot be encoded: %v", data, m, err)
		}
		if strings.Contains(string(body), "\uFFFD") {
			t.Errorf("%q was repaired to %q", data, body)
		}
		again, err := wechat.ParseTemplateMessage(body)
		if m.MiniProgram != nil && *m.MiniProgram == (wechat.MiniProgram{}) {
			m.MiniProgram = nil
		}
		if m.Data == nil {
			m.Data = map[string]wechat.Field{}
		}
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Errorf("%q: %+v, again %+v, %v", data, m, again, err)
		}
	})
}

// FuzzCheckJSON checks the promise: without a fault, encoding/json keeps every key
// and every character.
func FuzzCheckJSON(f *testing.F) {
	f.Add([]byte(`{"a":{"b":[1,"x",{"c":null}]},"d":"\u4f60\ud83d\ude00\\u\"","e":[],"f":-1.5e3}`))
	f.Add([]byte(`{"a":1,"\u0061":2}`))
	f.Add([]byte("[\"\xff\",\"\\ud83d\",\"\\ufffd\",\"\uFFFD\"]"))
	f.Add([]byte("\xEF\xBB\xBF {\n} "))
	f.Add([]byte(`{"f":-1.5e333}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := wechat.CheckJSON(data); err != nil {
			if codesOf(err) == "" || strings.ContainsAny(err.Error(), "\n\r\x00") {
				t.Errorf("%q: %v", data, err)
			}
			return
		}
		data = bytes.TrimPrefix(bytes.TrimSpace(data), []byte("\xEF\xBB\xBF"))
		var value any
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.UseNumber() // 1e400 is JSON, and no float64
		if err := decoder.Decode(&value); err != nil {
			var syntax *json.SyntaxError
			if !errors.As(err, &syntax) || !bytes.ContainsFunc(data, func(r rune) bool { return r < ' ' }) {
				t.Fatalf("%q: %v", data, err) // only control characters in text are allowed beyond JSON
			}
			return
		}
		if bytes.ContainsRune(data, '\uFFFD') {
			t.Errorf("%q has U+FFFD", data)
		}
		tokens := json.NewDecoder(bytes.NewReader(data))
		tokens.UseNumber()
		n := 0
		for {
			token, err := tokens.Token()
			if err != nil {
				break
			}
			if _, closes := token.(json.Delim); !closes {
				n++
			}
			if text, ok := token.(string); ok && strings.ContainsRune(text, '\uFFFD') {
				t.Errorf("%q is decoded with U+FFFD", data)
			}
		}
		if kept := scalars(value); kept != n {
			t.Errorf("%q has %d keys and values, %d are left", data, n, kept)
		}
	})
}

// scalars counts keys and values, as tokens that are no brackets.
func scalars(value any) int {
	switch v := value.(type) {
	case map[string]any:
		n := len(v)
		for _, member := range v {
			n += scalars(member)
		}
		return n
	case []any:
		n := 0
		for _, element := range v {
			n += scalars(element)
		}
		return n
	default:
		return 1
	}
}
