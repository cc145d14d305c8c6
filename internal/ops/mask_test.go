package ops_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/wxnotify/wxnotify/internal/ops"
)

func TestMaskText(t *testing.T) {
	t.Parallel()
	table := []struct{ explanation, text, want string }{
		{"nothing personal", "dial tcp 127.0.0.1:6379: connect: connection refused", "dial tcp 127.0.0.1:6379: connect: connection refused"},
		{"an openid", "invalid openid " + openid2, "invalid openid o6_b…2M"},
		{"an openid behind a word", "order-77-" + openid, "orde…Ef"},
		{"an openid before a word", openid + "_paid", "oCAN…id"},
		{"openids side by side", openid + "," + openid2, "oCAN…Ef,o6_b…2M"},
		{"all small letters", "o" + strings.Repeat("x", 27), "oxxx…xx"},
		{"a name of the program", "wxnotify_queue_entries_without_data_of_whom", "wxnotify_queue_entries_without_data_of_whom"},
		{"a UUID", "550e8400-e29b-41d4-a716-446655440000", "550e8400-e29b-41d4-a716-446655440000"},
		{"a hash in hex", strings.Repeat("0123456789abcdef", 4), strings.Repeat("0123456789abcdef", 4)},
		{"a bare token", "got " + token + ".", "got [redacted]."},
		{"a token in a link", "https://h/x?access_token=short&y=1", "https://h/x?access_token=[redacted]&y=1"},
		{"a secret in JSON", `{"appsecret": "s3cr3t", "n":1}`, `{"appsecret": "[redacted]", "n":1}`},
		{"a secret of the environment", "WXNOTIFY_APPSECRET=abc", "WXNOTIFY_APPSECRET=[redacted]"},
		{"a ticket in prose", "ticket: gQH47joAAAAAAAAAASxodHRwOi8", "ticket: [redacted]"},
		{"an OAuth code", "/sns/oauth2/access_token?appid=wx1&code=CODE1&state=2", "/sns/oauth2/access_token?appid=wx1&code=[redacted]&state=2"},
		{"a header", "Authorization: Basic bGk6eA==", "Authorization: Basic [redacted]"},
		{"prose about a secret", "no secret: set one", "no secret: set one"},
		{"WeChat's answer", "errcode=40001, code: 40001", "errcode=40001, code: 40001"},
		{"a phone", "call 13812345678 now", "call *********78 now"},
		{"a phone with blanks", "138 1234 5678", "*** **** **78"},
		{"a phone of China", "+8613812345678", "+***********78"},
		{"a phone in Chinese", "电话13812345678。", "电话*********78。"},
		{"a millisecond", "at 1763812345678 ms", "at 1763812345678 ms"},
		{"a msgid", "msgid 2441138123456789012", "msgid 2441138123456789012"},
		{"a time", "2026-11-22T13:38:12.345678901Z", "2026-11-22T13:38:12.345678901Z"},
	}
	for _, row := range table {
		if got := ops.Mask(row.text); got != row.want {
			t.Errorf("%s: %q, want %q", row.explanation, got, row.want)
		}
	}
}

func TestMaskedIDsAreDistinctAndStable(t *testing.T) {
	t.Parallel()
	first := "order-1-" + openid
	shown := ops.MaskIDs("order-1", first, first, "order-2-"+openid, "13812345678", "订单-"+openid)
	if shown[0] != "order-1" {
		t.Errorf("an ID without personal data is shown as %q", shown[0])
	}
	if shown[1] != shown[2] || shown[1] == shown[3] {
		t.Errorf("%q, want equal ones for equal IDs only", shown)
	}
	if found := leaks(strings.Join(shown, " ")); found != nil {
		t.Errorf("%q leaks %q", shown, found)
	}
	if other := ops.MaskIDs(first); other[0] == shown[1] {
		t.Errorf("the suffix of %q is the same in two processes: it could be looked up", other[0])
	}
}

func FuzzMask(f *testing.F) {
	for _, s := range []string{"", openid, "x" + openid + "x", token, "access_token=" + token, "138 1234 5678", "\xff\x00" + openid} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		masked := ops.Mask(s)
		if utf8.ValidString(s) && !utf8.ValidString(masked) {
			t.Errorf("%q became invalid: %q", s, masked)
		}
		if again := ops.Mask(s + " " + openid + " " + token); strings.Contains(again, openid) || strings.Contains(again, token) {
			t.Errorf("%q hides a canary behind it: %q", s, again)
		}
	})
}

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
