package api_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/api"
	"github.com/wxnotify/wxnotify/internal/redistest"
)

// What encoding/json would drop, repair or guess is refused in each small request: a link
// for a damaged user binds a follower to no one.
func TestSmallRequestsAreReadStrictly(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	secret := s.key(t, appid, nil)
	for name, c := range map[string]struct{ body, pointer, code string }{
		"text that is not UTF-8":         {"{\"user\":\"pat\xff\"}", "/user", "not-utf8"},
		"half of a surrogate pair":       {`{"user":"p\ud83d"}`, "/user", "half-surrogate"},
		"a field twice":                  {`{"user":"p","user":"q"}`, "/user", "field-twice"},
		"a name in capitals":             {`{"USER":"p"}`, "/USER", "field-unknown"},
		"the same name in two spellings": {`{"user":"p","User":"q"}`, "/User", "field-unknown"},
		"a brace more":                   {`{"user":"p"}}`, "", "not-json"},
		"a bracket more":                 {`{"user":"p"}]`, "", "not-json"},
		"two values":                     {`{"user":"p"}{"user":"q"}`, "", "not-json"},
		"null":                           {`null`, "", "not-json"},
		"a list":                         {`[{"user":"p"}]`, "", "not-json"},
		"a null datum":                   {`{"user":"p","data":{"phone":null}}`, "/data/phone", "field-type"},
		"a number as a datum":            {`{"user":"p","data":{"phone":138}}`, "/data", "field-type"},
	} {
		a := s.call(t, "POST", "/v1/enroll-links", secret, c.body)
		want(t, a, http.StatusBadRequest)
		fault, _ := a.get(t, "faults").([]any)[0].(map[string]any)
		if fault["pointer"] != c.pointer || fault["code"] != c.code {
			t.Errorf("%s: pointer %v code %v (%v), want %q %q", name, fault["pointer"], fault["code"], fault["detail"], c.pointer, c.code)
		}
	}
	for _, c := range [][3]string{
		{"POST", "/v1/webhooks/wh_x:recover", `{"since":"yesterday"}`},
		{"PATCH", "/v1/webhooks/wh_x", `{"since":1}`},
	} {
		a := s.call(t, c[0], c[1], secret, c[2])
		want(t, a, http.StatusBadRequest)
		if fault, _ := a.get(t, "faults").([]any)[0].(map[string]any); fault["pointer"] != "/since" {
			t.Errorf("%s %s: %v", c[0], c[1], fault)
		}
	}
}

