package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// topology is how Redis is deployed.
type topology string

const (
	single   topology = ""
	sentinel topology = "sentinel" // a primary, two replicas and three Sentinels
	cluster  topology = "cluster"  // three primaries with a replica each
)

// deployment is a scenario's Redis.
type deployment struct {
	topology  topology
	env       *env
	nodes     []*redisServer // that hold data
	sentinels []*redisServer
	proxies   map[string]*proxy // in front of a single server, for workers and producer
}

// redisServer is one redis-server process, data node or Sentinel.
type redisServer struct {
	*service
	addr, port, dir string
}

// server makes a server. The file-size limit of a full disk ends a process that
// does not ignore its signal, which only a shell can arrange before it starts.
func (d *deployment) server(name string, args ...string) *redisServer {
	addr := d.env.ports.free()
	s := &redisServer{addr: addr, port: addr[strings.LastIndex(addr, ":")+1:], dir: filepath.Join(d.env.dir, name)}
	shell := append([]string{"-c", `trap "" XFSZ; mkdir -p "$0"; exec redis-server "$@"`, s.dir}, args...)
	shell = append(shell, "--port", s.port, "--bind", "127.0.0.1", "--dir", s.dir)
	s.service = d.env.add(name,
		func() (*exec.Cmd, error) { return exec.Command("/bin/sh", shell...), nil }, //nolint:noctx // ended by signals
		func(ctx context.Context) bool { text, _ := ask(ctx, addr, "PING"); return text == "PONG" })
	return s
}

