package server_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/apikey"
	"github.com/wxnotify/wxnotify/internal/cost"
	"github.com/wxnotify/wxnotify/internal/events"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/server"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/worker"
)

// The benchmarks of this file are P13 and P15 to P19 of docs/performance.md, which
// internal/bench runs. The callers are in this process, so that their work counts, too.

const (
	appid         = "wx0123456789abcdef"
	callbackToken = "bench0Token"
	firstMsgID    = 4_000_000_000_000_000_000 // plus a message's number is its msgid: 19 digits, as WeChat's
)

// start runs wxnotify's own process in a role until the benchmark or stop ends it. addr is
// its listener's. onEvent may be nil.
func start(b *testing.B, rdb redis.UniversalClient, role server.Role, onEvent func(worker.Event)) (addr string, stop func()) {
	b.Helper()
	c, err := settings.Load("", map[string]string{
		"WXNOTIFY_APPID": appid, "WXNOTIFY_APPSECRET": strings.Repeat("0", 32), "WXNOTIFY_WECHAT_BASE_URL": platform(b),
		"WXNOTIFY_RATE": "100000", "WXNOTIFY_DAILY_QUOTA": "100000000", "WXNOTIFY_CONCURRENCY": "200",
		"WXNOTIFY_CALLBACK_TOKEN": callbackToken, "WXNOTIFY_GATEWAY": "true", "WXNOTIFY_OPS_ADDR": settings.Off,
	}, nil, settings.Everything)
	must(b, err)
	ln, err := new(net.ListenConfig).Listen(b.Context(), "tcp", "127.0.0.1:0")
	must(b, err)
	options := server.Options{Roles: role, Log: zap.NewNop(), OnEvent: onEvent}
	if role == server.Publishes {
		options.PublicListener = ln
	} else {
		options.APIListener = ln
	}
	s, err := server.New(rdb, c, options)
	must(b, err)
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
		s.Close()
	})
	b.Cleanup(stop)
	return ln.Addr().String(), stop
}

// platform is a WeChat that accepts every message.
func platform(b *testing.B) (url string) {
	b.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		answer := fmt.Sprintf(`{"errcode":0,"errmsg":"ok","msgid":%d}`, firstMsgID+cost.NumberIn(body))
		switch r.URL.Path {
		case "/cgi-bin/stable_token":
			answer = `{"access_token":"88_benchToken","expires_in":7200}`
		case "/cgi-bin/openapi/quota/get":
			answer = `{"errcode":0,"errmsg":"ok","quota":{"daily_limit":100000000,"used":0,"remain":100000000}}`
		}
		_, _ = io.WriteString(w, answer)
	}))
	b.Cleanup(s.Close)
	return s.URL
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// answering is the HTTP API with the gateway, and a key that may do all that is measured.
func answering(b *testing.B) (rdb redis.UniversalClient, addr, secret string) {
	b.Helper()
	rdb = redistest.Start(b).Dial(b)
	return rdb, first(start(b, rdb, server.Answers, nil)), apiKey(b, rdb)
}

func first(addr string, _ func()) string { return addr }

func apiKey(b *testing.B, rdb redis.UniversalClient) string {
	b.Helper()
	_, secret, err := apikey.NewStore(rdb, appid).Create(b.Context(), apikey.Key{
		Name: "bench", Kind: apikey.Live, Scopes: []apikey.Scope{apikey.Send, apikey.Read, apikey.Gateway}, Rate: 1e5,
	})
	must(b, err)
	return secret
}

func bearer(secret string) string { return "Authorization: Bearer " + secret + "\r\n" }

// caller makes HTTP calls on a connection of its own. It writes them by hand: net/http's
// client would take as much CPU time as the server that is measured.
type caller struct {
	net.Conn
	in *bufio.Reader
}

// callers are connected.
func callers(b *testing.B, addr string, n int) chan caller {
	b.Helper()
	list := make(chan caller, n)
	for range n {
		conn, err := new(net.Dialer).DialContext(b.Context(), "tcp", addr)
		must(b, err)
		b.Cleanup(func() { _ = conn.Close() })
		list <- caller{conn, bufio.NewReader(conn)}
	}
	return list
}

// call makes a call. head is the first line without the protocol, header is empty or one
// line more.
func (c caller) call(b *testing.B, head, header string, body []byte) (http.Header, []byte) {
	b.Helper()
	c.ask(b, head, header, body)
	return c.answer(b)
}

func (c caller) ask(b *testing.B, head, header string, body []byte) {
	b.Helper()
	_, err := fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s",
		head, c.RemoteAddr(), len(body), header, body)
	if err != nil {
		b.Error(err)
	}
}

