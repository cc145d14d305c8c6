package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// kind is how Redis is deployed.
type kind int

const (
	single kind = iota
	sentinel
	cluster
)

// deployment is a scenario's Redis.
type deployment struct {
	kind   kind
	url    string    // what programs are told
	direct string    // the same past the proxy
	nodes  []*server // that hold data
	others []*server // Sentinels
	proxy  *proxy    // of a single server
}

// common are the settings that docs/operations.md asks for.
func common() []string {
	return []string{
		"--save", "", "--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction",
		"--repl-diskless-sync-delay", "0",
	}
}

func deploy(ctx context.Context, k kind, dir string, seed uint64, args ...string) (*deployment, error) {
	d := &deployment{kind: k}
	var err error
	switch k {
	case single:
		err = d.one(ctx, dir, seed, args...)
	case sentinel:
		err = d.watched(ctx, dir)
	case cluster:
		err = d.spread(ctx, dir)
	}
	if err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *deployment) close() {
	if d.proxy != nil {
		d.proxy.close()
	}
	for _, s := range append(d.others, d.nodes...) {
		s.kill()
	}
}

// node starts a data node.
func (d *deployment) node(ctx context.Context, dir, name string, args ...string) (*server, error) {
	s, err := newServer(dir, name, append(common(), args...)...)
	if err != nil {
		return nil, err
	}
	d.nodes = append(d.nodes, s)
	return s, s.start(ctx)
}

func (d *deployment) one(ctx context.Context, dir string, seed uint64, args ...string) error {
	s, err := d.node(ctx, dir, "redis", args...)
	if err != nil {
		return err
	}
	d.proxy, err = newProxy(s.addr, seed)
	if err != nil {
		return err
	}
	d.url, d.direct = "redis://"+d.proxy.addr()+"/0", "redis://"+s.addr+"/0"
	return nil
}

// watched is a primary, two replicas and three Sentinels.
func (d *deployment) watched(ctx context.Context, dir string) error {
	primary, err := d.node(ctx, dir, "redis-1")
	if err != nil {
		return err
	}
	for _, name := range []string{"redis-2", "redis-3"} {
		if _, err := d.node(ctx, dir, name, "--replicaof", "127.0.0.1 "+primary.port()); err != nil {
			return err
		}
	}
	var addrs []string
	for _, name := range []string{"sentinel-1", "sentinel-2", "sentinel-3"} {
		s, err := newServer(dir, name)
		if err != nil {
			return err
		}
		if err := s.asSentinel(primary.port()); err != nil {
			return err
		}
		d.others, addrs = append(d.others, s), append(addrs, s.addr)
		if err := s.start(ctx); err != nil {
			return err
		}
	}
	d.url = "redis-sentinel://" + strings.Join(addrs, ",") + "/0?master=main"
	d.direct = d.url
	if !until(ctx, patience, 100*time.Millisecond, func() bool { return d.watching(ctx) }) {
		return errors.New("the Sentinels did not find each other and both replicas")
	}
	return nil
}

// watching: every Sentinel knows the others and both replicas, which follow.
func (d *deployment) watching(ctx context.Context) bool {
	for _, s := range d.others {
		text, err := ask(ctx, s.addr, "SENTINEL", "MASTER", "main")
		if err != nil || !strings.Contains(text, "num-slaves 2") || !strings.Contains(text, "num-other-sentinels 2") {
			return false
		}
	}
	primaries := 0
	for _, s := range d.nodes {
		text, err := ask(ctx, s.addr, "INFO", "replication")
		if err != nil || strings.Contains(text, "master_link_status:down") {
			return false
		}
		if strings.Contains(text, "role:master") {
			primaries++
		}
	}
	return primaries == 1
}

// replicas of each primary of a cluster.
const replicas = 1

// spread is a cluster of three primaries with a replica each.
func (d *deployment) spread(ctx context.Context, dir string) error {
	var addrs []string
	for i := range 3 * (1 + replicas) {
		s, err := d.node(ctx, dir, "redis-"+strconv.Itoa(i+1), "--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
		if err != nil {
			return err
		}
		addrs = append(addrs, s.addr)
	}
	args := append([]string{"--cluster", "create"}, addrs...)
	args = append(args, "--cluster-replicas", strconv.Itoa(replicas), "--cluster-yes")
	if out, err := cli(ctx, args...); err != nil {
		return fmt.Errorf("create the cluster: %w: %s", err, out)
	}
	d.url = "redis-cluster://" + strings.Join(addrs, ",")
	d.direct = d.url
	if !until(ctx, patience, 100*time.Millisecond, func() bool { return d.whole(ctx) }) {
		return errors.New("the cluster did not come together")
	}
	return nil
}

// whole: every node sees all slots served, and every replica follows.
func (d *deployment) whole(ctx context.Context) bool {
	for _, s := range d.nodes {
		text, err := ask(ctx, s.addr, "CLUSTER", "INFO")
		if err != nil || !strings.Contains(text, "cluster_state:ok") {
			return false
		}
		text, err = ask(ctx, s.addr, "INFO", "replication")
		if err != nil || strings.Contains(text, "master_link_status:down") ||
			strings.Contains(text, "role:master") && !strings.Contains(text, "connected_slaves:"+strconv.Itoa(replicas)) {
			return false
		}
	}
	return true
}

// primaries are the data nodes that are primaries at this moment.
func (d *deployment) primaries(ctx context.Context) []*server {
	var list []*server
	for _, s := range d.nodes {
		if text, err := ask(ctx, s.addr, "INFO", "replication"); err == nil && strings.Contains(text, "role:master") {
			list = append(list, s)
		}
	}
	return list
}

// ask asks one server and returns its answer as text.
func ask(ctx context.Context, addr string, words ...string) (string, error) {
	c := redis.NewClient(&redis.Options{Addr: addr, Protocol: 2, MaxRetries: -1, DialTimeout: time.Second, ReadTimeout: 2 * time.Second})
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
