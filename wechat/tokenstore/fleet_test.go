package tokenstore_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/wechat"
)

// endpoint is WeChat over loopback HTTP: the classic token endpoint and sends.
type endpoint struct {
	*httptest.Server
	mu       sync.Mutex
	fetches  int
	current  string
	accepted map[string]int
	refused  int
	onFetch  func(n int) // runs before the n-th fetch is answered
}

func startEndpoint(t *testing.T, onFetch func(n int)) *endpoint {
	t.Helper()
	e := &endpoint{accepted: map[string]int{}, onFetch: onFetch}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /cgi-bin/token", e.token)
	mux.HandleFunc("POST "+wechat.SendPath, e.send)
	e.Server = httptest.NewServer(mux)
	t.Cleanup(e.Close)
	return e
}

func (e *endpoint) token(w http.ResponseWriter, _ *http.Request) {
	e.mu.Lock()
	e.fetches++
	n := e.fetches
	e.current = fmt.Sprintf("TOKEN-CANARY-%d", n)
	token := e.current
	e.mu.Unlock()
	e.onFetch(n)
	_, _ = fmt.Fprintf(w, `{"access_token":%q,"expires_in":7200}`, token)
}

func (e *endpoint) send(w http.ResponseWriter, r *http.Request) {
	var m wechat.TemplateMessage
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if r.URL.Query().Get("access_token") != e.current {
		e.refused++
		_, _ = fmt.Fprint(w, `{"errcode":40001,"errmsg":"invalid credential, access_token is invalid or not latest rid: 1-2-3"}`)
		return
	}
	e.accepted[m.ClientMsgID]++
	_, _ = fmt.Fprintf(w, `{"errcode":0,"errmsg":"ok","msgid":%d}`, 3662956322040938501+int64(len(e.accepted)))
}

// kill ends the current token, as a fetch by another system does.
func (e *endpoint) kill() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.current = "ANOTHER-SYSTEMS"
}

func (e *endpoint) fetched() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.fetches
}

// slow is a fetch of 20 ms, the time WeChat takes.
func slow(int) { <-time.After(20 * time.Millisecond) }

// fleetSize is how many processes a fleet has.
const fleetSize = 8

func startFleet(t *testing.T, onFetch func(n int)) ([]*process, *endpoint, *redistest.Server) {
	t.Helper()
	server := redistest.Start(t)
	e := startEndpoint(t, onFetch)
	cfg := memberConfig{Redis: server.Addr, WeChat: e.URL}
	var all []*process
	for range fleetSize {
		all = append(all, startMember(t, cfg))
	}
	return all, e, server
}

