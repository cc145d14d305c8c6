package wechat_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/wxnotify/wxnotify/wechat"
)

// refusal makes the error of an answer, without a network.
func refusal(t *testing.T, code int, errmsg string) *wechat.Error {
	t.Helper()
	answer, err := json.Marshal(map[string]any{"errcode": code, "errmsg": errmsg})
	must(t, err)
	_, err = answered(t, answer).SendTemplate(t.Context(), orderPaid())
	var e *wechat.Error
	if !errors.As(err, &e) {
		t.Fatalf("%s: got %v", answer, err)
	}
	return e
}

// answered is a client whose every call gets data back with status 200.
func answered(t *testing.T, data []byte) *wechat.Client {
	t.Helper()
	transport := roundTrip(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Request: r, Body: io.NopCloser(strings.NewReader(string(data)))}, nil
	})
	c, err := wechat.NewClient(wechat.Config{AppID: "wx1", AppSecret: wechat.NewSecret(canarySecret), HTTPClient: &http.Client{Transport: transport}},
		wechat.StaticToken(canaryToken))
	must(t, err)
	return c
}

func TestErrmsgIsSplitFromRIDAndHints(t *testing.T) {
	t.Parallel()
	const rid = "61725984-6126f6f9-040f19c4"
	tests := []struct{ errmsg, msg, rid string }{
		{"require subscribe rid: " + rid, "require subscribe", rid},
		{"code been used, rid: " + rid, "code been used", rid},
		{"invalid ip 61.172.68.219, not in whitelist hint: [a1b2c3d4e]", "invalid ip 61.172.68.219, not in whitelist", ""},
		{"invalid appid hints: [Xa_0!]", "invalid appid", ""},
		{"code been used, hints: [ req_id: Kx9A ]", "code been used", ""},
		{"x hint: [a] rid: " + rid, "x", rid},
		{"x rid: " + rid + " hint: [unclosed", "x", rid},
		{"ok", "ok", ""},
		{"", "", ""},
		{"api unauthorized rid: R", "api unauthorized", "R"},
		{"line\nbreak\tand\x00nul\u2028", "line break and nul", ""},
		{"the bride: is no rid", "the bride: is no rid", ""},
		{strings.Repeat("好", 200), strings.Repeat("好", 100), ""},
		{"openid " + canaryOpenID + " bad", "openid oCAN…yz bad", ""},
		{"openid o6_bmjrPTlm6_2sgVt7hMZOPfL2M bad", "openid o6_b…2M bad", ""},
		{"token 50_Im7xxxxAAAAAAAAAAAAAAAAAAAAAAAAAAA", "token [redacted]", ""},
		{"access_token=50_Im7&secret=abc", "access_token=[redacted]&secret=[redacted]", ""},
	}
	for _, tt := range tests {
		e := refusal(t, 40003, tt.errmsg)
		if e.Msg != tt.msg || e.RID != tt.rid {
			t.Errorf("%q\n got %q rid %q\nwant %q rid %q", tt.errmsg, e.Msg, e.RID, tt.msg, tt.rid)
		}
	}
}

func TestRemedyHasTheAddressOrFieldOfTheErrmsg(t *testing.T) {
	t.Parallel()
	for errmsg, ip := range map[string]string{
		"invalid ip 1.2.3.4 ipv6 ::ffff:1.2.3.4, not in whitelist rid: 64a1b2c3-0a1b2c3d-0e0f1a2b": "1.2.3.4",
		"invalid ip 114.221.21.30, not in whitelist":                                               "114.221.21.30",
		"invalid ip 1.2.3.9: not in whitelist.":                                                    "1.2.3.9",
		"invalid ip 240e:3a1::1f, not in whitelist":                                                "240e:3a1::1f",
	} {
		e := refusal(t, 40164, errmsg)
		if e.IP() != ip || !strings.Contains(e.Remedy(), "Add "+ip+" to") {
			t.Errorf("%q: ip %q, remedy %q", errmsg, e.IP(), e.Remedy())
		}
	}
	if e := refusal(t, 40164, "not in whitelist"); e.IP() != "" || e.Remedy() != wechat.CodeIPNotListed.Remedy() {
		t.Errorf("without an address: %q", e.Remedy())
	}
	for errmsg, field := range map[string]string{
		"argument invalid! data.time10.value is empty rid: R":              "data.time10.value",
		"argument invalid! data.character_string21.value invalid":          "data.character_string21.value",
		"data.const4.value invalid":                                        "data.const4.value",
		"argument invalid! data.a_very_long_key_of_somebody99.value empty": "data.a_very_long_key_of_somebody99.value",
	} {
		e := refusal(t, 47003, errmsg)
		if e.Field() != field || !strings.Contains(e.Remedy(), field) {
			t.Errorf("%q: field %q, remedy %q", errmsg, e.Field(), e.Remedy())
		}
	}
	if e := refusal(t, 47003, "argument invalid!"); e.Field() != "" || e.Remedy() != wechat.CodeInvalidArgument.Remedy() {
		t.Errorf("without a field: %q", e.Remedy())
	}
}

