package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/chaos/verdict"
	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/producer"
)

// stage is one scenario's world.
type stage struct {
	scenario *scenario
	seed     uint64
	messages int
	dir      string
	builds   *builds
	env      map[string]string // of every worker
	redis    *deployment
	wechat   *simulator
	crew     []*hand
	rdb      redis.UniversalClient // of the producer, through the proxy
	direct   redis.UniversalClient // of the harness, past the proxy
	producer *producer.Producer
	asker    *producer.Producer // asks for states, past the proxy
	load     *load
	newer    []verdict.Message // enqueued by the next version
	turns    time.Time         // of a midnight scenario
	tending  sync.WaitGroup

	mu    sync.Mutex
	diary []string // what was done when
	began time.Time
	talk  func(string) // also to this; nil: nowhere
}

// note writes into the diary.
func (s *stage) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	line := fmt.Sprintf("%6.1fs %s", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
	s.diary = append(s.diary, line)
	if s.talk != nil {
		s.talk(s.scenario.name + ": " + line)
	}
}

// set builds the world: Redis, WeChat, producer, workers.
func (s *stage) set(ctx context.Context) error {
	var err error
	if s.dir, err = os.MkdirTemp("", "chaos-"+s.scenario.name+"-"); err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	if s.redis, err = deploy(ctx, s.scenario.redis, s.dir, s.seed, s.scenario.redisArgs...); err != nil {
		return err
	}
	plainPath, err := s.builds.get(ctx, plainBuild)
	if err != nil {
		return err
	}
	if s.wechat, err = newSimulator(ctx, plainPath, s.seed, s.scenario.simulate(s)...); err != nil {
		return err
	}
	if s.direct, err = redisx.Dial(s.redis.direct); err != nil {
		return err
	}
	if s.rdb, err = redisx.Dial(s.redis.url); err != nil {
		return err
	}
	if s.producer, err = producer.New(s.rdb, producer.Config{Account: appid}); err != nil {
		return err
	}
	if s.asker, err = producer.New(s.direct, producer.Config{Account: appid}); err != nil {
		return err
	}
	s.load = &load{producer: s.producer}
	s.env = map[string]string{
		"WXNOTIFY_REDIS_URL": s.redis.url, "WXNOTIFY_APPID": appid, "WXNOTIFY_APPSECRET": appsecret,
		"WXNOTIFY_WECHAT_BASE_URL": s.wechat.base, "WXNOTIFY_OPS_ADDR": "127.0.0.1:0", "WXNOTIFY_RATE": "500",
		"WXNOTIFY_DAILY_QUOTA": "10000000",
	}
	maps.Copy(s.env, s.scenario.settings(s))
	s.crew = s.scenario.hands()
	for _, h := range s.crew {
		if err := s.start(ctx, h); err != nil {
			return err
		}
	}
	for _, h := range s.crew {
		if err := h.ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

// start runs a worker in its place.
func (s *stage) start(ctx context.Context, h *hand) error {
	path, err := s.builds.get(ctx, h.build)
	if err != nil {
		return err
	}
	s.mu.Lock()
	env := maps.Clone(s.env)
	s.mu.Unlock()
	return h.start(path, env)
}

// restart runs a worker in its place and sees to it that it starts.
func (s *stage) restart(ctx context.Context, h *hand) error {
	if err := s.start(ctx, h); err != nil {
		return err
	}
	s.tending.Go(func() { h.tend(ctx, func() error { return s.start(ctx, h) }) })
	return nil
}

// resetting changes a setting for workers that start from now on.
func (s *stage) resetting(name, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.env[name] = value
}

// command runs wxnotify to its end and returns what it printed.
func (s *stage) command(ctx context.Context, args ...string) string {
	path, err := s.builds.get(ctx, plainBuild)
	if err != nil {
		return err.Error()
	}
	s.mu.Lock()
	env := environ(s.env)
	s.mu.Unlock()
	log := newTail()
	p, err := launch(args[0], log, env, path, args...)
	if err != nil {
		return err.Error()
	}
	select {
	case <-p.done:
	case <-time.After(patience):
		p.kill()
	}
	return strings.Join(log.last(tailLines), "\n")
}

// close ends every process and removes the directory, unless it is to be kept.
func (s *stage) close(keep bool) {
	for _, h := range s.crew {
		h.kill()
	}
	for _, p := range []*producer.Producer{s.producer, s.asker} {
		if p != nil {
			_ = p.Close()
		}
	}
	for _, c := range []redis.UniversalClient{s.rdb, s.direct} {
		if c != nil {
			_ = c.Close()
		}
	}
	if s.wechat != nil {
		s.wechat.proc.kill()
	}
	if s.redis != nil {
		s.redis.close()
	}
	if !keep && s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

// keepLogs writes the processes' last lines into the directory.
func (s *stage) keepLogs() {
	for _, h := range s.crew {
		_ = os.WriteFile(filepath.Join(s.dir, h.name+".log"), []byte(strings.Join(h.log.last(tailLines), "\n")), 0o600)
	}
}
