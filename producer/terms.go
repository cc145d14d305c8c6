package producer

import (
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
)

// ClassName says which queue a message waits in and which share of the day's
// quota it may use.
type ClassName = job.Class

// The classes, most urgent first. Critical alone may use the quota's reserve.
const (
	Critical ClassName = job.Critical
	Default  ClassName = job.Default
	Bulk     ClassName = job.Bulk
)

// Terms are the delivery terms of a message. Zero: Config's class, at once,
// without an end, at most once.
type Terms struct {
	// Class. Default: Config.Class.
	Class ClassName
	// User is your own id of the recipient, who has enrolled; the openid is
	// looked up when the message is sent. The message's ToUser is empty then.
	User string
	// NotBefore is when the message may be sent. Zero or past: at once. At most
	// a year ahead.
	NotBefore time.Time
	// NotAfter is when the message is of no use any more; it then ends as
	// expired. Zero: never.
	NotAfter time.Time
	// AtLeastOnce sends the message again when it is not known for over eight
	// minutes whether WeChat took it. The follower may then see it twice; the
	// status says so. It ends as unknown all the same when attempts fail for long,
	// or when each process that sends it dies, for over an hour. Default: it ends as
	// unknown after the eight minutes.
	AtLeastOnce bool
	// Test lets the message take the whole way, with states and a receipt, but not to
	// WeChat: it costs no quota and no follower sees it. Default: it is sent.
	Test bool
	// Key is the ID of the API key that the message was enqueued with, for filters of
	// events. At most 128 bytes of printable characters. Default: none.
	Key string
}

// Option sets a delivery term.
type Option func(*Terms)

// Class puts the message into a class other than Config.Class.
func Class(name ClassName) Option { return func(t *Terms) { t.Class = name } }

// ToUser addresses the message to one of your own users by your own id instead
// of an openid. Leave the message's ToUser empty.
func ToUser(user string) Option { return func(t *Terms) { t.User = user } }

// NotBefore schedules the message. A time in the past means at once.
func NotBefore(at time.Time) Option { return func(t *Terms) { t.NotBefore = at } }

// NotAfter lets the message expire when it could not be sent until then.
func NotAfter(at time.Time) Option { return func(t *Terms) { t.NotAfter = at } }

// AtLeastOnce prefers a message seen twice to one that may not have arrived.
func AtLeastOnce() Option { return func(t *Terms) { t.AtLeastOnce = true } }

// Test lets the message take the whole way, but not to WeChat.
func Test() Option { return func(t *Terms) { t.Test = true } }

func (p *Producer) classOf(t Terms) (job.Class, error) {
	if t.Class == "" {
		t.Class = p.cfg.Class
	}
	return job.ParseClass(string(t.Class))
}
