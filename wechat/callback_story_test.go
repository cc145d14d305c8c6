package wechat_test

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

const simKey = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"

// server is an account's server: it opens pushes and answers them.
type server struct {
	callback *wechat.Callback
	reply    func(*wechat.Push) string

	mu   sync.Mutex
	got  []*wechat.Push
	errs []error
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		echo, err := s.callback.Echo(r.URL.Query())
		if err != nil {
			w.WriteHeader(http.StatusForbidden)
		}
		_, _ = io.WriteString(w, echo)
		return
	}
	body, _ := io.ReadAll(r.Body)
	push, err := s.callback.Open(r.URL.Query(), body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.errs = append(s.errs, err)
		w.WriteHeader(http.StatusForbidden)
		return
	}
	s.got = append(s.got, push)
	answer, err := s.callback.Seal(push, []byte(s.reply(push)))
	if err != nil {
		s.errs = append(s.errs, err)
		answer = []byte("{}") // WeChat does not accept it
	}
	_, _ = w.Write(answer)
}

// The simulator's modes and ours, by name.
func pairs() map[wechat.CallbackMode]wechattest.CallbackMode {
	return map[wechat.CallbackMode]wechattest.CallbackMode{
		wechat.CallbackPlain: wechattest.CallbackPlain, wechat.CallbackCompat: wechattest.CallbackCompat,
		wechat.CallbackSecure: wechattest.CallbackSecure,
	}
}

func newServer(t *testing.T, mode wechat.CallbackMode, reply string) *server {
	t.Helper()
	s := &server{reply: func(*wechat.Push) string { return reply }}
	s.callback = newCallback(t, mode, func(cfg *wechat.CallbackConfig) {
		cfg.AppID, cfg.AESKeys = wechattest.AppID, rotating(simKey)
	})
	return s
}

func simulate(s *server, mode wechattest.CallbackMode, change func(*wechattest.CallbackConfig)) *wechattest.Platform {
	cb := wechattest.CallbackConfig{
		Handler: s, Mode: mode, Token: wechat.NewSecret(cbToken), EncodingAESKey: wechat.NewSecret(simKey),
	}
	if change != nil {
		change(&cb)
	}
	return wechattest.New(wechattest.Config{Strangers: true, Accounts: []wechattest.AccountConfig{{AppID: wechattest.AppID, Callback: cb}}})
}

// A follower's actions on the simulator arrive once in every mode, and the reply
// arrives at the simulator.
func TestCallbackOpensAFollowersEventsInEveryMode(t *testing.T) {
	t.Parallel()
	for mode, theirs := range pairs() {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const hello = "<xml><MsgType><![CDATA[text]]></MsgType><Content><![CDATA[已退订]]></Content></xml>"
				s := newServer(t, mode, "success")
				p := simulate(s, theirs, nil)
				defer p.Close()
				a := p.Account(wechattest.AppID)
				if err := a.VerifyCallback(t.Context()); err != nil {
					t.Fatalf("the console does not take our server: %v", err)
				}
				last := func(act func()) *wechat.Event {
					t.Helper()
					before := len(s.got)
					act()
					synctest.Wait()
					if len(s.got) != before+1 || len(s.errs) > 0 {
						t.Fatalf("%d pushes arrived, errors %v; want one", len(s.got)-before, s.errs)
					}
					return s.got[before].Event
				}
				if e := last(func() { a.Subscribe("oA", "bind-1") }); !e.Is(wechat.EventSubscribe) || e.OpenID != "oA" || e.Scene() != "bind-1" || e.Ticket == "" {
					t.Errorf("subscribe: %+v", e)
				}
				if e := last(func() { a.Subscribe("oB", "") }); !e.Is(wechat.EventSubscribe) || e.Scene() != "" {
					t.Errorf("a plain follow: %+v", e)
				}
				if e := last(func() { a.Unsubscribe("oA") }); !e.Is(wechat.EventUnsubscribe) || e.OpenID != "oA" {
					t.Errorf("unsubscribe: %+v", e)
				}
				if e := last(func() { a.RevokeAuthorization("oA") }); !e.Is(wechat.EventAuthorizationRevoked) || e.Subject != "oA" || e.OpenID == "oA" {
					t.Errorf("revoke: %+v", e)
				}
				if e := last(func() { a.CancelAuthorization("oB") }); !e.Is(wechat.EventAuthorizationCancelled) || e.Subject != "oB" {
					t.Errorf("cancellation: %+v", e)
				}
				var id wechat.MessageID
				s.reply = func(*wechat.Push) string { return hello }
				if e := last(func() { id = a.Say("oB", "TD <退订> ]]> & &amp;") }); e.MsgType != wechat.MsgTypeText || e.MsgID != id || e.Content != "TD <退订> ]]> & &amp;" {
					t.Errorf("text: %+v, its number is %v", e, id)
				}
				pushes := p.Pushes()
				if said := pushes[len(pushes)-1]; !said.Taken || said.Reply != hello ||
					(mode == wechat.CallbackSecure) == strings.Contains(said.Answer, "退订") {
					t.Errorf("the reply came as %+v", said)
				}
			})
		})
	}
}

