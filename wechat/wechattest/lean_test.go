package wechattest_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// lean serves a platform with ServeLean on a loopback socket.
func lean(t *testing.T, cfg wechattest.Config) (*bench, string, *http.Client) {
	t.Helper()
	b := setup(t, cfg)
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- b.p.ServeLean(l) }()
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		b.p.Close()
		if err := <-ended; err != nil {
			t.Errorf("ServeLean: %v", err)
		}
	})
	return b, "http://" + l.Addr().String(), &http.Client{Transport: transport}
}

// ask posts body and returns the answer as words, as raw does.
func ask(t *testing.T, client *http.Client, target, body string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.Status + " " + string(text), err
}

func TestServeLeanAnswersAsServeHTTPDoes(t *testing.T) {
	t.Parallel()
	b, base, client := lean(t, wechattest.Config{Latency: time.Millisecond})
	send := base + wechattest.SendPath + "?access_token=" + b.token
	for _, tt := range []struct {
		name, target, body, want string
	}{
		{"a message", send, order(openid, "1"), `200 OK {"errcode":0,"errmsg":"ok","msgid":`},
		{"again", send, order(openid, "1"), `200 OK {"errcode":0,"errmsg":"ok","msgid":`},
		{"no token", base + wechattest.SendPath, order(openid, "1"), `200 OK {"errcode":41001,`},
		{"no body", send, "", `200 OK {"errcode":44002,`},
		{"token endpoint", base + wechattest.StableTokenPath, "{}", `200 OK {"errcode":41002,`},
		{"a page", base + "/", "", `404 Not Found `},
		{"a control call", base + "/_sim/reset", "", `404 Not Found `},
	} {
		if got, err := ask(t, client, tt.target, tt.body); err != nil || !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: %q %v, want %q", tt.name, got, err, tt.want)
		}
	}
	if n := b.p.SeenCount("1"); n != 1 {
		t.Errorf("seen %d times, want once", n)
	}
	b.p.Script(wechattest.HTTPStatus(502), wechattest.CutAfterAccept(), wechattest.CutMidAnswer())
	if got, err := ask(t, client, send, order(openid, "2")); err != nil || !strings.HasPrefix(got, "502 Bad Gateway <html>") {
		t.Errorf("502: %q %v", got, err)
	}
	if _, err := ask(t, client, send, order(openid, "2")); !errors.Is(err, io.EOF) || b.p.SeenCount("2") != 1 {
		t.Errorf("cut after accept: %v, seen %d; want EOF and 1", err, b.p.SeenCount("2"))
	}
	if _, err := ask(t, client, send, order(openid, "3")); !errors.Is(err, io.ErrUnexpectedEOF) || b.p.SeenCount("3") != 1 {
		t.Errorf("cut in the answer: %v, seen %d; want an unexpected EOF and 1", err, b.p.SeenCount("3"))
	}
}

func TestServeLeanRefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	_, base, _ := lean(t, wechattest.Config{})
	for name, request := range map[string]string{
		"no version":   "POST /\r\n\r\n",
		"chunked":      "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"bad length":   "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
		"long body":    "POST / HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n",
		"endless head": "POST /" + strings.Repeat("x", 1<<16),
	} {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, request)
		if got, _ := io.ReadAll(conn); len(got) != 0 {
			t.Errorf("%s: answer %q, want the connection closed", name, got)
		}
		conn.Close()
	}
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "POST /cgi-bin/x HTTP/1.1\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx")
	if got, _ := io.ReadAll(conn); string(got) != "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n" {
		t.Errorf("answer %q", got)
	}
}
