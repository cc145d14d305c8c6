package rawjson_test

import (
	"encoding/json"
	"slices"
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
		if got, ok := rawjson.Object(data); ok != (err == nil) || ok && cmp.Diff(object, got) != "" {
			t.Errorf("object %q: %q, %v; want %q, %v", data, got, ok, object, err)
		}
		var array []json.RawMessage
		err = json.Unmarshal(data, &array)
		if got, ok := rawjson.Array(data); ok != (err == nil && array != nil) || ok && !slices.EqualFunc(array, got, slices.Equal) {
			t.Errorf("array %q: %q, %v; want %q, %v", data, got, ok, array, err)
		}
		text, got := "before", "before"
		err = json.Unmarshal(data, &text)
		if ok := rawjson.Text(data, &got); ok != (err == nil) || got != text {
			t.Errorf("text %q: %q, %v; want %q, %v", data, got, ok, text, err)
		}
	})
}

func TestMembersYieldsWhatIsThereTwice(t *testing.T) {
	t.Parallel()
	var got []string
	for name, value := range rawjson.Members([]byte(` {"a":1,"b":{"a":2},"a":[3] }`)) {
		got = append(got, name+string(value))
		if len(got) == 3 {
			break
		}
	}
	if want := []string{"a1", `b{"a":2}`, "a[3]"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
