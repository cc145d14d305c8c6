package console

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/wxnotify/wxnotify/internal/heartbeat"
	"github.com/wxnotify/wxnotify/internal/locale"
	"github.com/wxnotify/wxnotify/internal/mask"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redisx"
)

const (
	// aroundFor is how long what was read beside the accounts is shown.
	aroundFor = 5 * time.Second
	// maxStrays bounds the accounts that are looked up because they have messages.
	maxStrays = 50
)

// surroundings are what was read beside the accounts of this process. Safe for
// concurrent use.
type surroundings struct {
	mu     sync.Mutex
	at     time.Time
	redis  redisx.State
	strays []string // appids with messages that wait and without a worker, as after a typing error
	err    error
}

// problems lists what an admin must act on, beside what is wrong with an account.
func (c *Console) problems(r *request) (out []string) {
	s := &c.around
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.at) >= aroundFor {
		// Others are shown this reading: it must not fail because this client has gone.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx()), readLimit)
		defer cancel()
		var err error
		s.redis, s.err = redisx.ReadState(ctx, c.cfg.Redis)
		s.strays, err = c.readStrays(ctx)
		s.at, s.err = time.Now(), errors.Join(s.err, err)
	}
	if s.err != nil {
		out = append(out, r.text("Redis cannot be read: %s", mask.Text(s.err.Error())))
	}
	for _, fault := range locale.RedisFaults(s.redis, r.lang) {
		out = append(out, fault.Text)
	}
	for _, appid := range s.strays {
		out = append(out, r.text("Account %s has messages that wait and no worker: start one with this account, or correct the appid in the program that enqueues.", mask.Text(appid)))
	}
	return out
}

// readStrays looks through the queues of accounts that are not configured here.
func (c *Console) readStrays(ctx context.Context) ([]string, error) {
	all, err := c.queues.AllQueues(ctx)
	if err != nil {
		return nil, err
	}
	var found []string
	for i := range all {
		appid, _, ours := queue.ParseName(all[i].Name)
		if ours && c.account(appid) == nil && all[i].Pending+all[i].Scheduled+all[i].Retry > 0 && !slices.Contains(found, appid) && len(found) < maxStrays {
			found = append(found, appid)
		}
	}
	return slices.DeleteFunc(found, func(appid string) bool {
		alive, _, err := heartbeat.List(ctx, c.cfg.Redis, appid)
		return err != nil || len(alive) > 0
	}), nil
}
