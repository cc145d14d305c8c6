package api_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/internal/apikey"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/mask"
)

func TestAMessageIsEnqueuedOnceAndRead(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	secret := s.key(t, appid, nil)
	first := want(t, s.call(t, "POST", "/v1/messages", secret, body), http.StatusAccepted)
	if got := first.get(t, "state"); got != "queued" {
		t.Errorf("state %v, want queued", got)
	}
	again := want(t, s.call(t, "POST", "/v1/messages", secret, body), http.StatusOK)
	if got := again.get(t, "id"); got != "order-1" {
		t.Errorf("id %v", got)
	}
	if n := pending(t, s.rdb); n != 1 {
		t.Errorf("%d tasks, want 1", n)
	}
	read := want(t, s.call(t, "GET", "/v1/messages/order-1", secret, ""), http.StatusOK)
	if got := read.get(t, "class"); got != "bulk" {
		t.Errorf("class %v", got)
	}
	reused := want(t, s.call(t, "POST", "/v1/messages", secret, strings.Replace(body, "tea", "coffee", 1)), http.StatusUnprocessableEntity)
	if reused.code(t) != "id-reused" {
		t.Errorf("code %s", reused.code(t))
	}
	cancelled := want(t, s.call(t, "DELETE", "/v1/messages/order-1", secret, ""), http.StatusOK)
	if got := cancelled.get(t, "state"); got != "cancelled" {
		t.Errorf("state %v, want cancelled", got)
	}
	want(t, s.call(t, "DELETE", "/v1/messages/order-1", secret, ""), http.StatusOK)
	missing := want(t, s.call(t, "GET", "/v1/messages/none", secret, ""), http.StatusNotFound)
	if missing.code(t) != "not-found" {
		t.Errorf("code %s", missing.code(t))
	}
}

func TestOpenidsAreMaskedWithoutTheScope(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	whole := s.key(t, appid, nil)
	masked := s.key(t, appid, func(k *apikey.Key) { k.Scopes = []apikey.Scope{apikey.Send, apikey.Read} })
	for _, secret := range []string{masked, whole} {
		shown := strings.Contains(string(want(t, s.call(t, "POST", "/v1/messages", secret, message("m-"+secret[len(secret)-4:])), http.StatusAccepted).Body), "oABCDEFGHIJKLMNOPQRSTUVWXYZ1")
		if shown != (secret == whole) {
			t.Errorf("openid shown: %v", shown)
		}
	}
}

func TestManyMessagesHaveAResultEach(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	secret := s.key(t, appid, nil)
	bad := strings.Replace(message("m-2"), `"tea"`, `7`, 1)
	empty := strings.Replace(message("m-3"), "tea", "", 1)
	list := `{"messages":[` + strings.Join([]string{message("m-1"), bad, empty, message("m-4")}, ",") + `]}`
	a := want(t, s.call(t, "POST", "/v1/messages", secret, list), http.StatusMultiStatus)
	results, _ := a.get(t, "results").([]any)
	if len(results) != 4 {
		t.Fatalf("%d results", len(results))
	}
	for i, status := range []float64{202, 422, 422, 202} {
		r, _ := results[i].(map[string]any)
		if r["status"] != status {
			t.Errorf("result %d: status %v, want %v", i, r["status"], status)
		}
	}
	for i, pointer := range map[int]string{1: "/messages/1/message/data/thing1/value", 2: "/messages/2/message/data/thing1/value"} {
		if got := fmt.Sprint(results[i]); !strings.Contains(got, pointer) {
			t.Errorf("result %d does not point to %s: %s", i, pointer, got)
		}
	}
	if n := pending(t, s.rdb); n != 2 {
		t.Errorf("%d tasks, want 2", n)
	}
}

