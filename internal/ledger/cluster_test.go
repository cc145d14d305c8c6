package ledger_test

import (
	"bufio"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redistest"
)

// Every call of a script names its keys in KEYS: proxies and clusters that check
// it would refuse others. MONITOR shows what a script really does.
func TestScriptsDeclareTheirKeys(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	rdb := server.Client(t)
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", server.Addr)
	must(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte("MONITOR\r\n"))
	must(t, err)
	lines := bufio.NewScanner(conn)
	lines.Scan() // +OK
	l := open(t, rdb)
	wholeLife(t, rdb, l)
	must(t, rdb.Echo(t.Context(), "monitor-ends").Err())
	var declared []string
	scripts, calls := map[string]bool{}, 0
	word := regexp.MustCompile(`"((?:[^"\\]|\\.)*)"`)
	for lines.Scan() && !strings.Contains(lines.Text(), "monitor-ends") {
		var words []string
		for _, m := range word.FindAllStringSubmatch(lines.Text(), -1) {
			words = append(words, m[1])
		}
		switch inScript := strings.Contains(lines.Text(), " lua] "); {
		case inScript:
			calls++
			if !slices.Contains(declared, words[1]) {
				t.Errorf("a key is not declared: %s", lines.Text())
			}
		case words[0] == "evalsha" || words[0] == "eval":
			n, err := strconv.Atoi(words[2])
			must(t, err)
			declared = words[3 : 3+n]
			scripts[words[1]] = true
		}
	}
	files, err := filepath.Glob("lua/*.lua")
	must(t, err)
	if want := len(files) - 3; len(scripts) < want || calls < 100 { // prelude, create and history are none
		t.Errorf("saw %d scripts of %d, and %d commands of theirs", len(scripts), want, calls)
	}
}

// A whole life on a cluster: all keys of an account lie in one slot.
func TestWholeLifeOnACluster(t *testing.T) {
	t.Parallel()
	rdb := redistest.Cluster(t)
	node := redis.NewClient(&redis.Options{Addr: rdb.Options().Addrs[0], Protocol: 2})
	defer func() { _ = node.Close() }()
	l := open(t, rdb)
	wholeLife(t, rdb, l)
	must(t, l.Audit(t.Context(), ledger.Entry{Action: "erased"}))
	bounded := map[string]bool{"sup": true, "supz": true, "supt": true, "audit": true} // by the number of followers, and by MAXLEN
	for _, name := range node.Keys(t.Context(), "*").Val() {
		if !strings.HasPrefix(name, key("")) {
			t.Errorf("key %q is outside the account's slot", name)
		}
		if ttl := node.TTL(t.Context(), name).Val(); ttl < 0 && !bounded[name[strings.LastIndexByte(name, ':')+1:]] {
			t.Errorf("key %q has no end", name)
		}
	}
}

// wholeLife calls every verb of the ledger.
func wholeLife(t *testing.T, rdb redis.UniversalClient, l *ledger.Ledger) {
	t.Helper()
	e := envelope("order-1")
	e.To, e.User = "", "u-17"
	create(t, rdb, record(e))
	bind(t, rdb, "u-17", "oUSER", 1)
	must(t, l.Suppress(t.Context(), ledger.Suppression{OpenID: "oOTHER", Until: time.Now().Add(time.Hour)}))
	if s := begin(t, l, e); s.Decision != ledger.Send || s.To != "oUSER" {
		t.Fatalf("got %+v", s)
	}
	accepted(t, l, e.ID, ledger.Acceptance{MsgID: 12})
	if r, err := l.Receipt(t.Context(), ledger.Receipt{MsgID: 12, Status: "success"}); err != nil || r.State != ledger.Delivered {
		t.Fatalf("got %+v, %v", r, err)
	}
	for _, id := range []string{"dead", "revived"} {
		failed(t, l, id, ledger.Outcome{State: ledger.Dead, Payload: []byte("p")})
	}
	if _, _, err := l.Revive(t.Context(), "revived"); err != nil {
		t.Error(err)
	}
	if list, n, err := l.Dead(t.Context(), 0, 5); err != nil || n != 1 || len(list) != 1 {
		t.Errorf("got %d, %v", n, err)
	}
	must(t, l.Drop(t.Context(), "dead"))
	if _, _, err := l.Cancel(t.Context(), e.ID); err != nil {
		t.Error(err)
	}
	if list, _, err := l.Suppressions(t.Context(), 0); err != nil || len(list) != 1 {
		t.Errorf("got %v, %v", list, err)
	}
	accept(t, l, urgent("resent"), 20)
	if s := receipt(t, l, failing(20, "failed: system failed")); s.Resend == nil {
		t.Errorf("got %+v", s)
	}
	lose(t, l, "lost", ledger.Unknown)
	if s := match(t, l, failing(21, "success")); s == nil || s.State != ledger.Delivered {
		t.Errorf("got %+v", s)
	}
	send(t, l, "zero", 22)
	if s := receipt(t, l, failing(0, "success")); s == nil || s.ID != "zero" {
		t.Errorf("got %+v", s)
	}
	must(t, l.Unsubscribed(t.Context(), follower))
	if lifted, err := l.Subscribed(t.Context(), follower); err != nil || !lifted {
		t.Errorf("got %v, %v", lifted, err)
	}
	if _, err := l.Sweep(t.Context(), 10); err != nil {
		t.Error(err)
	}
	if refs, err := l.Erase(t.Context(), ledger.Erasure{OpenIDs: []string{follower}, Tasks: noTasks}); err != nil || len(refs) != 3 {
		t.Errorf("erased %v, %v", refs, err)
	}
	create(t, rdb, record(envelope("cancelled")))
	if done, _, err := l.Cancel(t.Context(), "cancelled"); err != nil || !done {
		t.Errorf("cancelled %v, %v", done, err)
	}
	must(t, l.Release(t.Context(), "cancelled"))
	begin(t, l, envelope("undone"))
	must(t, l.Undo(t.Context(), "undone", delivery(l, "undone")))
}
