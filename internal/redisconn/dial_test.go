package redisconn_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/redisconn"
	"github.com/wxnotify/wxnotify/internal/redistest"
)

func TestDial(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"redis://127.0.0.1:6380/3":                            "127.0.0.1:6380 db 3 tls false user  password ",
		"redis://cache":                                       "cache:6379 db 0 tls false user  password ",
		"rediss://me:p%40ss@host:1/0":                         "host:1 db 0 tls true user me password p@ss",
		"redis://:secret@[::1]:7":                             "[::1]:7 db 0 tls false user  password secret",
		"redis-sentinel://:pw@s1,s2:7/2?master=mymaster":      "failover db 2 tls false user  password pw",
		"redis-sentinel://s1,s2?master=m&sentinel_password=x": "failover db 0 tls false user  password ",
		"redis-cluster://u:pw@c1:7001,c2/":                    "cluster c1:7001 c2:6379 user u password pw",
		"redis-cluster://c1?tls=true":                         "cluster c1:6379 user  password ",
		"unix:///run/redis.sock":                              "/run/redis.sock db 0 tls false user  password ",
		"unix://me:p%2Fw@/run/redis.sock?db=3":                "/run/redis.sock db 3 tls false user me password p/w",
	} {
		rdb, err := redisconn.Dial(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		got, pool, retries, protocol := "", 0, 0, 0
		switch c := rdb.(type) {
		case *redis.Client:
			o := c.Options()
			addr := o.Addr
			if o.Addr == "FailoverClient" {
				addr = "failover"
			}
			got = fmt.Sprintf("%s db %d tls %v user %s password %s", addr, o.DB, o.TLSConfig != nil, o.Username, o.Password)
			pool, retries, protocol = o.PoolSize, o.MaxRetries, o.Protocol
		case *redis.ClusterClient:
			o := c.Options()
			got = fmt.Sprintf("cluster %s user %s password %s", strings.Join(o.Addrs, " "), o.Username, o.Password)
			pool, retries, protocol = o.PoolSize, 3, o.Protocol
		}
		if got != want {
			t.Errorf("%s\n got %s\nwant %s", url, got, want)
		}
		if pool < 100 || retries < 3 || protocol != 2 {
			t.Errorf("%s: pool %d, retries %d, protocol %d", url, pool, retries, protocol)
		}
		_ = rdb.Close()
	}
}

func TestDialRefuses(t *testing.T) {
	t.Parallel()
	for url, remedy := range map[string]string{
		"":                           "redis://",
		"localhost:6379":             "redis://",
		"http://:canary@host":        "rediss",
		"redis://u:canary@h:port/0":  "host:6379",
		"redis://u:canary@h:70000/0": "65535",
		"redis://u:can/ary@h/0":      "percent-encode",
		"redis://canary#tail@h/0":    "percent-encode",
		"redis://:can?ary@h/0":       "percent-encode",
		"redis-sentinel://canary/x@s1,s2/0?master=m":                "percent-encode",
		"redis-cluster://u:canary/x@c1,c2":                          "percent-encode",
		"unix://u:can/ary@/run/redis.sock":                          "percent-encode",
		"redis-sentinel://s/0?master=m&sentinel_password=can@ary":   "percent-encode",
		"redis-sentinel://s/0?master=m&sentinel_password=canary%zz": "percent-encode",
		"redis://u:canary@h/0#":                                     "%23",
		"unix://host/run/redis.sock":                                "unix:///run",
		"unix:///":                                                  "unix:///run",
		"unix:///run/redis.sock?db=x":                               "?db=0",
		"redis-cluster://h?tls=yes":                                 "?tls=true",
		"redis-cluster://h?tls=true&tls=false":                      "remove one",
		"redis://u:can%ary@h/0":                                     "percent-encoded",
		"redis://u:canary@h/abc":                                    "/0",
		"redis://u:canary@h1,h2/0":                                  "redis-sentinel://",
		"redis://u:canary@/0":                                       "no host",
		"redis://u:canary@h/0?pool=1":                               "parameter",
		"redis-sentinel://:canary@h/0":                              "?master=",
		"redis-cluster://:canary@h/1":                               "database 0",
		"redis-cluster://:x@h/0?password=canary":                    "parameter",
		"redis-sentinel://:x@h/0?sentinel_password=canary":          "?master=",
	} {
		_, err := redisconn.Dial(url)
		if err == nil || !strings.Contains(err.Error(), remedy) {
			t.Errorf("%q: error = %v, want one with %q", url, err, remedy)
		}
		if err != nil && (strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "ary@")) {
			t.Errorf("%q: the error shows the password: %v", url, err)
		}
	}
}

func FuzzDial(f *testing.F) {
	f.Add("redis://u:canary@h:1/0")
	f.Add("redis-cluster://h,h:2,[::1]:3?tls=true")
	f.Fuzz(func(_ *testing.T, url string) {
		if rdb, err := redisconn.Dial(url); err == nil {
			_ = rdb.Close()
		}
	})
}

func TestCheck(t *testing.T) {
	t.Parallel()
	t.Run("a good one", func(t *testing.T) {
		t.Parallel()
		rdb := redistest.Start(t, redistest.AOF()...).Client(t)
		r, err := redisconn.Check(t.Context(), rdb)
		if err != nil || len(r.Warnings) != 0 || r.NoAOF || r.Policy != "noeviction" || r.Used == 0 || r.Version == "" {
			t.Errorf("%+v, %v", r, err)
		}
	})
	t.Run("que-08 eviction, no AOF, nearly full", func(t *testing.T) {
		t.Parallel()
		rdb := redistest.Start(t, "--maxmemory-policy", "allkeys-lru", "--maxmemory", "1mb").Client(t)
		r, err := redisconn.Check(t.Context(), rdb)
		all := strings.Join(r.Warnings, "\n")
		for _, remedy := range []string{"SET maxmemory-policy noeviction", "SET appendonly yes", "Raise maxmemory"} {
			if err != nil || !strings.Contains(all, remedy) {
				t.Errorf("warnings lack %q: %v, %v", remedy, r.Warnings, err)
			}
		}
	})
	t.Run("que-04 too old", func(t *testing.T) {
		t.Parallel()
		for version, refused := range map[string]bool{"5.0.14": true, "6.0.16": true, "6.2.0": false, "7.4.1": false, "10.0.0": false} {
			_, err := redisconn.Check(t.Context(), pretend(t, map[string]string{"info": bulk("redis_version:" + version)}))
			if (err != nil) != refused {
				t.Errorf("%s: %v", version, err)
			}
			if refused && err != nil && !strings.Contains(err.Error(), "6.2") {
				t.Errorf("%s: no remedy in %v", version, err)
			}
		}
	})
	t.Run("miniredis tells little", func(t *testing.T) {
		t.Parallel()
		_, rdb := redistest.Mini(t)
		if r, err := redisconn.Check(t.Context(), rdb); err != nil || len(r.Warnings) != 0 {
			t.Errorf("%+v, %v", r, err)
		}
	})
	t.Run("not there", func(t *testing.T) {
		t.Parallel()
		rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1, Password: "canary"})
		defer func() { _ = rdb.Close() }()
		_, err := redisconn.Check(t.Context(), rdb)
		if err == nil || !strings.Contains(err.Error(), "start it") || strings.Contains(err.Error(), "canary") {
			t.Errorf("error = %v", err)
		}
	})
}
