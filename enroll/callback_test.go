package enroll_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
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

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// forwarder is a business's own handler.
type forwarder func(ctx context.Context, p *wechat.Push) ([]byte, error)

func (f forwarder) Forward(ctx context.Context, p *wechat.Push) ([]byte, error) { return f(ctx, p) }

func forwarding(f forwarder) func(*enroll.Config) {
	return func(c *enroll.Config) { c.Accounts[0].Forward = f }
}

// text is what a follower writes.
func text(content string) string {
	return `<xml><ToUserName>gh_1</ToUserName><FromUserName>` + openID + `</FromUserName><CreateTime>` +
		strconv.FormatInt(time.Now().Unix(), 10) + `</CreateTime><MsgType>text</MsgType><Content>` + content +
		`</Content><MsgId>` + strconv.FormatInt(time.Now().UnixNano(), 10) + `</MsgId></xml>`
}

func receipt(msgid int64, status string) string {
	return `<xml><ToUserName>gh_1</ToUserName><FromUserName>` + openID + `</FromUserName><CreateTime>` +
		strconv.FormatInt(time.Now().Unix(), 10) + `</CreateTime><MsgType>event</MsgType><Event>TEMPLATESENDJOBFINISH</Event><MsgID>` +
		strconv.FormatInt(msgid, 10) + `</MsgID><Status>` + status + `</Status></xml>`
}

// signed is the query of a push in plain mode.
func (w *world) signed() url.Values { return w.callback.Sign(openID, time.Now()) }

func TestVerifyTheServerConfiguration(t *testing.T) {
	t.Parallel()
	for _, mode := range []wechat.CallbackMode{wechat.CallbackPlain, wechat.CallbackCompat, wechat.CallbackSecure} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			story(t, settings{mode: mode}, func(t *testing.T, w *world) {
				must(t, w.p.Account(appID).VerifyCallback(t.Context()))
				if n := w.count(enroll.KindVerified, ""); n != 1 {
					t.Errorf("%d verifications told", n)
				}
			})
		})
	}
}

// cbk-01: the business's handler needs 6 s; WeChat is answered within 5, and the
// handler works on.
func TestCbk01SlowHandler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		finished := make(chan error, 1)
		w := newWorld(t, settings{mode: wechat.CallbackPlain, change: forwarding(func(ctx context.Context, _ *wechat.Push) ([]byte, error) {
			select {
			case <-time.After(6 * time.Second): // virtual
				finished <- nil
			case <-ctx.Done():
				finished <- ctx.Err()
			}
			return []byte("<xml>too late</xml>"), nil
		})})
		start := time.Now()
		resp := post(w.handler, w.signed(), strings.NewReader(text("hello")))
		if took := time.Since(start); took >= 5*time.Second || resp.Code != http.StatusOK || resp.Body.String() != "success" {
			t.Errorf("after %s: %d %q", took, resp.Code, resp.Body)
		}
		if err := <-finished; err != nil {
			t.Errorf("the handler was cut off: %v", err)
		}
	})
}

// cbk-02: a wrong or missing signature: 403, and echostr is not in the answer.
func TestCbk02EchoNeedsSignature(t *testing.T) {
	t.Parallel()
	story(t, settings{}, func(t *testing.T, w *world) {
		genuine := w.signed()
		genuine.Set("echostr", "4375120948345356249")
		if resp := w.get("/callback/"+appID+"?"+genuine.Encode(), ""); resp.Code != http.StatusOK || resp.Body.String() != "4375120948345356249" {
			t.Errorf("genuine: %d %q", resp.Code, resp.Body)
		}
		for name, change := range map[string]func(url.Values){
			"missing": func(q url.Values) { q.Del("signature") },
			"wrong":   func(q url.Values) { q.Set("signature", strings.Repeat("0", 40)) },
			"nonce":   func(q url.Values) { q.Set("nonce", "1") },
		} {
			q := w.signed()
			q.Set("echostr", "4375120948345356249")
			change(q)
			resp := w.get("/callback/"+appID+"?"+q.Encode(), "")
			if resp.Code != http.StatusForbidden || strings.Contains(resp.Body.String(), "4375") {
				t.Errorf("%s: %d %q", name, resp.Code, resp.Body)
			}
		}
	})
}

