package tokenstore_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
)

// exampleRedis stands in for the shared Redis.
func exampleRedis() (*redis.Client, func()) {
	m := miniredis.NewMiniRedis()
	if err := m.Start(); err != nil {
		log.Fatal(err)
	}
	rdb := redis.NewClient(&redis.Options{Addr: m.Addr(), Protocol: 2})
	return rdb, func() { _ = rdb.Close(); m.Close() }
}

// exampleStore is New without errors.
func exampleStore(rdb *redis.Client, wx *platform, cfg tokenstore.Config) *tokenstore.Store {
	cfg.AppID = "wx0123456789abcdef"
	s, err := tokenstore.New(rdb, wx, cfg)
	if err != nil {
		log.Fatal(err)
	}
	return s
}

func ExampleNew() {
	rdb, stop := exampleRedis()
	defer stop()
	account := wechat.Config{AppID: "wx0123456789abcdef", AppSecret: wechat.NewSecret("…")}
	fetcher, err := wechat.NewTokenFetcher(account)
	if err != nil {
		log.Fatal(err)
	}
	tokens, err := tokenstore.New(rdb, fetcher, tokenstore.Config{AppID: account.AppID})
	if err != nil {
		log.Fatal(err)
	}
	_, err = wechat.NewClient(account, tokens) // the store is its wechat.TokenSource
	fmt.Println(err)

	_, err = tokenstore.New(rdb, fetcher, tokenstore.Config{Lease: time.Second})
	fmt.Println(err)
	// Output:
	// <nil>
	// tokenstore: AppID is empty: set the account's appid
	// tokenstore: FetchTimeout 8s: make it shorter than Lease (1s), or two processes fetch whenever WeChat is slow
}

func ExampleStore_Token() {
	rdb, stop := exampleRedis()
	defer stop()
	ctx, wx := context.Background(), &platform{}
	one := exampleStore(rdb, wx, tokenstore.Config{})
	another := exampleStore(rdb, wx, tokenstore.Config{}) // in another process

	a, _ := one.Token(ctx)
	b, _ := another.Token(ctx)
	fmt.Println(a.Generation == b.Generation, wx.fetches(), a.Value)
	// Output: true 1 [redacted]
}

func ExampleStore_Token_unavailable() {
	rdb, stop := exampleRedis()
	defer stop()
	wx := &platform{fail: &wechat.Error{
		Op: "/cgi-bin/stable_token", Code: 40164, Msg: "invalid ip 114.221.21.30, not in whitelist",
	}}
	_, err := exampleStore(rdb, wx, tokenstore.Config{}).Token(context.Background())
	var down *tokenstore.UnavailableError
	if errors.As(err, &down) {
		fmt.Println(down.Cause)
		fmt.Println("again in about", time.Until(down.RetryAt).Round(time.Second))
	}
	// Output:
	// wechat: /cgi-bin/stable_token: 40164 ip-not-in-whitelist: invalid ip 114.221.21.30, not in whitelist
	// again in about 5s
}

func ExampleStore_Invalidate() {
	rdb, stop := exampleRedis()
	defer stop()
	ctx, wx := context.Background(), &platform{}
	tokens := exampleStore(rdb, wx, tokenstore.Config{
		RefusedGap: time.Millisecond, // the example has no two seconds
		OnEvent:    func(e tokenstore.Event) { fmt.Println(e.Kind) },
	})

	token, _ := tokens.Token(ctx)
	_ = tokens.Invalidate(ctx, token) // WeChat answered 40001
	next, _ := tokens.Token(ctx)
	_ = tokens.Invalidate(ctx, token) // a late refusal of the old one changes nothing
	last, _ := tokens.Token(ctx)
	fmt.Println(next.Generation > token.Generation, last.Generation == next.Generation)
	// Output:
	// fetched
	// refused
	// forced
	// true true
}

func ExampleStore_Run() {
	rdb, stop := exampleRedis()
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	tokens := exampleStore(rdb, &platform{}, tokenstore.Config{
		OnEvent: func(e tokenstore.Event) { // logs and metrics; here: stop at the first token
			fmt.Println(e.Kind)
			cancel()
		},
	})
	fmt.Println(tokens.Run(ctx))
	// Output:
	// fetched
	// <nil>
}

func ExampleStore_State() {
	rdb, stop := exampleRedis()
	defer stop()
	ctx, wx := context.Background(), &platform{}
	tokens := exampleStore(rdb, wx, tokenstore.Config{})
	_, _ = tokens.Token(ctx)
	st, _ := tokens.State(ctx)
	fmt.Println(st.Mode, st.Fingerprint, st.ExpiresAt.Sub(st.RefreshAt), st.FetchesToday, st.ForcedToday, st.War)
	// Output: stable 9424b996 4m0s 1 0 false
}

func ExampleStore_Refresh() {
	rdb, stop := exampleRedis()
	defer stop()
	ctx, wx := context.Background(), &platform{}
	wx.fail = &wechat.Error{Op: "/cgi-bin/stable_token", Code: 40125, Msg: "invalid appsecret"}
	tokens := exampleStore(rdb, wx, tokenstore.Config{})
	_, err := tokens.Token(ctx)
	fmt.Println(err != nil)

	wx.fail = nil // an administrator has fixed the secret and does not wait for the back-off
	_, err = tokens.Refresh(ctx)
	fmt.Println(err)
	// Output:
	// true
	// <nil>
}

func ExampleStore_Drop() {
	rdb, stop := exampleRedis()
	defer stop()
	ctx, wx := context.Background(), &platform{}
	tokens := exampleStore(rdb, wx, tokenstore.Config{})
	_, _ = tokens.Token(ctx)
	fmt.Println(tokens.Drop(ctx))
	st, _ := tokens.State(ctx)
	fmt.Printf("%q\n", st.Fingerprint)
	_, _ = tokens.Token(ctx)
	fmt.Println(wx.fetches())
	// Output:
	// <nil>
	// ""
	// 2
}

func ExampleUnavailableError() {
	err := &tokenstore.UnavailableError{
		Cause: tokenstore.ErrRedis, RetryAt: time.Unix(1700000000, 0), Remedy: "check that Redis runs",
	}
	fmt.Println(err)
	// Output: tokenstore: no access token until 2023-11-14T22:13:20Z: redis does not answer: check that Redis runs
}

func ExampleMode() {
	fmt.Println(tokenstore.Stable, tokenstore.Classic)
	// Output: stable classic
}
