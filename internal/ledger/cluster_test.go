package ledger_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redistest"
)

// Every call of a script names its key by KEYS: proxies and clusters that check
// it would refuse others.
func TestScriptsDeclareTheirKeys(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("lua/*.lua")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d scripts, %v", len(files), err)
	}
	call := regexp.MustCompile(`redis\.p?call\(\s*'[A-Z]+'\s*,\s*([^,)]+)`)
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		found := call.FindAllStringSubmatch(string(text), -1)
		if len(found) != strings.Count(string(text), "redis.call(") {
			t.Errorf("%s: a call that this test cannot read", name)
		}
		for _, m := range found {
			if !strings.HasPrefix(m[1], "KEYS[") {
				t.Errorf("%s: %s uses a key that is not declared", name, m[0])
			}
		}
	}
}

// A whole life on a cluster: all keys of an account lie in one slot.
func TestCluster(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--cluster-enabled", "yes")
	node := server.Client(t)
	must(t, node.ClusterAddSlotsRange(t.Context(), 0, 16383).Err())
	for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
		info, err := node.ClusterInfo(t.Context()).Result()
		must(t, err)
		if strings.Contains(info, "cluster_state:ok") {
			tick.Stop()
			break
		}
	}
	rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{server.Addr}, Protocol: 2})
	defer func() { _ = rdb.Close() }()
	l := open(t, rdb)
	must(t, l.Prepare(t.Context()))
	e := envelope("order-1")
	e.To, e.User = "", "u-17"
	if b := born(t, rdb, l, record(e)); !b.New {
		t.Fatalf("got %+v", b)
	}
	bind(t, rdb, "u-17", "oUSER", 1)
	must(t, l.Suppress(t.Context(), ledger.Suppression{OpenID: "oOTHER", Until: time.Now().Add(time.Hour)}))
	if s := begin(t, l, e); s.Decision != ledger.Go || s.To != "oUSER" {
		t.Fatalf("got %+v", s)
	}
	must(t, l.Accepted(t.Context(), e.ID, ledger.Acceptance{MsgID: 12}))
	if r, err := l.Receipt(t.Context(), ledger.Receipt{MsgID: 12, Status: "success"}); err != nil || r.State != ledger.Delivered {
		t.Fatalf("got %+v, %v", r, err)
	}
	must(t, l.Failed(t.Context(), "dead", ledger.Outcome{State: ledger.Dead, Payload: []byte("p")}))
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
	if refs, err := l.Erase(t.Context(), ledger.Erasure{OpenIDs: []string{follower}}); err != nil || len(refs) != 3 {
		t.Errorf("erased %v, %v", refs, err)
	}
	must(t, l.Audit(t.Context(), ledger.Entry{Action: "erased"}))
	bounded := map[string]bool{"sup": true, "supz": true, "audit": true} // by the followers, and by itself
	for _, key := range node.Keys(t.Context(), "*").Val() {
		if !strings.HasPrefix(key, "wxn:{"+account+"}:") {
			t.Errorf("key %q is outside the account's slot", key)
		}
		if ttl := node.TTL(t.Context(), key).Val(); ttl < 0 && !bounded[key[strings.LastIndexByte(key, ':')+1:]] {
			t.Errorf("key %q has no end", key)
		}
	}
}
