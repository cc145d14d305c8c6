package wechat_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/wxnotify/wxnotify/wechat"
)

// The answers are variations that developers have seen (docs/wechat.md 0.x).
func TestSendToleratesDocumentedVariationsOfAnAnswer(t *testing.T) {
	t.Parallel()
	sends := []struct {
		name, answer string
		want         wechat.MessageID
	}{
		{"number", `{"errcode":0,"errmsg":"ok","msgid":3662956322040938501}`, 3662956322040938501},
		{"string", `{"errcode":"0","errmsg":"ok","msgid":"3662956322040938501"}`, 3662956322040938501},
		{"no errcode", `{"errmsg":"ok","msgid":7}`, 7},
		{"no msgid", `{"errcode":0,"errmsg":"ok"}`, 0},
		{"largest", `{"errcode":0,"errmsg":"ok","msgid":9223372036854775807}`, 1<<63 - 1},
		{"zero", `{"errcode":0,"msgid":0}`, 0},
		{"empty string", `{"errcode":0,"msgid":""}`, 0},
		{"float", `{"errcode":0.0,"msgid":12.0}`, 12},
		{"exponent", `{"errcode":0,"msgid":2e3}`, 2000},
		{"byte order mark", "\xEF\xBB\xBF" + `{"errcode":0,"msgid":7}`, 7},
		{"space around", "\r\n " + `{"errcode":0,"msgid":7}` + "\n\n", 7},
		{"control characters", "{\"errcode\":0,\"errmsg\":\"o\x01k\x1f\n\",\x0b\"msgid\":7}", 7},
		{"escaped quote before a control", "{\"errmsg\":\"a\\\"\x02b\\\\\",\"errcode\":0,\"msgid\":7}", 7},
		{"bad UTF-8", "{\"errcode\":0,\"errmsg\":\"\xff\xfe\",\"msgid\":7}", 7},
		{"errmsg is a number", `{"errcode":0,"errmsg":0,"msgid":7}`, 7},
		{"null", `{"errcode":null,"errmsg":null,"msgid":7}`, 7},
		{"unknown members", `{"errcode":0,"msgid":7,"extra":{"a":[1,2]}}`, 7},
	}
	for _, tt := range sends {
		id, err := answered(t, []byte(tt.answer)).SendTemplate(t.Context(), orderPaid())
		if err != nil || id != tt.want {
			t.Errorf("%s: %v, %v; want %v", tt.name, id, err, tt.want)
		}
	}
	for _, answer := range []string{
		`{"errcode":0,"msgid":3.5}`, `{"errcode":0,"msgid":9007199254740993.0}`, `{"errcode":0,"msgid":1e300}`, `{"errcode":0,"msgid":99999999999999999999}`,
		`{"errcode":0,"errmsg":"ok","msgid":9223372036854775808}`, `{"errcode":0,"errmsg":"ok","msgid":007}`, `{"errcode":0,"errmsg":"ok","msgid":}`,
		`{"errcode":0,"errmsg":"ok","msgid":+7}`, `{"errcode":0,"msgid":true}`, `{"errcode":0}{"errcode":1}`, `"ok"`, "\xEF\xBB\xBF", "\x00",
	} {
		id, err := answered(t, []byte(answer)).SendTemplate(t.Context(), orderPaid())
		if !wechat.Ambiguous(err) || id != 0 {
			t.Errorf("%s: %v, %v; want an ambiguous error and no msgid", answer, id, err)
		}
	}
}

