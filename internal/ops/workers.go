package ops

import (
	"context"
	"fmt"
	"slices"
	"strings"
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
	Waiting bool      // its queues hold messages
	Own     bool      // the account is one of Config.Accounts
	Err     error
}

// readWorkers reads the registries of the accounts, and of those that have queues: what
// was enqueued under a mistyped appid waits where no worker looks.
func readWorkers(ctx context.Context, rdb redis.UniversalClient, accounts []string, queues []queue.State) []workersState {
	var out []workersState
	for _, account := range accounts {
		out = append(out, workersState{Account: account, Own: true})
	}
	for i := range queues {
		account, _, ours := queue.ParseName(queues[i].Name)
		if !ours {
			continue
		}
		at := slices.IndexFunc(out, func(s workersState) bool { return s.Account == account })
		if at < 0 && len(out) >= len(accounts)+maxForeign {
			continue
		} else if at < 0 {
			at, out = len(out), append(out, workersState{Account: account})
		}
		q := &queues[i]
		out[at].Waiting = out[at].Waiting || q.Pending+q.Scheduled+q.Retry > 0
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

// problem is nil where a worker serves the account. Of an account that is not configured
// here, only messages that wait are a problem.
func (s *workersState) problem(h *Handler, t words) []problem {
	p := problem{Subject: h.mask.text(s.Account), Command: "wxnotify worker"}
	switch {
	case s.Err != nil:
		return []problem{{Subject: p.Subject, Text: t.Workers + ": " + t.NotReadable, Detail: h.mask.text(s.Err.Error())}}
	case len(s.Alive) > 0 && s.suspended() == len(s.Alive):
		var addresses []string
		for _, w := range s.Alive {
			addresses = append(addresses, w.Suspended.Address)
		}
		slices.Sort(addresses)
		p.Text, p.Command = t.AllSuspended, strings.Join(slices.Compact(addresses), " ")
	case len(s.Alive) > 0 || !s.Own && !s.Waiting:
		return nil
	case s.Seen.IsZero():
		p.Text = t.NeverWorker
	default:
		p.Text = fmt.Sprintf(t.NoWorker, timeText(s.Seen))
	}
	return []problem{p}
}

type workerRow struct {
	Account, Host, Version, Started, Seen string
	Suspended                             string // why, and the address; empty: it sends
}

func (h *Handler) workerRows(s *workersState, t words) []workerRow {
	var rows []workerRow
	for _, w := range s.Alive {
		row := workerRow{
			Account: h.mask.text(s.Account), Host: h.mask.text(w.Host), Version: h.mask.text(w.Version), Started: timeText(w.Started), Seen: timeText(w.Seen),
		}
		if b := w.Suspended; b != nil {
			row.Suspended = fmt.Sprintf(t.RefusedAddress, b.Address, b.Errcode, timeText(b.Since))
		}
		rows = append(rows, row)
	}
	return rows
}

// timeText is a time as all text output of wxnotify has it: RFC 3339 in the zone of this
// machine, which TZ sets.
func timeText(t time.Time) string { return t.Local().Format(time.RFC3339) }
