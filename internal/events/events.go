// Package events is the stream of what happened in an account: messages that were
// accepted or ended, followers who enrolled or left, pauses, the quota.
//
// The events of messages are written by the scripts of package ledger, in the step that
// changes the record, so that none is lost and none is written twice. They hold the
// message's ID alone; what an event tells of its message is read with the event. Other
// events are written by Publish.
//
// The stream holds about a million entries, and seven days after the last one it goes.
// Trim removes what is older than a process was told to keep.
package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/names"
	"github.com/wxnotify/wxnotify/internal/seal"
	"github.com/wxnotify/wxnotify/wechat"
)

// Type of an event.
type Type string

// The types.
const (
	MessageAccepted  Type = "message.accepted"
	MessageDelivered Type = "message.delivered"
	MessageRejected  Type = "message.rejected"
	MessageExpired   Type = "message.expired"
	MessageCancelled Type = "message.cancelled"
	MessageUnknown   Type = "message.unknown"
	MessageDead      Type = "message.dead"

	UserBound      Type = "user.bound"
	UserUnbound    Type = "user.unbound"
	UserFollowed   Type = "user.followed"
	UserUnfollowed Type = "user.unfollowed"
	UserErased     Type = "user.erased"

	AccountPaused  Type = "account.paused"
	AccountResumed Type = "account.resumed"
	QuotaLow       Type = "quota.low"
	QuotaGone      Type = "quota.gone"

	WebhookDisabled Type = "webhook.disabled"
	WebhookTest     Type = "webhook.test"
)

// Types lists every type.
func Types() []Type {
	return []Type{
		MessageAccepted, MessageDelivered, MessageRejected, MessageExpired, MessageCancelled, MessageUnknown, MessageDead,
		UserBound, UserUnbound, UserFollowed, UserUnfollowed, UserErased,
		AccountPaused, AccountResumed, QuotaLow, QuotaGone, WebhookDisabled, WebhookTest,
	}
}

// NoType says of a name that no event has it.
const NoType = "is no type of event: use message.*, user.*, account.*, quota.*, webhook.* or one such as message.accepted"

// CheckTypes refuses what no event has. A name may be a type, or the part before its
// dot with a star, such as message.*.
func CheckTypes(names []string) error {
	for _, name := range names {
		if !slices.ContainsFunc(Types(), func(t Type) bool { return t.in(name) }) {
			return fmt.Errorf("%.40q %s", name, NoType)
		}
	}
	return nil
}

func (t Type) in(name string) bool {
	family, all := strings.CutSuffix(name, "*")
	return string(t) == name || (all && strings.HasSuffix(family, ".") && strings.HasPrefix(string(t), family))
}

// In reports whether one of the names says the type. No names: every type.
func (t Type) In(names []string) bool {
	return len(names) == 0 || slices.ContainsFunc(names, t.in)
}

// Event is one thing that happened. Its JSON is the same for each reader.
type Event struct {
	// ID is the event's place in the stream and the cursor of what comes after it.
	ID      string    `json:"id"`
	Type    Type      `json:"type"`
	Account string    `json:"account"`
	At      time.Time `json:"at"` // when it was written
	// Sequence grows with each event of the same message, and may leave out numbers.
	// 0: the event is of no message.
	Sequence int64 `json:"sequence,omitempty"`
	// MessageID is the ID of the message; empty: the event is of none.
	MessageID string `json:"message_id,omitempty"`
	// Data is the message as it is when the event is read, or what the event is about.
	// Absent where the message's record is gone.
	Data json.RawMessage `json:"data,omitempty"`
}

// Person is the data of an event of a user or follower. Openids are masked when the event is
// read, unless the reader asks for them.
type Person struct {
	User     string `json:"user,omitempty"`
	OpenID   string `json:"openid,omitempty"`
	Previous string `json:"previous_openid,omitempty"`
	How      string `json:"how,omitempty"`
}

// stored is an event of another kind than a message's, as the stream has it.
type stored struct {
	Type Type            `json:"type"`
	Data json.RawMessage `json:"data"`
}

// The fields of an entry: see ledger.Ledger.EventsKey.
const (
	messagesField = "m"
	otherField    = "e"
	maxEntries    = 1_000_000
	maxLife       = 7 * 24 * time.Hour
)

// named returns the person with its names changed.
func (p Person) named(change func(kind seal.Kind, name string) string) Person {
	p.User, p.OpenID, p.Previous = change(seal.User, p.User), change(seal.OpenID, p.OpenID), change(seal.OpenID, p.Previous)
	return p
}

