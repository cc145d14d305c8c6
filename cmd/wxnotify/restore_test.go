package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// calls is how often template/send was called.
func (w *world) calls(tb testing.TB) int {
	tb.Helper()
	total := 0
	for path, c := range w.stats(tb).Calls {
		if strings.Contains(path, "template/send") {
			total += c.Total
		}
	}
	return total
}

// TestRestoredBackup: what a backup holds as waiting and was sent since is sent again
// when the backup is restored as it is, and is not when docs/deploy.md is followed: the
// waiting messages are cancelled before a worker starts.
func TestRestoredBackup(t *testing.T) {
	t.Parallel()
	for name, follow := range map[string]bool{"as it is": false, "by docs/deploy.md": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const total = 20
			server := redistest.Start(t)
			w := newWorld(t, server.URL(), "--any-template")
			bodies := publishedBodies(t)
			var ids []string
			for i := range total {
				id := fmt.Sprintf("restored-%d", i)
				ids = append(ids, id)
				if _, err := newTestProducer(t, server).Enqueue(t.Context(), id, published(bodies, i)); err != nil {
					t.Fatal(err)
				}
			}
			rdb := server.Client(t)
			check(t, rdb.Save(t.Context()).Err())
			file := filepath.Join(server.Dir, "dump.rdb")
			backup, err := os.ReadFile(file)
			check(t, err)
			worker := start(t, w.env, "worker")
			settle(t, w, newTestProducer(t, server), ids)
			if code := worker.terminate(t); code != 0 {
				t.Fatalf("worker: exit %d", code)
			}
			before := w.calls(t)
			if before != total {
				t.Fatalf("%d calls for %d messages", before, total)
			}

			server.Kill()
			check(t, os.WriteFile(file, backup, 0o600))
			server.Restart(t)
			if follow {
				var waiting []string
				prefix := redisx.Prefix(wechattest.AppID) + "m:"
				scan := server.Client(t).Scan(t.Context(), 0, prefix+"*", 1000).Iterator()
				for scan.Next(t.Context()) {
					waiting = append(waiting, strings.TrimPrefix(scan.Val(), prefix))
				}
				if check(t, scan.Err()); len(waiting) != total {
					t.Fatalf("%d records in the backup", len(waiting))
				}
				w.run(t, append([]string{"cancel"}, waiting...)...)
			}
			start(t, w.env, "worker").says(t, "worker started")
			p := newTestProducer(t, server)
			// A message that comes after them is sent: the worker has looked at the queue.
			if _, err := p.Enqueue(t.Context(), "after", published(bodies, total)); err != nil {
				t.Fatal(err)
			}
			settle(t, w, p, append(ids, "after"))
			again := w.calls(t) - before - 1
			if follow && again != 0 || !follow && again != total {
				t.Errorf("%d of %d were sent again", again, total)
			}
			if !follow {
				return
			}
			for i, s := range statuses(t, p, ids) {
				if s.State != "cancelled" {
					t.Errorf("%s: %s", ids[i], s.State)
				}
			}
			if ticket, err := p.Enqueue(t.Context(), ids[0], published(bodies, 0)); err != nil || !ticket.Duplicate {
				t.Errorf("enqueued again: %+v, %v", ticket, err)
			}
		})
	}
}
