package webhook_test

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/wxnotify/wxnotify/internal/events"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/webhook"
)

const account = "wx1234567890abcdef"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// received is a request as the business gets it.
type received struct {
	path   string
	header http.Header
	body   string
}

// business is an address that records what it gets, and answers with a status.
type business struct {
	mu     sync.Mutex
	got    []received
	status atomic.Int32
	news   chan struct{}
}

func newBusiness() *business {
	b := &business{news: make(chan struct{}, 1000)}
	b.status.Store(http.StatusNoContent)
	return b
}

// answer records a request. The status is that of before the request is told: a test may
// change it for the next one as soon as it knows of this one.
func (b *business) answer(r *http.Request) int {
	status := int(b.status.Load())
	body, _ := io.ReadAll(r.Body)
	b.mu.Lock()
	b.got = append(b.got, received{r.URL.Path, r.Header, string(body)})
	b.mu.Unlock()
	b.news <- struct{}{}
	return status
}

// RoundTrip lets tests in virtual time do without a network.
func (b *business) RoundTrip(r *http.Request) (*http.Response, error) {
	status := b.answer(r)
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader("")), Request: r}, nil
}

func (b *business) ServeHTTP(w http.ResponseWriter, r *http.Request) { w.WriteHeader(b.answer(r)) }

func (b *business) requests() []received {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.got)
}

// everywhere runs the test on miniredis and on a real server with our rights.
func everywhere(t *testing.T, test func(t *testing.T, rdb redis.UniversalClient)) {
	t.Helper()
	t.Run("miniredis", func(t *testing.T) {
		t.Parallel()
		_, rdb := redistest.Mini(t)
		test(t, rdb)
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		options, err := redis.ParseURL(redistest.Start(t).UserURL(t))
		must(t, err)
		options.Protocol, options.DisableIdentity = 2, true
		rdb := redis.NewClient(options)
		t.Cleanup(func() { _ = rdb.Close() })
		test(t, rdb)
	})
}

// records are the account's.
func records(rdb redis.UniversalClient) *ledger.Ledger {
	l, err := ledger.New(rdb, account, nil, ledger.Config{})
	if err != nil {
		panic(err)
	}
	return l
}

func newService(rdb redis.UniversalClient, private bool) (*webhook.Store, *webhook.Service) {
	store := webhook.NewStore(records(rdb), private)
	return store, webhook.NewService(store, events.NewReader(records(rdb), nil), nil)
}

// await waits at most an hour, of virtual time in a bubble: what hangs fails, and shows
// what it waits for.
func await[T any](t *testing.T, what string, c <-chan T) (v T) {
	t.Helper()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	select {
	case v = <-c:
	case <-timer.C:
		_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 2)
		panic("no " + what + " within an hour") // a failed test would wait for it again
	}
	return v
}

// run runs a service until the test ends, or the function returned is called.
func run(t *testing.T, s *webhook.Service) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := await(t, "end of the service", done); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func publish(t *testing.T, rdb redis.UniversalClient, n int) {
	t.Helper()
	must(t, events.Publish(t.Context(), records(rdb), events.QuotaLow, map[string]int{"n": n}))
}

func TestAnEventIsDeliveredOnceSigned(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBusiness()
		server := httptest.NewServer(b)
		t.Cleanup(server.Close)
		store, s := newService(rdb, true)
		publish(t, rdb, 0) // before it was added
		w, err := store.Add(t.Context(), webhook.Webhook{URL: server.URL + "/hook", Types: []string{"quota.*"}})
		must(t, err)
		stop := run(t, s)
		must(t, events.Publish(t.Context(), records(rdb), events.AccountPaused, nil)) // of another type
		publish(t, rdb, 1)
		await(t, "request", b.news)
		publish(t, rdb, 2)
		await(t, "request", b.news)
		stop()
		got := b.requests()
		if len(got) != 2 || !strings.Contains(got[0].body, `"n":1`) || !strings.Contains(got[1].body, `"n":2`) {
			t.Fatalf("got %+v", got)
		}
		for _, r := range got {
			verify(t, w.Secrets[0].Value, r)
		}
		if got[0].header.Get("webhook-id") == got[1].header.Get("webhook-id") {
			t.Error("two events have the same webhook-id")
		}
		list, err := store.Attempts(t.Context(), w.ID)
		if err != nil || len(list) != 2 || list[0].Status != http.StatusNoContent {
			t.Errorf("attempts: %+v %v", list, err)
		}
	})
}