func TestAllFaultsOfAMessageAreNamed(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	secret := s.key(t, appid, nil)
	a := want(t, s.call(t, "POST", "/v1/messages", secret,
		`{"id":"x y","class":"urgent","not_after":"2020-01-01T00:00:00Z","message":{"touser":"not an openid","template_id":"","data":{}}}`),
		http.StatusUnprocessableEntity)
	for _, pointer := range []string{`"/id"`, `"/class"`, `"/not_after"`, `"/message/touser"`, `"/message/template_id"`, `"/message/data"`} {
		if !strings.Contains(string(a.Body), `"pointer":`+pointer) {
			t.Errorf("no fault at %s in %s", pointer, a.Body)
		}
	}
	for wrong, pointer := range map[string]string{
		strings.Replace(body, `"class"`, `"clazz"`, 1):                        "/clazz",
		strings.Replace(body, `"class"`, `"message":{},"class"`, 1):           "/message",
		`{"messages":[` + strings.Replace(body, `"class"`, `"a/b"`, 1) + `]}`: "/messages/0/a~1b",
		`null`: "", `{"id":`: "",
	} {
		if a := s.call(t, "POST", "/v1/messages", secret, wrong); !strings.Contains(string(a.Body), `"pointer":"`+pointer+`"`) {
			t.Errorf("no fault at %q for %s: %d %s", pointer, wrong, a.Status, a.Body)
		}
	}
	for name, wrong := range map[string]string{
		"unknown field": strings.Replace(body, `"class"`, `"clazz"`, 1),
		"two values":    body + body,
		"no JSON":       `{"id":`,
		"an array":      `[` + body + `]`,
		"too many":      `{"messages":[` + strings.Repeat(message("m")+",", 1000) + message("m") + `]}`,
		"empty list":    `{"messages":[]}`,
		"null":          `null`,
	} {
		if a := s.call(t, "POST", "/v1/messages", secret, wrong); a.Status != 400 && a.Status != 422 {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
	if n := pending(t, s.rdb); n != 0 {
		t.Errorf("%d tasks of refused messages", n)
	}
}

// The answer to POST is what GET answers: the state apart, no field differs.
func TestTheAnswerOfAnEnqueueHasTheTimesOfTheRecord(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	key := s.key(t, appid, nil)
	soon := time.Now().Add(time.Hour).In(time.FixedZone("", 8*3600))
	body := strings.Replace(message("timed"), `{`, fmt.Sprintf(`{"not_before":%q,"not_after":%q,`, soon.Format(time.RFC3339Nano), soon.Add(time.Hour).Format(time.RFC3339Nano)), 1)
	made := want(t, s.call(t, "POST", "/v1/messages", key, body), http.StatusAccepted)
	read := want(t, s.call(t, "GET", "/v1/messages/timed", key, ""), http.StatusOK)
	for _, field := range []string{"queued_at", "not_before", "not_after"} {
		if a, b := made.get(t, field), read.get(t, field); a == nil || a != b {
			t.Errorf("%s: %v, then %v", field, a, b)
		}
	}
}

func TestACompressedBodyIsNamed(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	a := s.call(t, "POST", "/v1/messages", s.key(t, appid, nil), "\x1f\x8b", header{"Content-Encoding": "gzip"})
	if a.Status != http.StatusUnsupportedMediaType || !strings.Contains(string(a.Body), "without Content-Encoding") {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

func TestValidateEnqueuesNothing(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	secret := s.key(t, appid, nil)
	good := want(t, s.call(t, "POST", "/v1/messages:validate", secret, strings.Replace(body, "tea", "tea 🌸", 1)), http.StatusOK)
	if n := len(good.get(t, "faults").([]any)); n != 0 {
		t.Errorf("%d faults: %s", n, good.Body)
	}
	if n := len(good.get(t, "warnings").([]any)); n == 0 {
		t.Errorf("no warning of the emoji: %s", good.Body)
	}
	if !strings.Contains(string(good.Body), `"lines":[{`) {
		t.Errorf("no preview: %s", good.Body)
	}
	bad := want(t, s.call(t, "POST", "/v1/messages:validate", secret, strings.Replace(body, "tea", "", 1)), http.StatusOK)
	if n := len(bad.get(t, "faults").([]any)); n != 1 {
		t.Errorf("%d faults: %s", n, bad.Body)
	}
	if n := pending(t, s.rdb); n != 0 {
		t.Errorf("%d tasks", n)
	}
}

func TestAnIdempotencyKeyRunsOneCall(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	secret := s.key(t, appid, nil)
	noID := strings.Replace(body, `"id":"order-1",`, "", 1)
	refused := want(t, s.call(t, "POST", "/v1/messages", secret, noID), http.StatusUnprocessableEntity)
	if !strings.Contains(string(refused.Body), "id-missing") {
		t.Errorf("without both: %s", refused.Body)
	}
	key := header{"Idempotency-Key": "call-1"}
	first := want(t, s.call(t, "POST", "/v1/messages", secret, noID, key), http.StatusAccepted)
	again := want(t, s.call(t, "POST", "/v1/messages", secret, noID, key), http.StatusAccepted)
	if again.Header.Get("Idempotent-Replay") != "true" || string(again.Body) != string(first.Body) {
		t.Errorf("the replay differs:\n%s\n%s", first.Body, again.Body)
	}
	if first.Header.Get("Idempotent-Replay") != "" {
		t.Error("the first answer says that it is a replay")
	}
	changed := want(t, s.call(t, "POST", "/v1/messages", secret, strings.Replace(noID, "tea", "milk", 1), key), http.StatusUnprocessableEntity)
	if changed.code(t) != "idempotency-key-reused" {
		t.Errorf("code %s", changed.code(t))
	}
	if n := pending(t, s.rdb); n != 1 {
		t.Errorf("%d tasks, want 1", n)
	}
	// Another API key may use the same words.
	want(t, s.call(t, "POST", "/v1/messages", s.key(t, appid, nil), noID, key), http.StatusAccepted)
	for _, value := range s.values(t) {
		if strings.Contains(value.key, ":api:idem:") && strings.Contains(value.text, "oABCDEFG") {
			t.Errorf("%s holds the openid: %s", value.key, value.text)
		}
	}
}

type stored struct{ key, text string }

func (s *stand) values(t *testing.T) (out []stored) {
	t.Helper()
	keys, err := s.rdb.Keys(t.Context(), "*").Result()
	must(t, err)
	for _, k := range keys {
		if text, err := s.rdb.Get(t.Context(), k).Result(); err == nil {
			out = append(out, stored{k, text})
		}
	}
	return out
}

func TestConcurrentCallsOfOneIdempotencyKeyEnqueueOnce(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	secret := s.key(t, appid, nil)
	noID := strings.Replace(body, `"id":"order-1",`, "", 1)
	var wg sync.WaitGroup
	answers := make([]answer, 12)
	for i := range answers {
		wg.Go(func() {
			answers[i] = s.call(t, "POST", "/v1/messages", secret, noID, header{"Idempotency-Key": "k"})
		})
	}
	wg.Wait()
	for _, a := range answers {
		if a.Status != http.StatusAccepted && (a.Status != http.StatusConflict || a.Header.Get("Retry-After") == "") {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	}
	if n := pending(t, s.rdb); n != 1 {
		t.Errorf("%d tasks, want 1", n)
	}
}

func TestAKeyCannotExceedItsShareOfTheQuota(t *testing.T) {
	t.Parallel()
	s := newStand(t) // 100 a day
	secret := s.key(t, appid, func(k *apikey.Key) { k.Share = 0.03 })
	for i := range 3 {
		want(t, s.call(t, "POST", "/v1/messages", secret, message(fmt.Sprint("m", i))), http.StatusAccepted)
	}
	want(t, s.call(t, "POST", "/v1/messages", secret, strings.Replace(message("m9"), "tea", "", 1)), http.StatusTooManyRequests)
	over := want(t, s.call(t, "POST", "/v1/messages", secret, message("m4")), http.StatusTooManyRequests)
	if over.code(t) != "quota-share-used" || over.Header.Get("Retry-After") == "" {
		t.Errorf("%s, Retry-After %q", over.code(t), over.Header.Get("Retry-After"))
	}
	// Another key has its own share.
	want(t, s.call(t, "POST", "/v1/messages", s.key(t, appid, nil), message("m5")), http.StatusAccepted)
}

// The key that enqueued a message is known as long as the message.
func TestAMessageTellsItsKey(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	secret, reader := s.key(t, appid, nil), s.key(t, appid, nil)
	id := regexp.MustCompile(`^wxn_live_([a-z0-9]+)_`).FindStringSubmatch(secret)
	first := want(t, s.call(t, "POST", "/v1/messages", secret, message("m1")), http.StatusAccepted)
	later := want(t, s.call(t, "GET", "/v1/messages/m1", reader, ""), http.StatusOK)
	if id == nil || first.get(t, "key") != id[1] || later.get(t, "key") != id[1] {
		t.Errorf("the key %q: %s, later %s", id, first.Body, later.Body)
	}
}

func TestWhatWasNotEnqueuedCostsNoShare(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	secret := s.key(t, appid, func(k *apikey.Key) { k.Share = 0.02 })
	want(t, s.call(t, "POST", "/v1/messages", secret, message("m1")), http.StatusAccepted)
	for range 3 {
		want(t, s.call(t, "POST", "/v1/messages", secret, message("m1")), http.StatusOK)
	}
	want(t, s.call(t, "POST", "/v1/messages", secret, strings.Replace(message("m2"), "tea", "", 1)), http.StatusUnprocessableEntity)
	want(t, s.call(t, "POST", "/v1/messages", secret, message("m2")), http.StatusAccepted)
}

func TestWhomAKeyMayWriteTo(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	guest := s.key(t, appid, func(k *apikey.Key) {
		k.Kind, k.Guests = apikey.Guest, []string{"oABCDEFGHIJKLMNOPQRSTUVWXYZ1", "tester-7"}
	})
	want(t, s.call(t, "POST", "/v1/messages", guest, body), http.StatusAccepted)
	stranger := strings.Replace(message("m2"), "XYZ1", "XYZ2", 1)
	if a := want(t, s.call(t, "POST", "/v1/messages", guest, stranger), http.StatusForbidden); a.code(t) != "recipient-forbidden" {
		t.Errorf("code %s", a.code(t))
	}
	byUser := `{"id":"m3","user":"%s","message":{"template_id":"T1","data":{"thing1":{"value":"tea"}}}}`
	want(t, s.call(t, "POST", "/v1/messages", guest, fmt.Sprintf(byUser, "tester-7")), http.StatusAccepted)
	want(t, s.call(t, "POST", "/v1/messages", guest, fmt.Sprintf(byUser, "patient-401")), http.StatusForbidden)
	simulated := strings.Replace(message("m4"), "oABCDEFGHIJKLMNOPQRSTUVWXYZ1", "wxn-sim-delivered", 1)
	want(t, s.call(t, "POST", "/v1/messages", guest, simulated), http.StatusAccepted)
	many := want(t, s.call(t, "POST", "/v1/messages", guest, `{"messages":[`+message("m5")+`,`+stranger+`]}`), http.StatusMultiStatus)
	if !strings.Contains(string(many.Body), `"status":403`) || !strings.Contains(string(many.Body), `"status":202`) {
		t.Errorf("%s", many.Body)
	}
}

func TestATestOrGuestKeyCancelsItsOwnMessagesOnly(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	live := s.key(t, appid, nil)
	want(t, s.call(t, "POST", "/v1/messages", live, body), http.StatusAccepted)
	for _, kind := range []apikey.Kind{apikey.Test, apikey.Guest} {
		secret := s.key(t, appid, func(k *apikey.Key) {
			if k.Kind = kind; kind == apikey.Guest {
				k.Guests = []string{"oABCDEFGHIJKLMNOPQRSTUVWXYZ1"}
			}
		})
		want(t, s.call(t, "DELETE", "/v1/messages/order-1", secret, ""), http.StatusForbidden)
		want(t, s.call(t, "DELETE", "/v1/messages/nowhere", secret, ""), http.StatusNotFound)
		own := message("own-" + string(kind))
		want(t, s.call(t, "POST", "/v1/messages", secret, own), http.StatusAccepted)
		want(t, s.call(t, "DELETE", "/v1/messages/own-"+string(kind), secret, ""), http.StatusOK)
	}
	want(t, s.call(t, "DELETE", "/v1/messages/order-1", live, ""), http.StatusOK)
}

func TestAClassIsACeiling(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	secret := s.key(t, appid, func(k *apikey.Key) { k.Class = job.Bulk })
	want(t, s.call(t, "POST", "/v1/messages", secret, body), http.StatusAccepted)
	for _, class := range []string{`"class":"critical"`, `"class":"default"`, `"at_least_once":false`} {
		a := s.call(t, "POST", "/v1/messages", secret, strings.Replace(message("m2"), `"class":"bulk"`, class, 1))
		if a.Status != http.StatusForbidden || a.code(t) != "class-forbidden" {
			t.Errorf("%s: %d %s", class, a.Status, a.Body)
		}
	}
}

func TestATestMessageIsNotTheLiveOneOfItsID(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	test := s.key(t, appid, func(k *apikey.Key) { k.Kind = apikey.Test })
	want(t, s.call(t, "POST", "/v1/messages", test, body), http.StatusAccepted)
	if a := want(t, s.call(t, "POST", "/v1/messages", s.key(t, appid, nil), body), http.StatusUnprocessableEntity); a.code(t) != "id-reused" {
		t.Errorf("code %s", a.code(t))
	}
}

// ?include=attempts adds the story of a message; the count of attempts stays a number.
func TestAMessageHasItsStoryWhenAsked(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	secret := s.key(t, appid, nil)
	want(t, s.call(t, "POST", "/v1/messages", secret, body), http.StatusAccepted)
	l, err := ledger.New(s.rdb, appid, nil, ledger.Config{})
	must(t, err)
	defer func() { _ = l.Close() }()
	if _, err := l.Accepted(t.Context(), "order-1", 1, ledger.Acceptance{MsgID: 7, Class: job.Bulk}); err != nil {
		t.Fatal(err)
	}
	plain := want(t, s.call(t, "GET", "/v1/messages/order-1", secret, ""), http.StatusOK)
	if strings.Contains(string(plain.Body), "story") {
		t.Errorf("a story that was not asked for: %s", plain.Body)
	}
	whole := want(t, s.call(t, "GET", "/v1/messages/order-1?include=attempts", secret, ""), http.StatusOK)
	if !strings.Contains(string(whole.Body), `"story":[{"n":1,"at":"20`) || !strings.Contains(string(whole.Body), `"accepted":true`) {
		t.Errorf("no story: %s", whole.Body)
	}
	for _, query := range []string{"include=receipts", "include=attempts&include=attempts", "include=", "includes=attempts"} {
		if a := want(t, s.call(t, "GET", "/v1/messages/order-1?"+query, secret, ""), http.StatusBadRequest); !strings.Contains(string(a.Body), `"/include`) {
			t.Errorf("?%s does not name the parameter: %s", query, a.Body)
		}
	}
}

func TestAMaskedIDIsNamedAsSuch(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	secret := s.key(t, appid, nil)
	masked := url.PathEscape(mask.NewIDs().Mask("order-13812345678"))
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		a := want(t, s.call(t, method, "/v1/messages/"+masked, secret, ""), http.StatusNotFound)
		if detail, _ := a.get(t, "detail").(string); !strings.Contains(detail, "the ID is masked") {
			t.Errorf("%s: %s", method, a.Body)
		}
	}
	user := url.PathEscape(mask.Name("patient-401"))
	for call, body := range map[string]string{
		"GET /v1/users/" + user: "", "DELETE /v1/users/" + user: "", "POST /v1/users/" + user + ":unbind": "{}",
		"POST /v1/enroll-links": `{"user":"` + mask.Name("patient-401") + `"}`,
	} {
		method, path, _ := strings.Cut(call, " ")
		a := want(t, s.call(t, method, path, secret, body), http.StatusBadRequest)
		if !strings.Contains(string(a.Body), "is masked") {
			t.Errorf("%s: %s", call, a.Body)
		}
		if a = s.call(t, method, path, secret, body, header{"Accept-Language": "zh-CN"}); !strings.Contains(string(a.Body), "打码后") {
			t.Errorf("%s in Chinese: %s", call, a.Body)
		}
	}
}