// start starts all servers, with the settings that docs/operations.md asks for.
func (d *deployment) start(ctx context.Context, more []string) error {
	for i := range map[topology]int{single: 1, sentinel: 3, cluster: 6}[d.topology] {
		args := []string{
			"--save", "", "--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction",
			"--repl-diskless-sync-delay", "0",
		}
		switch {
		case d.topology == cluster:
			args = append(args, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
		case i > 0:
			args = append(args, "--replicaof", "127.0.0.1 "+d.nodes[0].port)
		}
		d.nodes = append(d.nodes, d.server("redis-"+strconv.Itoa(i+1), append(args, more...)...))
		if err := d.nodes[i].start(ctx); err != nil {
			return err
		}
	}
	switch d.topology {
	case single:
		for i, of := range []string{"workers", "producer"} {
			p, err := newProxy(d.nodes[0].addr, d.env.seed+uint64(i))
			if err != nil {
				return err
			}
			d.proxies[of] = p
			d.env.closers = append(d.env.closers, p)
		}
	case sentinel:
		if err := d.startSentinels(ctx); err != nil {
			return err
		}
	case cluster:
		args := append([]string{"--cluster", "create", "--cluster-replicas", "1", "--cluster-yes"}, addresses(d.nodes)...)
		if out, err := exec.CommandContext(ctx, "redis-cli", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("create the cluster: %w: %s", err, out)
		}
	}
	return d.waitHealthy(ctx)
}

func (d *deployment) startSentinels(ctx context.Context) error {
	for i := range 3 {
		file := filepath.Join(d.env.dir, fmt.Sprintf("sentinel-%d.conf", i+1)) // Sentinel rewrites it
		text := "sentinel monitor main 127.0.0.1 " + d.nodes[0].port + " 2\n" +
			"sentinel down-after-milliseconds main 1500\nsentinel failover-timeout main 6000\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return fmt.Errorf("write a Sentinel's file: %w", err)
		}
		s := d.server(fmt.Sprintf("sentinel-%d", i+1), file, "--sentinel")
		d.sentinels = append(d.sentinels, s)
		if err := s.start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// primaryCount is how many primaries serve the keys.
func (d *deployment) primaryCount() int {
	return map[topology]int{single: 1, sentinel: 1, cluster: 3}[d.topology]
}

// healthy reports that all nodes run and know each other, every replica follows,
// and the cluster serves all slots.
func (d *deployment) healthy(ctx context.Context) bool {
	for _, s := range d.sentinels {
		text, _ := ask(ctx, s.addr, "SENTINEL", "MASTER", "main")
		if !strings.Contains(text, "num-slaves 2") || !strings.Contains(text, "num-other-sentinels 2") {
			return false
		}
	}
	primaries, replicas := 0, strconv.Itoa(len(d.nodes)/d.primaryCount()-1)
	for _, s := range d.nodes {
		info, _ := ask(ctx, s.addr, "INFO", "replication")
		slots, _ := ask(ctx, s.addr, "CLUSTER", "INFO")
		isPrimary := infoField(info, "role") == "master"
		if isPrimary {
			primaries++
		}
		if isPrimary && infoField(info, "connected_slaves") != replicas || !isPrimary && infoField(info, "master_link_status") != "up" ||
			d.topology == cluster && infoField(slots, "cluster_state") != "ok" {
			return false
		}
	}
	return primaries == d.primaryCount()
}

func (d *deployment) waitHealthy(ctx context.Context) error {
	if !until(ctx, startLimit, 100*time.Millisecond, func() bool { return d.healthy(ctx) }) {
		return errors.New("the nodes of Redis did not find each other")
	}
	return nil
}

// primaries lists the nodes that are primaries at this moment.
func (d *deployment) primaries(ctx context.Context) []*redisServer {
	var list []*redisServer
	for _, s := range d.nodes {
		if info, _ := ask(ctx, s.addr, "INFO", "replication"); infoField(info, "role") == "master" {
			list = append(list, s)
		}
	}
	return list
}

// restartDead starts the nodes that were killed or stopped.
func (d *deployment) restartDead(ctx context.Context) error {
	for _, s := range d.nodes {
		if s.proc.Load() != nil {
			continue
		}
		if err := s.start(ctx); err != nil {
			return err
		}
	}
	return d.waitHealthy(ctx)
}

// url is what workers are told.
func (d *deployment) url() string {
	switch d.topology {
	case sentinel:
		return "redis-sentinel://" + strings.Join(addresses(d.sentinels), ",") + "/0?master=main"
	case cluster:
		return "redis-cluster://" + strings.Join(addresses(d.nodes), ",")
	case single:
	}
	return "redis://" + d.proxies["workers"].addr() + "/0"
}

// client connects to Redis with the timeouts that the program uses; to a single
// server through the proxy of that name, if there is one.
func (d *deployment) client(through string) redis.UniversalClient {
	o := redis.UniversalOptions{
		Addrs:    addresses(d.nodes), // several: go-redis makes a cluster client
		Protocol: 2, MaxRetries: 3, DialTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second,
	}
	if d.topology == sentinel {
		o.Addrs, o.MasterName = addresses(d.sentinels), "main"
	}
	if p := d.proxies[through]; p != nil {
		o.Addrs = []string{p.addr()}
	}
	return redis.NewUniversalClient(&o)
}

func addresses(servers []*redisServer) []string {
	var list []string
	for _, s := range servers {
		list = append(list, s.addr)
	}
	return list
}

// node connects to one server. Nothing is repeated, and commands share one
// connection.
func node(addr string) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr: addr, Protocol: 2, PoolSize: 1, MaxRetries: -1, DialerRetries: 1, DialTimeout: time.Second, ReadTimeout: 2 * time.Second,
	})
}

// ask sends one command to one server and returns the answer as text.
func ask(ctx context.Context, addr string, words ...string) (string, error) {
	c := node(addr)
	defer func() { _ = c.Close() }()
	args := make([]any, len(words))
	for i, w := range words {
		args[i] = w
	}
	answer, err := c.Do(ctx, args...).Result()
	if err != nil {
		return "", fmt.Errorf("%s: %w", words[0], err)
	}
	return strings.Trim(fmt.Sprint(answer), "[]"), nil
}
