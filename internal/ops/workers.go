package ops

import (
	"context"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/heartbeat"
	"github.com/wxnotify/wxnotify/internal/queue"
)

// maxForeign bounds the accounts that are looked up only because they have queues.
const maxForeign = 50

// workersState is the registry of one account's workers.
type workersState struct {
	Account string
	Alive   []heartbeat.Worker
	Seen    time.Time // when any of its workers reported last; zero: none did for 90 days
	Err     error
}

// readWorkers reads the registries of the accounts, and of those that have queues: what
// was enqueued under a mistyped appid waits where no worker looks.
func readWorkers(ctx context.Context, rdb redis.UniversalClient, accounts []string, queues []queue.State) []workersState {
	var out []workersState
	for _, account := range accounts {
		out = append(out, workersState{Account: account})
	}
	for i := range queues {
		account, _, ours := queue.ParseName(queues[i].Name)
		known := slices.ContainsFunc(out, func(s workersState) bool { return s.Account == account })
		if ours && !known && len(out) < len(accounts)+maxForeign {
			out = append(out, workersState{Account: account})
		}
	}
	for i := range out {
		out[i].Alive, out[i].Seen, out[i].Err = heartbeat.List(ctx, rdb, out[i].Account)
	}
	return out
}

// suspended counts the workers that fetch nothing, since WeChat refuses their address.
func (s *workersState) suspended() (n int) {
	for _, w := range s.Alive {
		if w.Suspended != nil {
			n++
		}
	}
	return n
}
