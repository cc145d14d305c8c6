package ledger

import (
	"context"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/seal"
)

// Get reads records in the order of ids; a missing one is nil. What is not written
// down is computed here: an accepted message whose receipt did not come within
// ReceiptWait has an EndedAt and the reason ReasonNoReceipt, and one that waits past
// its not-after reads as expired, or as unknown when an attempt may have arrived.
func (l *Ledger) Get(ctx context.Context, ids ...string) ([]*Record, error) {
	now := time.Now()
	out := make([]*Record, 0, len(ids))
	for part := range slices.Chunk(ids, pipelineSize) {
		codes := redis.NewMapStringStringCmd(ctx, "hgetall", l.templatesKey())
		cmds := []redis.Cmder{codes}
		for _, id := range part {
			cmds = append(cmds, redis.NewMapStringStringCmd(ctx, "hgetall", l.recordKey(id)))
		}
		if err := l.do(ctx, "read", cmds...); err != nil {
			return nil, err
		}
		templates := make(map[string]string, len(codes.Val()))
		for template, code := range codes.Val() {
			templates[code] = template
		}
		for i, id := range part {
			cmd, _ := cmds[1+i].(*redis.MapStringStringCmd)
			f := cmd.Val()
			if code := f["l"]; code != "" {
				f["p"] = templates[code]
			}
			out = append(out, l.parse(id, f, now))
		}
	}
	return out, nil
}

// parse reads a record as stored, with its names opened.
func (l *Ledger) parse(id string, f map[string]string, now time.Time) *Record {
	r := parse(id, f, now)
	if r != nil && l.sealed != nil {
		r.To, r.User = l.sealed.Open(seal.OpenID, r.To), l.sealed.Open(seal.User, r.User)
	}
	return r
}

// sweepStep bounds the work of one script.
const sweepStep = 1000

// Sweep returns the accepted messages that did not get their receipt within
// ReceiptWait, each once, and at most limit or 1000; nil stands for one whose record
// is gone. They are not sent again, and Get shows their end. Accepted drops those that
// are overdue for an hour more, so that the index stays bounded where Sweep is not
// called.
func (l *Ledger) Sweep(ctx context.Context, limit int) ([]*Record, error) {
	reply, err := l.run(ctx, "sweep", []string{l.awaitingReceiptKey()},
		stamp(time.Now().Add(-ReceiptWait)), min(limit, sweepStep))
	if err != nil {
		return nil, err
	}
	ids, err := stringList(reply, 0)
	if err != nil {
		return nil, err
	}
	return l.Get(ctx, ids...)
}
