package redisx_test

import (
	"strings"
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
