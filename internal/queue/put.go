package queue

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/redisx"
)

const (
	// maxRetry is so large that asynq never archives a task: it would archive even
	// a deferral on the last attempt, and counts a killed worker as an attempt. The
	// worker owns the budget.
	maxRetry = 1 << 20
	// taskLimit is when asynq frees the slot of a handler that ignores its context.
	// TaskTimeout is shorter, so that asynq's limit is never met first.
	taskLimit = 60 * time.Second
)

// Item is one task to put on a queue.
type Item struct {
	ID        string
	Payload   []byte
	ProcessAt time.Time // zero or past: at once. Rounded up to whole seconds.
	// Replace says that a task which has this ID is one of an earlier message. Put
	// replaces it, unless a worker has it.
	Replace bool
}

// PutLua defines functions for a script of the producer: task_state(task),
// put(task, at, state) and push(). The script's KEYS start with [PutKeys] and
// its ARGV with [PutArgs]; the arguments of an item are [AppendItem]'s.
//
//nolint:gochecknoglobals // never changed
var PutLua = redisx.Lua(luaFiles, "put")

// ItemArity is how many arguments AppendItem appends.
const ItemArity = 3

// PutKeys are the first keys of a script with PutLua.
func PutKeys(account string, class job.Class) []string {
	q := keysOf(account, class)
	return []string{q.pending, q.scheduled, q.retry, q.archived, q.completed, q.idle}
}

// PutArgs are the first arguments of a script with PutLua.
func PutArgs(account string, class job.Class, now time.Time) []any {
	return []any{strconv.FormatInt(now.UnixNano(), 10), wakeChannel(account), string(class)}
}

// TaskKey is the key of the task that put writes.
func TaskKey(account string, class job.Class, id string) string {
	return "asynq:{" + Name(account, class) + "}:t:" + id
}

// AppendItem appends the arguments of one item. Every message is encoded as asynq
// v0.26 encodes it (field numbers of its TaskMessage), which a test compares with
// asynq's own.
func AppendItem(args []any, account string, class job.Class, item Item, now time.Time) []any {
	due := "0"
	if item.ProcessAt.After(now) {
		due = strconv.FormatInt(item.ProcessAt.Add(time.Second-1).Unix(), 10) // never before its time
	}
	return append(args, item.ID, message(Name(account, class), item), due)
}

// List puts an account's queues on asynq's list of queues, which consoles show. Workers do
// it too. The list lies in a cluster slot of its own, so that the script that puts tasks
// cannot.
func List(ctx context.Context, rdb redis.UniversalClient, account string) error {
	return wrap("list the queues", rdb.Process(ctx, listing(ctx, account)))
}

func listing(ctx context.Context, account string) *redis.IntCmd {
	args := []any{"sadd", allQueues}
	for _, class := range job.Classes() {
		args = append(args, Name(account, class))
	}
	return redis.NewIntCmd(ctx, args...)
}

// putLoop writes tasks alone. KEYS[7..]: the task of each item. ARGV[4..]: the items
// (3), each with '1' when it replaces. Returns for each the state of the task that
// exists and stays, ” when it was written.
const putLoop = `
local out = {}
for n = 1, #KEYS - 6 do
  local task, at = KEYS[6 + n], 4 + 4 * (n - 1)
  local state = task_state(task)
  if state and (state == 'active' or ARGV[at + 3] == '0') then
    out[n] = state
  else
    put(task, at, state)
    out[n] = ''
  end
end
push()
return out`

var putScript = redisx.NewScript(PutLua, putLoop)

// Put puts tasks of messages that have a record already, such as one that is sent
// again. A task that exists is left as it is, unless it is to be replaced, and Put
// returns its state as asynq names it, such as "active"; it is empty for a task that
// was written.
func Put(ctx context.Context, rdb redis.UniversalClient, account string, class job.Class, items ...Item) (existing []string, err error) {
	now := time.Now()
	var calls []redis.Cmder
	for some := range slices.Chunk(items, maxFetch) {
		keys, args := PutKeys(account, class), PutArgs(account, class, now)
		for _, item := range some {
			keys = append(keys, TaskKey(account, class, item.ID))
			replace := "0"
			if item.Replace {
				replace = "1"
			}
			args = append(AppendItem(args, account, class, item, now), replace)
		}
		calls = append(calls, putScript.Call(ctx, keys, args...))
	}
	redisx.Exec(ctx, rdb, calls...)
	for _, call := range calls {
		states, err := call.(*redisx.Call).StringSlice()
		if err != nil {
			return nil, wrap("put", err)
		}
		existing = append(existing, states...)
	}
	return existing, nil
}