func (c caller) answer(b *testing.B) (http.Header, []byte) {
	b.Helper()
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		b.Error(err)
		return http.Header{}, nil
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode > http.StatusMultiStatus {
		b.Errorf("answered %d: %.300s, %v", resp.StatusCode, body, err)
	}
	return resp.Header, body
}

func orderID(i int) string { return fmt.Sprintf("r001-%08d", i) } // P13 counts its bytes

// posted is a message of the HTTP API.
type posted struct {
	ID      string                  `json:"id"`
	Message *wechat.TemplateMessage `json:"message"`
}

// BenchmarkMessages enqueues over HTTP on loopback: one a call on 64 connections, by the API
// and by the gateway, and 1 000 a call on two.
func BenchmarkMessages(b *testing.B) {
	b.Run("one", func(b *testing.B) {
		rdb, addr, secret := answering(b)
		post(b, rdb, callers(b, addr, 64), 1, "POST /v1/messages", bearer(secret), `"state":"queued"`,
			func(list []posted) any { return list[0] })
	})
	b.Run("thousand", func(b *testing.B) {
		rdb, addr, secret := answering(b)
		post(b, rdb, callers(b, addr, 2), 1000, "POST /v1/messages", bearer(secret), `"state":"queued"`,
			func(list []posted) any { return map[string][]posted{"messages": list} })
	})
	b.Run("gateway", func(b *testing.B) {
		rdb, addr, secret := answering(b)
		_, body := (<-callers(b, addr, 1)).call(b, "GET /cgi-bin/token?grant_type=client_credential&appid="+appid+"&secret="+secret, "", nil)
		var token struct {
			Value string `json:"access_token"`
		}
		must(b, json.Unmarshal(body, &token))
		post(b, rdb, callers(b, addr, 64), 1, "POST /cgi-bin/message/template/send?access_token="+token.Value, "", `"errcode":0`,
			func(list []posted) any {
				list[0].Message.ClientMsgID = list[0].ID
				return list[0].Message
			})
	})
}

// post measures calls with so many messages each, of which form makes the body. An answer
// has want once for each message.
func post(b *testing.B, rdb redis.UniversalClient, connected chan caller, size int, head, header, want string, form func([]posted) any) {
	b.Helper()
	var mu sync.Mutex
	var times []time.Duration
	redistest.Measure(b, rdb, func(from, n int) {
		times = nil // of the warm-up
		testutil.Concurrently(0, (n+size-1)/size, func(call int) {
			c := <-connected
			begun, list := time.Now(), make([]posted, min(size, n-call*size))
			for i := range list {
				number := from + call*size + i
				list[i] = posted{orderID(number), cost.Message(number)}
			}
			body, err := json.Marshal(form(list))
			if err != nil {
				b.Error(err)
			}
			_, answer := c.call(b, head, header, body)
			took := time.Since(begun)
			connected <- c
			if bytes.Count(answer, []byte(want)) != len(list) {
				b.Errorf("answered %.300s", answer)
			}
			mu.Lock()
			defer mu.Unlock()
			times = append(times, took)
		})
	})
	slices.Sort(times)
	b.ReportMetric(times[len(times)*99/100].Seconds()*1000, "p99-ms")
}

// BenchmarkWaiting has b.N callers wait for events, and reports by how much that grows the
// process, the callers included.
func BenchmarkWaiting(b *testing.B) {
	rdb, addr, secret := answering(b)
	(<-callers(b, addr, 1)).call(b, "GET /v1/events", bearer(secret), nil) // the server has started
	debug.FreeOSMemory()
	before, err := cost.Memory()
	must(b, err)
	var waiting []net.Conn
	for range b.N {
		conn, err := new(net.Dialer).DialContext(b.Context(), "tcp", addr)
		must(b, err)
		defer conn.Close()
		caller{Conn: conn}.ask(b, "GET /v1/events?after=now&wait=25s", bearer(secret), nil)
		waiting = append(waiting, conn)
	}
	time.Sleep(3 * time.Second) // all wait by then: each gets the event below
	now, err := cost.Memory()
	must(b, err)
	b.ReportMetric((float64(now.Now)-float64(before.Now))/(1<<20), "grown-MB")
	records, err := ledger.New(rdb, appid, nil, ledger.Config{})
	must(b, err)
	must(b, events.Publish(b.Context(), records, events.AccountPaused, events.Pause{}))
	for _, conn := range waiting {
		if _, body := (caller{conn, bufio.NewReader(conn)}).answer(b); bytes.Count(body, []byte{'\n'}) != 1 {
			b.Fatalf("a caller who waited got %q", body)
		}
	}
}

