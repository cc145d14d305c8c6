package wechattest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// raw sends one message and returns the outcome as text.
func (b *bench) raw(to, id string) string {
	b.Helper()
	resp, text, err := b.do(http.MethodPost, wechattest.SendPath, url.Values{"access_token": {b.token}}, order(to, id))
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "cut in the answer"
	case errors.Is(err, io.EOF):
		return "EOF"
	case err != nil:
		return err.Error()
	case resp.StatusCode != http.StatusOK || !strings.HasPrefix(string(text), `{"errcode":`):
		return strconv.Itoa(resp.StatusCode) + " " + string(text)
	}
	code, _, _ := strings.Cut(strings.TrimPrefix(string(text), `{"errcode":`), ",")
	return code
}

func TestScriptRepliesInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, wechattest.Config{})
		steps := []struct {
			reply wechattest.Reply
			want  string
			seen  int
			takes time.Duration
		}{
			{wechattest.Errcode(-1), "-1", 0, 0},
			{wechattest.Errcode(45009).Msg("x"), "45009", 0, 0},
			{wechattest.Errcode(-1).Accepted(), "-1", 1, 0},
			{wechattest.HTTPStatus(502), "502 <html><body><h1>Bad Gateway</h1></body></html>\n", 0, 0},
			{wechattest.HTTPStatus(504).Accepted(), "504 <html><body><h1>Gateway Timeout</h1></body></html>\n", 1, 0},
			{wechattest.Hang(time.Minute), "EOF", 0, time.Minute},
			{wechattest.Hang(time.Minute).Accepted(), "EOF", 1, time.Minute},
			{wechattest.Slow(time.Second), "0", 1, time.Second},
			{wechattest.CutBefore(), "EOF", 0, 0},
			{wechattest.CutAfterAccept(), "EOF", 1, 0},
			{wechattest.CutMidAnswer(), "cut in the answer", 1, 0},
			{wechattest.Garbage("<html>busy</html>"), "200 <html>busy</html>", 0, 0},
			{wechattest.OK(), "0", 1, 0},
		}
		for _, s := range steps {
			b.p.Script(s.reply)
		}
		if n := b.p.Scripted(); n != len(steps) {
			t.Errorf("%d replies in wait, want %d", n, len(steps))
		}
		for i, s := range steps {
			id, start := "step-"+strconv.Itoa(i), time.Now()
			if got := b.raw(openid, id); got != s.want {
				t.Errorf("step %d: %q, want %q", i, got, s.want)
			}
			if n := b.p.SeenCount(id); n != s.seen {
				t.Errorf("step %d: seen %d times, want %d", i, n, s.seen)
			}
			if d := time.Since(start); d != s.takes {
				t.Errorf("step %d took %s, want %s", i, d, s.takes)
			}
		}
		if got := b.raw(openid, "after"); got != "0" {
			t.Errorf("after the script: %q, want the platform's own answer", got)
		}
		if n := b.p.Calls(wechattest.SendPath); n.Total != 14 || n.OK != 3 || n.Lost != 8 || n.ByCode[-1] != 2 || n.ByCode[45009] != 1 {
			t.Errorf("calls = %+v, want 14: 3 ok, 8 lost, two -1, one 45009", n)
		}
	})
}

