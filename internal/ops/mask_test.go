package ops_test

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/wxnotify/wxnotify/internal/ops"
)

func FuzzMaskAnswer(f *testing.F) {
	for _, s := range []string{`{}`, `{"tasks":[{"id":"` + openid + `","error_message":"x"}],"n":1.50e3}`, `null`, `[1,"` + phone + `"]`, `{"a":1}{`, `"\ud800"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		out, err := ops.MaskAnswer(doc)
		if err != nil {
			return
		}
		if !json.Valid(out) {
			t.Errorf("%q became %q", doc, out)
		}
		wrapped, err := ops.MaskAnswer([]byte(`{"x":` + string(doc) + `,"id":"` + openid + `","` + openid2 + `":"` + phone + `"}`))
		if err == nil && leaks(string(wrapped)) != nil && leaks(string(doc)) == nil {
			t.Errorf("%q leaks: %q", doc, wrapped)
		}
	})
}

func FuzzShowPayload(f *testing.F) {
	f.Add([]byte("{}\n{}"))
	f.Add(payload(f, "order-1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		shown := ops.ShowPayload("wechat:template.send", data)
		if shown == "" || !utf8.ValidString(shown) {
			t.Errorf("%q is shown as %q", data, shown)
		}
		if shown[0] != '(' && !json.Valid([]byte(shown)) {
			t.Errorf("%q is shown as %q", data, shown)
		}
	})
}