func TestOtherCallsTolerateNumbersAsText(t *testing.T) {
	t.Parallel()
	user, err := answered(t, []byte("{\"subscribe\":\"1\",\"openid\":\"o1\",\"remark\":\"a\\\"\x07b\xff\\\\\",\"qr_scene\":\"98765\",\"qr_scene_str\":123,\"tagid_list\":[\"2\",3],\"subscribe_time\":\"1382694957\"}")).
		UserInfo(t.Context(), "o1")
	if err != nil || !user.Subscribed || user.QRScene != 98765 || user.QRSceneText != "123" || len(user.TagIDs) != 2 ||
		user.SubscribedAt.Unix() != 1382694957 || user.Remark != "a\"\x07b\uFFFD\\" {
		t.Errorf("user %+v, %v", user, err)
	}
	quota, err := answered(t, []byte(`{"errcode":0,"quota":{"daily_limit":"1000","used":"900","remain":100}}`)).Quota(t.Context(), wechat.SendPath)
	if err != nil || quota != (wechat.Quota{DailyLimit: 1000, Used: 900, Remain: 100}) {
		t.Errorf("quota %+v, %v", quota, err)
	}
	templates, err := answered(t, []byte(`{"template_list":[]}`)).Templates(t.Context())
	if err != nil || len(templates) != 0 {
		t.Errorf("templates %v, %v", templates, err)
	}
}

// A documented answer is decoded without encoding/json, whatever the length of
// its msgid.
//
//nolint:paralleltest // AllocsPerRun counts the whole process
func TestUsualAnswersAreDecodedWithoutJSON(t *testing.T) {
	allocs := func(answer string) float64 {
		transport := roundTrip(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Request: r, Body: io.NopCloser(strings.NewReader(answer))}, nil
		})
		c, err := wechat.NewClient(wechat.Config{AppID: "wx1", HTTPClient: &http.Client{Transport: transport}}, wechat.StaticToken(canaryToken))
		must(t, err)
		return testing.AllocsPerRun(100, func() {
			if _, err := c.SendTemplateBody(t.Context(), []byte(`{}`)); err != nil {
				t.Fatal(err)
			}
		})
	}
	short := allocs(`{"errcode":0,"errmsg":"ok","msgid":7}`)
	if long := allocs(answerOK); long > short {
		t.Errorf("%v allocations for a msgid of 19 digits, %v for one of 1", long, short)
	}
	if spaced := allocs(`{"errcode":0, "errmsg":"ok","msgid":7}`); spaced <= short {
		t.Errorf("%v allocations for an answer with a space, want more than %v: the test does not see encoding/json", spaced, short)
	}
}

func TestAnswersWithoutTheirFieldsAreAmbiguousErrors(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{`{}`, `{"status":"up"}`} {
		p := answers(t, answer)
		for call, err := range everyCall(t, p) {
			var e *wechat.TransportError
			if !errors.As(err, &e) || !e.Ambiguous {
				t.Errorf("%s after %s: %v, want *TransportError", call, answer, err)
			}
		}
	}
	f := newFetcher(t, answers(t, `{"access_token":"T","expires_in":-1}`))
	if token, err := f.FetchStable(t.Context(), false); err == nil {
		t.Errorf("a negative expires_in was accepted: %v", token)
	}
}

// FuzzAnswer checks that any bytes give a msgid or an error, never both, and that
// no error has a secret.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		answerOK, answer40001, answer43004, answerOfProxy, "", "null", "\xEF\xBB\xBF{}", `{"errcode":"-1"}`,
		"{\"errmsg\":\"\x01\\\"\",\"errcode\":1}", `{"errcode":0,"msgid":"1"}`, `{"errcode":1e400}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c := answered(t, data)
		id, err := c.SendTemplate(t.Context(), orderPaid())
		if err != nil && id != 0 {
			t.Errorf("%d and %v", id, err)
		}
		if err == nil && !json.Valid(data) && !bytes.Contains(data, []byte("\xEF\xBB\xBF")) && !hasControls(data) {
			t.Errorf("%q was accepted as JSON", data)
		}
		if err != nil && (!utf8.ValidString(err.Error()) || strings.Contains(err.Error(), "canary")) {
			t.Errorf("%q", err)
		}
		_, _ = c.Templates(t.Context())
		_, _ = c.UserInfo(t.Context(), "o1")
	})
}

func hasControls(data []byte) bool {
	return strings.ContainsFunc(string(data), func(r rune) bool { return r < ' ' })
}