func TestCutAfterAcceptDeliversAndGivesEOF(t *testing.T) {
	t.Parallel()
	for name, serve := range map[string]func(*testing.T, *wechattest.Platform) (string, *http.Client){
		"without a socket": func(_ *testing.T, p *wechattest.Platform) (string, *http.Client) { return p.BaseURL(), p.Client() },
		"on a listener": func(t *testing.T, p *wechattest.Platform) (string, *http.Client) {
			server := httptest.NewServer(p)
			t.Cleanup(server.Close)
			return server.URL, server.Client()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, wechattest.Config{})
			base, client := serve(t, b.p)
			b.p.Script(wechattest.OK(), wechattest.CutAfterAccept())
			send := func(id string) error {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
					base+wechattest.SendPath+"?access_token="+b.token, strings.NewReader(order(openid, id)))
				if err != nil {
					return err
				}
				resp, err := client.Do(req)
				if err != nil {
					return err
				}
				_, err = io.Copy(io.Discard, resp.Body)
				return errors.Join(err, resp.Body.Close())
			}
			if err := send("1"); err != nil { // so that a kept connection is cut
				t.Fatal(err)
			}
			if err := send("2"); !errors.Is(err, io.EOF) {
				t.Errorf("err = %v, want EOF", err)
			}
			if err := send("2"); err != nil {
				t.Errorf("replay: %v", err)
			}
			if n := b.p.SeenCount("2"); n != 1 {
				t.Errorf("seen %d times, want once", n)
			}
		})
	}
}

func TestRepliesApplyToTheirRecipientAccountAndPath(t *testing.T) {
	t.Parallel()
	b := setup(t, wechattest.Config{Accounts: []wechattest.AccountConfig{{AppID: wechattest.AppID}, {AppID: "wxB"}}})
	b.p.Script(
		wechattest.Errcode(43004).For("oX"),
		wechattest.Errcode(48004).Account("wxB"),
		wechattest.Errcode(-1).Times(2).For("oY"),
		wechattest.Errcode(45011).On(quotaGetPath),
	)
	if got := b.raw(openid, ""); got != "0" {
		t.Errorf("a call that no reply is for: %q, want 0", got)
	}
	for i, want := range []string{"-1", "-1", "0"} {
		if got := b.raw("oY", ""); got != want {
			t.Errorf("oY, call %d: %q, want %q", i, got, want)
		}
	}
	if got := b.raw("oX", ""); got != "43004" {
		t.Errorf("oX: %q, want 43004", got)
	}
	if r := b.post(quotaGetPath, `{}`); r.code() != 45011 {
		t.Errorf("quota/get: %v, want 45011", r)
	}
	b.token = b.p.Account("wxB").FetchToken().Reveal()
	if got := b.raw(openid, ""); got != "48004" {
		t.Errorf("wxB: %q, want 48004", got)
	}
	b.p.Script(wechattest.Errcode(-1).On(wechattest.StableTokenPath).Account("wxB"))
	if r := b.fetchStable(false); r.code() != 0 {
		t.Errorf("stable_token of the other account: %v, want a token", r)
	}
	b.p.Script(wechattest.Errcode(40164).On(wechattest.StableTokenPath).Account(wechattest.AppID))
	if r := b.fetchStable(false); r.code() != 40164 {
		t.Errorf("stable_token: %v, want 40164", r)
	}
	b.p.Script(wechattest.Errcode(-1).Forever())
	for range 3 {
		if got := b.raw(openid, ""); got != "-1" {
			t.Errorf("forever: %q, want -1", got)
		}
	}
	b.p.ClearScript()
	if got := b.raw(openid, ""); got != "0" || b.p.Scripted() != 0 {
		t.Errorf("after ClearScript: %q, want 0", got)
	}
}

func TestFaultsHaveTheirShareAndRepeatWithTheSeed(t *testing.T) {
	t.Parallel()
	mix := func(seed uint64) string {
		b := setup(t, wechattest.Config{Seed: seed})
		b.p.Fault(0.20, wechattest.CutAfterAccept())
		b.p.Fault(0.05, wechattest.Errcode(-1))
		var got strings.Builder
		for range 400 {
			got.WriteString(b.raw(openid, "") + " ")
		}
		return got.String()
	}
	first := mix(7)
	if first != mix(7) || first == mix(8) {
		t.Error("the mix must repeat with the seed, and change with another")
	}
	if n := strings.Count(first, "EOF"); n < 60 || n > 100 {
		t.Errorf("%d of 400 cut, want about 80", n)
	}
	if n := strings.Count(first, "-1"); n < 8 || n > 36 {
		t.Errorf("%d of 400 answered -1, want about 20", n)
	}
	b := setup(t, wechattest.Config{})
	b.p.Always(wechattest.Errcode(45011))
	if got := b.raw(openid, ""); got != "45011" {
		t.Errorf("always: %q, want 45011", got)
	}
}