// verify is the specification's check, without its library.
func verify(tb testing.TB, secret string, r received) {
	tb.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	must(tb, err)
	mac := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(mac, "%s.%s.%s", r.header.Get("webhook-id"), r.header.Get("webhook-timestamp"), r.body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	if !slices.Contains(strings.Fields(r.header.Get("webhook-signature")), want) {
		tb.Errorf("the signature %q has not %q", r.header.Get("webhook-signature"), want)
	}
	if strings.Contains(r.header.Get("webhook-id"), ".") {
		tb.Error("the id has a full stop")
	}
}

// The program in another language, from its standard library alone, agrees.
func TestSignatureIsVerifiedByPython(t *testing.T) {
	t.Parallel()
	python, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("python3 is not installed")
		}
		t.Skip("python3 is not installed")
	}
	b := newBusiness()
	server := httptest.NewServer(b)
	defer server.Close()
	secret := "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	_, err = webhook.Post(t.Context(), true, webhook.Webhook{URL: server.URL, Secrets: []webhook.Secret{{Value: secret}}}, golden())
	must(t, err)
	r := b.requests()[0]
	const program = `import sys,hmac,hashlib,base64
secret,id,at,signature=sys.argv[1:5]
key=base64.b64decode(secret.removeprefix("whsec_"))
mac=hmac.new(key,f"{id}.{at}.".encode()+sys.stdin.buffer.read(),hashlib.sha256)
want="v1,"+base64.b64encode(mac.digest()).decode()
sys.exit(0 if any(hmac.compare_digest(want,s) for s in signature.split()) else 1)`
	check := func(body string) error {
		cmd := exec.CommandContext(t.Context(), python, "-c", program, secret,
			r.header.Get("webhook-id"), r.header.Get("webhook-timestamp"), r.header.Get("webhook-signature"))
		cmd.Stdin = strings.NewReader(body)
		return cmd.Run()
	}
	must(t, check(r.body))
	if check(strings.Replace(r.body, "delivered", "rejected", 1)) == nil {
		t.Error("a changed body is verified, too")
	}
}

func golden() *events.Event {
	return &events.Event{
		ID: "1764147600123-0.4", Type: events.MessageDelivered, Account: account, At: time.UnixMilli(1764147600123).UTC(), Sequence: 2,
		MessageID: "order-1001-paid", Data: json.RawMessage(`{"id":"order-1001-paid","state":"delivered"}`),
	}
}

// What businesses parse: the text must not change.
func TestGoldenPayload(t *testing.T) {
	t.Parallel()
	b := newBusiness()
	server := httptest.NewServer(b)
	defer server.Close()
	_, err := webhook.Post(t.Context(), true, webhook.Webhook{URL: server.URL, Secrets: []webhook.Secret{{Value: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}}}, golden())
	must(t, err)
	r := b.requests()[0]
	const want = `{"type":"message.delivered","timestamp":"2025-11-26T09:00:00.123Z","account":"wx1234567890abcdef",` +
		`"message_id":"order-1001-paid","sequence":2,"data":{"id":"order-1001-paid","state":"delivered"}}`
	if r.body != want {
		t.Errorf("got  %s\nwant %s", r.body, want)
	}
	for name, want := range map[string]string{"webhook-id": "evt_1764147600123_0_4", "content-type": "application/json", "user-agent": "wxnotify"} {
		if got := r.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// A process that ends between the event and its delivery, or between the task and the
// cursor, loses nothing and sends nothing twice.
func TestWhatACrashLeavesIsDelivered(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBusiness()
		server := httptest.NewServer(b)
		t.Cleanup(server.Close)
		store, first := newService(rdb, true)
		w, err := store.Add(t.Context(), webhook.Webhook{URL: server.URL})
		must(t, err)
		before := rdb.HGet(t.Context(), store.StateKey(w.ID), "at").Val()
		for n := range 5 {
			publish(t, rdb, n)
		}
		must(t, first.Dispatch(t.Context())) // and the process ends
		must(t, rdb.HSet(t.Context(), store.StateKey(w.ID), "at", before).Err())
		_, second := newService(rdb, true)
		stop := run(t, second)
		for range 5 {
			await(t, "request", b.news)
		}
		must(t, rdb.HSet(t.Context(), store.StateKey(w.ID), "at", before).Err()) // some deliveries have ended, some have not
		must(t, first.Dispatch(t.Context()))
		stop()
		queued, err := asynq.NewInspectorFromRedisClient(rdb).GetQueueInfo(queue.SideName(account, "webhook"))
		if err != nil || queued.Completed != 5 || queued.Size != 5 {
			t.Errorf("queued: %+v %v", queued, err)
		}
		ids := map[string]bool{}
		for _, r := range b.requests() {
			ids[r.header.Get("webhook-id")] = true
		}
		if len(b.requests()) != 5 || len(ids) != 5 {
			t.Errorf("%d requests of %d events", len(b.requests()), len(ids))
		}
	})
}

