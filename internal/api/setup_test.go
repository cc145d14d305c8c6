package api_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/api"
	"github.com/wxnotify/wxnotify/internal/apikey"
	"github.com/wxnotify/wxnotify/internal/events"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/webhook"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
)

const (
	appid = "wx1234567890abcdef"
	other = "wxfedcba0987654321"
)

// stand is an API with two accounts in one Redis.
type stand struct {
	handler http.Handler
	rdb     *redis.Client
	logs    *observer.ObservedLogs
	keys    map[string]*apikey.Store
	routers routers.Router
	seen    *sync.Map // operations that were called
}

func newStand(tb testing.TB) *stand {
	tb.Helper()
	_, rdb := redistest.Mini(tb)
	return standOn(tb, rdb)
}

func standOn(tb testing.TB, rdb *redis.Client) *stand {
	tb.Helper()
	return standWith(tb, rdb, func(*api.Config) {})
}

// standWith is a stand with further configuration.
func standWith(tb testing.TB, rdb *redis.Client, change func(*api.Config)) *stand {
	tb.Helper()
	core, logs := observer.New(zap.DebugLevel)
	keyring, err := apikey.NewKeyring(rdb, []string{appid, other}, "")
	must(tb, err)
	cfg := api.Config{
		Redis: rdb, Keys: keyring, PublicURL: "https://notify.example.com", ReturnURLs: []string{"https://shop.example/done?x=1"}, EnrollKey: wechat.NewSecret(strings.Repeat("k", 32)),
		Logger: zap.New(core),
	}
	s := &stand{rdb: rdb, logs: logs, keys: map[string]*apikey.Store{}, seen: &sync.Map{}}
	for _, id := range []string{appid, other} {
		cfg.Accounts = append(cfg.Accounts, newAccount(tb, rdb, id))
		s.keys[id] = apikey.NewStore(rdb, id)
	}
	change(&cfg)
	if s.handler, err = api.New(cfg); err != nil {
		tb.Fatal(err)
	}
	s.routers = router(tb)
	return s
}

func newAccount(tb testing.TB, rdb *redis.Client, id string) api.Account {
	tb.Helper()
	p, err := producer.New(rdb, producer.Config{Account: id})
	must(tb, err)
	tb.Cleanup(func() { _ = p.Close() })
	roster, err := enroll.NewRoster(enroll.RosterConfig{Redis: rdb, Account: id})
	must(tb, err)
	gate, err := ratelimit.New(rdb, ratelimit.Config{Key: "wxn:{" + id + "}:", Rate: 50, DailyQuota: 100, Owner: "test"})
	must(tb, err)
	records, err := ledger.New(rdb, id, nil, ledger.Config{})
	must(tb, err)
	tb.Cleanup(func() { _ = records.Close() })
	return api.Account{
		Ledger: records, AppID: id, Producer: p, Roster: roster, Gate: gate,
		Webhooks: webhook.NewStore(records, false), Events: events.NewReader(records, api.Describe(p)),
	}
}

func router(tb testing.TB) routers.Router {
	tb.Helper()
	r, err := gorillamux.NewRouter(load(tb))
	must(tb, err)
	return r
}

func load(tb testing.TB) *openapi3.T {
	tb.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile("openapi.json")
	must(tb, err)
	return doc
}

// key makes a key of the account and returns its secret.
func (s *stand) key(tb testing.TB, account string, change func(*apikey.Key)) string {
	tb.Helper()
	k := apikey.Key{Name: "test", Kind: apikey.Live, Scopes: apikey.Scopes(), Rate: 1e4}
	if change != nil {
		change(&k)
	}
	if k.Kind != apikey.Live {
		k.Scopes = slices.DeleteFunc(k.Scopes, func(s apikey.Scope) bool { return s == apikey.Token })
	}
	_, secret, err := s.keys[account].Create(tb.Context(), k)
	must(tb, err)
	return secret
}

// answer is what a call got.
type answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// get reads a value of the answer by keys.
func (a answer) get(t *testing.T, path ...string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(a.Body, &v); err != nil {
		t.Fatalf("the answer is not JSON: %s", a.Body)
	}
	for _, key := range path {
		m, ok := v.(map[string]any)
		if !ok {
			t.Fatalf("no %s in %s", strings.Join(path, "."), a.Body)
		}
		v = m[key]
	}
	return v
}

// code of the problem.
func (a answer) code(t *testing.T) string {
	t.Helper()
	text, _ := a.get(t, "code").(string)
	return text
}

type header map[string]string

// call makes a request and checks the answer by the document.
func (s *stand) call(t *testing.T, method, path, secret, body string, headers ...header) answer {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		for name, value := range h {
			r.Header.Set(name, value)
		}
	}
	a := s.do(r, secret)
	s.conforms(t, r, a)
	if strings.Contains(a.Header.Get("Content-Type"), "json") && len(a.Body) > 0 && !bytes.HasSuffix(a.Body, []byte("\n")) {
		t.Errorf("%s %s: the answer does not end its line: %q", method, path, a.Body)
	}
	return a
}

// do makes the request as it stands, with the key unless it has one.
func (s *stand) do(r *http.Request, secret string) answer {
	if secret != "" && r.Header.Get("Authorization") == "" {
		r.Header.Set("Authorization", "Bearer "+secret)
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return answer{w.Code, w.Header(), w.Body.Bytes()}
}

// conforms checks that the document describes the answer.
func (s *stand) conforms(t *testing.T, r *http.Request, a answer) {
	t.Helper()
	route, params, err := s.routers.FindRoute(r)
	if err != nil {
		return // no operation of the document
	}
	s.seen.Store(route.Operation.OperationID, true)
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route},
		Status:                 a.Status, Header: a.Header, Body: io.NopCloser(bytes.NewReader(a.Body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}
	if err := openapi3filter.ValidateResponse(t.Context(), input); err != nil {
		t.Errorf("%s %s answered %d, which the document does not describe: %v\n%s", r.Method, r.URL.Path, a.Status, err, a.Body)
	}
}

func want(t *testing.T, a answer, status int) answer {
	t.Helper()
	if a.Status != status {
		t.Fatalf("status %d, want %d: %s", a.Status, status, a.Body)
	}
	return a
}

const body = `{"id":"order-1","class":"bulk","message":{"touser":"oABCDEFGHIJKLMNOPQRSTUVWXYZ1","template_id":"ngqIpbwh8bUfcSsECmogfXcV14J0tQlEpBO27izEYtY","data":{"thing1":{"value":"tea"}}}}`

// message is body with another id.
func message(id string) string { return strings.Replace(body, "order-1", id, 1) }

func pending(tb testing.TB, rdb *redis.Client) int {
	tb.Helper()
	keys, err := rdb.Keys(tb.Context(), "asynq:{*}:t:*").Result()
	must(tb, err)
	return len(keys)
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