// sendAll lets every process send 50 messages at once and counts what arrived.
func sendAll(t *testing.T, all []*process, e *endpoint, name string) {
	t.Helper()
	for i, p := range all {
		p.send(t, order{Do: "send", Name: fmt.Sprintf("%s-%d", name, i), N: 50})
	}
	sent := 0
	for _, p := range all {
		r := p.receive(t)
		sent += r.Sent
		for _, text := range r.Errors {
			t.Errorf("send: %s", text)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	arrived := 0
	for i := range all {
		for j := range 50 {
			id := fmt.Sprintf("%s-%d-%d", name, i, j)
			if e.accepted[id] != 1 {
				t.Errorf("message %s arrived %d times", id, e.accepted[id])
			}
			arrived += e.accepted[id]
		}
	}
	if sent != 50*len(all) || arrived != sent {
		t.Errorf("%d of %d sends succeeded, %d arrived", sent, 50*len(all), arrived)
	}
}

func TestTok01EightProcessesFetchOnce(t *testing.T) {
	t.Parallel()
	all, e, _ := startFleet(t, slow)
	for _, p := range all {
		p.send(t, order{Do: "run"})
	}
	for _, p := range all {
		p.receive(t)
	}
	sendAll(t, all, e, "m")
	if n := e.fetched(); n != 1 {
		t.Errorf("%d token fetches by 8 processes, want 1", n)
	}
}

func TestTok01EightProcessesFetchOnceWithoutRun(t *testing.T) {
	t.Parallel()
	all, e, _ := startFleet(t, slow)
	sendAll(t, all, e, "m")
	if n := e.fetched(); n != 1 {
		t.Errorf("%d token fetches by 8 processes, want 1", n)
	}
}

func TestTok02EightProcessesRefreshOnce(t *testing.T) {
	t.Parallel()
	all, e, _ := startFleet(t, slow)
	sendAll(t, all, e, "first")
	e.kill()
	sendAll(t, all, e, "second")
	if n := e.fetched(); n != 2 {
		t.Errorf("%d token fetches, want the first and one refresh", n)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.refused == 0 || e.refused > 400 {
		t.Errorf("%d sends were refused, want 1 to 400", e.refused)
	}
}

func TestTok03ResumedProcessNeverOverwritesNewer(t *testing.T) {
	t.Parallel()
	arrived, answer := make(chan struct{}), make(chan struct{})
	all, e, server := startFleet(t, func(n int) {
		if n == 1 {
			close(arrived)
			<-answer
		}
	})
	a := all[0]
	a.send(t, order{Do: "token"})
	<-arrived
	a.signal(t, syscall.SIGSTOP)
	close(answer) // T1 goes to a stopped process
	rdb := server.Client(t)
	// The lease is over.
	if err := rdb.Del(t.Context(), "wxn:{"+appID+"}:token:lease").Err(); err != nil {
		t.Fatal(err)
	}
	all[1].send(t, order{Do: "token"})
	t2 := all[1].receive(t)
	a.signal(t, syscall.SIGCONT)
	if r := a.receive(t); r.Generation != t2.Generation || r.Fingerprint != t2.Fingerprint || len(r.Fetched) != 1 ||
		r.Fetched[0] == t2.Fingerprint {
		t.Errorf("A woke with %+v, want T1 fetched and B's T2 %s in use", r, t2.Fingerprint)
	}
	for _, p := range all[1:] {
		p.send(t, order{Do: "token"})
		if r := p.receive(t); r.Generation != t2.Generation {
			t.Errorf("generation %d, want T2's %d", r.Generation, t2.Generation)
		}
	}
	if got := rdb.HGet(t.Context(), "wxn:{"+appID+"}:token", "v").Val(); got != "TOKEN-CANARY-2" {
		t.Errorf("redis holds %s, want T2", got)
	}
	if n := e.fetched(); n != 2 {
		t.Errorf("fetches = %d, want 2", n)
	}
}

func TestTok11LeaseOfAKilledProcessIsTakenOver(t *testing.T) {
	t.Parallel()
	const lease = 2 * time.Second
	arrived, never := make(chan struct{}), make(chan struct{})
	server := redistest.Start(t)
	e := startEndpoint(t, func(n int) {
		if n == 1 {
			close(arrived)
			<-never
		}
	})
	t.Cleanup(func() { close(never) })
	cfg := memberConfig{Redis: server.Addr, WeChat: e.URL, Lease: lease, FetchTimeout: lease - 500*time.Millisecond}
	var all []*process
	for range 8 {
		all = append(all, startMember(t, cfg))
	}
	for _, p := range all[1:] { // started, so that only their waiting is timed
		p.send(t, order{Do: "nothing"})
		p.receive(t)
	}
	all[0].send(t, order{Do: "token"})
	<-arrived
	begun := time.Now()
	all[0].signal(t, syscall.SIGKILL)
	for _, p := range all[1:] {
		p.send(t, order{Do: "token"})
	}
	var generation int64
	for _, p := range all[1:] {
		r := p.receive(t)
		if generation == 0 {
			generation = r.Generation
		}
		if len(r.Errors) != 0 || r.Generation == 0 || r.Generation != generation {
			t.Errorf("a waiter got %+v, want generation %d", r, generation)
		}
	}
	// Generous to a busy machine; the lease itself is 2 s.
	if took := time.Since(begun); took > lease+time.Minute {
		t.Errorf("waited %v for the new holder, want about the lease of %v", took, lease)
	}
	if n := e.fetched(); n != 2 {
		t.Errorf("fetches = %d, want the killed one and one", n)
	}
	if held := server.Client(t).Exists(t.Context(), "wxn:{"+appID+"}:token:lease").Val(); held != 0 {
		t.Error("the lease is still held")
	}
}
