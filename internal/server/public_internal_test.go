package server

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/wechat"
)

// TestUnsignedBodyIsAnsweredBeforeItComes, and the connection ends a second later.
func TestUnsignedBodyIsAnsweredBeforeItComes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		callback, err := wechat.NewCallback(wechat.CallbackConfig{
			AppID: "wxa", Mode: wechat.CallbackSecure, Tokens: []wechat.RotatingSecret{{Value: wechat.NewSecret("canaryTokenCanary")}},
			AESKeys: []wechat.RotatingSecret{{Value: wechat.NewSecret(canaryAESKey)}},
		})
		if err != nil {
			t.Fatal(err)
		}
		rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"}) // not needed to refuse
		defer func() { _ = rdb.Close() }()
		roster, err := enroll.NewRoster(enroll.RosterConfig{Redis: rdb, Account: "wxa"})
		if err != nil {
			t.Fatal(err)
		}
		s, err := enroll.New(enroll.Config{Accounts: []enroll.Account{{Roster: roster, Callback: callback}}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ln, ended := make(pipes), make(chan error, 1)
		go func() { ended <- serveHTTP(ctx, ln, s.Handler(), publicLimits()) }()
		shaped := "?timestamp=" + "946684800" + "&nonce=1&msg_signature=" + strings.Repeat("0", 40) // fresh in a bubble
		for name, c := range map[string]struct {
			head string
			want int
		}{
			"unsigned":           {"POST /callback/wxa HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n", http.StatusForbidden},
			"unsigned and long":  {"POST /callback/wxa HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n", http.StatusForbidden},
			"unsigned, chunks":   {"POST /callback/wxa HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", http.StatusForbidden},
			"a length over 64 K": {"POST /callback/wxa" + shaped + " HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n", http.StatusRequestEntityTooLarge},
		} {
			near, far := net.Pipe()
			ln <- far
			began := time.Now()
			go func() { _, _ = io.WriteString(near, c.head) }()
			reader := bufio.NewReader(near)
			resp, err := http.ReadResponse(reader, nil)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if took := time.Since(began); resp.StatusCode != c.want || took > 0 {
				t.Errorf("%s: %d after %s", name, resp.StatusCode, took)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			_, _ = io.Copy(io.Discard, reader) // until the server hangs up
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("%s: the connection was held for %s", name, took)
			}
			_ = near.Close()
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestVerifyFilesThatAreMissingStopTheStart, with the setting's name.
func TestVerifyFilesThatAreMissingStopTheStart(t *testing.T) {
	t.Parallel()
	for want, folder := range map[string]string{"cannot be opened": filepath.Join(t.TempDir(), "missing"), "holds no file": t.TempDir()} {
		c, err := settings.Load("", map[string]string{"WXNOTIFY_APPID": "wxa", "WXNOTIFY_VERIFY_FILES": folder, "WXNOTIFY_WECHAT_BASE_URL": "http://127.0.0.1"}, nil, settings.Publishing)
		if err != nil {
			t.Fatal(err)
		}
		watch, err := newObserver(zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		_, err = newEnroll(c, nil, watch)
		if err == nil || !strings.Contains(err.Error(), "WXNOTIFY_VERIFY_FILES: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