func TestRecoverSendsTheEventsSinceATimeAgain(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBusiness()
		server := httptest.NewServer(b)
		t.Cleanup(server.Close)
		store, s := newService(rdb, true)
		w, err := store.Add(t.Context(), webhook.Webhook{URL: server.URL})
		must(t, err)
		start := time.Now().Add(-time.Minute)
		stop := run(t, s)
		publish(t, rdb, 1)
		await(t, "request", b.news)
		must(t, store.Recover(t.Context(), w.ID, start))
		await(t, "request", b.news)
		stop()
		got := b.requests()
		if len(got) != 2 || got[0].body != got[1].body || got[0].header.Get("webhook-id") != got[1].header.Get("webhook-id") {
			t.Errorf("got %+v", got)
		}
		if err := store.Recover(t.Context(), "wh_none", start); !errors.Is(err, webhook.ErrNotFound) {
			t.Error(err)
		}
	})
}

// A delivery that fails is tried again after growing waits.
func TestAFailedDeliveryIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		store, s := newService(rdb, false)
		b := newBusiness()
		b.status.Store(http.StatusInternalServerError)
		s.Use(b)
		w, err := store.Add(t.Context(), webhook.Webhook{URL: "https://shop.example/hook"})
		must(t, err)
		stop := run(t, s)
		began := time.Now()
		publish(t, rdb, 1)
		for range 3 {
			await(t, "request", b.news)
		}
		b.status.Store(http.StatusOK)
		await(t, "request", b.news)
		took := time.Since(began)
		time.Sleep(time.Minute)
		stop()
		if took < 5*time.Minute || took > 7*time.Minute || len(b.requests()) != 4 {
			t.Errorf("%d attempts within %s", len(b.requests()), took)
		}
		if w, err = store.Get(t.Context(), w.ID); err != nil || !w.Disabled.IsZero() {
			t.Errorf("%+v %v", w, err)
		}
		list, err := store.Attempts(t.Context(), w.ID)
		if err != nil || len(list) != 4 || list[0].Status != 200 || list[3].Status != 500 || list[3].Error == "" {
			t.Errorf("attempts: %+v %v", list, err)
		}
	})
}

func TestTheWaitsBetweenAttemptsLastADay(t *testing.T) {
	t.Parallel()
	sum := time.Duration(0)
	for n, d := range webhook.Delays() {
		sum += d
		if got := webhook.Delay(n); got < d || got > d+d/10 {
			t.Errorf("wait %d: %s, want %s", n, got, d)
		}
	}
	if sum < 23*time.Hour || sum > 25*time.Hour {
		t.Errorf("they last %s", sum)
	}
}

// A webhook that fails for three days is disabled, with an event; one success begins
// the three days anew.
func TestFailingForDaysDisables(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		store, s := newService(rdb, false)
		b := newBusiness()
		s.Use(b)
		w, err := store.Add(t.Context(), webhook.Webhook{URL: "https://shop.example/hook"})
		must(t, err)
		deliver := func(status int) bool {
			b.status.Store(int32(status)) //nolint:gosec // an HTTP status
			publish(t, rdb, 1)
			at, err := events.NewReader(records(rdb), nil).Latest(t.Context())
			must(t, err)
			err = s.Deliver(t.Context(), w.ID, at+".0")
			w, _ = store.Get(t.Context(), w.ID)
			return err == nil
		}
		for day, status := range []int{500, 500, 503, 200, 500, 500, 404, 301} {
			if ok := deliver(status); ok != (status == 200) || (!w.Disabled.IsZero() != (day == 7)) {
				t.Fatalf("day %d, %d: delivered %t, %+v", day, status, ok, w)
			}
			time.Sleep(24 * time.Hour)
		}
		if !strings.Contains(w.Reason, "301") {
			t.Errorf("disabled: %s", w.Reason)
		}
		n := len(b.requests())
		if !deliver(200) || len(b.requests()) != n {
			t.Error("a disabled webhook is called")
		}
		list, _, err := events.NewReader(records(rdb), nil).Read(t.Context(), events.Query{Types: []string{"webhook.disabled"}})
		if err != nil || len(list) != 1 || !strings.Contains(string(list[0].Data), w.ID) {
			t.Errorf("events: %+v %v", list, err)
		}
	})
}