// cbk-03: package wechat has each hostile body; here each is refused by the
// endpoint, counted by its fault, and a genuine one beside it accepted.
func TestCbk03HostileBodies(t *testing.T) {
	t.Parallel()
	story(t, settings{run: true}, func(t *testing.T, w *world) {
		hostile := map[string]string{
			"downgrade": text("hello"), "entities": `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><xml>&e;</xml>`,
			"no xml": "{", "empty": "", "encrypted garbage": "<xml><Encrypt>AAAA</Encrypt></xml>",
		}
		for name, body := range hostile {
			q := w.signed()
			q.Set("msg_signature", q.Get("signature"))
			if resp := post(w.handler, q, strings.NewReader(body)); resp.Code != http.StatusForbidden {
				t.Errorf("%s: %d %q", name, resp.Code, resp.Body)
			}
		}
		w.p.Account(appID).Unsubscribe(openID)
		settle()
		if pushes := w.p.Pushes(); len(pushes) != 1 || !pushes[0].Taken {
			t.Errorf("the genuine one: %+v", pushes)
		}
		if len(w.logs.FilterMessageSnippet("refused").All()) == 0 {
			t.Error("no line tells of the refusals")
		}
	})
}

// cbk-04: an hour-old push is stale; a fresh one is taken once.
func TestCbk04OldTimestamp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		handled := 0
		w := newWorld(t, settings{mode: wechat.CallbackPlain, change: forwarding(func(context.Context, *wechat.Push) ([]byte, error) {
			handled++
			return nil, nil
		})})
		q, body := w.signed(), text("hello")
		for range 3 {
			if resp := post(w.handler, q, strings.NewReader(body)); resp.Code != http.StatusOK {
				t.Errorf("fresh: %d %q", resp.Code, resp.Body)
			}
		}
		if handled != 1 {
			t.Errorf("handled %d times", handled)
		}
		time.Sleep(time.Hour) // virtual
		if resp := post(w.handler, q, strings.NewReader(body)); resp.Code != http.StatusForbidden || !strings.Contains(resp.Body.String(), "stale") {
			t.Errorf("an hour old: %d %q", resp.Code, resp.Body)
		}
	})
}

// cbk-05: Token and key are rotated: both are good in the overlap, the old ones
// are refused afterwards.
func TestCbk05Rotation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const newToken, newKey = "another0Token", "zbcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
		until := time.Now().Add(time.Hour)
		rotated, err := wechat.NewCallback(wechat.CallbackConfig{
			AppID: appID, Mode: wechat.CallbackSecure,
			Tokens:  []wechat.RotatingSecret{{Value: wechat.NewSecret(newToken)}, {Value: wechat.NewSecret(token), Until: until}},
			AESKeys: []wechat.RotatingSecret{{Value: wechat.NewSecret(newKey)}, {Value: wechat.NewSecret(aesKey), Until: until}},
		})
		must(t, err)
		w := newWorld(t, settings{change: func(c *enroll.Config) { c.Accounts[0].Callback = rotated }})
		acct := w.p.Account(appID)
		push := func(token, key string) bool {
			acct.SetCallback(wechattest.CallbackConfig{
				URL: pushTo, Handler: w.handler, Mode: wechattest.CallbackSecure, Tries: 1,
				Token: wechat.NewSecret(token), EncodingAESKey: wechat.NewSecret(key),
			})
			acct.Push(wechattest.Event{Name: "VIEW", OpenID: openID, Key: token + key})
			settle()
			all := w.p.Pushes()
			return all[len(all)-1].Taken
		}
		if !push(token, aesKey) || !push(newToken, newKey) || !push(newToken, aesKey) {
			t.Error("refused in the overlap")
		}
		time.Sleep(time.Hour) // virtual
		if push(token, aesKey) {
			t.Error("the old ones are taken after their end")
		}
		if !push(newToken, newKey) {
			t.Error("the new ones are refused")
		}
	})
}

// cbk-06: a body of 10 MB is refused and not kept.
func TestCbk06LargeBody(t *testing.T) {
	t.Parallel()
	story(t, settings{mode: wechat.CallbackPlain}, func(t *testing.T, w *world) {
		resp := post(w.handler, w.signed(), strings.NewReader(strings.Repeat("x", 10<<20)))
		if resp.Code != http.StatusRequestEntityTooLarge {
			t.Errorf("%d %q", resp.Code, resp.Body)
		}
	})
}

