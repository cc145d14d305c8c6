// Package redisconn connects to the Redis that the settings name: [Parse] reads the
// address and the TLS files, [Server.Check] finds out whether wxnotify can run there,
// and says in one sentence what is wrong and how to mend it.
package redisconn

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
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

// Config says where Redis is.
type Config struct {
	// URL is one of
	//
	//	redis://user:password@host:6379/0          one server
	//	rediss://host:6379/0                       the same over TLS
	//	unix://user:password@/run/redis.sock?db=0  the same over a Unix socket
	//	redis-sentinel://host1,host2/0?master=name the primary that Sentinel names
	//	redis-cluster://host1,host2                a cluster
	//
	// Ports default to 6379, Sentinel's to 26379. sentinel_username and
	// sentinel_password, as query parameters, log in to Sentinel itself; tls=true
	// encrypts Sentinel and cluster connections. Reserved characters of a user or a
	// password are percent-encoded.
	URL string
	// CAFile names a PEM file of the certificate authorities that may sign the
	// server's certificate. Empty: those of the system.
	CAFile string
	// CertFile and KeyFile name the PEM files of the client's certificate and of its
	// key. Empty: none is presented.
	CertFile, KeyFile string
	// ServerName is the name in the server's certificate. Empty: the host of the URL.
	ServerName string
	// Patience is how long [Server.Check] waits for the server's first answer. Default 2.2 s.
	Patience time.Duration
}

// Server is the address of a Redis, a primary behind Sentinel, or a cluster.
type Server struct {
	scheme  string
	options *redis.UniversalOptions
	mutual  bool // a client certificate is presented

	patience time.Duration

	dialed atomic.Pointer[string] // the address of the last connection attempt
}

// Parse reads cfg and the files that it names. It does not connect. Errors show no
// part of the URL.
func Parse(cfg Config) (*Server, error) {
	u, hostList, err := split(cfg.URL)
	if err != nil {
		return nil, err
	}
	s := &Server{scheme: u.Scheme, patience: cmp.Or(cfg.Patience, patience)}
	if s.options, err = options(u, hostList); err != nil {
		return nil, fmt.Errorf("redis url: %w", err)
	}
	if s.options.TLSConfig, err = tlsConfig(cfg, s.options.TLSConfig != nil); err != nil {
		return nil, err
	}
	s.mutual = cfg.CertFile != ""
	s.options.Dialer = s.dial
	return s, nil
}

// Dial is [Parse] and [Server.Dial] for a URL alone.
func Dial(rawURL string) (redis.UniversalClient, error) {
	s, err := Parse(Config{URL: rawURL})
	if err != nil {
		return nil, err
	}
	return s.Dial(), nil
}

// Dial makes a client. It does not connect: [Server.Check] does.
func (s *Server) Dial() redis.UniversalClient { return s.client(s.options) }

func (s *Server) client(o *redis.UniversalOptions) redis.UniversalClient {
	switch s.scheme {
	case "redis-sentinel":
		return redis.NewFailoverClient(o.Failover())
	case "redis-cluster":
		return redis.NewClusterClient(o.Cluster())
	}
	return redis.NewClient(o.Simple())
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
	// What stands before the cut would be a part of the password, and not a host.
	if strings.Contains(tail, "@") {
		return nil, "", errors.New("redis url: an @ stands behind a /, ? or #: percent-encode the user and the password " +
			"(/ is %2F, ? is %3F, # is %23), and each @ behind the host (%40)")
	}
	at := strings.LastIndex(authority, "@")
	u, err := url.Parse(scheme + "://" + authority[:at+1] + "hosts" + tail)
	if err != nil {
		return nil, "", malformed
	}
	if u.Fragment != "" || strings.HasSuffix(tail, "#") {
		return nil, "", errors.New("redis url: a # has no meaning here: remove what follows it, or percent-encode it as %23")
	}
	return u, authority[at+1:], nil
}

func options(u *url.URL, hostList string) (*redis.UniversalOptions, error) {
	o := &redis.UniversalOptions{
		Protocol: 2, // RESP2: measured 1.14 times the messages of RESP3
		PoolSize: poolSize, MaxRetries: maxRetries,
		DisableIdentity: true, // CLIENT SETINFO would need a right that Redis before 7.2 does not know
		DialTimeout:     5 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second,
	}
	if u.User != nil {
		o.Username = u.User.Username()
		o.Password, _ = u.User.Password()
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errors.New("a parameter is malformed: percent-encode special characters")
	}
	known := []string{}
	port := "6379"
	switch u.Scheme {
	case "redis":
	case "rediss":
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	case "unix":
		known = []string{"db"}
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
		return nil, errors.New("the scheme is unknown: use redis, rediss, unix, redis-sentinel or redis-cluster")
	}
	if err := checkQuery(query, known); err != nil {
		return nil, err
	}
	if query.Get("tls") == "true" {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if u.Scheme == "unix" {
		return o, socket(o, u, hostList, query)
	}
	if o.Addrs, err = hosts(u.Scheme, hostList, port); err != nil {
		return nil, err
	}
	o.DB, err = database(u)
	return o, err
}

func socket(o *redis.UniversalOptions, u *url.URL, host string, query url.Values) error {
	if host != "" || u.Path == "" || u.Path == "/" {
		return errors.New("a Unix socket has a path and no host: write it like unix:///run/redis.sock?db=0")
	}
	o.Addrs = []string{u.Path}
	if !query.Has("db") {
		return nil
	}
	db, err := strconv.Atoi(query.Get("db"))
	if err != nil || db < 0 {
		return errors.New("db is no number: use ?db=0")
	}
	o.DB = db
	return nil
}

func checkQuery(query url.Values, known []string) error {
	for name, values := range query {
		switch {
		case !slices.Contains(known, name):
			return errors.New("a parameter is unknown: " + allowed(known) +
				" (a password with a ? must have it percent-encoded as %3F)")
		case len(values) > 1:
			return errors.New("the parameter " + name + " stands there twice: remove one")
		case name == "tls" && values[0] != "true" && values[0] != "false":
			return errors.New("tls is neither true nor false: use ?tls=true")
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
