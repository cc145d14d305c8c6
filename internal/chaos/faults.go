package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/wxnotify/wxnotify/internal/chaos/verdict"
	"github.com/wxnotify/wxnotify/producer"
)

// faultSpec is a fault as scenarios.json describes it.
type faultSpec struct {
	Kind    string              `json:"kind"`    // one of faults
	Share   float64             `json:"share"`   // of the chunks that are torn
	Of      string              `json:"of"`      // whose connection is forgotten: workers or producer
	Text    string              `json:"text"`    // the next one that carries it
	Build   string              `json:"build"`   // of the upgraded worker
	Name    string              `json:"name"`    // of a fault of WeChat
	Answers []settings          `json:"answers"` // that shares of the sends get
	Begin   map[string]settings `json:"begin"`   // calls of the simulator's control API, by path
	End     map[string]settings `json:"end"`
	Restart map[string]string   `json:"restart"` // settings with which the workers are started again at the end
	Command []string            `json:"command"` // of wxnotify, at the end
}

// settings is the body of a call of the simulator's control API.
type settings map[string]any

func (s faultSpec) String() string {
	return strings.Join(slices.DeleteFunc([]string{s.Kind, s.Name, s.Of, s.Text, s.Build}, func(w string) bool { return w == "" }), " ")
}

// action begins or ends a fault.
type action func(ctx context.Context, e *env, s step) error

// fault is one thing that goes wrong, and its repair; an end of nil: none.
type fault struct{ begin, end action }

// faults lists them by their kinds.
func faults() map[string]fault {
	passAll := onProxies(func(p *proxy, _ step) { p.pass() })
	return map[string]fault{
		"redis-restarted":      {onRedis((*redisServer).stop), restartDead},
		"redis-stopped":        {onRedis(sending(syscall.SIGSTOP)), onRedis(sending(syscall.SIGCONT))},
		"disk-full":            {onRedis(limitFiles(true)), onRedis(limitFiles(false))},
		"memory-full":          {asking("CONFIG", "SET", "maxmemory", "700kb"), asking("CONFIG", "SET", "maxmemory", "0")},
		"scripts-forgotten":    {asking("SCRIPT", "FLUSH"), nil},
		"primary-killed":       {killPrimary, restartDead},
		"connections-cut":      {onProxies(func(p *proxy, _ step) { p.cutAll() }), nil},
		"connections-torn":     {onProxies(func(p *proxy, s step) { p.tear(s.Share) }), passAll},
		"connections-refused":  {onProxies(func(p *proxy, _ step) { p.refuse() }), passAll},
		"connections-held":     {onProxies(func(p *proxy, _ step) { p.hold() }), passAll},
		"connection-forgotten": {forgetConnection, nil},
		"producer-killed":      {killProducer, nil},
		"newer-enqueued":       {enqueueNewer, nil},
		"worker-killed":        {killWorker, restartWorker},
		"worker-stopped":       {signalWorker(syscall.SIGSTOP), signalWorker(syscall.SIGCONT)},
		"workers-upgraded":     {upgradeWorkers, nil},
		"wechat":               {beginWeChat, endWeChat},
		"day-shifted":          {shiftDay, nil},
	}
}

// onRedis acts on the single server.
func onRedis(do func(*redisServer, context.Context) error) action {
	return func(ctx context.Context, e *env, _ step) error { return do(e.redis.nodes[0], ctx) }
}

func sending(sig syscall.Signal) func(*redisServer, context.Context) error {
	return func(s *redisServer, _ context.Context) error { return s.signal(sig) }
}

// limitFiles makes the disk full, so that the append-only file can grow no more,
// or ends that.
func limitFiles(full bool) func(*redisServer, context.Context) error {
	return func(s *redisServer, ctx context.Context) error {
		limit := "unlimited"
		files, _ := filepath.Glob(filepath.Join(s.dir, "appendonlydir", "*.incr.aof"))
		for _, file := range files {
			if info, err := os.Stat(file); err == nil && full {
				limit = strconv.FormatInt(info.Size()+100, 10)
			}
		}
		pid := strconv.Itoa(s.proc.Load().Process.Pid)
		if out, err := exec.CommandContext(ctx, "prlimit", "--pid", pid, "--fsize="+limit+":unlimited").CombinedOutput(); err != nil {
			return fmt.Errorf("prlimit (of util-linux): %w: %s", err, out)
		}
		return nil
	}
}

// asking sends a command to the single server, unless that is stopped.
func asking(words ...string) action {
	return func(ctx context.Context, e *env, _ step) error {
		if _, err := ask(ctx, e.redis.nodes[0].addr, words...); err != nil {
			e.logf("%v: %v", words, err)
		}
		return nil
	}
}

// onProxies acts on the connections of workers and producer to Redis.
func onProxies(do func(*proxy, step)) action {
	return func(_ context.Context, e *env, s step) error {
		for _, p := range e.redis.proxies {
			do(p, s)
		}
		return nil
	}
}

// forgetConnection makes one connection fall silent while others work.
func forgetConnection(_ context.Context, e *env, s step) error {
	e.redis.proxies[s.Of].forgetNext(s.Text)
	return nil
}