// Publish writes an event that is of no message. A repeated call writes a second one.
func Publish(ctx context.Context, records *ledger.Ledger, t Type, data any) error {
	if p, ok := data.(Person); ok {
		data = p.named(records.Names().Seal)
	}
	text, err := json.Marshal(data)
	if err == nil {
		text, err = json.Marshal(stored{t, text})
	}
	if err != nil {
		return fmt.Errorf("events: publish %s: %w", t, err)
	}
	pipe := records.Redis().Pipeline()
	pipe.XAdd(ctx, &redis.XAddArgs{Stream: records.EventsKey(), MaxLen: maxEntries, Approx: true, Values: []any{otherField, text}})
	pipe.PExpire(ctx, records.EventsKey(), maxLife)
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("events: publish %s: %w", t, err)
	}
	return nil
}

// Trim removes the events that are older than keep, and all but about the latest most
// entries. An entry has the events of one script call.
func Trim(ctx context.Context, records *ledger.Ledger, keep time.Duration, most int64) error {
	key := records.EventsKey()
	pipe := records.Redis().Pipeline()
	pipe.XTrimMinIDApprox(ctx, key, strconv.FormatInt(time.Now().Add(-keep).UnixMilli(), 10), 0)
	pipe.XTrimMaxLenApprox(ctx, key, most, 0)
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("events: trim: %w", err)
	}
	return nil
}

// ErrCursor says that a cursor is none that was given out.
var ErrCursor = errors.New("the cursor is not one that was given out")

// cursor is a place in the stream: after event n of an entry; n < 0: after the entry.
type cursor struct {
	entry string
	n     int
}

func parseCursor(text string) (cursor, error) {
	entry, n, part := strings.Cut(text, ".")
	ms, number, ok := strings.Cut(entry, "-")
	c := cursor{entry, -1}
	for _, digits := range []string{ms, number} {
		_, err := strconv.ParseUint(digits, 10, 64)
		ok = ok && err == nil
	}
	if part {
		var err error
		c.n, err = strconv.Atoi(n)
		ok = ok && err == nil && c.n >= 0
	}
	if !ok {
		return cursor{}, ErrCursor
	}
	return c, nil
}

// parse returns the events of an entry, without the data of messages.
func parse(records *ledger.Ledger, m redis.XMessage) []Event {
	ms, _, _ := strings.Cut(m.ID, "-")
	at, _ := strconv.ParseInt(ms, 10, 64)
	base := Event{Account: records.Account(), At: time.UnixMilli(at).UTC()}
	if text, ok := m.Values[otherField].(string); ok {
		var s stored
		if json.Unmarshal([]byte(text), &s) != nil {
			return nil
		}
		base.ID, base.Type, base.Data = m.ID+".0", s.Type, s.Data
		if n := records.Names(); n != nil {
			base.Data = s.named(n.Open)
		}
		return []Event{base}
	}
	text, _ := m.Values[messagesField].(string)
	var out []Event
	for i, word := range strings.Fields(text) {
		head, id, ok := strings.Cut(word, ":")
		if !ok || head == "" {
			continue
		}
		e := base
		e.ID, e.MessageID = m.ID+"."+strconv.Itoa(i), id
		e.Type = Type("message." + string(ledger.StateOf(head[:1])))
		e.Sequence, _ = strconv.ParseInt(head[1:], 10, 64)
		out = append(out, e)
	}
	return out
}

// named is the data with the names of a person changed.
func (s stored) named(change func(kind seal.Kind, name string) string) json.RawMessage {
	var p Person
	if !strings.HasPrefix(string(s.Type), "user.") || json.Unmarshal(s.Data, &p) != nil {
		return s.Data
	}
	out, err := json.Marshal(p.named(change))
	if err != nil {
		return s.Data
	}
	return out
}

// Convert converts the names in the events of an account.
func Convert(ctx context.Context, account string, c *names.Conversion) error {
	err := c.Move(ctx, ledger.ClearEventsKey(account), func(field, value string) (string, string) {
		var s stored
		if field != otherField || json.Unmarshal([]byte(value), &s) != nil {
			return field, value
		}
		s.Data = s.named(c.Name)
		if text, err := json.Marshal(s); err == nil {
			value = string(text)
		}
		return field, value
	})
	if err != nil {
		return fmt.Errorf("events: %w", err)
	}
	return nil
}

// masked is a person's data without whole openids.
func masked(data json.RawMessage) json.RawMessage {
	var p Person
	if json.Unmarshal(data, &p) != nil {
		return data
	}
	for _, openid := range []*string{&p.OpenID, &p.Previous} {
		if *openid != "" {
			*openid = wechat.MaskOpenID(*openid)
		}
	}
	out, err := json.Marshal(p)
	if err != nil {
		return nil
	}
	return out
}
