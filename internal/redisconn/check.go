package redisconn

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/locale"
	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/wechat"
)

// Report is what Check found. Fields that the server does not tell are zero.
type Report struct {
	redisx.State

	Version string
	// NoInfo says that the user may not read INFO, so that the fields above are zero.
	NoInfo bool
	// Refused is the server's word when it refuses every write for the moment, see Refusal;
	// nil: it does not.
	Refused error
	// AnyPassword says that the server accepts every password, NoPassword that other
	// machines may reach it and it demands none.
	AnyPassword, NoPassword bool
	// Warnings are sentences for the operator, each with its remedy.
	Warnings []string
}

// tryTime bounds each connection and answer of the first question where there are several
// addresses, explainTime what finds out why there was none, and slowTime all questions to a
// server that answers.
const (
	patience    = 2200 * time.Millisecond
	tryTime     = time.Second
	explainTime = 800 * time.Millisecond
	slowTime    = 10 * time.Second
)

// Check connects and finds out whether wxnotify can run on the server. It takes at
// most 3 s (0.8 s more than Patience) to tell that the server does not answer, and 10 s
// more with one that answers slowly. The error is one sentence with the likely cause and
// the remedy; it shows no password.
func (s *Server) Check(ctx context.Context) (Report, error) {
	o := *s.options
	try := s.patience
	if len(o.Addrs) > 1 {
		try = min(try, tryTime)
	}
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = try, try, try
	o.DialerRetries, o.MaxRetries, o.MaxRedirects, o.PoolSize = 1, -1, -1, 4
	o.ContextTimeoutEnabled = true
	rdb := s.client(&o)
	defer func() { _ = rdb.Close() }()
	r, err := s.ask(ctx, rdb)
	if err != nil {
		explaining, stop := context.WithTimeout(ctx, explainTime)
		defer stop()
		return r, s.explain(explaining, err)
	}
	switch hasPassword := o.Password != ""; {
	case !s.open(ctx, o):
	case hasPassword:
		r.AnyPassword = true
		r.Warnings = append(r.Warnings, "redis accepts every password, since its user default has none: set requirepass, or an ACL user, there")
	case !s.mutual && !s.local():
		r.NoPassword = true
		r.Warnings = append(r.Warnings, "redis demands no password, and other machines may reach it: who does reads openids, messages and the "+
			"access token; set requirepass or an ACL user there, and the password in WXNOTIFY_REDIS_URL")
	}
	return r, nil
}

// ask has more time for a server that has answered once.
func (s *Server) ask(ctx context.Context, rdb redis.UniversalClient) (Report, error) {
	first, stop := context.WithTimeout(ctx, s.patience)
	defer stop()
	if err := greet(first, rdb); err != nil {
		return Report{}, err
	}
	slow, stop := context.WithTimeout(ctx, max(slowTime, s.patience))
	defer stop()
	return Check(slow, rdb)
}

// greet returns the driver's error when the server does not answer.
func greet(ctx context.Context, rdb redis.UniversalClient) error {
	if err := ping(ctx, rdb); err != nil && !redis.HasErrorPrefix(err, "NOPERM") {
		return fmt.Errorf("redis does not answer: start it, or correct WXNOTIFY_REDIS_URL: %w", err)
	}
	return nil
}

// open reports whether the server serves a client without a password.
func (s *Server) open(ctx context.Context, o redis.UniversalOptions) bool {
	o.Username, o.Password = "", ""
	rdb := s.client(&o)
	defer func() { _ = rdb.Close() }()
	return ping(ctx, rdb) == nil
}

// ping asks for a sign of life. A server that cannot write to its disk refuses PING as it
// refuses writes, and still answers what only reads.
func ping(ctx context.Context, rdb redis.UniversalClient) error {
	err := rdb.Ping(ctx).Err()
	if redis.HasErrorPrefix(err, "MISCONF") {
		return nil
	}
	return err //nolint:wrapcheck // the callers name it
}

// local reports whether every address is a Unix socket or on the loopback interface.
func (s *Server) local() bool {
	return !slices.ContainsFunc(s.options.Addrs, func(addr string) bool {
		host, _, err := net.SplitHostPort(addr)
		ip := net.ParseIP(host)
		return err == nil && host != "localhost" && (ip == nil || !ip.IsLoopback())
	})
}

// verdict is a fault that was found in what the server said, in words that follow
// "redis at <address>".
type verdict string

func (v verdict) Error() string { return "redis " + string(v) }

// Check asks a server what it is, and whether the user has the rights that wxnotify
// needs. A cluster is asked at one of its nodes. Unlike that of [Server.Check], the
// error of a failed connection is the driver's.
func Check(ctx context.Context, rdb redis.UniversalClient) (Report, error) {
	if err := greet(ctx, rdb); err != nil {
		return Report{}, err
	}
	var r Report
	server, err := redisx.Info(ctx, rdb, "server")
	if redis.HasErrorPrefix(err, "NOPERM") {
		r.NoInfo = true
		r.Warnings = append(r.Warnings, "redis does not tell its version, memory limit and persistence, so that they are not checked: "+
			"grant the user +info")
	}
	r.Version = server["redis_version"]
	if r.Version != "" && older(r.Version, 6, 2) {
		return r, verdict("is version " + r.Version + ", which is too old: wxnotify needs 6.2 or newer, install redis 7")
	}
	mode := server["redis_mode"]
	if mode == "" {
		mode = server["server_mode"] // Valkey's name
	}
	if err := checkMode(mode, redisx.IsCluster(rdb)); err != nil {
		return r, err
	}
	refused, err := checkRights(ctx, rdb)
	if err != nil {
		return r, err
	}
	if refused != nil {
		r.Refused = refused
		r.Warnings = append(r.Warnings, Refusal(refused, wechat.English))
	}
	r.State, _ = redisx.ReadState(ctx, rdb) // zero when the server does not tell it
	for _, f := range locale.RedisFaults(r.State, wechat.English) {
		r.Warnings = append(r.Warnings, f.Text)
	}
	return r, nil
}

// checkMode compares what the server says it is with how it is addressed.
func checkMode(mode string, cluster bool) error {
	switch {
	case mode == "sentinel":
		return verdict("is a Sentinel: write redis-sentinel://host:26379/0?master=mymaster in WXNOTIFY_REDIS_URL")
	case mode == "cluster" && !cluster:
		return verdict("is a node of a cluster: write redis-cluster://host:6379 in WXNOTIFY_REDIS_URL")
	}
	return nil
}

func older(version string, major, minor int) bool {
	a, rest, _ := strings.Cut(version, ".")
	b, _, _ := strings.Cut(rest, ".")
	x, err := strconv.Atoi(a)
	if err != nil {
		return false
	}
	y, _ := strconv.Atoi(b)
	return x < major || (x == major && y < minor)
}