// A refusal of a link names the fields of the request, in the caller's language, and no Go
// field; Redis' trouble is not taken for the caller's.
func TestRefusedLinksNameTheFieldsOfTheRequest(t *testing.T) {
	t.Parallel()
	server, rdb := redistest.Mini(t)
	s := standOn(t, rdb)
	secret := s.key(t, appid, nil)
	for body, pointers := range map[string][]string{
		`{"user":"p 1"}`: {"/user"},
		`{}`:             {"/user"},
		`{"user":"","expires_in":"1000h","return_url":"javascript:alert(1)"}`:                {"/user", "/expires_in", "/return_url"},
		`{"user":"p","return_url":"https://shop.example/done"}`:                              {"/return_url"},
		`{"user":"p","return_url":"https://shop.example/done?x=1&y=2","data":{"phone":"1"}}`: {"/return_url"},
		`{"user":"","expires_in":"2 days"}`:                                                  {"/expires_in", "/user"},
		`{"user":"p","expires_in":"-1h","return_url":"https://shop.example/"}`:               {"/expires_in", "/return_url"},
		`{"user":"p","data":{"":"x"}}`:                                                       {"/data"},
	} {
		for _, lang := range []string{"en", "zh"} {
			a := want(t, s.call(t, "POST", "/v1/enroll-links", secret, body, header{"Accept-Language": lang}), http.StatusBadRequest)
			faults, _ := a.get(t, "faults").([]any)
			var got []string
			for _, f := range faults {
				f, _ := f.(map[string]any)
				at, _ := f["pointer"].(string)
				detail, _ := f["detail"].(string)
				if got = append(got, at); hasHan(detail) != (lang == "zh") {
					t.Errorf("%s in %s: %q", body, lang, detail)
				}
			}
			if !slices.Equal(got, pointers) || strings.Contains(string(a.Body), "Enrollment") {
				t.Errorf("%s: %v, want %v: %s", body, got, pointers, a.Body)
			}
		}
	}
	a := want(t, s.call(t, "POST", "/v1/enroll-links", secret, `{"user":"p","return_url":"https://shop.example/done?x=1"}`), http.StatusCreated)
	if link, _ := a.get(t, "url").(string); !strings.Contains(link, "return_to=https%3A%2F%2Fshop.example%2Fdone%3Fx%3D1") {
		t.Errorf("a listed address: %s", a.Body)
	}
	unlisted := standWith(t, s.rdb, func(c *api.Config) { c.ReturnURLs = nil })
	want(t, unlisted.call(t, "POST", "/v1/enroll-links", secret, `{"user":"p","return_url":"https://shop.example/other"}`), http.StatusCreated)
	for address, begin := range map[string]string{
		"https://127.0.0.1/": "url 主机", "http://shop.example/": "url 不是 https", "https://shop.example:0/": "url 不是形如",
		"https://shop.example/" + strings.Repeat("x", 2048): "url 超过",
	} {
		hook := want(t, s.call(t, "POST", "/v1/webhooks", secret, `{"url":"`+address+`"}`, header{"Accept-Language": "zh"}), http.StatusBadRequest)
		if detail, _ := hook.get(t, "detail").(string); !strings.HasPrefix(detail, begin) {
			t.Errorf("the address %.40s of a webhook in Chinese: %q", address, detail)
		}
	}
	for filter, begin := range map[string]string{
		`"events":["message.*","message.sent"]`:                       "events/1 不是事件类型",
		`"classes":["critical",""]`:                                   "classes/1 不是级别",
		`"keys":["k"," "]`:                                            "keys/1 不是 API 密钥的 ID",
		`"keys":["wxn_live_secret"]`:                                  "keys/0 不是 API 密钥的 ID",
		`"keys":["k"` + strings.Repeat(`,"k"`, 100) + `]`:             "keys 超过 100 项",
		`"url":"https://shop.example/","url":"https://shop.example/"`: "url",
	} {
		hook := want(t, s.call(t, "POST", "/v1/webhooks", secret, `{"url":"https://shop.example/",`+filter+`}`, header{"Accept-Language": "zh"}), http.StatusBadRequest)
		if detail, _ := hook.get(t, "detail").(string); !strings.HasPrefix(detail, begin) || !hasHan(detail) || strings.Contains(detail, "secret") {
			t.Errorf("a webhook with %.40s in Chinese: %q", filter, detail)
		}
	}
	many := want(t, s.call(t, "POST", "/v1/webhooks", secret, `{"url":"https://127.0.0.1/","events":["message.sent","quota.*","x"],"classes":["urgent"],"keys":[""]}`), http.StatusBadRequest)
	for _, at := range []string{"/url", "/events/0", "/events/2", "/classes/0", "/keys/0"} {
		if !strings.Contains(string(many.Body), `"pointer":"`+at+`"`) {
			t.Errorf("%s is not named: %s", at, many.Body)
		}
	}
	server.SetError("ERR away")
	defer server.SetError("")
	a = want(t, s.call(t, "POST", "/v1/enroll-links", secret, `{"user":"p","data":{"phone":"1"}}`), http.StatusServiceUnavailable)
	if a.code(t) != "redis-unavailable" {
		t.Errorf("without Redis: %s", a.Body)
	}
}

// An erasure that found nothing must be about the person that is meant.
func TestWhatCanBeNoUserIsRefused(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	secret := s.key(t, appid, nil)
	for _, user := range []string{"%b2%e2", "a%20b", "%00", strings.Repeat("u", 129), "%7bx%7d"} {
		for _, call := range []string{"GET /v1/users/" + user, "DELETE /v1/users/" + user, "POST /v1/users/" + user + ":unbind"} {
			method, path, _ := strings.Cut(call, " ")
			if a := s.call(t, method, path, secret, ""); a.Status != http.StatusBadRequest || !strings.Contains(string(a.Body), `"pointer":"/user"`) {
				t.Errorf("%.60s: %d %s", call, a.Status, a.Body)
			}
		}
	}
	want(t, s.call(t, "DELETE", "/v1/users/%E6%B5%8B%E8%AF%95", secret, ""), http.StatusOK)
}

// What a caller misspells in a query is refused before anything is done.
func TestParametersOfCallsWithoutAnyAreRefused(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	secret := s.key(t, appid, nil)
	want(t, s.call(t, "POST", "/v1/messages", secret, body), http.StatusAccepted)
	for _, call := range []string{"DELETE /v1/messages/order-1", "DELETE /v1/users/patient-401", "GET /v1/templates", "GET /v1/webhooks", "POST /v1/messages"} {
		method, path, _ := strings.Cut(call, " ")
		a := want(t, s.call(t, method, path+"?dry_run=true", secret, body), http.StatusBadRequest)
		if !strings.Contains(string(a.Body), `"pointer":"/dry_run"`) {
			t.Errorf("%s: %s", call, a.Body)
		}
	}
	a := want(t, s.call(t, "GET", "/v1/messages/order-1", secret, ""), http.StatusOK)
	if state := a.get(t, "state"); state != "queued" {
		t.Errorf("after a refused cancellation it is %v", state)
	}
}
