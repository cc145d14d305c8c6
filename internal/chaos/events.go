package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wxnotify/wxnotify/internal/chaos/verdict"
	"github.com/wxnotify/wxnotify/producer"
)

// apiKey is a static key of the HTTP API.
const apiKey = "chaos0123456789abcdef0123456789abcdef"

// eventsSettings are what the listeners of a scenario need.
func eventsSettings() map[string]string {
	return map[string]string{"WXNOTIFY_API_KEYS": "chaos:" + apiKey, "WXNOTIFY_WEBHOOK_PRIVATE": "true"}
}

// listeners note which states of messages they are told: one follows the stream of the
// HTTP API, the other is the address of a webhook.
type listeners struct {
	mu   sync.Mutex
	told map[string]verdict.Told
}

const (
	byStream  = "/v1/events"
	byWebhook = "the webhook"
)

// event is what an event tells, by either way.
type event struct {
	Type      string `json:"type"`
	MessageID string `json:"message_id"`
}

func (l *listeners) note(by string, e event) {
	state, of := strings.CutPrefix(e.Type, "message.")
	if !of {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := producer.State(state); !slices.Contains(l.told[by][e.MessageID], s) {
		l.told[by][e.MessageID] = append(l.told[by][e.MessageID], s)
	}
}

// missing counts the ends that a listener was not told.
func (l *listeners) missing(messages []verdict.Message) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, told := range l.told {
		for _, m := range messages {
			if m.Ended() && !told.Of(m) {
				n++
			}
		}
	}
	return n
}

// ServeHTTP takes what the webhook sends. It does not check signatures.
func (l *listeners) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	var e event
	if body, err := io.ReadAll(r.Body); err == nil && json.Unmarshal(body, &e) == nil {
		l.note(byWebhook, e)
	}
}

// closerFunc makes an io.Closer of a function.
type closerFunc func() error

// Close implements io.Closer.
func (f closerFunc) Close() error { return f() }

// listen starts the HTTP API and both listeners. Its webhook has to be added before any
// message is enqueued.
func (e *env) listen(ctx context.Context) error {
	e.listeners = &listeners{told: map[string]verdict.Told{byStream: {}, byWebhook: {}}}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server := &http.Server{Handler: e.listeners, ReadHeaderTimeout: startLimit}
	go func() { _ = server.Serve(ln) }()
	e.closers = append(e.closers, server)

	addr := e.ports.free()
	api := e.add("api",
		func() (*exec.Cmd, error) {
			cmd, err := e.program(e.scenario.Workers[0].Build, "api")
			cmd.Env = append(cmd.Env, "WXNOTIFY_API_ADDR="+addr, "WXNOTIFY_OPS_ADDR="+e.ports.free())
			return cmd, err
		},
		func(ctx context.Context) bool {
			_, err := request(ctx, http.MethodGet, "http://"+addr+"/healthz", nil)
			return err == nil
		})
	if err := api.start(ctx); err != nil {
		return err
	}
	if said := e.command("webhooks", "add", "http://"+ln.Addr().String()+"/hook", "--types", "message.*"); !strings.Contains(said, "whsec_") {
		return fmt.Errorf("add a webhook: %s", said)
	}
	following, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.listeners.follow(following, "http://"+addr)
	}()
	e.closers = append(e.closers, closerFunc(func() error {
		stop()
		<-done
		return nil
	}))
	return nil
}

// follow reads the stream from its begin until ctx ends. After an error it goes on from
// its cursor.
func (l *listeners) follow(ctx context.Context, api string) {
	for after := ""; ctx.Err() == nil; {
		next, err := l.page(ctx, api+"/v1/events?limit=1000&wait=2s&after="+after)
		if err != nil {
			pause(ctx, repeatAfter)
			continue
		}
		after = next
	}
}

func (l *listeners) page(ctx context.Context, url string) (next string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", fmt.Errorf("read events: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+apiKey)
	resp, err := (&http.Client{Timeout: startLimit / 3}).Do(req)
	if err != nil {
		return "", fmt.Errorf("read events: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return "", errors.New("read events: " + resp.Status)
	}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		var one event
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			return "", fmt.Errorf("read events: %w", err)
		}
		l.note(byStream, one)
	}
	if err := lines.Err(); err != nil {
		return "", fmt.Errorf("read events: %w", err)
	}
	return resp.Header.Get("Events-Cursor"), nil
}

// heard waits until both listeners were told each end, and reports whether they were. A
// webhook repeats what failed after seconds, then minutes.
func (e *env) heard(ctx context.Context, limit time.Duration) bool {
	return until(ctx, limit, time.Second/2, func() bool { return e.listeners.missing(e.load.messages) == 0 })
}
