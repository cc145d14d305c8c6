package wechattest_test

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

const (
	callbackToken = "token4test"
	aesKey        = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
)

// event is a callback's document.
type event struct {
	ToUserName, FromUserName, MsgType, Event, EventKey, Ticket, Status, Encrypt string
	CreateTime                                                                  int64
	MsgID                                                                       *int64
}

// inbox is an account's server: it keeps the requests and answers in turn.
type inbox struct {
	mu      sync.Mutex
	got     []event
	queries []url.Values
	at      []time.Time
	answers []http.HandlerFunc // in turn; then 200 success
}

func (i *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var e event
	_ = xml.Unmarshal(body, &e)
	i.mu.Lock()
	i.got, i.queries, i.at = append(i.got, e), append(i.queries, r.URL.Query()), append(i.at, time.Now())
	answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "success") })
	if len(i.answers) > 0 {
		answer, i.answers = i.answers[0], i.answers[1:]
	}
	i.mu.Unlock()
	answer(w, r)
}

func (i *inbox) events() []event {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]event(nil), i.got...)
}

// listen gives the account a server with this configuration.
func (b *bench) listen(cb wechattest.CallbackConfig, answers ...http.HandlerFunc) *inbox {
	in := &inbox{answers: answers}
	cb.Handler, cb.Token, cb.EncodingAESKey = in, wechat.NewSecret(callbackToken), wechat.NewSecret(aesKey)
	b.a.SetCallback(cb)
	return in
}

// decrypt decrypts a push. It shares no code with the package.
func decrypt(t *testing.T, text string) (doc, appid string) {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(aesKey + "=")
	must(t, err)
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(data)%32 != 0 {
		t.Fatalf("cipher text of %d bytes, %v; want a multiple of 32", len(data), err)
	}
	block, err := aes.NewCipher(key)
	must(t, err)
	cipher.NewCBCDecrypter(block, key[:16]).CryptBlocks(data, data)
	data = data[16 : len(data)-int(data[len(data)-1])]
	n := binary.BigEndian.Uint32(data)
	return string(data[4 : 4+n]), string(data[4+n:])
}

func TestReceiptIsSecuredAsTheModeRequires(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]wechattest.CallbackMode{
		"plain": wechattest.CallbackPlain, "compat": wechattest.CallbackCompat, "secure": wechattest.CallbackSecure,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, wechattest.Config{})
				in := b.listen(wechattest.CallbackConfig{URL: "http://shop.test/wx?a=1", Mode: mode, Delay: 2 * time.Second})
				sent := b.send(order(openid, "id-1"))
				synctest.Wait()
				if n := b.p.PushCounts().Waiting; n != 1 || len(in.events()) != 0 {
					t.Fatalf("before the delay: %d waiting, %d arrived; want 1 and 0", n, len(in.events()))
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if len(in.events()) != 1 {
					t.Fatalf("%d events arrived, want 1", len(in.events()))
				}
				e, q := in.events()[0], in.queries[0]
				if q.Get("a") != "1" || q.Get("openid") != openid ||
					q.Get("signature") != wechattest.Sign(callbackToken, q.Get("timestamp"), q.Get("nonce")) {
					t.Errorf("query = %v: want the URL's own, the openid and a true signature", q)
				}
				if mode == wechattest.CallbackSecure && (e.Event != "" || e.Status != "") {
					t.Errorf("secure mode leaks %+v in the clear", e)
				}
				if mode == wechattest.CallbackCompat && (e.Event != "TEMPLATESENDJOBFINISH" || e.Encrypt == "") {
					t.Errorf("compat mode: %+v, want clear fields and Encrypt", e)
				}
				if mode == wechattest.CallbackPlain && (e.Encrypt != "" || q.Has("encrypt_type") || q.Has("msg_signature")) {
					t.Errorf("plain mode: %+v %v", e, q)
				}
				if mode != wechattest.CallbackPlain {
					if q.Get("encrypt_type") != "aes" || q.Get("msg_signature") !=
						wechattest.Sign(callbackToken, q.Get("timestamp"), q.Get("nonce"), e.Encrypt) {
						t.Errorf("query = %v: want encrypt_type aes and a true msg_signature", q)
					}
					doc, appid := decrypt(t, e.Encrypt)
					if appid != wechattest.AppID {
						t.Errorf("encrypted for %q, want the appid", appid)
					}
					e = event{}
					must(t, xml.Unmarshal([]byte(doc), &e))
				}
				if e.Event != "TEMPLATESENDJOBFINISH" || e.MsgType != "event" || e.Status != "success" || e.FromUserName != openid ||
					e.MsgID == nil || *e.MsgID != sent.num("msgid") || e.CreateTime != time.Now().Unix() ||
					e.ToUserName != "gh_000000000001" {
					t.Errorf("event = %+v", e)
				}
				if got := b.p.Seen()[0].Receipt; got != wechattest.ReceiptSuccess {
					t.Errorf("receipt = %q", got)
				}
			})
		})
	}
}

