package wechattest

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// Seen is one message in a recipient's chat, after deduplication.
type Seen struct {
	Seq         int64            `json:"seq"` // 1, 2, 3 … in the order of arrival
	AppID       string           `json:"account"`
	OpenID      string           `json:"openid"`
	ClientMsgID string           `json:"client_msg_id,omitempty"`
	TemplateID  string           `json:"template_id"`
	MsgID       wechat.MessageID `json:"msgid,string"`
	At          time.Time        `json:"at"`
	Body        json.RawMessage  `json:"body"`              // of the request, byte for byte
	Receipt     string           `json:"receipt,omitempty"` // the last status pushed; empty before
}

// Message decodes the body.
func (s Seen) Message() (wechat.TemplateMessage, error) {
	var m wechat.TemplateMessage
	if err := json.Unmarshal(s.Body, &m); err != nil {
		return m, fmt.Errorf("wechattest: body of message %d: %w", s.Seq, err)
	}
	return m, nil
}

// chats holds the messages of all recipients, oldest first. The platform's lock
// guards it.
type chats struct {
	keep       int
	first      int64 // Seq of list[0]
	list       []Seen
	byClientID map[string]int
	total      int // since the start or the last clear
}

func newChats(keep int) *chats {
	return &chats{keep: max(1, keep), first: 1, byClientID: map[string]int{}}
}

// add appends s and returns its Seq.
func (c *chats) add(s Seen) int64 {
	s.Seq = c.first + int64(len(c.list))
	c.list = append(c.list, s)
	c.total++
	if s.ClientMsgID != "" {
		c.byClientID[s.ClientMsgID]++
	}
	if len(c.list) > c.keep+c.keep/8 {
		c.trim(len(c.list) - c.keep)
	}
	return s.Seq
}

// clear drops all messages. Seq continues, so that a pending receipt is not
// recorded on another message.
func (c *chats) clear() {
	c.first += int64(len(c.list))
	c.list, c.total, c.byClientID = nil, 0, map[string]int{}
}

func (c *chats) trim(n int) {
	for _, s := range c.list[:n] {
		if c.byClientID[s.ClientMsgID]--; c.byClientID[s.ClientMsgID] <= 0 {
			delete(c.byClientID, s.ClientMsgID)
		}
	}
	c.list = append(c.list[:0:0], c.list[n:]...)
	c.first += int64(n)
}

func (c *chats) at(seq int64) *Seen {
	i := seq - c.first
	if i < 0 || i >= int64(len(c.list)) {
		return nil
	}
	return &c.list[i]
}

// Seen returns the messages that recipients saw, oldest first.
func (p *Platform) Seen() []Seen {
	defer p.locked()()
	return slices.Clone(p.chats.list)
}

// SeenAfter returns at most limit messages with a Seq above after, oldest first.
func (p *Platform) SeenAfter(after int64, limit int) []Seen {
	defer p.locked()()
	from := min(max(after+1-p.chats.first, 0), int64(len(p.chats.list)))
	rest := p.chats.list[from:]
	return slices.Clone(rest[:min(max(limit, 0), len(rest))])
}

// SeenBefore returns at most limit messages with a Seq below before, newest
// first. A before of 0 starts with the newest message.
func (p *Platform) SeenBefore(before int64, limit int) []Seen {
	defer p.locked()()
	end := len(p.chats.list)
	if before > 0 {
		end = int(min(max(before-p.chats.first, 0), int64(end)))
	}
	page := slices.Clone(p.chats.list[max(0, end-limit):end])
	slices.Reverse(page)
	return page
}

// SeenTo is SeenBefore for the messages of one recipient.
func (p *Platform) SeenTo(openid string, before int64, limit int) []Seen {
	defer p.locked()()
	var page []Seen
	for _, s := range slices.Backward(p.chats.list) {
		if len(page) == limit {
			break
		}
		if s.OpenID == openid && (before == 0 || s.Seq < before) {
			page = append(page, s)
		}
	}
	return page
}

// SeenWith returns the messages seen with this client_msg_id, oldest first.
func (p *Platform) SeenWith(clientMsgID string) []Seen {
	defer p.locked()()
	var list []Seen
	for _, s := range p.chats.list {
		if s.ClientMsgID == clientMsgID {
			list = append(list, s)
		}
	}
	return list
}

// SeenTotal counts the messages seen since the start or the last Reset.
func (p *Platform) SeenTotal() int {
	defer p.locked()()
	return p.chats.total
}

// SeenCount counts the messages seen with this client_msg_id, for all recipients
// together: 1 is exactly once.
func (p *Platform) SeenCount(clientMsgID string) int {
	defer p.locked()()
	return p.chats.byClientID[clientMsgID]
}
