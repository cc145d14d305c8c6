package redisconn_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/redisconn"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/wechat"
)

// withUser starts a server with the user wxnotify and returns its URL.
func withUser(t *testing.T, rights ...string) string {
	t.Helper()
	s := redistest.Start(t)
	line := []any{"acl", "setuser", "wxnotify"}
	for _, right := range rights {
		line = append(line, right)
	}
	must(t, s.Client(t).Do(t.Context(), line...).Err())
	return "redis://wxnotify:canary@" + s.Addr
}

func TestDocumentedRightsSuffice(t *testing.T) {
	t.Parallel()
	r, err := check(t, redisconn.Config{URL: withUser(t, redistest.Rights(t, "canary")...)})
	if err != nil || r.Version == "" {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestEveryDocumentedRightIsNeeded(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	admin := s.Client(t)
	// The check does without them: what they are for is left out, or another program's.
	optional := map[string]bool{"+info": true, "+memory|usage": true, "+exec": true, "+select": true, "+xgroup|delconsumer": true}
	for _, right := range redistest.Rights(t, "canary") {
		if !strings.ContainsAny(right[:1], "+~&") || optional[right] {
			continue
		}
		line := []any{"acl", "setuser", "wxnotify", "reset"}
		for _, other := range redistest.Rights(t, "canary") {
			if other != right {
				line = append(line, strings.Replace(other, ">canary", ">canary", 1))
			}
		}
		must(t, admin.Do(t.Context(), line...).Err())
		refuses(t, redisconn.Config{URL: "redis://wxnotify:canary@" + s.Addr}, "user wxnotify", right, "docs/redis.md")
	}
}

func TestMissingRightsAreListedByName(t *testing.T) {
	t.Parallel()
	t.Run("a usual user, without channels", func(t *testing.T) {
		t.Parallel()
		refuses(t, redisconn.Config{URL: withUser(t, "on", ">canary", "~asynq:*", "~wxn:*", "resetchannels", "+@all", "-@dangerous", "-@admin")},
			"ACL SETUSER wxnotify &asynq:* &wxn:* there")
	})
	t.Run("no keys of asynq, no scripts", func(t *testing.T) {
		t.Parallel()
		refuses(t, redisconn.Config{URL: withUser(t, "on", ">canary", "~wxn:*", "allchannels", "+@all", "-eval", "-evalsha")},
			"~asynq:*", "+eval", "+evalsha")
	})
	t.Run("keys for reading only", func(t *testing.T) {
		t.Parallel()
		refuses(t, redisconn.Config{URL: withUser(t, "on", ">canary", "%R~wxn:*", "~asynq:*", "allchannels", "+@all")}, "~wxn:*")
	})
	t.Run("no right at all", func(t *testing.T) {
		t.Parallel()
		refuses(t, redisconn.Config{URL: withUser(t, "on", ">canary")}, "+multi", "start again")
	})
	t.Run("in a cluster", func(t *testing.T) {
		t.Parallel()
		node := redistest.Cluster(t)
		must(t, node.Do(t.Context(), "acl", "setuser", "app", "on", ">canary", "~*", "allchannels", "+@all", "-xreadgroup").Err())
		refuses(t, redisconn.Config{URL: "redis-cluster://app:canary@" + node.Options().Addrs[0]}, "ACL SETUSER app +xreadgroup")
	})
	t.Run("in a cluster, with what docs/redis.md says", func(t *testing.T) {
		t.Parallel()
		node := redistest.Cluster(t)
		line := []any{"acl", "setuser", "wxnotify", "-@all", "+cluster|slots", "+command"}
		for _, right := range slices.DeleteFunc(redistest.Rights(t, "canary"), func(right string) bool { return right == "-@all" }) {
			line = append(line, right)
		}
		must(t, node.Do(t.Context(), line...).Err())
		accepts(t, redisconn.Config{URL: "redis-cluster://wxnotify:canary@" + node.Options().Addrs[0]})
		if denied := node.ACLLog(t.Context(), 10).Val(); len(denied) > 0 {
			t.Errorf("denied: %+v", *denied[0])
		}
	})
	t.Run("without INFO all goes on", func(t *testing.T) {
		t.Parallel()
		r, err := check(t, redisconn.Config{URL: withUser(t, "on", ">canary", "allkeys", "allchannels", "+@all", "-info", "-config", "-client", "-memory")})
		if err != nil || !strings.Contains(strings.Join(r.Warnings, "\n"), "+info") {
			t.Errorf("%+v, %v", r, err)
		}
	})
	t.Run("a renamed command", func(t *testing.T) {
		t.Parallel()
		refuses(t, redisconn.Config{URL: redistest.Start(t, "--rename-command", "EVALSHA", "").URL()}, "no command EVALSHA", "docs/redis.md")
	})
}

func TestTheCheckOfRightsWritesNothing(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	accepts(t, redisconn.Config{URL: s.URL()})
	if n := s.Client(t).DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("%d keys after the check", n)
	}
}

func TestServerThatRefusesUndeclaredKeysIsNamed(t *testing.T) {
	t.Parallel()
	for _, reply := range []string{
		"-ERR Error running script: script tried accessing undeclared key",
		"-ERR bad lua script for redis cluster, all the keys that the script uses should be passed using the KEYS array",
	} {
		addr := listen(t, func(conn net.Conn) { answer(conn, map[string]string{"eval": reply}) })
		refuses(t, redisconn.Config{URL: "redis://" + addr}, "do not declare", "allow-undeclared-keys")
	}
}

func TestRefusedWritesAreWarnedOf(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	rdb := s.Client(t)
	must(t, rdb.ConfigSet(t.Context(), "save", "3600 1").Err())
	must(t, os.RemoveAll(s.Dir)) // as a full disk: a snapshot cannot be written
	must(t, rdb.BgSave(t.Context()).Err())
	testutil.Until(t, "PING is refused, too", func() bool { return redis.HasErrorPrefix(rdb.Ping(t.Context()).Err(), "MISCONF") })
	r, err := check(t, redisconn.Config{URL: s.URL()})
	for n := 1; err != nil && n < attempts; n++ {
		r, err = check(t, redisconn.Config{URL: s.URL()})
	}
	warnings := strings.Join(r.Warnings, "\n")
	if err != nil || !strings.Contains(warnings, "refuses every write") || !strings.Contains(warnings, "Free disk space") {
		t.Errorf("%+v, %v", r, err)
	}
}

// Each refusal of writes is one sentence with its remedy, also from inside a script.
func TestRefusedWritesAreExplained(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{
		"OOM command not allowed when used memory > 'maxmemory'.":                                                              "Raise its maxmemory",
		"ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -OOM command not allowed when used memory":   "Raise its maxmemory",
		"OOM command not allowed when used memory > 'maxmemory'. script: 1, on @user_script:1.":                                "Raise its maxmemory",
		"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that may …": "Free disk space",
		"NOREPLICAS Not enough good replicas to write.":                                                                        "min-replicas-to-write",
		"READONLY You can't write against a read only replica.":                                                                "the primary's address",
	} {
		addr := listen(t, func(conn net.Conn) { answer(conn, map[string]string{"set": "-" + said}) })
		rdb := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1})
		err := fmt.Errorf("ledger: %w", rdb.Set(t.Context(), "k", "v", 0).Err())
		_ = rdb.Close()
		en, zh := redisconn.Refusal(err, wechat.English), redisconn.Refusal(err, wechat.Chinese)
		if !strings.Contains(en, want) || strings.Contains(en, "ledger") || strings.Contains(en, "Commands that may") || !strings.Contains(zh, "。请") {
			t.Errorf("%s: %q, %q", said, en, zh)
		}
	}
	for _, err := range []error{nil, errors.New("OOM command not allowed"), redis.Nil} {
		if got := redisconn.Refusal(err, wechat.English); got != "" {
			t.Errorf("%v is explained as %s", err, got)
		}
	}
}

// A command that the first question needs is named like the others.
func TestARenamedCommandIsNamed(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"PING", "MULTI", "EVALSHA", "SCAN"} {
		s := redistest.Start(t, "--rename-command", command, "")
		refuses(t, redisconn.Config{URL: "redis://" + s.Addr}, "has no command "+command+": it was renamed")
	}
}