func TestRotatedSecretsBothSignUntilTheOverlapEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		store, s := newService(rdb, false)
		b := newBusiness()
		s.Use(b)
		w, err := store.Add(t.Context(), webhook.Webhook{URL: "https://shop.example/hook"})
		must(t, err)
		old := w.Secrets[0].Value
		w, err = store.Rotate(t.Context(), w.ID, time.Hour)
		must(t, err)
		test := func() received {
			a, err := s.Test(t.Context(), w.ID)
			must(t, err)
			if a.Status != http.StatusNoContent || a.Type != events.WebhookTest {
				t.Errorf("got %+v", a)
			}
			await(t, "request", b.news)
			return b.requests()[len(b.requests())-1]
		}
		r := test()
		verify(t, old, r)
		verify(t, w.Secrets[0].Value, r)
		time.Sleep(time.Hour + time.Second)
		r = test()
		verify(t, w.Secrets[0].Value, r)
		if n := len(strings.Fields(r.header.Get("webhook-signature"))); n != 1 || w.Secrets[0].Value == old {
			t.Errorf("%d signatures", n)
		}
	})
}

func TestGoneDisablesAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		store, s := newService(rdb, false)
		b := newBusiness()
		b.status.Store(http.StatusGone)
		s.Use(b)
		w, err := store.Add(t.Context(), webhook.Webhook{URL: "https://shop.example/hook"})
		must(t, err)
		stop := run(t, s)
		publish(t, rdb, 1)
		await(t, "request", b.news)
		time.Sleep(time.Minute)
		stop()
		if w, err = store.Get(t.Context(), w.ID); err != nil || w.Disabled.IsZero() {
			t.Errorf("%+v %v", w, err)
		}
		w, err = store.Update(t.Context(), w.ID, func(w *webhook.Webhook) { w.Disabled = time.Time{} })
		if err != nil || w.Reason != "" {
			t.Errorf("enabled again: %+v %v", w, err)
		}
	})
}

func TestAWebhookGetsTheMessagesOfItsClassesAndKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		store := webhook.NewStore(records(rdb), false)
		reader := events.NewReader(records(rdb), func(_ context.Context, ids []string, _ bool) ([]json.RawMessage, error) {
			var out []json.RawMessage
			for _, id := range ids {
				if id == "gone" {
					out = append(out, nil)
					continue
				}
				class, key, _ := strings.Cut(id, ".")
				out = append(out, json.RawMessage(`{"id":"`+id+`","class":"`+class+`","key":"`+key+`"}`))
			}
			return out, nil
		})
		s := webhook.NewService(store, reader, nil)
		b := newBusiness()
		s.Use(b)
		for name, w := range map[string]webhook.Webhook{
			"class": {Classes: []job.Class{job.Critical}},
			"key":   {Keys: []string{"shop", "other"}},
			"both":  {Classes: []job.Class{job.Bulk}, Keys: []string{"shop"}},
			"all":   {},
		} {
			w.URL = "https://shop.example/" + name
			_, err := store.Add(t.Context(), w)
			must(t, err)
		}
		must(t, rdb.XAdd(t.Context(), &redis.XAddArgs{
			Stream: "wxn:{" + account + "}:events", Values: []string{"m", "a1:bulk.shop a1:critical.clinic a1:default. a1:gone"},
		}).Err())
		must(t, events.Publish(t.Context(), records(rdb), events.AccountResumed, events.Pause{}))
		stop := run(t, s)
		time.Sleep(time.Minute)
		synctest.Wait()
		stop()
		got := map[string][]string{}
		for _, r := range b.requests() {
			var p struct {
				Type string `json:"type"`
				ID   string `json:"message_id"`
			}
			must(t, json.Unmarshal([]byte(r.body), &p))
			got[r.path] = append(got[r.path], cmp.Or(p.ID, p.Type))
		}
		for path, want := range map[string]string{ // what is of no message, or of one that is gone, passes all filters
			"/class": "account.resumed critical.clinic gone", "/key": "account.resumed bulk.shop gone", "/both": "account.resumed bulk.shop gone",
			"/all": "account.resumed bulk.shop critical.clinic default. gone",
		} {
			slices.Sort(got[path])
			if ids := strings.Join(got[path], " "); ids != want {
				t.Errorf("%s got %q, want %q", path, ids, want)
			}
		}
	})
}