// cbk-08: an unknown event is acknowledged and counted; its name becomes no label.
func TestCbk08UnknownEvent(t *testing.T) {
	t.Parallel()
	story(t, settings{}, func(t *testing.T, w *world) {
		w.p.Account(appID).Push(wechattest.Event{Name: "something_of_2031", OpenID: openID})
		settle()
		if p := w.p.Pushes(); len(p) != 1 || !p[0].Taken || p[0].Tries != 1 {
			t.Errorf("%+v", p)
		}
		if n := w.count(enroll.KindPush, "other"); n != 1 {
			t.Errorf("counted %d times", n)
		}
	})
}

// cbk-10: the same event reaches two processes at once: it is handled once.
func TestCbk10TwoProcesses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		handled := 0
		count := forwarding(func(context.Context, *wechat.Push) ([]byte, error) {
			mu.Lock()
			defer mu.Unlock()
			handled++
			return nil, nil
		})
		w := newWorld(t, settings{mode: wechat.CallbackPlain, change: count})
		other := w.serve(count).Handler()
		body := text("hello")
		var both sync.WaitGroup
		for _, h := range []http.Handler{w.handler, other} {
			q := w.signed() // each push has a nonce of its own
			both.Go(func() {
				if resp := post(h, q, strings.NewReader(body)); resp.Code != http.StatusOK {
					t.Errorf("%d %q", resp.Code, resp.Body)
				}
			})
		}
		both.Wait()
		if handled != 1 {
			t.Errorf("handled %d times", handled)
		}
	})
}

// cbk-12: plain mode does not sign the body: who captured a query cannot put
// another body under it.
func TestCbk12CapturedQuery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seen []string
		w := newWorld(t, settings{mode: wechat.CallbackPlain, change: forwarding(func(_ context.Context, p *wechat.Push) ([]byte, error) {
			seen = append(seen, string(p.Document))
			return nil, nil
		})})
		q, genuine := w.signed(), text("genuine")
		post(w.handler, q, strings.NewReader(genuine))
		resp := post(w.handler, q, strings.NewReader(text("forged")))
		if resp.Code != http.StatusForbidden || len(seen) != 1 || seen[0] != genuine {
			t.Errorf("%d %q; the handler saw %q", resp.Code, resp.Body, seen)
		}
		if n := w.count(enroll.KindRefused, "replay"); n != 1 {
			t.Errorf("counted %d times", n)
		}
	})
}

// What is not ours goes to the business, and its reply to the follower: as the
// mode asks.
func TestForwardRelaysTheReply(t *testing.T) {
	t.Parallel()
	const reply = `<xml><ToUserName>x</ToUserName><MsgType>text</MsgType><Content>您好</Content></xml>`
	for _, mode := range []wechat.CallbackMode{wechat.CallbackPlain, wechat.CallbackCompat, wechat.CallbackSecure} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				shopToken := newCallback(t, wechat.CallbackPlain) // the business's own SDK, in plain mode
				business := wechattest.NewLoopback(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					body, _ := io.ReadAll(r.Body)
					p, err := shopToken.Open(r.URL.Query(), body)
					if err != nil || p.Event.Key != "menu-1" || r.URL.Query().Get("keep") != "1" {
						http.Error(rw, "not as WeChat sends it", http.StatusForbidden)
						return
					}
					_, _ = rw.Write([]byte(reply))
				}))
				t.Cleanup(business.Close)
				w := newWorld(t, settings{mode: mode, change: func(c *enroll.Config) {
					f, err := enroll.NewHTTPForwarder("http://shop.test/wechat?keep=1", c.Accounts[0].Callback, business.Client())
					must(t, err)
					c.Accounts[0].Forward = f
				}})
				w.p.Account(appID).Push(wechattest.Event{Name: "CLICK", OpenID: openID, Key: "menu-1"})
				settle()
				p := w.p.Pushes()
				if len(p) != 1 || !p[0].Taken {
					t.Fatalf("%+v", p)
				}
				if encrypted := strings.Contains(p[0].Answer, "<Encrypt>"); encrypted != (mode == wechat.CallbackSecure) {
					t.Errorf("answer %q", p[0].Answer)
				}
				if p[0].Reply != reply {
					t.Errorf("reply %q", p[0].Reply)
				}
			})
		})
	}
}

