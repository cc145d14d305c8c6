package broker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
)

// loadRounds is how often scripts are taught in vain to a server that goes on
// forgetting them.
const loadRounds = 5

// committer lets concurrent callers share round trips. Who comes first opens a
// batch and sends it as soon as one of the slots is free; who comes meanwhile
// rides along. A caller alone pays no wait at all.
type committer struct {
	rdb     redis.UniversalClient
	slots   chan struct{}   // batches on the wire at once
	limit   int             // commands after which a batch takes no more
	retries []time.Duration // waits before a batch is sent again after a lost connection
	scripts *sync.Map       // text by SHA of the scripts that may be missing on the server

	mu   sync.Mutex
	open *batch // takes commands; nil when none
}

type batch struct {
	cmds  []redis.Cmder
	wakes map[wake]struct{}
	done  chan struct{}
}

// wake is a class that got something to fetch.
type wake struct {
	account string
	class   job.Class
}

// commit runs cmds in order, in one round trip with those of others, and returns
// when they have their replies. The error is ctx's: the commands then run on and
// must not be read. Each command has its own error.
func (c *committer) commit(ctx context.Context, cmds []redis.Cmder, wakes ...wake) error {
	b, first := c.join(cmds, wakes)
	if !first {
		select {
		case <-b.done:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	own := context.WithoutCancel(ctx) // the batch carries others too
	if ctx.Done() == nil {
		c.slots <- struct{}{}
		c.flush(own, b)
		return nil
	}
	go func() {
		c.slots <- struct{}{}
		c.flush(own, b)
	}()
	select {
	case <-b.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *committer) join(cmds []redis.Cmder, wakes []wake) (b *batch, first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b = c.open
	if b == nil {
		b, first = &batch{done: make(chan struct{})}, true
		c.open = b
	}
	b.cmds = append(b.cmds, cmds...)
	for _, w := range wakes {
		if b.wakes == nil {
			b.wakes = make(map[wake]struct{}, 1)
		}
		b.wakes[w] = struct{}{}
	}
	if len(b.cmds) >= c.limit {
		c.open = nil
	}
	return b, first
}

func (c *committer) flush(ctx context.Context, b *batch) {
	defer func() {
		<-c.slots
		close(b.done)
	}()
	c.mu.Lock()
	if c.open == b {
		c.open = nil
	}
	c.mu.Unlock()

	wakes := wakeCommands(ctx, b.wakes)
	if _, cluster := c.rdb.(*redis.ClusterClient); cluster {
		// The marks live on another node than the queues: only the order of two
		// trips makes sure that who is woken finds the task.
		c.send(ctx, b.cmds)
		c.send(ctx, wakes)
		return
	}
	if again := c.send(ctx, append(b.cmds, wakes...)); again {
		c.send(ctx, wakes) // who was woken too early looks again
	}
}

// send runs the commands, once more in whole after a lost connection (each is
// safe to repeat), and again in part when the server forgot a script.
func (c *committer) send(ctx context.Context, cmds []redis.Cmder) (again bool) {
	c.exec(ctx, cmds)
	for _, wait := range c.retries {
		if !anyLost(cmds) {
			break
		}
		timer := time.NewTimer(wait)
		<-timer.C
		c.exec(ctx, cmds)
	}
	for vain := 0; vain < loadRounds; vain++ {
		lessons, missing := c.missing(ctx, cmds)
		if len(missing) == 0 {
			break
		}
		if len(missing) < len(cmds) {
			vain = 0
		}
		if _, cluster := c.rdb.(*redis.ClusterClient); cluster {
			// In a pipeline they would go to any one node.
			for _, lesson := range lessons {
				_ = c.rdb.ScriptLoad(ctx, lesson.Args()[2].(string)) // tried again when it failed
			}
			lessons = nil
		}
		c.exec(ctx, append(lessons, missing...))
		cmds, again = missing, true
	}
	return again
}

func (c *committer) exec(ctx context.Context, cmds []redis.Cmder) {
	switch len(cmds) {
	case 0:
		return
	case 1:
		cmds[0].SetErr(nil)
		_ = c.rdb.Process(ctx, cmds[0]) // the command keeps its error
		return
	}
	pipe := c.rdb.Pipeline()
	for _, cmd := range cmds {
		cmd.SetErr(nil)
		_ = pipe.Process(ctx, cmd) // only queues
	}
	_, _ = pipe.Exec(ctx) // each command keeps its error
}

// missing finds the commands whose script the server did not know, and the
// commands that teach it.
func (c *committer) missing(ctx context.Context, cmds []redis.Cmder) (lessons, missing []redis.Cmder) {
	taught := map[string]bool{}
	for _, cmd := range cmds {
		if err := cmd.Err(); err == nil || !redis.HasErrorPrefix(err, "NOSCRIPT") {
			continue
		}
		sha, _ := cmd.Args()[1].(string)
		source, known := c.scripts.Load(sha)
		if !known {
			continue // its caller knows the text
		}
		if !taught[sha] {
			taught[sha] = true
			lessons = append(lessons, redis.NewStringCmd(ctx, "script", "load", source))
		}
		missing = append(missing, cmd)
	}
	return lessons, missing
}

// anyLost reports a command without an answer from the server.
func anyLost(cmds []redis.Cmder) bool {
	for _, cmd := range cmds {
		if lost(cmd.Err()) {
			return true
		}
	}
	return false
}

// lost reports an error that did not come from the server: whether the command
// ran is not known.
func lost(err error) bool {
	if err == nil || errors.Is(err, redis.Nil) {
		return false
	}
	var reply redis.Error
	return !errors.As(err, &reply)
}

// wakeCommands is one script call per account.
func wakeCommands(ctx context.Context, wakes map[wake]struct{}) []redis.Cmder {
	if len(wakes) == 0 {
		return nil
	}
	classes := map[string][]job.Class{}
	for w := range wakes {
		classes[w.account] = append(classes[w.account], w.class)
	}
	cmds := make([]redis.Cmder, 0, len(classes))
	for account, list := range classes {
		keys := make([]string, len(list))
		args := []any{wakeChannel(account)}
		for i, class := range list {
			keys[i] = idleKey(account, class)
			args = append(args, string(class))
		}
		cmds = append(cmds, scriptCommand(ctx, "evalsha", wakeScript.Hash(), keys, args))
	}
	return cmds
}
