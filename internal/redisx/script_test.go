package redisx_test

import (
	"bufio"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/redisx"
)

func TestScriptIsSentWholeWhenRedisForgotIt(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		add := redisx.NewScript("local function add(n) return redis.call('INCRBY', KEYS[1], n) end", "return add(ARGV[1])")
		get := redisx.NewScript("return redis.call('GET', KEYS[1])")
		for want := 1; want <= 3; want++ {
			if n, err := add.Run(t.Context(), rdb, []string{"{a}n"}, 1).Int(); err != nil || n != want {
				t.Errorf("%d, %v, want %d", n, err, want)
			}
			if err := rdb.ScriptFlush(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
		}
		one, two := add.Call(t.Context(), []string{"{a}n"}, 10), get.Call(t.Context(), []string{"{a}n"})
		bad := redisx.NewScript("return redis.error_reply('NO WAY')").Call(t.Context(), []string{"{a}n"})
		redisx.Exec(t.Context(), rdb, one, two, bad)
		n, err := one.Int()
		if n != 13 || err != nil {
			t.Errorf("first: %d, %v", n, err)
		}
		if text, err := two.Text(); text != "13" || err != nil {
			t.Errorf("second: %q, %v", text, err)
		}
		if err := bad.Err(); err == nil || !strings.Contains(err.Error(), "NO WAY") {
			t.Errorf("third: %v", err)
		}
	})
}

func TestScriptTexts(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		list := redisx.NewScript("return {KEYS[1], ARGV[1], ''}")
		bad := redisx.NewScript("return redis.error_reply('NO WAY')")
		for _, once := range []bool{false, true} {
			if err := rdb.ScriptFlush(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				texts, err := list.Texts(t.Context(), rdb, once, []string{"{a}n"}, 7)
				if err != nil || !slices.Equal(texts, []string{"{a}n", "7", ""}) {
					t.Errorf("%q, %v", texts, err)
				}
			}
			if texts, err := bad.Texts(t.Context(), rdb, once, []string{"{a}n"}); err == nil || !strings.Contains(err.Error(), "NO WAY") || len(texts) != 0 {
				t.Errorf("%q, %v", texts, err)
			}
		}
	})
}

// A script that must not run twice is not repeated by go-redis when its answer is lost.
func TestScriptTextsOnceIsNotRepeated(t *testing.T) {
	t.Parallel()
	for _, once := range []bool{false, true} {
		var calls atomic.Int64
		ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				server, err := ln.Accept()
				if err != nil {
					return
				}
				closeAtScript(server, &calls)
			}
		}()
		rdb := redis.NewClient(&redis.Options{
			Addr: ln.Addr().String(), Protocol: 2, DisableIdentity: true, MaxRetries: 3, MinRetryBackoff: -1, MaxRetryBackoff: -1,
		})
		if _, err := redisx.NewScript("return {}").Texts(t.Context(), rdb, once, []string{"k"}); err == nil {
			t.Error("no error, although no answer came")
		}
		_ = rdb.Close()
		_ = ln.Close()
		if n := calls.Load(); once && n != 1 || !once && n != 4 {
			t.Errorf("once %v: %d calls", once, n)
		}
	}
}

// closeAtScript ends the connection instead of answering a script.
func closeAtScript(server net.Conn, calls *atomic.Int64) {
	defer func() { _ = server.Close() }()
	lines := bufio.NewScanner(server)
	for lines.Scan() {
		switch strings.ToLower(lines.Text()) {
		case "hello", "client":
			_, _ = fmt.Fprint(server, "-ERR unknown command\r\n")
		case "evalsha":
			calls.Add(1)
			return
		}
	}
}

func TestCheckAccount(t *testing.T) {
	t.Parallel()
	for account, ok := range map[string]bool{
		"wx0123456789abcdef": true, "": false, "a b": false, "a:b": false, "{a}": false, "a*": false, strings.Repeat("a", 65): false,
	} {
		if err := redisx.CheckAccount(account); (err == nil) != ok {
			t.Errorf("%q: %v", account, err)
		}
	}
}
