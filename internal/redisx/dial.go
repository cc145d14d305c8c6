package redisx

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// poolSize suits a worker: its handlers complete at the same time, and the
	// fetch must not queue behind them for a connection.
	poolSize = 100
	// maxRetries of a command after a lost connection: without it a restart of
	// Redis would lose completions.
	maxRetries = 3
)

// Dial makes a client for one of
//
//	redis://user:password@host:6379/0          one server
//	rediss://host:6379/0                       the same over TLS
//	redis-sentinel://host1,host2/0?master=name the primary that Sentinel names
//	redis-cluster://host1,host2                a cluster
//
// Ports default to 6379, Sentinel's to 26379. sentinel_username and
// sentinel_password, as query parameters, log in to Sentinel itself; tls=true
// encrypts Sentinel and cluster connections. Dial does not connect: Check does.
// Errors never show the password.
func Dial(rawURL string) (redis.UniversalClient, error) {
	u, hostList, err := split(rawURL)
	if err != nil {
		return nil, err
	}
	o, err := options(u, hostList)
	if err != nil {
		return nil, fmt.Errorf("redis url: %w", err)
	}
	switch u.Scheme {
	case "redis-sentinel":
		return redis.NewFailoverClient(o.Failover()), nil
	case "redis-cluster":
		return redis.NewClusterClient(o.Cluster()), nil
	}
	return redis.NewClient(o.Simple()), nil
}

// split takes the list of hosts out of the URL, since net/url knows but one. No
// part of the text is repeated in the error: a password with a slash may turn
// up anywhere.
func split(rawURL string) (*url.URL, string, error) {
	malformed := errors.New("redis url: not a URL: write it like redis://user:password@host:6379/0, " +
		"with special characters of the password percent-encoded")
	scheme, rest, ok := strings.Cut(rawURL, "://")
	if !ok {
		return nil, "", malformed
	}
	authority, tail := rest, ""
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		authority, tail = rest[:end], rest[end:]
	}
	at := strings.LastIndex(authority, "@")
	u, err := url.Parse(scheme + "://" + authority[:at+1] + "hosts" + tail)
	if err != nil {
		return nil, "", malformed
	}
	return u, authority[at+1:], nil
}

func options(u *url.URL, hostList string) (*redis.UniversalOptions, error) {
	o := &redis.UniversalOptions{
		Protocol: 2, // RESP2: measured 1.14 times the messages of RESP3
		PoolSize: poolSize, MaxRetries: maxRetries,
		DialTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second,
	}
	if u.User != nil {
		o.Username = u.User.Username()
		o.Password, _ = u.User.Password()
	}
	query := u.Query()
	known := []string{}
	port := "6379"
	switch u.Scheme {
	case "redis":
	case "rediss":
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	case "redis-sentinel":
		known, port = []string{"master", "sentinel_username", "sentinel_password", "tls"}, "26379"
		o.MasterName = query.Get("master")
		if o.MasterName == "" {
			return nil, errors.New("the primary's name is missing: add ?master=mymaster")
		}
		o.SentinelUsername, o.SentinelPassword = query.Get("sentinel_username"), query.Get("sentinel_password")
	case "redis-cluster":
		known = []string{"tls"}
	default:
		return nil, errors.New("the scheme is unknown: use redis, rediss, redis-sentinel or redis-cluster")
	}
	if err := checkQuery(query, known); err != nil {
		return nil, err
	}
	if query.Get("tls") == "true" {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	var err error
	if o.Addrs, err = hosts(u.Scheme, hostList, port); err != nil {
		return nil, err
	}
	o.DB, err = database(u)
	return o, err
}

func checkQuery(query url.Values, known []string) error {
	for name := range query {
		if !strings.Contains(" "+strings.Join(known, " ")+" ", " "+name+" ") {
			return errors.New("a parameter is unknown: " + allowed(known))
		}
	}
	return nil
}

func allowed(known []string) string {
	if len(known) == 0 {
		return "this scheme takes none"
	}
	return "this scheme takes " + strings.Join(known, ", ")
}

func hosts(scheme, list, port string) ([]string, error) {
	var addrs []string
	for host := range strings.SplitSeq(list, ",") {
		if host == "" {
			continue
		}
		name, p, err := net.SplitHostPort(host)
		if err != nil {
			name, p = strings.Trim(host, "[]"), port
		}
		if _, err := strconv.ParseUint(p, 10, 16); err != nil {
			return nil, errors.New("a port is no number up to 65535: write host:6379, and percent-encode a / in the password")
		}
		if name == "" {
			name = "127.0.0.1"
		}
		addrs = append(addrs, net.JoinHostPort(name, p))
	}
	if len(addrs) == 0 {
		return nil, errors.New("no host: write it like redis://127.0.0.1:6379/0")
	}
	if len(addrs) > 1 && (scheme == "redis" || scheme == "rediss") {
		return nil, fmt.Errorf("%d hosts: use redis-sentinel:// or redis-cluster:// for more than one", len(addrs))
	}
	return addrs, nil
}

func database(u *url.URL) (int, error) {
	path := strings.Trim(u.Path, "/")
	if path == "" {
		return 0, nil
	}
	db, err := strconv.Atoi(path)
	if err != nil || db < 0 {
		return 0, errors.New("the database after the host is no number: use /0")
	}
	if u.Scheme == "redis-cluster" && db != 0 {
		return 0, fmt.Errorf("database %d: a cluster has database 0 only", db)
	}
	return db, nil
}