// BenchmarkLife follows b.N messages through their life: the memory of Redis at each step,
// the rate of the receipts that end them, and of their events.
func BenchmarkLife(b *testing.B) {
	rdb := redistest.Start(b).Dial(b)
	p, err := producer.New(rdb, producer.Config{Account: appid})
	must(b, err)
	defer p.Close()
	for r := range p.EnqueueSeq(b.Context(), func(yield func(producer.Message) bool) {
		for i := range b.N {
			if !yield(producer.Message{ID: orderID(i), Message: cost.Message(i)}) {
				return
			}
		}
	}) {
		must(b, r.Err)
	}
	b.ReportMetric(weigh(b, rdb, "asynq:*", 0), "task-B/op")
	b.ReportMetric(weigh(b, rdb, "wxn:*", 0), "record-B/op")

	var accepted atomic.Int64
	all := make(chan struct{})
	_, stop := start(b, rdb, server.Sends, func(e worker.Event) {
		if e.Action == worker.Sent && accepted.Add(1) == int64(b.N) {
			close(all)
		}
	})
	<-all
	stop()

	addr, stop := start(b, rdb, server.Publishes, nil)
	b.ReportMetric(float64(b.N)/push(b, addr).Seconds(), "receipts/s")
	testutil.Until(b, "the receipts are in the records", func() bool {
		for i := range 200 {
			if status, err := p.Status(b.Context(), orderID(i*b.N/200)); err != nil || status.State != producer.Delivered {
				return false
			}
		}
		return true
	})
	stop()
	stream := ledger.ClearEventsKey(appid)
	b.ReportMetric(weigh(b, rdb, stream, 48)/2, "event-B/op")

	addr, stop = start(b, rdb, server.Answers, nil)
	b.ReportMetric(read(b, addr, apiKey(b, rdb)), "events/s")
	stop()
	must(b, rdb.Del(b.Context(), stream).Err()) // bounded in all, whatever the messages
	b.ReportMetric(weigh(b, rdb, "*", 48), "ended-B/op")
}

// weigh is the bytes per message of keys that do not end within some hours. An entry in the
// table of expiries and a slot in both tables add 48 to a key.
func weigh(b *testing.B, rdb redis.UniversalClient, pattern string, hours int) float64 {
	b.Helper()
	sum, err := rdb.Eval(b.Context(), `local sum = 0
for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
	local ttl = redis.call('PTTL', key)
	if ttl < 0 or ttl > ARGV[2] * 3600000 then sum = sum + 48 + redis.call('MEMORY', 'USAGE', key, 'SAMPLES', '0') end
end
return sum`, nil, pattern, hours).Float64()
	must(b, err)
	return sum / float64(b.N)
}

// push sends the receipts of b.N messages on 64 connections and returns how long that took.
func push(b *testing.B, addr string) time.Duration {
	b.Helper()
	callback, err := wechat.NewCallback(wechat.CallbackConfig{
		AppID: appid, Mode: wechat.CallbackPlain, Tokens: []wechat.RotatingSecret{{Value: wechat.NewSecret(callbackToken)}},
	})
	must(b, err)
	connected, begun := callers(b, addr, 64), time.Now()
	testutil.Concurrently(0, b.N, func(i int) {
		c, to, now := <-connected, cost.OpenID(i), time.Now()
		c.call(b, fmt.Sprintf("POST /callback/%s?%s", appid, callback.Sign(to, now).Encode()), "", fmt.Appendf(nil,
			"<xml><ToUserName><![CDATA[gh_1]]></ToUserName><FromUserName><![CDATA[%s]]></FromUserName>"+
				"<CreateTime>%d</CreateTime><MsgType><![CDATA[event]]></MsgType><Event><![CDATA[TEMPLATESENDJOBFINISH]]></Event>"+
				"<MsgID>%d</MsgID><Status><![CDATA[success]]></Status></xml>", to, now.Unix(), firstMsgID+i))
		connected <- c
	})
	return time.Since(begun)
}

// read has one caller read all events and returns how many came a second.
func read(b *testing.B, addr, secret string) float64 {
	b.Helper()
	c, after, n, begun := <-callers(b, addr, 1), "", 0, time.Now()
	for {
		header, body := c.call(b, "GET /v1/events?limit=1000&after="+after, bearer(secret), nil)
		if len(body) == 0 {
			return float64(n) / time.Since(begun).Seconds()
		}
		n, after = n+bytes.Count(body, []byte{'\n'}), header.Get("Events-Cursor")
	}
}
