package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"

	"github.com/wxnotify/wxnotify/internal/chaos/verdict"
	"github.com/wxnotify/wxnotify/internal/job"
)

// newerShare is one in so many errands that is enqueued by a newer program too.
const newerShare = 5

// enqueueNewer has the command line of the next version enqueue messages while
// workers of this version run.
func (s *stage) enqueueNewer(ctx context.Context, list []errand) error {
	path, err := s.builds.get(ctx, newerBuild)
	if err != nil {
		return err
	}
	var lines strings.Builder
	for _, e := range list {
		if e.n%newerShare != 0 {
			continue
		}
		id := fmt.Sprintf("newer-%05d", e.n)
		line, err := json.Marshal(map[string]any{"id": id, "class": e.class, "message": e.body("a")})
		if err != nil {
			return fmt.Errorf("encode: %w", err)
		}
		lines.Write(append(line, '\n'))
		s.newer = append(s.newer, verdict.Message{ID: id, ClientMsgID: job.ClientMsgID(id), Ticket: true, Winner: "a", Tickets: 1})
	}
	cmd := exec.CommandContext(ctx, path, "send", "--json", "-")
	cmd.Env, cmd.Stdin = environ(s.env), strings.NewReader(lines.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("the newer version's send: %w: %s", err, out)
	}
	s.note("the next version enqueued %d messages", len(s.newer))
	return nil
}
