package enroll_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/ticket"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

const (
	appID     = wechattest.AppID
	otherID   = "wxsim0000000000002"
	enrollKey = "0123456789abcdef0123456789abcdef"
	token     = "Canary0Callback0Token"
	aesKey    = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
	public    = "https://notify.example.com"
	pushTo    = "http://notify.example.com/callback/" + appID // the loopback has no TLS
	shop      = "https://shop.example/welcome"
	weChatUA  = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 MicroMessenger/8.0.50"
	openID    = "oSIM6t0follower0000000000001"
)

// world is a platform, a Redis and what serves an account between them.
type world struct {
	t        *testing.T
	p        *wechattest.Platform
	rdb      *redis.Client
	records  *ledger.Ledger
	roster   *enroll.Roster
	service  *enroll.Service
	handler  http.Handler
	callback *wechat.Callback
	logs     *observer.ObservedLogs

	mu     sync.Mutex
	events []enroll.Event
}

// settings shape a world; the zero value is a plain one.
type settings struct {
	platform wechattest.Config
	mode     wechat.CallbackMode // default secure
	change   func(*enroll.Config)
	roster   func(*enroll.RosterConfig)
	redis    *redis.Client // default miniredis
	run      bool          // the service applies what comes, until the test ends
}

// story runs a test in a bubble with a world of its own.
func story(t *testing.T, s settings, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newWorld(t, s)) })
}

// newWorld must be called in a bubble unless settings.redis is given.
func newWorld(t *testing.T, s settings) *world {
	t.Helper()
	w := &world{t: t, p: wechattest.New(s.platform), rdb: s.redis}
	t.Cleanup(w.p.Close)
	if w.rdb == nil {
		_, w.rdb = redistest.Mini(t)
	}
	var err error
	w.records, err = ledger.New(w.rdb, appID, nil, ledger.Config{})
	must(t, err)
	t.Cleanup(func() { _ = w.records.Close() })
	w.roster = newRoster(t, w.rdb, appID, s.roster)
	if s.mode == "" {
		s.mode = wechat.CallbackSecure
	}
	w.callback = newCallback(t, s.mode)
	w.service = w.serve(s.change)
	w.handler = w.service.Handler()
	w.listen(s.mode)
	if s.run {
		w.run()
	}
	return w
}

// newRoster opens a roster; change may be nil.
func newRoster(tb testing.TB, rdb redis.UniversalClient, account string, change func(*enroll.RosterConfig)) *enroll.Roster {
	tb.Helper()
	cfg := enroll.RosterConfig{Redis: rdb, Account: account}
	if change != nil {
		change(&cfg)
	}
	r, err := enroll.NewRoster(cfg)
	must(tb, err)
	tb.Cleanup(func() { _ = r.Close() })
	return r
}

// listen points the platform's pushes at the service.
func (w *world) listen(mode wechat.CallbackMode) {
	modes := map[wechat.CallbackMode]wechattest.CallbackMode{
		wechat.CallbackPlain: wechattest.CallbackPlain, wechat.CallbackCompat: wechattest.CallbackCompat,
		wechat.CallbackSecure: wechattest.CallbackSecure,
	}
	w.p.Account(appID).SetCallback(wechattest.CallbackConfig{
		URL: pushTo, Handler: w.handler, Mode: modes[mode],
		Token: wechat.NewSecret(token), EncodingAESKey: wechat.NewSecret(aesKey),
	})
}

func newCallback(tb testing.TB, mode wechat.CallbackMode) *wechat.Callback {
	tb.Helper()
	c, err := wechat.NewCallback(wechat.CallbackConfig{
		AppID: appID, Mode: mode,
		Tokens:  []wechat.RotatingSecret{{Value: wechat.NewSecret(token)}},
		AESKeys: []wechat.RotatingSecret{{Value: wechat.NewSecret(aesKey)}},
	})
	must(tb, err)
	return c
}

// serve makes one more process that serves the account.
func (w *world) serve(change func(*enroll.Config)) *enroll.Service {
	w.t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	w.logs = logs
	cfg := enroll.Config{
		PublicURL: public, Key: wechat.NewSecret(enrollKey), ReturnURLs: []string{shop},
		Logger: zap.New(core), Accounts: []enroll.Account{w.account(appID)},
		OnEvent: func(e enroll.Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e)
		},
	}
	if change != nil {
		change(&cfg)
	}
	s, err := enroll.New(cfg)
	must(w.t, err)
	return s
}

