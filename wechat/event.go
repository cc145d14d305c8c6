package wechat

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"
)

// Names of events that programs decide on. WeChat writes them in any case:
// compare with Event.Is.
const (
	EventSubscribe               = "subscribe"
	EventUnsubscribe             = "unsubscribe"
	EventScan                    = "SCAN"
	EventTemplateFinished        = "TEMPLATESENDJOBFINISH"
	EventAuthorizationRevoked    = "user_authorization_revoke"
	EventAuthorizationCancelled  = "user_authorization_cancellation"
	EventSubscriptionPopup       = "subscribe_msg_popup_event"
	EventSubscriptionChanged     = "subscribe_msg_change_event"
	EventSubscriptionMessageSent = "subscribe_msg_sent_event"
)

// Values of Event.MsgType that programs decide on.
const (
	MsgTypeEvent = "event"
	MsgTypeText  = "text"
)

// Event is what WeChat's server tells an account's: an event, or a message that
// a follower wrote (docs: 接收事件推送, 接收普通消息). Elements that are not
// listed here are left out; they stay in Push.Document.
type Event struct {
	To        string    // the account's gh_ id, not its appid
	OpenID    string    // FromUserName: a follower, or WeChat's own account
	CreatedAt time.Time // whole seconds; zero when WeChat does not tell
	MsgType   string    // "event", "text" …; the set is open
	Name      string    // of an event, such as "subscribe"; the set is open
	Key       string    // EventKey
	Ticket    string    // of the QR code that was scanned
	// MsgID is the msgid of the message that a receipt is for, or the number of
	// a follower's own message. 0: none, or WeChat does not tell.
	MsgID   MessageID
	Status  string // of a receipt, such as "success" or "failed:user block"
	Content string // of a text message
	// Subject is the OpenID element of user_authorization_revoke and
	// user_authorization_cancellation: the user whose data must go. OpenID is
	// somebody else there. Empty for all other events.
	Subject string
}

// ParseEvent reads a document: XML without DTD and entities, nested at most 16
// deep and 1 MB long, or a JSON object. Elements and names that it does not know
// do no harm. MsgID and MsgId are both taken, as whole numbers. An error never
// quotes the document. It verifies nothing: that is Callback.Open's.
func ParseEvent(document []byte) (*Event, error) {
	fields, err := parseDocument(document)
	if err != nil {
		return nil, err
	}
	return newEvent(fields)
}

func newEvent(fields map[string]string) (*Event, error) {
	e := &Event{
		To: fields["ToUserName"], OpenID: fields["FromUserName"],
		MsgType: fields["MsgType"], Name: fields["Event"], Key: fields["EventKey"], Ticket: fields["Ticket"],
		Status: fields["Status"], Content: fields["Content"],
	}
	created, err := wholeNumber(fields["CreateTime"])
	if err != nil || created < 0 || created > latestSecond {
		return nil, errors.New("wechat: CreateTime of the event is not a number of seconds")
	}
	e.CreatedAt = unixTime(looseInt(created))
	for _, name := range []string{"MsgID", "MsgId"} {
		id, err := wholeNumber(fields[name])
		if err != nil {
			return nil, errors.New("wechat: " + name + " of the event is not a whole number of 64 bits")
		}
		if e.MsgID == 0 {
			e.MsgID = MessageID(id)
		}
	}
	if e.Is(EventAuthorizationRevoked) || e.Is(EventAuthorizationCancelled) {
		e.Subject = fields["OpenID"]
	}
	return e, nil
}

// wholeNumber is 0 for no text. Never by way of a float: ids go beyond 2^53.
func wholeNumber(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	//nolint:wrapcheck // the caller says what it was, without quoting it
	return strconv.ParseInt(text, 10, 64)
}

// Is reports whether e is the event of this name, in any case.
func (e *Event) Is(name string) bool {
	return strings.EqualFold(e.MsgType, MsgTypeEvent) && strings.EqualFold(e.Name, name)
}

// Scene is the scene of the QR code that was scanned, empty when there was
// none: EventKey as it is for SCAN, without one "qrscene_" for subscribe. A
// subscribe without that prefix came some other way (docs: 生成带参数的二维码).
func (e *Event) Scene() string {
	switch {
	case e.Is(EventScan):
		return e.Key
	case e.Is(EventSubscribe):
		if scene, ok := strings.CutPrefix(e.Key, "qrscene_"); ok {
			return scene
		}
	}
	return ""
}

// DedupeKey is the same for each delivery of one event and differs between
// events: 64 hex digits over everything that tells them apart. WeChat delivers
// up to four times within some twenty seconds, so an hour is long enough to
// remember it.
func (e *Event) DedupeKey() string {
	h := sha256.New()
	for _, part := range []string{
		e.To, e.OpenID, strconv.FormatInt(e.CreatedAt.Unix(), 10), e.MsgType, e.Name, e.Key, e.MsgID.String(), e.Status, e.Subject,
	} {
		// With its length in front, no two lists read the same.
		_, _ = h.Write([]byte(strconv.Itoa(len(part)) + ":" + part))
	}
	return hex.EncodeToString(h.Sum(nil))
}
