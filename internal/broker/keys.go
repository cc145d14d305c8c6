package broker

import (
	"strings"

	"github.com/wxnotify/wxnotify/internal/job"
)

// allQueues is the set in which asynq lists the queues that consoles show.
const allQueues = "asynq:queues"

// queueKeys are asynq's keys of one queue. All of them share the hash tag
// {<appid>:<class>}, so that a script over them runs in a cluster.
type queueKeys struct {
	class     job.Class
	queue     string
	pending   string // list of IDs; the next one is at the right end
	paused    string
	active    string // list of IDs
	lease     string // sorted set of IDs by the end of their lease, unix seconds
	scheduled string // sorted set of IDs by due time, unix seconds
	retry     string // the same
	archived  string // sorted set of IDs by time of death
	completed string // sorted set of IDs by end of retention
	tasks     string // prefix of the hash of each task
}

func keysOf(account string, class job.Class) queueKeys {
	queue := Queue(account, class)
	prefix := "asynq:{" + queue + "}:"
	return queueKeys{
		class:     class,
		queue:     queue,
		pending:   prefix + "pending",
		paused:    prefix + "paused",
		active:    prefix + "active",
		lease:     prefix + "lease",
		scheduled: prefix + "scheduled",
		retry:     prefix + "retry",
		archived:  prefix + "archived",
		completed: prefix + "completed",
		tasks:     prefix + "t:",
	}
}

// allKeysOf lists the queues of an account, most urgent first.
func allKeysOf(account string) []queueKeys {
	classes := job.Classes()
	all := make([]queueKeys, len(classes))
	for i, class := range classes {
		all[i] = keysOf(account, class)
	}
	return all
}

func (k *queueKeys) task(id string) string { return k.tasks + id }

// Our own keys of an account. Each has a TTL or exists at most once per class.

func accountPrefix(account string) string { return "wxn:{" + account + "}:" }

// wakeChannel carries the names of the classes that have something to fetch.
func wakeChannel(account string) string { return accountPrefix(account) + "wake" }

// idleKey exists for 3 s after a worker found the class empty.
func idleKey(account string, class job.Class) string {
	return accountPrefix(account) + "idle:" + string(class)
}

// pauseKey holds who paused a class and why: at most three per account.
func pauseKey(account string, class job.Class) string {
	return accountPrefix(account) + "paused:" + string(class)
}

// watchdogKey exists for the 5 s in which a sweep is not repeated.
func watchdogKey(account string) string { return accountPrefix(account) + "watchdog" }

// orphanKey exists while a search for orphans is not repeated.
func orphanKey(account string) string { return accountPrefix(account) + "orphans" }

// scriptCall tells asynq's scripts apart. asynq sends each with its keys in a
// fixed order, so the keys are the name.
type scriptCall int

const (
	callOther scriptCall = iota
	callDequeue
	callForwardScheduled
	callForwardRetry
	callRetry
	callListExpired
)

// recognise names the script that asynq calls with these keys, and the queue.
// The keys are compared whole, since a task's ID may end in anything.
func recognise(queues []queueKeys, keys []string) (scriptCall, *queueKeys) {
	for i := range queues {
		q := &queues[i]
		switch len(keys) {
		case 1:
			if keys[0] == q.lease {
				return callListExpired, q
			}
		case 4:
			if keys[0] == q.pending && keys[1] == q.paused && keys[2] == q.active && keys[3] == q.lease {
				return callDequeue, q
			}
		case 2:
			if keys[1] != q.pending {
				continue
			}
			switch keys[0] {
			case q.scheduled:
				return callForwardScheduled, q
			case q.retry:
				return callForwardRetry, q
			}
		case 8:
			if strings.HasPrefix(keys[0], q.tasks) && keys[1] == q.active && keys[2] == q.lease && keys[3] == q.retry {
				return callRetry, q
			}
		}
	}
	return callOther, nil
}
