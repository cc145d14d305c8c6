package tokenstore_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
)

const secretCanary = "SECRET-CANARY"

// leakyError is the error of a Fetcher that puts the secret into its text.
type leakyError struct{ secret string }

func (e leakyError) Error() string { return "GET …&secret=" + e.secret + " failed" }

// texts is every way in which v may be printed, its chain of causes too.
func texts(v any) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v\n%+v\n%#v\n%s\n%q\n", v, v, v, v, v)
	if j, err := json.Marshal(v); err == nil {
		b.Write(j)
	}
	if err, ok := v.(error); ok {
		b.WriteString(err.Error())
		for _, cause := range causes(err) {
			b.WriteString(texts(cause))
		}
	}
	return b.String()
}

func causes(err error) []error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		return many.Unwrap()
	}
	if one := errors.Unwrap(err); one != nil {
		return []error{one}
	}
	return nil
}

func TestTok14NoTextHoldsASecretOrToken(t *testing.T) {
	t.Parallel()
	leaks := []error{
		leakyError{secretCanary},
		fmt.Errorf("wrapped: %w", leakyError{secretCanary}),
		&url.Error{Op: "Get", URL: "https://api.weixin.qq.com/cgi-bin/token?secret=" + secretCanary, Err: errors.New("EOF")},
		&wechat.TransportError{Op: "/cgi-bin/token", Err: &url.Error{
			Op: "Get", URL: "https://api.weixin.qq.com/cgi-bin/token?secret=" + secretCanary, Err: errors.New("EOF"),
		}},
		answer(40125, "invalid appsecret"),
	}
	for _, mode := range []tokenstore.Mode{tokenstore.Stable, tokenstore.Classic} {
		for _, leak := range leaks {
			t.Run(fmt.Sprintf("tok-14 %v %T", mode, leak), func(t *testing.T) {
				t.Parallel()
				bubble(t, mode, func(t *testing.T, f *fleet) { plantAndGrep(t, f, leak) })
			})
		}
	}
}

// plantAndGrep goes through a token's life and searches all texts for the secret.
func plantAndGrep(t *testing.T, f *fleet, leak error) {
	t.Helper()
	var said strings.Builder
	hear := func(v any) { said.WriteString(texts(v)) }
	s, other := f.store(), f.store()
	token := mustToken(t, s)
	hear(token)
	hear(mustState(t, s))
	for range 6 { // refused until it is forced, and a war is reported
		pass(2 * time.Minute)
		mustInvalidate(t, s, mustToken(t, s))
		hear(mustState(t, s))
		mustToken(t, s)
	}
	f.wx.set(func(p *platform) { p.fail = leak })
	for range 3 { // a fetch that began before may still bring a token
		if token, err := s.Token(t.Context()); err == nil {
			mustInvalidate(t, s, token)
		}
		pass(time.Minute)
	}
	hear(unavailable(t, s))
	hear(unavailable(t, other))
	hear(mustState(t, other))
	_, err := s.Refresh(t.Context())
	hear(err)
	f.mini.SetError("LOADING the dataset")
	hear(s.Drop(t.Context()))
	hear(s.Invalidate(t.Context(), token))
	_, err = s.State(t.Context())
	hear(err)
	f.mini.SetError("")
	for _, e := range f.notes.all {
		hear(e)
		if e.Err != nil {
			hear(e.Err)
		}
	}
	synctest.Wait() // no goroutine writes while it is printed
	hear(fmt.Sprintf("%+v %#v", s, s))

	if !strings.Contains(said.String(), token.Value.Fingerprint()) {
		t.Error("the token's fingerprint is nowhere: the test greps the wrong texts")
	}
	for _, canary := range []string{secretCanary, "TOKEN-CANARY"} {
		if i := strings.Index(said.String(), canary); i >= 0 {
			t.Errorf("%s in: …%s", canary, said.String()[max(0, i-200):min(said.Len(), i+40)])
		}
	}
	grepRedis(t, f)
}

// grepRedis checks that the token is in one field of one key and the secret is not in Redis.
func grepRedis(t *testing.T, f *fleet) {
	t.Helper()
	dump := f.mini.Dump()
	if strings.Contains(dump, secretCanary) {
		t.Errorf("the secret lies in Redis:\n%s", dump)
	}
	if value := f.mini.HGet("wxn:{"+appID+"}:token", "v"); value != "" {
		dump = strings.Replace(dump, value, "", 1)
	}
	if strings.Contains(dump, "TOKEN-CANARY") {
		t.Errorf("the token lies in Redis a second time:\n%s", dump)
	}
}