// account wires an account as the program does.
func (w *world) account(appid string) enroll.Account {
	w.t.Helper()
	cfg := wechat.Config{
		AppID: appid, AppSecret: wechat.NewSecret(wechattest.AppSecret), BaseURL: w.p.BaseURL(), HTTPClient: w.p.Client(),
	}
	oauth, err := wechat.NewOAuth(cfg)
	must(w.t, err)
	fetcher, err := wechat.NewTokenFetcher(cfg)
	must(w.t, err)
	client, err := wechat.NewClient(cfg, wechat.ReuseTokenSource(fetcher.FetchStable))
	must(w.t, err)
	roster := w.roster
	if appid != appID {
		roster = newRoster(w.t, w.rdb, appid, nil)
	}
	return enroll.Account{
		Roster: roster, Name: "示例医院", OAuth: oauth, Platform: client, AuthorizeURL: "https://open.wechat.test/connect/oauth2/authorize",
		Callback: w.callback,
	}
}

// suppression finds that of an openid, for all templates; nil: there is none.
func (w *world) suppression(openid string) *ledger.Suppression {
	w.t.Helper()
	for cursor, first := uint64(0), true; first || cursor != 0; first = false {
		list, next, err := w.records.Suppressions(w.t.Context(), cursor)
		must(w.t, err)
		for _, s := range list {
			if s.OpenID == openid && s.Template == "" {
				return &s
			}
		}
		cursor = next
	}
	return nil
}

// waiting is the tasks of a class that are scheduled, with their time.
func (w *world) waiting(class job.Class) []redis.Z {
	w.t.Helper()
	tasks, err := w.rdb.ZRangeWithScores(w.t.Context(), "asynq:{"+queue.Name(appID, class)+"}:scheduled", 0, -1).Result()
	must(w.t, err)
	return tasks
}

// run applies what comes until the test ends.
func (w *world) run() {
	w.t.Helper()
	ctx, stop := context.WithCancel(w.t.Context())
	var all sync.WaitGroup
	all.Go(func() { _ = w.service.Run(ctx) })
	w.t.Cleanup(func() {
		stop()
		all.Wait()
	})
}

// settle lets everything that is under way happen; in a bubble.
func settle() {
	synctest.Wait()
	time.Sleep(3 * time.Second) // virtual: an inbox read lasts two
	synctest.Wait()
}

// get asks the service as a phone in WeChat does, or as another browser.
func (w *world) get(address, agent string) *httptest.ResponseRecorder {
	w.t.Helper()
	return get(w.handler, address, agent)
}

func get(h http.Handler, address, agent string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, address, nil)
	r.Header.Set("User-Agent", agent)
	r.Header.Set("Accept-Language", "zh-CN")
	out := httptest.NewRecorder()
	h.ServeHTTP(out, r)
	return out
}

// authorized follows a redirect to WeChat's page as openid, and returns the
// address that WeChat sends the browser to.
func (w *world) authorized(resp *httptest.ResponseRecorder, openid string) string {
	w.t.Helper()
	to, fragment, _ := strings.Cut(resp.Header().Get("Location"), "#") // a browser keeps the fragment to itself
	if resp.Code != http.StatusFound || !strings.Contains(to, "/connect/oauth2/authorize?") || fragment != "wechat_redirect" {
		w.t.Fatalf("not sent to WeChat's page: %d %s\n%s", resp.Code, to, resp.Body)
	}
	r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, to, nil)
	r.AddCookie(&http.Cookie{Name: wechattest.PersonCookie, Value: openid})
	out := httptest.NewRecorder()
	w.p.ServeHTTP(out, r)
	if out.Code == http.StatusOK { // the page asks for consent
		form := strings.NewReader(url.Values{"allow": {"1"}}.Encode())
		r = httptest.NewRequestWithContext(context.Background(), http.MethodPost, to, form)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.AddCookie(&http.Cookie{Name: wechattest.PersonCookie, Value: openid})
		out = httptest.NewRecorder()
		w.p.ServeHTTP(out, r)
	}
	if out.Code != http.StatusFound {
		w.t.Fatalf("WeChat's page refused: %d %s", out.Code, out.Body)
	}
	return out.Header().Get("Location")
}

// link is an enrolment link of a user.
func (w *world) link(user string, change ...func(*producer.Enrollment)) string {
	w.t.Helper()
	e := producer.Enrollment{PublicURL: public, Account: appID, Key: wechat.NewSecret(enrollKey), User: user}
	for _, c := range change {
		c(&e)
	}
	link, err := producer.EnrollURL(e)
	must(w.t, err)
	return link
}

