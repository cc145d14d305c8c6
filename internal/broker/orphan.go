package broker

import (
	"context"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// orphanEvery is the pause between searches for orphans of an account.
	orphanEvery = 10 * time.Minute
	// orphanPages of orphanPage keys each bound one search; the next goes on.
	orphanPages = 20
	orphanPage  = 500
)

// orphans looks for tasks that are in no set: asynq's "archive all" cuts the
// archive at 10 000 and leaves the rest in memory, where their IDs conflict for
// ever. A search reads 10 000 keys of each node at most.
func (w *Watchdog) orphans(ctx context.Context, s *Swept) error {
	free, err := w.rdb.SetNX(ctx, orphanKey(w.account), 1, orphanEvery).Result()
	if err != nil || !free {
		return err //nolint:wrapcheck // Sweep names itself
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	cluster, ok := w.rdb.(*redis.ClusterClient)
	if !ok {
		return w.searchNode(ctx, "", w.rdb, s)
	}
	var nodes []*redis.Client
	gather := make(chan *redis.Client, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for node := range gather {
			nodes = append(nodes, node)
		}
	}()
	err = cluster.ForEachMaster(ctx, func(_ context.Context, node *redis.Client) error {
		gather <- node
		return nil
	})
	close(gather)
	<-done
	for _, node := range nodes {
		if err == nil {
			err = w.searchNode(ctx, node.Options().Addr, node, s)
		}
	}
	return err
}

func (w *Watchdog) searchNode(ctx context.Context, name string, node redis.Cmdable, s *Swept) error {
	for range orphanPages {
		keys, cursor, err := node.Scan(ctx, w.cursors[name], "asynq:{"+w.account+":*}:t:*", orphanPage).Result()
		if err != nil {
			return err //nolint:wrapcheck // Sweep names itself
		}
		w.cursors[name] = cursor
		for i := range w.queues {
			if err := w.mend(ctx, &w.queues[i], keys, s); err != nil {
				return err
			}
		}
		if cursor == 0 {
			return nil
		}
	}
	return nil
}

func (w *Watchdog) mend(ctx context.Context, q *queueKeys, keys []string, s *Swept) error {
	args := []any{q.tasks, time.Now().Unix()}
	for _, key := range keys {
		if id, ok := strings.CutPrefix(key, q.tasks); ok {
			args = append(args, id)
		}
	}
	if len(args) == 2 {
		return nil
	}
	n, err := orphanScript.Run(ctx, w.rdb, []string{q.scheduled, q.retry, q.archived, q.completed}, args...).Int64Slice()
	if err != nil {
		return err //nolint:wrapcheck // Sweep names itself
	}
	if len(n) == 2 {
		s.Mended += int(n[0])
		s.Orphans += int(n[1])
	}
	return nil
}
