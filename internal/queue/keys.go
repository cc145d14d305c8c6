package queue

import (
	"strings"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/redisx"
)

// allQueues is the set in which asynq lists the queues that consoles show.
const allQueues = "asynq:queues"

// Name is the asynq queue of an account and class: "<appid>:critical".
func Name(account string, class job.Class) string { return account + ":" + string(class) }

// ParseName is the inverse of Name; ok is false for a queue that is not ours.
func ParseName(queue string) (account string, class job.Class, ok bool) {
	account, name, found := strings.Cut(queue, ":")
	if !found || account == "" || name == "" {
		return "", "", false
	}
	class, err := job.ParseClass(name)
	return account, class, err == nil
}

// keys of one queue. All share the hash tag {<appid>:<class>}, so that one script
// can use them in a cluster. Those that start with asynq are asynq's.
type keys struct {
	class     job.Class
	queue     string
	pending   string // list of IDs; the next one is at the right end
	paused    string
	active    string // list of IDs
	lease     string // sorted set of IDs by the end of their lease, Unix seconds
	scheduled string // sorted set of IDs by due time, Unix seconds
	retry     string // the same
	archived  string // sorted set; empty but for tasks that another tool archived
	completed string // sorted set; empty, since nothing is retained
	processed string // how many were completed
	tasks     string // prefix of the hash of each task

	idle       string // set for 3 s after a worker found the queue empty
	deliveries string // the number of the last delivery; it lives as long as the queue is used
}

// asynqKey is asynq's key of any queue, also of another program's.
func asynqKey(queue, name string) string { return "asynq:{" + queue + "}:" + name }

func keysOf(account string, class job.Class) keys {
	queue := Name(account, class)
	asynq, ours := asynqKey(queue, ""), "wxn:{"+queue+"}:"
	return keys{
		class: class, queue: queue,
		pending: asynq + "pending", paused: asynq + "paused", active: asynq + "active", lease: asynq + "lease",
		scheduled: asynq + "scheduled", retry: asynq + "retry", archived: asynq + "archived",
		completed: asynq + "completed", processed: asynq + "processed", tasks: asynq + "t:",
		idle: ours + "idle", deliveries: ours + "deliveries",
	}
}

// allKeysOf lists the queues of an account, most urgent first.
func allKeysOf(account string) []keys {
	classes := job.Classes()
	all := make([]keys, len(classes))
	for i, class := range classes {
		all[i] = keysOf(account, class)
	}
	return all
}

// wakeChannel carries the class of a queue that got a task while it was idle.
func wakeChannel(account string) string { return redisx.Prefix(account) + "wake" }