// A push in another mode is refused with a remedy.
func TestCallbackRefusesOtherModes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for mode := range pairs() {
			for other, theirs := range pairs() {
				s := newServer(t, mode, "success")
				p := simulate(s, theirs, func(cb *wechattest.CallbackConfig) { cb.Tries = 1 })
				p.Account(wechattest.AppID).Push(wechattest.Event{Name: "VIEW", OpenID: "oA"})
				synctest.Wait()
				p.Close()
				// The encrypted modes accept each other.
				fits := mode == other || mode != wechat.CallbackPlain && other != wechat.CallbackPlain
				if fits {
					if len(s.got) != 1 {
						t.Errorf("mode %s, push in mode %s: refused with %v", mode, other, s.errs)
					}
					continue
				}
				if len(s.got) != 0 || len(s.errs) != 1 {
					t.Fatalf("mode %s, push in mode %s: %d opened, errors %v", mode, other, len(s.got), s.errs)
				}
				mustRefuse(t, s.errs[0], wechat.CallbackFaultMode)
			}
		}
	})
}

// The event has one DedupeKey whether WeChat signs a repeated delivery again or
// sends the same bytes. With the same Nonce the Digest is the same too.
func TestRepeatedPushesHaveOneDedupeKey(t *testing.T) {
	t.Parallel()
	for _, same := range []bool{false, true} {
		for mode, theirs := range pairs() {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, mode, "{}")
				p := simulate(s, theirs, func(cb *wechattest.CallbackConfig) { cb.SameQuery, cb.RetryGap = same, 5*time.Second })
				defer p.Close()
				p.Account(wechattest.AppID).Subscribe("oA", "bind-1")
				time.Sleep(time.Minute)
				synctest.Wait()
				if len(s.got) != 3 {
					t.Fatalf("%d pushes, want three; errors %v", len(s.got), s.errs)
				}
				for _, push := range s.got {
					first := s.got[0]
					if push.Event.DedupeKey() != first.Event.DedupeKey() || push.Digest != first.Digest {
						t.Errorf("%s: a repetition looks like another event", mode)
					}
					if push != first && (push.Nonce == first.Nonce) != same {
						t.Errorf("%s, same query %t: nonces %s, %s", mode, same, push.Nonce, first.Nonce)
					}
				}
			})
		}
	}
}

