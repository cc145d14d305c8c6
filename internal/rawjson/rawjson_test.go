package rawjson_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wxnotify/wxnotify/internal/rawjson"
)

// FuzzReadsAsEncodingJSON: objects, arrays and texts are taken apart as encoding/json
// decodes them.
func FuzzReadsAsEncodingJSON(f *testing.F) {
	for _, text := range []string{
		`{}`, ` { "a" : 1 , "b":[{"c":"]}"}, "\\\""] ,"a":null} `, "\t[ ]\n", `["\ud83d\ude00","\"",{"x":{"y":[-1.5e+3,true]}},"", false]`,
		`"a\u00e9\n"`, "\"\xff\"", "{\"\xff\":1,\"\\ud83d\":2}", `null`, `7`, `{"a":{},"":[]}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !json.Valid(data) {
			return
		}
		var object map[string]json.RawMessage
		err := json.Unmarshal(data, &object)
		members, ok := rawjson.Object(data)
		var got map[string]json.RawMessage // of a name that is there twice, the last value
		if members != nil {
			got = map[string]json.RawMessage{}
		}
		for _, m := range members {
			got[m.Name] = m.Value
		}
		sorted := slices.IsSortedFunc(members, func(a, b rawjson.Member) int { return strings.Compare(a.Name, b.Name) })
		if ok != (err == nil) || !sorted || ok && cmp.Diff(object, got) != "" {
			t.Errorf("object %q: %q, %v; want %q, %v", data, members, ok, object, err)
		}
		var array []json.RawMessage
		err = json.Unmarshal(data, &array)
		if got, ok := rawjson.Array(data); ok != (err == nil && array != nil) || ok && !slices.EqualFunc(array, got, slices.Equal) {
			t.Errorf("array %q: %q, %v; want %q, %v", data, got, ok, array, err)
		}
		text, read := "before", "before"
		err = json.Unmarshal(data, &text)
		if ok := rawjson.Text(data, &read); ok != (err == nil) || read != text {
			t.Errorf("text %q: %q, %v; want %q, %v", data, read, ok, text, err)
		}
	})
}

func TestObjectKeepsWhatIsThereTwice(t *testing.T) {
	t.Parallel()
	members, ok := rawjson.Object([]byte(` {"b":1,"a":{"a":2},"b":[3] }`))
	want := []rawjson.Member{{"a", json.RawMessage(`{"a":2}`)}, {"b", json.RawMessage("1")}, {"b", json.RawMessage("[3]")}}
	if diff := cmp.Diff(want, members); !ok || diff != "" {
		t.Error(diff)
	}
	if !rawjson.Has(members, "x", "a") || rawjson.Has(members, "x") {
		t.Error("Has does not find the names")
	}
}

func TestMarshalLeavesHTMLAsItIs(t *testing.T) {
	t.Parallel()
	if text, err := rawjson.Marshal(map[string]string{"a": "<您好 & 你>"}); err != nil || string(text) != `{"a":"<您好 & 你>"}` {
		t.Errorf("%s %v", text, err)
	}
	if _, err := rawjson.Marshal(func() {}); err == nil {
		t.Error("wrote a function")
	}
}

func TestNotASCIIFindsWhatPeopleTypeForJSON(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`{“a”:1}`: true, `{"a"：1}`: true, `{"a":1，"b":2}`: true, `｛"a":1}`: true, "{\u2028}": true, "\u0085": true, "{\u0080}": true,
		`{'a':1}`: false, `{a:1}`: false, "{\x00}": false, `{"a":"\x"}`: false, `{"a":1`: false, `{"é":"：“"}x`: false, `{"a":"é` + "\n": false,
	} {
		var v any
		err := json.Unmarshal([]byte(text), &v)
		syntax, ok := errors.AsType[*json.SyntaxError](err)
		if !ok || rawjson.NotASCII(syntax) != want {
			t.Errorf("%q: %v, want %t", text, err, want)
		}
	}
}
