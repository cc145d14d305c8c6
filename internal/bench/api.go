package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/api"
	"github.com/wxnotify/wxnotify/internal/apikey"
	"github.com/wxnotify/wxnotify/internal/events"
	"github.com/wxnotify/wxnotify/internal/gateway"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/internal/webhook"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
)

// posted is a message of the HTTP API.
type posted struct {
	ID      string                  `json:"id"`
	Message *wechat.TemplateMessage `json:"message"`
}

const (
	// perCall is how many messages a call of the build apiMany has, the most that the
	// API takes.
	perCall = api.MaxMessages
	// idlePolls is how many callers wait for events in P19.
	idlePolls = 1000
)

// caller makes HTTP calls on a connection of its own.
type caller struct {
	net.Conn
	in *bufio.Reader
}

func call(ctx context.Context, addr string) caller {
	conn := must(new(net.Dialer).DialContext(ctx, "tcp", addr))
	return caller{conn, bufio.NewReader(conn)}
}

// callConcurrently makes n calls on so many connections.
func callConcurrently(ctx context.Context, addr string, connections, n int, do func(c caller, i int) error) {
	callers := make(chan caller, connections)
	for range connections {
		c := call(ctx, addr)
		defer func() { _ = c.Close() }()
		callers <- c
	}
	concurrently(n, func(i int) error {
		c := <-callers
		defer func() { callers <- c }()
		return do(c, i)
	})
}

// exchange writes a request by hand: net/http's client would take as much CPU time as
// the server that is measured. head is the first line without the protocol, header is
// empty or one line more.
func (c caller) exchange(head, header string, body []byte) (answered http.Header, answer []byte, err error) {
	_, err = fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s", head, len(body), header, body)
	if err != nil {
		return nil, nil, fmt.Errorf("call: %w", err)
	}
	return c.answer()
}

func (c caller) answer() (http.Header, []byte, error) {
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("call: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode > http.StatusMultiStatus {
		err = fmt.Errorf("answered %d: %.300s", resp.StatusCode, body)
	}
	return resp.Header, body, err
}

// enqueueByAPI enqueues over HTTP on loopback: one a call on 64 connections, by the API
// or by the gateway, or 1 000 a call on two: with more, what is in flight when the
// measurement starts counts. The callers are in the same process, so that their work
// counts, too.
func enqueueByAPI(ctx context.Context, j job, rdb redis.UniversalClient, m *meter) {
	addr, secret, end := serveAPI(ctx, rdb, j.Class)
	defer end()
	head, header, want := "POST /v1/messages", "Authorization: Bearer "+secret+"\r\n", `"state":"queued"`
	connections, size, form := 64, 1, func(list []posted) any { return list[0] }
	switch j.Build {
	case apiMany:
		connections, size, form = 2, perCall, func(list []posted) any { return map[string][]posted{"messages": list} }
	case gatewayOne:
		head, header, want = "POST "+sendPath+"?access_token="+gatewayToken(ctx, addr, secret), "", `"errcode":0`
		form = func(list []posted) any {
			list[0].Message.ClientMsgID = list[0].ID
			return list[0].Message
		}
	}
	callConcurrently(ctx, addr, connections, (j.Messages+size-1)/size, func(c caller, n int) error {
		from, list := time.Now(), make([]posted, min(size, j.Messages-n*size))
		for i := range list {
			list[i] = posted{messageID(j.Prefix, n*size+i), message(n*size + i)}
		}
		_, answer, err := c.exchange(head, header, must(json.Marshal(form(list))))
		m.took(time.Since(from))
		m.add(int64(len(list)))
		if err == nil && bytes.Count(answer, []byte(want)) != len(list) {
			err = fmt.Errorf("the API answered %.300s", answer)
		}
		return err
	})
}