// killPrimary makes Redis fail over, if it has replicas.
func killPrimary(ctx context.Context, e *env, s step) error {
	var list []*redisServer
	if !until(ctx, startLimit, time.Second/10, func() bool { list = e.redis.primaries(ctx); return len(list) > 0 }) {
		return errors.New("no primary to kill")
	}
	victim := list[s.pick%len(list)]
	e.logf("kill %s", victim.name)
	victim.kill()
	return nil
}

func restartDead(ctx context.Context, e *env, _ step) error { return e.redis.restartDead(ctx) }

// killProducer ends a producer on a cluster between the call that creates its
// records and the call that puts its tasks: the primary of the queue is down, and
// the producer's connections are closed when a record is there. Half of its
// messages are enqueued again by the caller, half are not.
func killProducer(ctx context.Context, e *env, s step) error {
	class, primary, err := e.classApart(ctx)
	if err != nil {
		return err
	}
	client := e.redis.client("")
	p, err := producer.New(client, producer.Config{Account: appID})
	if err != nil {
		return err
	}
	var cases []enqueueCase
	var ids []string
	for i := range 10 {
		id := fmt.Sprintf("killed-%d-%d", s.at, i)
		cases, ids = append(cases, enqueueCase{n: 900_000 + i, id: id, class: class}), append(ids, id)
	}
	enqueue := func(c enqueueCase) error {
		_, err := p.Enqueue(ctx, c.id, c.message(plainURL), producer.Class(c.class))
		return err
	}
	// The first is enqueued as usual, so that the producer has its connections.
	if err := errors.Join(enqueue(cases[0]), primary.stop(ctx)); err != nil {
		return err
	}
	var group sync.WaitGroup
	for _, c := range cases[1:] {
		group.Go(func() { _ = enqueue(c) })
	}
	created := until(ctx, startLimit, 5*time.Millisecond, func() bool {
		found, _ := e.asker.StatusMany(ctx, ids[1:])
		return slices.ContainsFunc(found, func(s *producer.Status) bool { return s != nil })
	})
	_ = client.Close()
	group.Wait()
	if !created {
		return errors.New("the producer created no record")
	}
	e.logf("it ended with %s down, which has the queue %s", primary.name, class)
	if err := e.redis.restartDead(ctx); err != nil {
		return err
	}
	for i, c := range cases {
		if i%2 == 0 {
			e.load.enqueueCase(ctx, c)
		} else {
			e.load.add(verdict.Message{ID: c.id})
		}
	}
	return nil
}

// victim is one of the first two workers.
func (e *env) victim(s step) *worker { return e.workers[s.pick%2] }

func killWorker(_ context.Context, e *env, s step) error {
	e.logf("kill %s", e.victim(s).name)
	e.victim(s).kill()
	return nil
}

func restartWorker(ctx context.Context, e *env, s step) error {
	e.startLater(ctx, e.victim(s))
	return nil
}

func signalWorker(sig syscall.Signal) action {
	return func(_ context.Context, e *env, s step) error { return e.victim(s).signal(sig) }
}

// upgradeWorkers starts all workers again, of another build.
func upgradeWorkers(ctx context.Context, e *env, s step) error {
	for _, w := range e.workers {
		w.build = s.Build
	}
	return e.replaceWorkers(ctx, nil)
}

// beginWeChat makes WeChat answer shares of the sends badly, or behave otherwise.
func beginWeChat(ctx context.Context, e *env, s step) error {
	if len(s.Answers) > 0 {
		return e.wechat.set(ctx, map[string]settings{"faults": {"faults": s.Answers}})
	}
	return e.wechat.set(ctx, s.Begin)
}

// endWeChat ends that, as an operator does with the workers and the command line.
func endWeChat(ctx context.Context, e *env, s step) error {
	if len(s.Answers) > 0 {
		return e.wechat.set(ctx, map[string]settings{"faults": {"faults": []settings{}}})
	}
	err := e.wechat.set(ctx, s.End)
	if len(s.Restart) > 0 {
		err = errors.Join(err, e.replaceWorkers(ctx, s.Restart))
	}
	if len(s.Command) > 0 {
		e.logf("wxnotify %s: %s", strings.Join(s.Command, " "), e.command(s.Command...))
	}
	return err
}

// shiftDay makes the day turn a second time, a minute after the first: the workers
// are started again with an offset of 24 hours minus a minute more. WeChat's count
// is set to zero half a second before, when no permit is given for the old day.
func shiftDay(ctx context.Context, e *env, _ step) error {
	pause(ctx, time.Until(e.midnight.Add(10*time.Second)))
	if err := e.replaceWorkers(ctx, map[string]string{"WXNOTIFY_QUOTA_UTC_OFFSET": utcOffset(e.midnight.Add(time.Minute), 24*60-1)}); err != nil {
		return err
	}
	pause(ctx, time.Until(e.midnight.Add(time.Minute-time.Second/2)))
	counted, err := e.wechat.stats(ctx)
	if err != nil {
		return err
	}
	e.logf("%d of %d calls were made on the second day", counted.Accounts[0].Used, e.dailyCap)
	return e.wechat.set(ctx, map[string]settings{"quota": {"used": 0}})
}