func TestLatencyComesAfterTheEffect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, wechattest.Config{Latency: 50 * time.Millisecond})
		start := time.Now()
		b.send(order(openid, "1"))
		if d := time.Since(start); d != 50*time.Millisecond {
			t.Errorf("a send took %s, want 50ms", d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost,
			b.p.BaseURL()+wechattest.SendPath+"?access_token="+b.token, strings.NewReader(order(openid, "2")))
		must(t, err)
		if resp, err := b.p.Client().Do(req); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v %v, want the deadline", resp, err)
		}
		synctest.Wait()
		if n := b.p.SeenCount("2"); n != 1 {
			t.Errorf("seen %d times, want 1: WeChat had acted before the caller gave up", n)
		}
		if n := b.p.Calls(wechattest.SendPath); n.Lost != 1 {
			t.Errorf("calls = %+v, want one lost", n)
		}
	})
}

func TestCloseEndsHangingCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, wechattest.Config{})
		b.p.Script(wechattest.Hang(24 * time.Hour))
		got := make(chan string)
		go func() { got <- b.raw(openid, "1") }()
		synctest.Wait()
		start := time.Now()
		b.p.Close()
		if word := <-got; word == "0" || time.Since(start) > time.Second {
			t.Errorf("answer %q after %s, want an error at once", word, time.Since(start))
		}
	})
}

func TestSeenKeepsTheNewest(t *testing.T) {
	t.Parallel()
	b := setup(t, wechattest.Config{KeepSeen: 8})
	for i := range 40 {
		b.send(order(openid, strconv.Itoa(i)))
	}
	seen := b.p.Seen()
	if len(seen) < 8 || len(seen) > 9 || seen[len(seen)-1].Seq != 40 || b.p.SeenTotal() != 40 {
		t.Fatalf("%d kept up to %d of %d, want about 8 of 40", len(seen), seen[len(seen)-1].Seq, b.p.SeenTotal())
	}
	if b.p.SeenCount("39") != 1 || b.p.SeenCount("0") != 0 || len(b.p.SeenWith("39")) != 1 || b.p.SeenWith("0") != nil {
		t.Error("want the newest counted and the oldest dropped")
	}
	if page := b.p.SeenAfter(37, 2); len(page) != 2 || page[0].Seq != 38 {
		t.Errorf("SeenAfter(37, 2) = %+v, want 38 and 39", page)
	}
	if page := b.p.SeenAfter(0, 1); len(page) != 1 || page[0].Seq != seen[0].Seq {
		t.Errorf("SeenAfter(0, 1) = %+v, want the oldest kept", page)
	}
	if page := b.p.SeenBefore(40, 2); len(page) != 2 || page[0].Seq != 39 || page[1].Seq != 38 {
		t.Errorf("SeenBefore(40, 2) = %+v, want 39 and 38", page)
	}
	if page := b.p.SeenBefore(0, 1); len(page) != 1 || page[0].Seq != 40 {
		t.Errorf("SeenBefore(0, 1) = %+v, want the newest", page)
	}
	if page := b.p.SeenBefore(1, 9); len(page) != 0 {
		t.Errorf("SeenBefore(1, 9) = %+v, want none", page)
	}
}

func TestUnknownAccountPanics(t *testing.T) {
	t.Parallel()
	p := wechattest.New(wechattest.Config{})
	defer p.Close()
	defer func() {
		if r := recover(); r == nil || !strings.Contains(r.(string), "Config.Accounts") {
			t.Errorf("panic %v, want one that names Config.Accounts", r)
		}
	}()
	p.Account("wx-unknown")
}

var _ http.Handler = (*wechattest.Platform)(nil)