func TestMaskOpenIDKeepsSixCharacters(t *testing.T) {
	t.Parallel()
	for openid, want := range map[string]string{
		canaryOpenID: "oCAN…yz", "short": "…", "": "…", "oABCDEFGHIJ": "oABC…IJ", "好好好好好好": "好…",
	} {
		if got := wechat.MaskOpenID(openid); got != want || !utf8.ValidString(got) {
			t.Errorf("MaskOpenID(%q) = %q, want %q", openid, got, want)
		}
	}
}

// WeChat may quote the value that it refuses: nothing personal of it is kept.
func TestErrmsgMasksPersonalData(t *testing.T) {
	t.Parallel()
	for errmsg, want := range map[string]string{
		"argument invalid! data.phone_number2.value 13800004567 of " + canaryOpenID + " invalid": "argument invalid! data.phone_number2.value *********67 of oCAN…yz invalid",
		"data.phone_number2.value +86 138-0000-4567 invalid":                                     "data.phone_number2.value +** ***-****-**67 invalid",
		"data.phone_number2.value 010-82345678 invalid":                                          "data.phone_number2.value ***-******78 invalid",
		"data.character_string3.value 11010119900307451X invalid":                                "data.character_string3.value [identity card] invalid",
		"data.thing1.value 电话１３８００００４５６７ invalid":                                                "data.thing1.value 电话*********６７ invalid",
		"data.thing1.value zhang.san@example.com invalid":                                        "data.thing1.value …@example.com invalid",
	} {
		e := refusal(t, 47003, errmsg+" rid: 61725138-12345678-040f19c4")
		if e.Msg != want || e.RID != "61725138-12345678-040f19c4" {
			t.Errorf("%q became %q, rid %q", errmsg, e.Msg, e.RID)
		}
	}
}

// FuzzErrmsg checks that any errmsg gives an error of one short line of UTF-8
// without secrets.
func FuzzErrmsg(f *testing.F) {
	f.Add("require subscribe rid: 61725984-6126f6f9-040f19c4")
	f.Add("code been used, hints: [ req_id: x ]")
	f.Add("invalid ip 1.2.3.4 ipv6 ::ffff:1.2.3.4, not in whitelist")
	f.Add("argument invalid! data.time10.value is empty")
	f.Add("access_token=" + canaryToken + " secret: " + canarySecret + " " + canaryOpenID)
	f.Fuzz(func(t *testing.T, errmsg string) {
		e := refusal(t, 47003, errmsg+" "+canaryOpenID+" "+canaryToken+"\n"+canarySecret+errmsg)
		text := e.Error() + e.Remedy() + e.Field() + e.IP()
		if strings.Contains(text, "CANARY") && strings.Contains(text, canaryOpenID) ||
			strings.Contains(text, canaryToken) || strings.Contains(text, canarySecret) {
			t.Errorf("%q has a secret", text)
		}
		if !utf8.ValidString(text) || strings.ContainsFunc(e.Error(), unicode.IsControl) || len(e.Error()) > 1000 {
			t.Errorf("%q is not one short line", text)
		}
	})
}