// enrolled goes the whole way, says yes when asked, and returns the last answer.
func (w *world) enrolled(link, openid string) *httptest.ResponseRecorder {
	w.t.Helper()
	return w.agreed(w.authorized(w.get(link, weChatUA), openid))
}

// agreed opens the address that WeChat sends the browser to, and says yes when asked.
func (w *world) agreed(back string) *httptest.ResponseRecorder {
	w.t.Helper()
	page := w.get(back, weChatUA)
	if !strings.Contains(page.Body.String(), "<form") {
		return page
	}
	return w.says("yes", back)
}

// says sends the form of the page at the address that WeChat sends the browser to.
func (w *world) says(answer, back string) *httptest.ResponseRecorder {
	w.t.Helper()
	return says(w.handler, answer, back)
}

func says(h http.Handler, answer, back string) *httptest.ResponseRecorder {
	path, query, _ := strings.Cut(back, "?")
	q, _ := url.ParseQuery(query) // what cannot be read is missing then
	form := url.Values{"state": {q.Get("state")}, "code": {q.Get("code")}, "answer": {answer}}
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("User-Agent", weChatUA)
	r.Header.Set("Accept-Language", "zh-CN")
	out := httptest.NewRecorder()
	h.ServeHTTP(out, r)
	return out
}

// ended is the word in the address of the last page.
func ended(resp *httptest.ResponseRecorder) string {
	u, err := url.Parse(resp.Header().Get("Location"))
	if err != nil || resp.Code != http.StatusSeeOther {
		return strconv.Itoa(resp.Code)
	}
	return u.Query().Get("done")
}

// ticketOf reads the ticket of a link.
func ticketOf(tb testing.TB, link string) ticket.Ticket {
	tb.Helper()
	u, err := url.Parse(link)
	must(tb, err)
	s, err := ticket.NewSealer([]byte(enrollKey), appID)
	must(tb, err)
	t, err := s.Open(u.Query().Get("ticket"), time.Now())
	must(tb, err)
	return t
}

// sorted is a link with its parameters in the order of their names.
func sorted(tb testing.TB, link string) string {
	tb.Helper()
	u, err := url.Parse(link)
	must(tb, err)
	u.RawQuery = u.Query().Encode()
	return u.String()
}

// unasked omits the confirmation page.
func unasked(e *producer.Enrollment) { e.WithoutConfirm = true }

// bound lists the openids of a user, the latest first.
func (w *world) bound(user string) []string {
	w.t.Helper()
	list, err := w.roster.Of(w.t.Context(), user)
	must(w.t, err)
	var out []string
	for _, b := range list {
		out = append(out, b.OpenID)
	}
	return out
}

// count counts events of a kind and name.
func (w *world) count(kind enroll.Kind, name string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, e := range w.events {
		if e.Kind == kind && e.Name == name {
			n++
		}
	}
	return n
}

// message makes a record as if the message had been sent.
func (w *world) message(id, openid string, class job.Class, msgid wechat.MessageID) {
	w.t.Helper()
	e := job.Envelope{
		ID: id, Class: class, To: openid, Template: wechattest.TemplateOrderPaid, QueuedAt: time.Now(),
		Body: []byte(`{"touser":"` + openid + `","template_id":"` + wechattest.TemplateOrderPaid + `","data":{}}`),
	}
	start, err := w.records.Begin(w.t.Context(), e, ledger.Delivery{N: 1})
	must(w.t, err)
	if start.Decision != ledger.Send {
		w.t.Fatalf("begin %s: %+v", id, start)
	}
	payload, err := job.Encode(e)
	must(w.t, err)
	accepted(w.t, w.records, id, ledger.Acceptance{To: openid, MsgID: msgid, Class: class, Payload: payload})
}

func (w *world) record(id string) ledger.Record {
	w.t.Helper()
	found, err := w.records.Get(w.t.Context(), id)
	must(w.t, err)
	if found[0] == nil {
		return ledger.Record{}
	}
	return *found[0]
}

// post sends a push of the platform's making to a handler.
func post(h http.Handler, query url.Values, body io.Reader) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/callback/"+appID+"?"+query.Encode(), body)
	out := httptest.NewRecorder()
	h.ServeHTTP(out, r)
	return out
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// accepted records WeChat's yes to the first delivery.
func accepted(tb testing.TB, records *ledger.Ledger, id string, a ledger.Acceptance) {
	tb.Helper()
	_, err := records.Accepted(tb.Context(), id, 1, a)
	must(tb, err)
}

func secretOf(text string) wechat.Secret { return wechat.NewSecret(text) }
