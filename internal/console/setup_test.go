package console_test

import (
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/apikey"
	"github.com/wxnotify/wxnotify/internal/console"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/templates"
	"github.com/wxnotify/wxnotify/internal/webhook"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	account  = "wx1234567890abcdef"
	template = "ngqIpbwh8bUfcSsECmogfXcV14J0tQlEpBO27izEYtY"

	// The canaries: no page shows them.
	openid = "oCANARYx7Qk_4-pLmNb0TzYw8dEf"
	user   = "patient-401-canary"
	name   = "司马相如"
	phone  = "13812345678"
	phoned = "order-" + phone // an ID that holds a phone number
)

func canaries() []string { return []string{openid, user, name, phone} }

// bundle is a console with all that it acts on.
type bundle struct {
	rdb     *redis.Client
	account console.Account
	console *console.Console
	url     string
	client  *http.Client
	name    string // of the operator
	subject string
	role    console.Role
	logOut  bool
	stop    chan struct{}
}

type noToken struct{ tokenstore.Fetcher }

// must is the value of a call that must not fail.
func must[T any](tb testing.TB) func(T, error) T {
	tb.Helper()
	return func(v T, err error) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return v
	}
}

func setup(t *testing.T) *bundle { t.Helper(); return setupOn(t, redistest.Start(t).Client(t), "") }

// setupOn is a console below prefix for an admin named li.
func setupOn(t *testing.T, rdb *redis.Client, prefix string) *bundle {
	t.Helper()
	return setupWith(t, rdb, console.Config{Prefix: prefix})
}

// setupWith is a console with further configuration.
func setupWith(t *testing.T, rdb *redis.Client, cfg console.Config) *bundle {
	t.Helper()
	b := &bundle{rdb: rdb, name: "li", role: console.Admin, stop: make(chan struct{})}
	b.account = console.Account{
		AppID: account, Name: "Clinic",
		Ledger:   must[*ledger.Ledger](t)(ledger.New(rdb, account, nil, ledger.Config{})),
		Producer: must[*producer.Producer](t)(producer.New(rdb, producer.Config{Account: account})),
		Gate: must[*ratelimit.Gate](t)(ratelimit.New(rdb, ratelimit.Config{
			Key: "wxn:{" + account + "}:", Rate: 50, DailyQuota: 1000, Reserve: 0.02, UTCOffset: 8 * time.Hour, Owner: "test",
		})),
		Tokens: must[*tokenstore.Store](t)(tokenstore.New(rdb, noToken{}, tokenstore.Config{AppID: account})),
		Roster: must[*enroll.Roster](t)(enroll.NewRoster(enroll.RosterConfig{Redis: rdb, Account: account})),
		Keys:   apikey.NewStore(rdb, account),
		Templates: &templates.Known{Ask: func(context.Context) ([]wechat.Template, error) {
			return []wechat.Template{{ID: template, Title: "报告单 Report", Content: "科室：{{thing1.DATA}}\n电话：{{phone_number2.DATA}}"}}, nil
		}},
	}
	b.account.Webhooks = webhook.NewStore(b.account.Ledger, true)
	cfg.Redis, cfg.Accounts = rdb, []console.Account{b.account}
	b.console = must[*console.Console](t)(console.New(cfg))
	if err := b.account.Gate.Reconcile(t.Context(), ratelimit.Question{}, ratelimit.Unknown, ratelimit.Unknown); err != nil {
		t.Fatal(err)
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.console.ServeHTTP(w, console.WithOperator(r, console.Operator{Name: b.name, Subject: b.subject, Address: "192.0.2.7", Role: b.role, LogOut: b.logOut, Stop: b.stop}))
	})
	server := httptest.NewServer(http.StripPrefix(cfg.Prefix, handler))
	b.url = server.URL + cfg.Prefix + "/console"
	b.client = &http.Client{Transport: server.Client().Transport, Jar: must[*cookiejar.Jar](t)(cookiejar.New(nil))}
	t.Cleanup(func() {
		server.Close()
		b.console.Close()
		_ = b.account.Ledger.Close()
		_ = b.account.Producer.Close()
	})
	return b
}

// again builds the console of the changed account anew.
func (b *bundle) again(t *testing.T) {
	t.Helper()
	b.console.Close()
	b.console = must[*console.Console](t)(console.New(console.Config{Redis: b.rdb, Accounts: []console.Account{b.account}}))
}

func body() *wechat.TemplateMessage {
	return &wechat.TemplateMessage{
		ToUser: openid, TemplateID: template, URL: "https://shop.example.com/orders/" + phone,
		Data: map[string]wechat.Field{"thing1": {Value: name}, "phone_number2": {Value: phone}},
	}
}