func TestSealEncryptsRepliesInSecureModeOnly(t *testing.T) {
	t.Parallel()
	const reply = "<xml><Content><![CDATA[好]]></Content></xml>"
	for _, mode := range modes() {
		c := newCallback(t, mode)
		push := mustOpen(t, c, genuine(mode, receipt))
		for _, text := range []string{"", "success", "<xml><Encrypt><![CDATA[x]]></Encrypt><MsgSignature>y</MsgSignature></xml>"} {
			if got, err := c.Seal(push, []byte(text)); err != nil || string(got) != text {
				t.Errorf("%s: %q became %q, %v", mode, text, got, err)
			}
		}
		for name, text := range map[string]string{
			"words": "canary", "a page": "<html>canary</html>", "JSON": `{"Content":"canary"}`, "GBK": "<xml><Content>\xc4\xe3\xba\xc3</Content></xml>", "two": reply + reply,
		} {
			if got, err := c.Seal(push, []byte(text)); !errors.Is(err, wechat.ErrReply) || got != nil {
				t.Errorf("%s: %s became %s, %v", mode, name, got, err)
			}
		}
		got, err := c.Seal(push, []byte("\ufeff\n"+reply+"\r\n"))
		must(t, err)
		if mode != wechat.CallbackSecure {
			if string(got) != reply {
				t.Errorf("%s: the reply became %s", mode, got)
			}
			continue
		}
		fields, err := wechat.ParseDocument(got)
		if err != nil || len(fields) != 4 || fields["Nonce"] != "1320562132" {
			t.Fatalf("envelope %s, %v", got, err)
		}
		if want := wechat.Signature(cbToken, fields["TimeStamp"], fields["Nonce"], fields["Encrypt"]); fields["MsgSignature"] != want {
			t.Errorf("MsgSignature %s, want %s", fields["MsgSignature"], want)
		}
		if opened, err := wechat.Decrypt(cbKey, cbAppID, fields["Encrypt"]); err != nil || string(opened) != reply {
			t.Errorf("sealed %q, %v", opened, err)
		}
		if seconds, err := strconv.ParseInt(fields["TimeStamp"], 10, 64); err != nil || time.Since(time.Unix(seconds, 0)) > time.Minute {
			t.Errorf("TimeStamp %s", fields["TimeStamp"])
		}
		again, err := c.Seal(push, []byte(reply))
		if err != nil || string(again) == string(got) {
			t.Errorf("the same reply looks the same twice, %v", err)
		}
	}
}

// The reply to a push with the previous Token and key uses these.
func TestSealUsesTheTokenAndKeyOfThePush(t *testing.T) {
	t.Parallel()
	until := time.Now().Add(time.Hour)
	c := newCallback(t, wechat.CallbackSecure, func(cfg *wechat.CallbackConfig) {
		cfg.Tokens = append(rotating(cbToken2), wechat.RotatingSecret{Value: wechat.NewSecret(cbToken), Until: until})
		cfg.AESKeys = append(rotating(cbKey2), wechat.RotatingSecret{Value: wechat.NewSecret(cbKey), Until: until})
	})
	got, err := c.Seal(mustOpen(t, c, genuine(wechat.CallbackSecure, receipt)), []byte("<xml/>"))
	must(t, err)
	fields, err := wechat.ParseDocument(got)
	must(t, err)
	if _, err := wechat.Decrypt(cbKey, cbAppID, fields["Encrypt"]); err != nil {
		t.Errorf("sealed with another key than the push: %v", err)
	}
	if fields["MsgSignature"] != wechat.Signature(cbToken, fields["TimeStamp"], fields["Nonce"], fields["Encrypt"]) {
		t.Error("signed with another Token than the push")
	}
}

// A forwarded push verifies at a server that has the current Token only.
func TestSignedForwardVerifiesWithTheCurrentToken(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, mode := range modes() {
		ours := newCallback(t, mode, func(cfg *wechat.CallbackConfig) {
			cfg.Tokens = append(rotating(cbToken2), wechat.RotatingSecret{Value: wechat.NewSecret(cbToken), Until: now.Add(time.Hour)})
		})
		theirs := newCallback(t, wechat.CallbackPlain, func(cfg *wechat.CallbackConfig) { cfg.Tokens = rotating(cbToken2) })
		push := mustOpen(t, ours, genuine(mode, receipt))
		q := ours.Sign(push.Event.OpenID, now)
		if q.Get("openid") != canaryOpenID || len(q) != 4 || len(q.Get("nonce")) != 10 {
			t.Errorf("query %v", q)
		}
		forwarded := mustOpen(t, theirs, pushed{q, string(push.Document)})
		if forwarded.Event.DedupeKey() != push.Event.DedupeKey() {
			t.Errorf("forwarded as %+v", forwarded.Event)
		}
		if again := ours.Sign(push.Event.OpenID, now); again.Get("nonce") == q.Get("nonce") {
			t.Error("two forwards have one nonce")
		}
	}
}
