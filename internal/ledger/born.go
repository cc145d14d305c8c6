package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Birth is the outcome of Born.
type Birth struct {
	New      bool
	Existing Record // ID, State, Class, Hash, QueuedAt and NotBefore only; when New is false
}

// Born queues on pipe the command that creates the record unless one exists.
// Call the returned function after the pipe was executed. New may be false
// although this call created the record, when the answer was lost and the
// pipeline repeated.
func (l *Ledger) Born(ctx context.Context, pipe redis.Pipeliner, r Record) func() (Birth, error) {
	keys := []string{l.recordKey(r.ID)}
	args := make([]any, 0, 20)
	args = append(args, millis(l.life(time.Now(), r.NotBefore, r.NotAfter)))
	args = append(args, fields(r)...)
	cmd := l.scripts.born.call(ctx, false, keys, args)
	_ = pipe.Process(ctx, cmd) // queues it
	return func() (Birth, error) {
		reply, err := cmd.Result()
		if redis.HasErrorPrefix(err, "NOSCRIPT") {
			o := &op{script: l.scripts.born, keys: keys, args: args}
			if err = l.batch.do(ctx, o); err == nil {
				reply = o.cmd.Val()
			}
		}
		if err != nil {
			return Birth{}, fmt.Errorf("ledger: write the record: %w", err)
		}
		return birth(r.ID, reply)
	}
}

func birth(id string, reply any) (Birth, error) {
	if _, created := reply.(int64); created {
		return Birth{New: true}, nil
	}
	v, err := texts(reply, 5)
	if err != nil {
		return Birth{}, err
	}
	return Birth{Existing: Record{
		ID: id, State: stateOf(v[0]), Class: classOf(v[1]), Hash: v[2], QueuedAt: moment(v[3]), NotBefore: moment(v[4]),
	}}, nil
}

// Prepare makes Redis know the script of Born, so that the first messages of a
// process do not each pay a second trip. It is never needed for correctness.
func (l *Ledger) Prepare(ctx context.Context) error {
	if err := l.batch.rdb.ScriptLoad(ctx, l.scripts.born.text).Err(); err != nil {
		return fmt.Errorf("ledger: load the script: %w", err)
	}
	return nil
}

// texts reads a script's list of n texts; a missing one is empty.
func texts(reply any, n int) ([]string, error) {
	list, ok := reply.([]any)
	if !ok || len(list) < n {
		return nil, fmt.Errorf("ledger: Redis answered %T where a list of %d was expected", reply, n)
	}
	out := make([]string, n)
	for i := range out {
		out[i], _ = list[i].(string)
	}
	return out, nil
}