// The business's trouble is not the follower's: WeChat gets success.
func TestForwardFailures(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]forwarder{
		"fails":  func(context.Context, *wechat.Push) ([]byte, error) { return nil, errors.New("down") },
		"panics": func(context.Context, *wechat.Push) ([]byte, error) { panic(openID) },
		"nobody": func(context.Context, *wechat.Push) ([]byte, error) { return nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			story(t, settings{mode: wechat.CallbackPlain, change: forwarding(f)}, func(t *testing.T, w *world) {
				if resp := post(w.handler, w.signed(), strings.NewReader(text("hello"))); resp.Code != http.StatusOK || resp.Body.String() != "success" {
					t.Errorf("%d %q", resp.Code, resp.Body)
				}
				for _, line := range w.logs.All() {
					if strings.Contains(fmt.Sprint(line.ContextMap()), openID) {
						t.Errorf("the openid is in %v", line)
					}
				}
			})
		})
	}
}

// Redis is away: nothing is acknowledged, so that WeChat comes again.
func TestRcp05FirstDeliveryFails(t *testing.T) {
	t.Parallel()
	story(t, settings{mode: wechat.CallbackPlain}, func(t *testing.T, w *world) {
		w.message("order-1", openID, "default", 4711)
		q, body := w.signed(), receipt(4711, "success")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/callback/"+appID+"?"+q.Encode(), strings.NewReader(body))
		out := httptest.NewRecorder()
		w.handler.ServeHTTP(out, r)
		if out.Code != http.StatusServiceUnavailable {
			t.Errorf("acknowledged without having written: %d", out.Code)
		}
		w.run()
		if resp := post(w.handler, q, strings.NewReader(body)); resp.Code != http.StatusOK { // WeChat comes again
			t.Errorf("%d %q", resp.Code, resp.Body)
		}
		settle()
		if r := w.record("order-1"); r.State != "delivered" {
			t.Errorf("%+v", r)
		}
	})
}

// Redis hangs: WeChat is told to come again before it hangs up itself.
func TestHangingRedis(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		frozen := redis.NewClient(&redis.Options{
			Addr: "127.0.0.1:0", Protocol: 2, DisableIdentity: true, ReadTimeout: time.Minute, MaxRetries: -1,
			Dialer: func(context.Context, string, string) (net.Conn, error) {
				near, far := net.Pipe()
				go func() { _, _ = io.Copy(io.Discard, far) }() // reads, and never answers
				t.Cleanup(func() { _ = far.Close() })
				return near, nil
			},
		})
		t.Cleanup(func() { _ = frozen.Close() })
		w := newWorld(t, settings{mode: wechat.CallbackPlain, redis: frozen})
		start := time.Now()
		resp := post(w.handler, w.signed(), strings.NewReader(text("hello")))
		if took := time.Since(start); took >= 5*time.Second || resp.Code != http.StatusServiceUnavailable {
			t.Errorf("after %s: %d %q", took, resp.Code, resp.Body)
		}
	})
}

// The process that took a push died before it handed it on: WeChat's repetition
// is handed on, and no third one.
func TestForwardAfterACrash(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		handled := 0
		w := newWorld(t, settings{mode: wechat.CallbackPlain, change: forwarding(func(context.Context, *wechat.Push) ([]byte, error) {
			handled++
			return nil, nil
		})})
		body := text("hello")
		bare := w.serve(nil).Handler() // takes it, and has no handler
		for _, h := range []http.Handler{bare, w.handler, w.handler} {
			if resp := post(h, w.signed(), strings.NewReader(body)); resp.Code != http.StatusOK {
				t.Errorf("%d %q", resp.Code, resp.Body)
			}
		}
		if handled != 1 {
			t.Errorf("handled %d times", handled)
		}
	})
}

// The query of WeChat's own check, from some log, is good for no push.
func TestCbk12QueryOfTheCheck(t *testing.T) {
	t.Parallel()
	story(t, settings{mode: wechat.CallbackPlain}, func(t *testing.T, w *world) {
		q := w.signed()
		q.Set("echostr", "1")
		if resp := w.get("/callback/"+appID+"?"+q.Encode(), ""); resp.Code != http.StatusOK {
			t.Fatalf("%d %q", resp.Code, resp.Body)
		}
		if resp := post(w.handler, q, strings.NewReader(text("forged"))); resp.Code != http.StatusForbidden {
			t.Errorf("%d %q", resp.Code, resp.Body)
		}
	})
}