// enqueue puts messages on the queue.
func (b *bundle) enqueue(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if _, err := b.account.Producer.Enqueue(t.Context(), id, body()); err != nil {
			t.Fatal(err)
		}
	}
}

// envelope is what the task of a message holds.
func (b *bundle) envelope(t *testing.T, id string) (payload []byte, e job.Envelope) {
	t.Helper()
	message := must[string](t)(b.rdb.HGet(t.Context(), "asynq:{"+account+":default}:t:"+id, "msg").Result())
	payload = []byte(message[strings.Index(message, `{"v":`) : strings.LastIndex(message, "}")+1])
	return payload, must[job.Envelope](t)(job.Parse(payload))
}

// end ends a message as a worker does. Its task is gone.
func (b *bundle) end(t *testing.T, id string, o ledger.Outcome) {
	t.Helper()
	key := "asynq:{" + account + ":default}:"
	payload, e := b.envelope(t, id)
	if err := b.rdb.Del(t.Context(), key+"t:"+id).Err(); err != nil {
		t.Fatal(err)
	}
	if err := b.rdb.LRem(t.Context(), key+"pending", 1, id).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.account.Ledger.Begin(t.Context(), e, ledger.Delivery{N: 1}); err != nil {
		t.Fatal(err)
	}
	o.Class = e.Class
	if o.State == ledger.Dead {
		o.Payload = payload
	}
	o.Attempt = true
	if err := b.account.Ledger.Failed(t.Context(), id, 1, o); err != nil {
		t.Fatal(err)
	}
}

// dead makes dead letters with an errcode.
func (b *bundle) dead(t *testing.T, code wechat.Code, ids ...string) {
	t.Helper()
	b.enqueue(t, ids...)
	for _, id := range ids {
		b.end(t, id, ledger.Outcome{State: ledger.Dead, To: openid, Errcode: code, Reason: code.Name()})
	}
}

func (b *bundle) state(t *testing.T, id string) ledger.State {
	t.Helper()
	found := must[[]*ledger.Record](t)(b.account.Ledger.Get(t.Context(), id))
	if found[0] == nil {
		return ""
	}
	return found[0].State
}

// shown is an answer, after redirects.
type shown struct {
	status int
	body   string
	url    *url.URL
	header http.Header
}

func (b *bundle) do(t *testing.T, req *http.Request, err error) shown {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	resp, err := b.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	return shown{resp.StatusCode, string(must[[]byte](t)(io.ReadAll(resp.Body))), resp.Request.URL, resp.Header}
}

func (b *bundle) get(t *testing.T, path string) shown {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.url+path, http.NoBody)
	return b.do(t, req, err)
}

// post sends a form: name, value, and so on.
func (b *bundle) post(t *testing.T, path string, fields ...string) shown {
	t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+path, strings.NewReader(form.Encode()))
	if err == nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return b.do(t, req, err)
}

// hidden are the hidden fields of the form whose action ends with a path; of several
// such forms those of the first.
func (s shown) hidden(t *testing.T, action string) []string {
	t.Helper()
	_, rest, found := strings.Cut(s.body, action+`"`)
	form, _, _ := strings.Cut(rest, "</form>")
	if !found {
		t.Fatalf("no form for %s in\n%s", action, s.body)
	}
	var out []string
	for _, m := range regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`).FindAllStringSubmatch(form, -1) {
		out = append(out, m[1], m[2])
	}
	return out
}

// confirm sends the form of a confirmation page.
func (b *bundle) confirm(t *testing.T, page shown, action string) shown {
	t.Helper()
	if page.status != http.StatusOK || !strings.Contains(page.body, `name="confirm" value="yes"`) {
		t.Fatalf("no confirmation: %d %s", page.status, page.body)
	}
	return b.post(t, action, page.hidden(t, action)...)
}

func (s shown) must(t *testing.T, what string, status int, texts ...string) {
	t.Helper()
	if s.status != status {
		t.Errorf("%s: status %d, want %d\n%s", what, s.status, status, s.body)
	}
	for _, text := range texts {
		if !strings.Contains(s.body, text) {
			t.Errorf("%s: no %q in\n%s", what, text, s.body)
		}
	}
}

// trail is the audit trail, one line an entry.
func (b *bundle) trail(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	for _, e := range must[[]ledger.Entry](t)(b.account.Ledger.Audited(t.Context(), "", 100)) {
		out.WriteString(e.Actor + " " + e.Action + " " + e.OpenID + e.User + " " + e.Detail + "\n")
	}
	return out.String()
}

func ids(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = prefix + strconv.Itoa(i)
	}
	return out
}
