// Package job defines what is stored in the queue: one versioned envelope per
// message.
//
// An encoded envelope is a line of JSON with the delivery terms, a line feed, and
// the request body exactly as it goes to WeChat:
//
//	{"v":1,"id":"order-1001-paid","c":"default","to":"o…","t":"…","q":1795392000000}
//	{"touser":"o…","template_id":"…","client_msg_id":"order-1001-paid","data":{…}}
//
// The worker decodes the first line only and sends the rest byte for byte, so
// WeChat gets exactly the body that was validated at enqueue time.
//
// Versions: Parse ignores unknown fields. A new field needs no new version if an
// older worker may ignore it. A change that an older worker must not ignore
// raises Version; the older worker then gets [NewerVersionError] and leaves the
// task to a newer one.
//
// [Codec] seals the whole envelope where the account's processes have keys. Such an
// envelope has version 2.
package job

import "fmt"

// TaskType is asynq's task type of a template message.
const TaskType = "wechat:template.send"

// Class determines the queue of a message and the share of the day's quota that
// it may use.
type Class string

// The classes. Only Critical may use the reserve.
const (
	Critical Class = "critical"
	Default  Class = "default"
	Bulk     Class = "bulk"
)

// Classes lists every class, most urgent first.
func Classes() []Class { return []Class{Critical, Default, Bulk} }

// ClassNames lists the names of the classes as Classes does.
func ClassNames() []string {
	var names []string
	for _, c := range Classes() {
		names = append(names, string(c))
	}
	return names
}

// ParseClass reads the name of a class; empty text is Default. The error lists
// the known classes.
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
