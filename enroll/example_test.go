package enroll_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/wechat"
)

// connect stands for the Redis that workers and producers use, too.
func connect() (rdb *redis.Client, stop func()) {
	server, err := miniredis.Run()
	if err != nil {
		panic(err)
	}
	rdb = redis.NewClient(&redis.Options{Addr: server.Addr()})
	return rdb, func() {
		_ = rdb.Close()
		server.Close()
	}
}

// A roster is filled by links; what a business knows already can be bound too.
func ExampleRoster_Bind() {
	rdb, stop := connect()
	defer stop()
	ctx := context.Background()
	roster, err := enroll.NewRoster(enroll.RosterConfig{Redis: rdb, Account: "wx1234567890abcdef"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = roster.Close() }()
	said, err := roster.Bind(ctx, enroll.Binding{User: "patient-401", OpenID: "oABC123456789xyz", How: "import"}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	list, err := roster.Of(ctx, "patient-401")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(said, wechat.MaskOpenID(list[0].OpenID), list[0].How)
	gone, err := roster.Unbind(ctx, "patient-401", "")
	fmt.Println(gone, err)
	// Output:
	// bound oABC…yz import
	// 1 <nil>
}

func ExampleRoster_Page() {
	rdb, stop := connect()
	defer stop()
	ctx := context.Background()
	roster, err := enroll.NewRoster(enroll.RosterConfig{Redis: rdb, Account: "wx1234567890abcdef"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = roster.Close() }()
	for _, user := range []string{"patient-401", "patient-402", "patient-403"} {
		if _, err := roster.Bind(ctx, enroll.Binding{User: user, OpenID: "oABC-" + user, How: "import"}, nil); err != nil {
			fmt.Println(err)
			return
		}
	}
	for cursor, first := "", true; first || cursor != ""; first = false {
		var page []enroll.Binding
		if page, cursor, err = roster.Page(ctx, cursor, 2); err != nil {
			fmt.Println(err)
			return
		}
		for _, b := range page {
			fmt.Println(b.User)
		}
	}
	// Output:
	// patient-401
	// patient-402
	// patient-403
}

// A service serves the public paths; Run, beside it, applies what WeChat pushed.
func ExampleNew() {
	rdb, stop := connect()
	defer stop()
	roster, err := enroll.NewRoster(enroll.RosterConfig{Redis: rdb, Account: "wx1234567890abcdef"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = roster.Close() }()
	service, err := enroll.New(enroll.Config{
		PublicURL: "https://notify.example.com",
		Key:       wechat.NewSecret("0123456789abcdef0123456789abcdef"), // WXNOTIFY_ENROLL_KEY
		Accounts:  []enroll.Account{{Roster: roster}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	out := httptest.NewRecorder()
	service.Handler().ServeHTTP(out, httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/healthz", nil))
	fmt.Println(out.Code, out.Body)
	// Output: 200 ok
}