func TestReceiptSettings(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		cb     wechattest.CallbackConfig
		status string
		want   []string // statuses that arrived
		zero   bool
	}{
		{name: "twice", cb: wechattest.CallbackConfig{Copies: 2}, want: []string{"success", "success"}},
		{name: "never", cb: wechattest.CallbackConfig{LostShare: 1}},
		{name: "blocked", status: wechattest.ReceiptUserBlock, want: []string{"failed:user block"}},
		{name: "system failed", status: wechattest.ReceiptSystemFailed, want: []string{"failed: system failed"}},
		{name: "freq limit", status: wechattest.ReceiptFreqLimit, want: []string{"failed:freq limit"}},
		{name: "MsgID 0", cb: wechattest.CallbackConfig{ZeroMsgID: true}, want: []string{"success"}, zero: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, wechattest.Config{})
				b.a.SetReceipt(openid, tt.status)
				in := b.listen(tt.cb)
				b.send(order(openid, "id-1"))
				synctest.Wait()
				got := in.events()
				if len(got) != len(tt.want) {
					t.Fatalf("%d receipts, want %d", len(got), len(tt.want))
				}
				for i, e := range got {
					if e.Status != tt.want[i] || (*e.MsgID == 0) != tt.zero {
						t.Errorf("receipt %d = %+v, want %q", i, e, tt.want[i])
					}
				}
			})
		})
	}
}

func TestRcp03ReceiptComesBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, wechattest.Config{})
		in := b.listen(wechattest.CallbackConfig{BeforeAnswer: true, Copies: 2, Delay: time.Minute})
		r := b.send(order(openid, "id-1"))
		if got := in.events(); len(got) != 1 || *got[0].MsgID != r.num("msgid") {
			t.Fatalf("%d receipts when the answer came, want 1 with its msgid", len(got))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := in.events(); len(got) != 2 {
			t.Errorf("%d receipts in the end, want 2", len(got))
		}
	})
}

func TestEventsAreTriedThreeTimes(t *testing.T) {
	t.Parallel()
	status := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code); io.WriteString(w, body) }
	}
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	tests := []struct {
		name    string
		answers []http.HandlerFunc
		tries   int
		taken   bool
		takes   time.Duration
	}{
		{"success", nil, 1, true, 0},
		{"empty", []http.HandlerFunc{status(200, "")}, 1, true, 0},
		{"a reply in xml", []http.HandlerFunc{status(200, "<xml></xml>")}, 1, true, 0},
		{"json is no answer", []http.HandlerFunc{status(200, "{}")}, 2, true, 0},
		{"500 twice", []http.HandlerFunc{status(500, ""), status(500, "")}, 3, true, 0},
		{"500 for good", []http.HandlerFunc{status(500, ""), status(500, ""), status(500, ""), status(500, "")}, 3, false, 0},
		{"hangs, then answers", []http.HandlerFunc{hang, hang}, 3, true, 10 * time.Second},
		{"hangs", []http.HandlerFunc{hang, hang, hang, hang}, 3, false, 15 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, wechattest.Config{})
				in := b.listen(wechattest.CallbackConfig{}, tt.answers...)
				start := time.Now()
				b.a.Push(wechattest.Event{Name: "CLICK", OpenID: openid, Key: "menu"})
				for b.p.PushCounts().Waiting > 0 {
					time.Sleep(time.Second)
					synctest.Wait()
				}
				p := b.p.Pushes()
				if len(p) != 1 || p[0].Tries != tt.tries || p[0].Taken != tt.taken || len(in.events()) != tt.tries {
					t.Fatalf("pushes = %+v with %d arrivals, want %d tries, taken %t", p, len(in.events()), tt.tries, tt.taken)
				}
				if d := time.Since(start).Truncate(5 * time.Second); d != tt.takes {
					t.Errorf("took %s, want %s", d, tt.takes)
				}
				if p[0].Err != nil && strings.Contains(p[0].Err.Error(), "signature") {
					t.Errorf("error shows the URL: %v", p[0].Err)
				}
			})
		})
	}
}

func TestFollowersEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, wechattest.Config{Strangers: true})
		in := b.listen(wechattest.CallbackConfig{})
		ticket := b.post("/cgi-bin/qrcode/create",
			`{"expire_seconds":60,"action_name":"QR_STR_SCENE","action_info":{"scene":{"scene_str":"bind-1"}}}`).str("ticket")
		next := func(what string, act func()) event {
			t.Helper()
			before := len(in.events())
			act()
			synctest.Wait()
			got := in.events()
			if len(got) != before+1 {
				t.Fatalf("%s: %d events, want 1", what, len(got)-before)
			}
			return got[before]
		}
		if e := next("subscribe", func() { b.a.Subscribe("oA", "") }); e.Event != "subscribe" || e.EventKey != "" || e.FromUserName != "oA" {
			t.Errorf("subscribe: %+v", e)
		}
		if e := next("scan by a follower", func() { b.a.Scan("oA", ticket) }); e.Event != "SCAN" || e.EventKey != "bind-1" || e.Ticket != ticket {
			t.Errorf("scan: %+v", e)
		}
		if e := next("scan by a stranger", func() { b.a.Scan("oB", ticket) }); e.Event != "subscribe" || e.EventKey != "qrscene_bind-1" || e.Ticket != ticket {
			t.Errorf("subscribe by scan: %+v", e)
		}
		if info := b.get("/cgi-bin/user/info", "openid", "oB"); info.str("qr_scene_str") != "bind-1" || info.str("subscribe_scene") != "ADD_SCENE_QR_CODE" {
			t.Errorf("user/info: %v", info)
		}
		if e := next("unsubscribe", func() { b.a.Unsubscribe("oA") }); e.Event != "unsubscribe" || b.a.Follows("oA") {
			t.Errorf("unsubscribe: %+v", e)
		}
		time.Sleep(61 * time.Second)
		if b.a.Scan("oB", ticket) || b.a.Scan("oB", "none") {
			t.Error("an expired or unknown ticket was scanned")
		}
	})
}

func TestVerifyCallbackNeedsTheExactEchostr(t *testing.T) {
	t.Parallel()
	echo := func(prefix string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			q := r.URL.Query()
			if r.Method != http.MethodGet || q.Has("openid") ||
				q.Get("signature") != wechattest.Sign(callbackToken, q.Get("timestamp"), q.Get("nonce")) {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			io.WriteString(w, prefix+q.Get("echostr"))
		}
	}
	for _, tt := range []struct {
		name, want string
		answer     http.HandlerFunc
	}{
		{"echoes", "", echo("")},
		{"adds a quote", "not echostr alone", echo(`"`)},
		{"refuses", "status 403", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }},
		{"cuts", "EOF", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, wechattest.Config{})
			b.listen(wechattest.CallbackConfig{}, tt.answer, tt.answer)
			err := b.a.VerifyCallback(t.Context())
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("err = %v, want %q", err, tt.want)
			}
			var u *url.Error
			if errors.As(err, &u) {
				t.Errorf("the error carries the URL: %v", err)
			}
		})
	}
}

func TestCloseDropsWaitingReceipts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, wechattest.Config{})
		in := b.listen(wechattest.CallbackConfig{Delay: time.Hour})
		for range 200 { // more than the pushers
			b.send(order(openid, ""))
		}
		b.p.Close()
		if n := len(in.events()); n != 0 || b.p.PushCounts().Waiting == 0 {
			t.Errorf("%d arrived, %d waiting; want none and some", n, b.p.PushCounts().Waiting)
		}
	})
}

func TestThousandsOfReceiptsArriveOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, wechattest.Config{})
		in := b.listen(wechattest.CallbackConfig{Delay: time.Second})
		for range 1000 {
			b.send(order(openid, ""))
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		ids := map[int64]bool{}
		for _, e := range in.events() {
			ids[*e.MsgID] = true
		}
		if len(ids) != 1000 || len(in.events()) != 1000 || b.p.PushCounts().Waiting != 0 {
			t.Errorf("%d events for %d messages, %d waiting; want 1000, 1000, 0", len(in.events()), len(ids), b.p.PushCounts().Waiting)
		}
	})
}

func TestEventsEscapeCDATAAndAddExtraElements(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, wechattest.Config{})
		in := b.listen(wechattest.CallbackConfig{})
		b.a.Subscribe(openid, "a]]>b")
		synctest.Wait()
		b.a.Push(wechattest.Event{Name: "CLICK", OpenID: openid, Extra: "<EventKey>x</EventKey>"})
		synctest.Wait()
		if got := in.events(); len(got) != 2 || got[0].EventKey != "qrscene_a]]>b" || got[1].EventKey != "x" {
			t.Errorf("events = %+v", got)
		}
	})
}
