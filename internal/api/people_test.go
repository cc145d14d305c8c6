package api_test

import (
	"net/http"
	"testing"
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
