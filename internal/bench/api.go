package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/api"
	"github.com/wxnotify/wxnotify/internal/apikey"
	"github.com/wxnotify/wxnotify/wechat"
)

// posted is a message of the HTTP API.
type posted struct {
	ID      string                  `json:"id"`
	Message *wechat.TemplateMessage `json:"message"`
}

// perCall is how many messages a call of the build apiMany has, the most that the API
// takes.
const perCall = api.MaxMessages

// enqueueByAPI enqueues over HTTP on loopback: one a call from 64 goroutines, or 1 000 a
// call from two. The client is in the same process, so that its work counts, too.
func enqueueByAPI(ctx context.Context, j job, rdb redis.UniversalClient, m *meter) {
	p := newProducer(rdb, j.Class)
	defer func() { _ = p.Close() }()
	keys := must(apikey.NewKeyring(rdb, []string{appID}, ""))
	_, secret, err := apikey.NewStore(rdb, appID).Create(ctx, apikey.Key{
		Name: "bench", Kind: apikey.Live, Scopes: []apikey.Scope{apikey.Send}, Rate: 1e5,
	})
	check(err)
	handler := must(api.New(api.Config{Redis: rdb, Keys: keys, Accounts: []api.Account{{
		AppID: appID, Producer: p, Roster: must(enroll.NewRoster(rdb, appID)), Eraser: must(enroll.NewEraser(rdb, appID)),
	}}}))
	ln := must(new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0"))
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(ln) }()
	defer func() { _ = server.Close() }()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	call := func(body any, want int) error {
		r := must(http.NewRequestWithContext(ctx, http.MethodPost, "http://"+ln.Addr().String()+"/v1/messages", bytes.NewReader(must(json.Marshal(body)))))
		r.Header.Set("Authorization", "Bearer "+secret)
		r.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(r)
		if err != nil {
			return err //nolint:wrapcheck // ends the program
		}
		defer func() { _ = resp.Body.Close() }()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != want {
			return fmt.Errorf("the API answered %d: %w", resp.StatusCode, err)
		}
		return nil
	}
	if j.Build == apiOne {
		concurrently(j.Messages, func(i int) error {
			err := call(posted{messageID(j.Prefix, i), message(i)}, http.StatusAccepted)
			m.add(1)
			return err
		})
		return
	}
	// Two callers: with more, what is in flight when the measurement starts counts.
	var g errgroup.Group
	for caller := range 2 {
		g.Go(func() error {
			for from := caller * perCall; from < j.Messages; from += 2 * perCall {
				list := make([]posted, min(perCall, j.Messages-from))
				for i := range list {
					list[i] = posted{messageID(j.Prefix, from+i), message(from + i)}
				}
				if err := call(map[string][]posted{"messages": list}, http.StatusMultiStatus); err != nil {
					return err
				}
				m.add(int64(len(list)))
			}
			return nil
		})
	}
	check(g.Wait())
}
