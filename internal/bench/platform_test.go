package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/internal/cost"
	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/wechat"
)

func tunedClient() *http.Client {
	return &http.Client{Transport: must(wechat.NewTransport(wechat.Secret{}))}
}

func TestPlatformAcceptsWhatTheBuildsPost(t *testing.T) {
	t.Parallel()
	p := newPlatform(0)
	base, hc := "http://"+listen(p.serve), tunedClient()
	defer hc.CloseIdleConnections()
	for _, i := range []int{0, 1, 2, firstSample + 7} {
		if err := capture(func() { post(t.Context(), hc, base, accessToken(), must(json.Marshal(cost.Message(i)))) }); err != nil {
			t.Fatal(err)
		}
	}
	if p.opened.Load() != 1 || p.sent.Load() != 4 {
		t.Errorf("%d connections and %d sends, want 1 and 4", p.opened.Load(), p.sent.Load())
	}
	if arrived := testutil.Receive(t, "a sample's arrival", p.samples); time.Since(arrived) > time.Minute || len(p.samples) > 0 {
		t.Errorf("it came at %s, and %d more", arrived, len(p.samples))
	}
}

func TestPlatformAnswersWeChatsClient(t *testing.T) {
	t.Parallel()
	p := newPlatform(time.Millisecond)
	cfg := wechat.Config{
		AppID: appID, AppSecret: wechat.NewSecret(strings.Repeat("0", 32)),
		BaseURL: "http://" + listen(p.serve), HTTPClient: tunedClient(),
	}
	token, err := must(wechat.NewTokenFetcher(cfg)).FetchStable(t.Context(), false)
	if err != nil || token.Value.Reveal() != accessToken() {
		t.Fatalf("token: %v", err)
	}
	client := must(wechat.NewClient(cfg, wechat.StaticToken(accessToken())))
	for _, i := range []int{0, 7, 12345678} {
		id, err := client.SendTemplate(t.Context(), cost.Message(i))
		if err != nil || id != wechat.MessageID(firstMsgID+i) || len(id.String()) != 19 {
			t.Errorf("message %d: msgid %s, %v", i, id, err)
		}
	}
	quota, err := client.Quota(t.Context(), sendPath)
	if err != nil || quota.DailyLimit != plenty || quota.Used != 3 {
		t.Errorf("quota %+v, %v", quota, err)
	}
	if got := p.answer("/elsewhere", nil); !strings.Contains(got, "40066") {
		t.Errorf("another path: %s", got)
	}
}

func TestPlatformDelaysSendsAlone(t *testing.T) {
	t.Parallel()
	const late = 100 * time.Millisecond
	base := "http://" + listen(newPlatform(late).serve)
	start := time.Now()
	if err := capture(func() { post(t.Context(), http.DefaultClient, base, accessToken(), nil) }); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < late {
		t.Errorf("a send took %s, want %s or more", took, late)
	}
}

func TestPostDoesNotShowTheToken(t *testing.T) {
	t.Parallel()
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"errcode":40001}`)
	}))
	defer refusing.Close()
	for _, base := range []string{refusing.URL, "http://127.0.0.1:1"} {
		err := capture(func() { post(t.Context(), refusing.Client(), base, "s3cret", nil) })
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("got %v", err)
		}
	}
}

// A relay that queued answers behind each other would need latency for each.
func TestRelayDelaysAnswersThatOverlap(t *testing.T) {
	t.Parallel()
	const late, pieces = 50 * time.Millisecond, 400
	target := listen(func(conn net.Conn) { _, _ = io.Copy(conn, conn) })
	addr := listen(func(conn net.Conn) { relay(t.Context(), conn, target, late) })
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	start := time.Now()
	for i := range pieces {
		_, _ = fmt.Fprintf(conn, "line %d\n", i)
	}
	for i := range pieces {
		line, err := in.ReadString('\n')
		if err != nil || line != fmt.Sprintf("line %d\n", i) {
			t.Fatalf("line %d: %q, %v", i, line, err)
		}
		if took := time.Since(start); i == 0 && took < late {
			t.Errorf("the first answer came after %s, want %s or more", took, late)
		}
	}
	if took := time.Since(start); took > pieces/2*late {
		t.Errorf("%d answers took %s: they do not overlap", pieces, took)
	}
}
