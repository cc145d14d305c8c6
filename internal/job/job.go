// Package job is what travels through Redis: one envelope per message, versioned.
package job

import "time"

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
func ParseClass(text string) (Class, error) { panic("not built") }

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

// Encode writes the envelope: a line of JSON with the terms, then the body as it is.
func Encode(e Envelope) ([]byte, error) { panic("not built") }

// Parse reads what Encode of this or an earlier version wrote. Body aliases data.
func Parse(data []byte) (Envelope, error) { panic("not built") }

// ClientMsgID is the client_msg_id of a message ID: the ID itself when it is at
// most 32 of [A-Za-z0-9_-], else a hash of it in that form.
func ClientMsgID(id string) string { panic("not built") }

// Hash is a 64-bit fingerprint of a body, in short text form, that tells a
// repeated Enqueue from a reused ID.
func Hash(body []byte) string { panic("not built") }
