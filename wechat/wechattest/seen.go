package wechattest

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// Seen is one message that stands in a recipient's chat, after dedupe.
type Seen struct {
	Seq         int64 // counts from 1 in the order of arrival
	AppID       string
	OpenID      string
	ClientMsgID string
	TemplateID  string
	MsgID       wechat.MessageID
	At          time.Time
	// Body is the request's body byte for byte; nil when it was not kept.
	Body []byte
	// Receipt is the last status pushed to the callback, empty before.
	Receipt string
}

// Message decodes the body.
func (s Seen) Message() (wechat.TemplateMessage, error) {
	var m wechat.TemplateMessage
	if s.Body == nil {
		return m, fmt.Errorf("wechattest: the body of message %d was not kept; raise Config.KeepBodies", s.Seq)
	}
	if err := json.Unmarshal(s.Body, &m); err != nil {
		return m, fmt.Errorf("wechattest: body of message %d: %w", s.Seq, err)
	}
	return m, nil
}

// chats is what all recipients saw, oldest first, bounded. The platform's lock
// guards it.
type chats struct {
	keep, keepBodies int
	first            int64 // Seq of list[0]
	list             []Seen
	bare             int64 // bodies up to this Seq are gone
	byClientID       map[string]int
	total            int // since the start or Reset
}

func newChats(cfg Config) *chats {
	return &chats{keep: max(1, cfg.KeepSeen), keepBodies: cfg.KeepBodies, first: 1, byClientID: map[string]int{}}
}

// add appends s and returns its Seq.
func (c *chats) add(s Seen) int64 {
	s.Seq = c.first + int64(len(c.list))
	if c.keepBodies < 0 {
		s.Body = nil
	}
	c.list = append(c.list, s)
	c.total++
	if s.ClientMsgID != "" {
		c.byClientID[s.ClientMsgID]++
	}
	if old := s.Seq - int64(c.keepBodies); c.keepBodies > 0 && old > c.bare {
		c.bare = old
		if m := c.at(old); m != nil {
			m.Body = nil
		}
	}
	if len(c.list) > c.keep+c.keep/8 {
		c.trim(len(c.list) - c.keep)
	}
	return s.Seq
}

// forget drops all messages. Seq goes on, so that a receipt still under way
// cannot be booked on another message.
func (c *chats) forget() {
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

// Seen returns what the recipients saw, oldest first.
func (p *Platform) Seen() []Seen {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Seen(nil), p.chats.list...)
}

// SeenAfter returns at most limit messages with a Seq above after, oldest first.
func (p *Platform) SeenAfter(after int64, limit int) []Seen {
	p.mu.Lock()
	defer p.mu.Unlock()
	from := min(max(after+1-p.chats.first, 0), int64(len(p.chats.list)))
	rest := p.chats.list[from:]
	return append([]Seen(nil), rest[:min(max(limit, 0), len(rest))]...)
}

// SeenTotal counts the messages seen since the start or the last Reset.
func (p *Platform) SeenTotal() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.chats.total
}

// SeenCount counts the messages seen with this client_msg_id, for all
// recipients together: 1 is exactly once.
func (p *Platform) SeenCount(clientMsgID string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.chats.byClientID[clientMsgID]
}
