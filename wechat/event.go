package wechat

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"
)

// Names of events. WeChat may write them in any case: compare with Event.Is.
const (
	EventSubscribe              = "subscribe"
	EventUnsubscribe            = "unsubscribe"
	EventScan                   = "SCAN"
	EventTemplateFinished       = "TEMPLATESENDJOBFINISH"
	EventAuthorizationRevoked   = "user_authorization_revoke"
	EventAuthorizationCancelled = "user_authorization_cancellation"
)

// Values of Event.MsgType.
const (
	MsgTypeEvent = "event"
	MsgTypeText  = "text"
)

// Event is an event, or a follower's message, that WeChat pushes to an account's
// server (docs: 接收事件推送, 接收普通消息). Other elements are in Push.Document
// only.
type Event struct {
	To        string    // the account's gh_ id, not its appid
	OpenID    string    // FromUserName: a follower, or WeChat's own account
	CreatedAt time.Time // in whole seconds; zero when missing
	MsgType   string    // "event", "text" …; WeChat may add values
	Name      string    // of an event, such as "subscribe"; WeChat may add values
	Key       string    // EventKey
	Ticket    string    // of the scanned QR code
	// MsgID is the msgid of a receipt's message, or the id of a follower's own
	// message. 0: none, or WeChat left it out.
	MsgID   MessageID
	Status  string // of a receipt, such as "success" or "failed:user block"
	Content string // of a text message
	// Subject is the OpenID element of user_authorization_revoke and
	// user_authorization_cancellation: the user whose data must be deleted, while
	// OpenID is another sender. Empty for all other events.
	Subject string
}

// ParseEvent decodes a document: XML without DTD and entities, nested at most 16
// levels deep and at most 1 MB long, or a JSON object. It ignores unknown elements
// and accepts both MsgID and MsgId. An error never quotes the document. ParseEvent
// verifies no signature: use Callback.Open for that.
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

// wholeNumber is 0 for an empty text. It uses no float: ids are above 2^53.
func wholeNumber(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	//nolint:wrapcheck // the caller names the element and does not quote the text
	return strconv.ParseInt(text, 10, 64)
}

// Is reports whether e is the event with this name, in upper or lower case.
func (e *Event) Is(name string) bool {
	return strings.EqualFold(e.MsgType, MsgTypeEvent) && strings.EqualFold(e.Name, name)
}

// Scene is the scene of the scanned QR code: EventKey of SCAN, and EventKey of
// subscribe without its prefix "qrscene_" (docs: 生成带参数的二维码). It is empty
// without a QR code.
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

// DedupeKey is equal for repeated deliveries of one event and differs between
// events that differ in the fields of Event: 64 hex digits. Events of other kinds,
// such as those of cards, differ in elements that are not among them: compare
// Push.Digest for these. WeChat delivers an event up to four times within about
// twenty seconds, so it is enough to remember the key for an hour.
func (e *Event) DedupeKey() string {
	h := sha256.New()
	for _, part := range []string{
		e.To, e.OpenID, strconv.FormatInt(e.CreatedAt.Unix(), 10), e.MsgType, e.Name, e.Key, e.MsgID.String(), e.Status, e.Subject,
	} {
		// With the lengths, different lists give different texts.
		_, _ = h.Write([]byte(strconv.Itoa(len(part)) + ":" + part))
	}
	return hex.EncodeToString(h.Sum(nil))
}
