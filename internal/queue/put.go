package queue

import (
	"context"
	_ "embed" // the scripts
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/encoding/protowire"

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
}

// PutLua defines three functions for a script of the producer: task_state(task),
// put(task, at, state) and push(). The script's KEYS start with [PutKeys] and
// its ARGV with [PutArgs]; the arguments of an item are [AppendItem]'s.
//
//go:embed lua/put.lua
var PutLua string

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

// message is asynq's TaskMessage.
func message(queue string, item Item) []byte {
	const fieldType, fieldPayload, fieldID, fieldQueue, fieldRetry, fieldTimeout = 1, 2, 3, 4, 5, 8
	b := make([]byte, 0, len(item.Payload)+len(item.ID)+len(queue)+48)
	b = protowire.AppendTag(b, fieldType, protowire.BytesType)
	b = protowire.AppendString(b, job.TaskType)
	b = protowire.AppendTag(b, fieldPayload, protowire.BytesType)
	b = protowire.AppendBytes(b, item.Payload)
	b = protowire.AppendTag(b, fieldID, protowire.BytesType)
	b = protowire.AppendString(b, item.ID)
	b = protowire.AppendTag(b, fieldQueue, protowire.BytesType)
	b = protowire.AppendString(b, queue)
	b = protowire.AppendTag(b, fieldRetry, protowire.VarintType)
	b = protowire.AppendVarint(b, maxRetry)
	b = protowire.AppendTag(b, fieldTimeout, protowire.VarintType)
	return protowire.AppendVarint(b, uint64(taskLimit/time.Second))
}

// Listing puts queues on asynq's list of queues, which consoles show. The list lies
// in a cluster slot of its own, so that the script that puts tasks cannot do it. The
// zero value is ready.
type Listing struct{ done sync.Map }

// Ensure lists the queue once per process.
func (l *Listing) Ensure(ctx context.Context, rdb redis.UniversalClient, account string, class job.Class) error {
	queue := Name(account, class)
	if _, done := l.done.Load(queue); done {
		return nil
	}
	if err := rdb.SAdd(ctx, allQueues, queue).Err(); err != nil {
		return fmt.Errorf("queue: list the queue: %w", err)
	}
	l.done.Store(queue, true)
	return nil
}

// putLoop writes tasks alone. KEYS[7..]: the task of each item. ARGV[4..]: the
// items. Returns for each the state of the task that exists, ” when it was written.
const putLoop = `
local out = {}
for n = 1, #KEYS - 6 do
  local task = KEYS[6 + n]
  out[n] = task_state(task) or ''
  if out[n] == '' then
    put(task, 4 + 3 * (n - 1))
  end
end
push()
return out`

var putScript = redisx.NewScript(PutLua, putLoop)

// Put puts tasks of messages that have a record already, such as one that is sent
// again. A task that exists is left as it is, and Put returns its state as asynq
// names it, such as "active"; it is empty for a task that was written.
func Put(ctx context.Context, rdb redis.UniversalClient, account string, class job.Class, items ...Item) (existing []string, err error) {
	if err := new(Listing).Ensure(ctx, rdb, account, class); err != nil {
		return nil, err
	}
	now := time.Now()
	keys, args := PutKeys(account, class), PutArgs(account, class, now)
	for _, item := range items {
		keys = append(keys, TaskKey(account, class, item.ID))
		args = AppendItem(args, account, class, item, now)
	}
	existing, err = putScript.Run(ctx, rdb, keys, args...).StringSlice()
	if err != nil {
		return nil, wrap("put", err)
	}
	return existing, nil
}
