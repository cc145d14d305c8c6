package wechattest_test

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"

	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

func TestSendReachesTheRecipient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, wechattest.Config{})
		body := order(openid, "order-1")
		r := b.send(body)
		if r.code() != 0 || r.num("msgid") <= 1<<53 {
			t.Fatalf("answer = %v, want errcode 0 and a msgid beyond 2^53", r)
		}
		seen := b.p.Seen()
		if len(seen) != 1 || string(seen[0].Body) != body || int64(seen[0].MsgID) != r.num("msgid") {
			t.Fatalf("seen = %+v, want the one message byte for byte", seen)
		}
	})
}

func TestCutAfterAcceptIsEOFAfterTheMessageWasSeen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, wechattest.Config{})
		b.p.Script(wechattest.CutAfterAccept())
		_, _, err := b.do("POST", wechattest.SendPath, map[string][]string{"access_token": {b.token}}, order(openid, "order-1"))
		if !errors.Is(err, io.EOF) {
			t.Fatalf("err = %v, want EOF", err)
		}
		if n := b.p.SeenCount("order-1"); n != 1 {
			t.Fatalf("seen %d times, want 1", n)
		}
		if r := b.send(order(openid, "order-1")); r.code() != 0 {
			t.Fatalf("replay: %v", r)
		}
		if n := b.p.SeenCount("order-1"); n != 1 {
			t.Fatalf("seen %d times after the replay, want 1", n)
		}
	})
}