// gatewayToken fetches an access token from the gateway.
func gatewayToken(ctx context.Context, addr, secret string) string {
	_, body, err := call(ctx, addr).exchange("GET /cgi-bin/token?grant_type=client_credential&appid="+appID+"&secret="+secret, "", nil)
	check(err)
	var token struct {
		Value string `json:"access_token"`
	}
	check(json.Unmarshal(body, &token))
	return token.Value
}

// readEvents reads all events of the account over HTTP and returns how many a second.
func readEvents(ctx context.Context, rdb redis.UniversalClient) float64 {
	addr, secret, end := serveAPI(ctx, rdb, classDefault)
	defer end()
	c, after, n, from := call(ctx, addr), "", 0, time.Now()
	for {
		header, body, err := c.exchange("GET /v1/events?limit=1000&after="+after, "Authorization: Bearer "+secret+"\r\n", nil)
		check(err)
		if len(body) == 0 {
			return float64(n) / time.Since(from).Seconds()
		}
		n, after = n+bytes.Count(body, []byte{'\n'}), header.Get("Events-Cursor")
	}
}

// poll has callers wait for events and notes by how much that grew the process, the
// callers included.
func poll(ctx context.Context, j job, rdb redis.UniversalClient, m *meter) {
	addr, secret, end := serveAPI(ctx, rdb, j.Class)
	defer end()
	debug.FreeOSMemory()
	before := memory(resident)
	callers := make([]caller, j.Messages)
	for i := range callers {
		callers[i] = caller{Conn: must(new(net.Dialer).DialContext(ctx, "tcp", addr))} // the buffer comes later
		must(fmt.Fprintf(callers[i], "GET /v1/events?after=now&wait=25s HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\n\r\n", secret))
	}
	pause(ctx, 3*time.Second) // all wait by then: each gets the event below
	m.grown = memory(resident) - before
	check(events.Publish(ctx, must(ledger.New(rdb, appID, nil, ledger.Config{})), events.AccountPaused, events.Pause{}))
	for _, c := range callers {
		c.in = bufio.NewReader(c)
		_, body, err := c.answer()
		if check(err); bytes.Count(body, []byte{'\n'}) != 1 {
			check(fmt.Errorf("a caller who waited got %q", body))
		}
		m.add(1)
	}
}

// serveAPI serves the HTTP API and the gateway on loopback, with a key that may do all
// that is measured.
func serveAPI(ctx context.Context, rdb redis.UniversalClient, class string) (addr, secret string, end func()) {
	p := newProducer(rdb, class)
	keys := must(apikey.NewKeyring(rdb, []string{appID}, ""))
	_, secret, err := apikey.NewStore(rdb, appID).Create(ctx, apikey.Key{
		Name: "bench", Kind: apikey.Live, Scopes: []apikey.Scope{apikey.Send, apikey.Read, apikey.Gateway}, Rate: 1e5,
	})
	check(err)
	records := must(ledger.New(rdb, appID, nil, ledger.Config{}))
	mux := http.NewServeMux()
	mux.Handle("/v1/", must(api.New(api.Config{Redis: rdb, Keys: keys, Accounts: []api.Account{{
		AppID: appID, Producer: p, Gate: must(ratelimit.New(rdb, ratelimit.Config{Key: redisx.Prefix(appID), Owner: "bench"})),
		Ledger: records, Roster: must(enroll.NewRoster(enroll.RosterConfig{Redis: rdb, Account: appID})),
		Webhooks: webhook.NewStore(records, false), Events: events.NewReader(records, api.Describe(p)),
	}}})))
	mux.Handle("/cgi-bin/", must(gateway.New(gateway.Config{
		Keys: keys, ClientIP: func(r *http.Request) string { return r.RemoteAddr },
		Accounts: []gateway.Account{{AppID: appID, BaseURL: "http://127.0.0.1:9", Producer: p}},
	})))
	ln := must(new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0"))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(ln) }()
	return ln.Addr().String(), secret, func() { _ = errors.Join(server.Close(), p.Close()) }
}
