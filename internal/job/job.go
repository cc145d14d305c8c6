// Package job is what travels through Redis: one envelope per message, versioned.
//
// An envelope in the queue is a line of JSON with the delivery terms, a line
// feed, and the request body exactly as it goes to WeChat:
//
//	{"v":1,"id":"order-1001-paid","c":"default","to":"o…","t":"…","q":1795392000000}
//	{"touser":"o…","template_id":"…","client_msg_id":"order-1001-paid","data":{…}}
//
// The worker reads the first line only and sends the rest byte for byte, so
// that what was checked at enqueue time is what WeChat gets.
//
// Versions: a field that is not known is ignored, so a new one may be added
// without a new version when an older worker may do without it. Whatever an
// older worker must not ignore raises the version; it then answers
// [NewerVersionError] and leaves the task to a newer worker.
package job

import (
	"fmt"
	"time"
)

// TaskType is asynq's task type of a template message.
const TaskType = "wechat:template.send"

// Class says which queue a message waits in and which share of the day's quota
// it may use.
type Class string

// The classes. Critical alone may use the reserve.
const (
	Critical Class = "critical"
	Default  Class = "default"
	Bulk     Class = "bulk"
)

// Classes lists every class, most urgent first.
func Classes() []Class { return []Class{Critical, Default, Bulk} }

// ParseClass names the known classes when text is none of them. Empty is Default.
func ParseClass(text string) (Class, error) {
	switch c := Class(text); c {
	case "":
		return Default, nil
	case Critical, Default, Bulk:
		return c, nil
	default:
		return "", fmt.Errorf("class %.20q is not known: use critical, default or bulk", text)
	}
}

// Envelope is a message with its delivery terms as stored in the queue.
type Envelope struct {
	ID          string
	Class       Class
	To          string // openid; empty when addressed to User
	User        string // the business's own user id, resolved at send time
	Template    string
	QueuedAt    time.Time // millisecond precision
	NotBefore   time.Time // zero: at once
	NotAfter    time.Time // zero: no end
	AtLeastOnce bool      // resend after WeChat's duplicate window
	Body        []byte    // the request body, byte for byte as it goes to WeChat
}

// Hash is the fingerprint of what is sent and to whom. The terms are not in it:
// a message with other terms is the same message.
func (e Envelope) Hash() string {
	if e.User == "" {
		return Hash(e.Body)
	}
	return hash([]byte("user:"+e.User+"\n"), e.Body) // the body of a user's message names nobody
}
