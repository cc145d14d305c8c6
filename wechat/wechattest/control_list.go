package wechattest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// messageView is a message as the control API and the page show it.
type messageView struct {
	Seq         int64           `json:"seq"`
	Account     string          `json:"account"`
	OpenID      string          `json:"openid"`
	ClientMsgID string          `json:"client_msg_id,omitempty"`
	TemplateID  string          `json:"template_id"`
	Title       string          `json:"title,omitempty"`
	MsgID       string          `json:"msgid"`
	At          time.Time       `json:"at"`
	Receipt     string          `json:"receipt,omitempty"`
	Lines       []lineView      `json:"lines,omitempty"`
	URL         string          `json:"url,omitempty"`
	MiniAppID   string          `json:"miniprogram_appid,omitempty"`
	MiniPath    string          `json:"miniprogram_pagepath,omitempty"`
	Body        json.RawMessage `json:"body,omitempty"`
}

// lineView is one line of the message as the recipient reads it.
type lineView struct {
	Label string `json:"label"`
	Key   string `json:"key"`
	Value string `json:"value"`
}

// historicCut is where WeChat cuts the values of historic templates.
const historicCut = 20

// view joins a message with its template.
func (p *Platform) view(s Seen) messageView {
	v := messageView{
		Seq: s.Seq, Account: s.AppID, OpenID: s.OpenID, ClientMsgID: s.ClientMsgID, TemplateID: s.TemplateID,
		MsgID: s.MsgID.String(), At: s.At, Receipt: s.Receipt, Body: s.Body,
	}
	t := p.titled(s)
	v.Title = t.Title
	m, bad := parseMessage(s.Body)
	if bad != 0 {
		return v
	}
	v.URL, v.MiniAppID, v.MiniPath = m.url, m.miniAppID, m.miniPath
	if t.lines == nil { // a template that is gone, or was never known
		for _, f := range m.fields {
			v.Lines = append(v.Lines, lineView{Key: f.key, Value: f.value})
		}
		return v
	}
	for _, line := range t.lines {
		if line.Key == "first" || line.Key == "remark" { // not shown since 2023-05-04
			continue
		}
		value := m.value(line.Key)
		if r := []rune(value); fieldKind(line.Key) == "" && len(r) > historicCut {
			value = string(r[:historicCut]) + "…"
		}
		v.Lines = append(v.Lines, lineView{line.Label, line.Key, value})
	}
	return v
}

func (p *Platform) titled(s Seen) template {
	defer p.locked()()
	if t := p.accounts[s.AppID].template(s.TemplateID); t != nil {
		return *t
	}
	return template{}
}

// listMessages is GET /_sim/messages?after=&limit=: oldest first; go on with
// after set to last.
func (p *Platform) listMessages(r *http.Request) (any, error) {
	after, err := number(r, "after", 0)
	if err != nil {
		return nil, err
	}
	limit, err := number(r, "limit", 100)
	if err != nil {
		return nil, err
	}
	if limit > 1000 {
		return nil, errors.New("limit is at most 1000")
	}
	list, last := []messageView{}, after
	for _, s := range p.SeenAfter(after, int(limit)) {
		list, last = append(list, p.view(s)), s.Seq
	}
	return map[string]any{"messages": list, "last": last, "total": p.SeenTotal()}, nil
}

func number(r *http.Request, name string, otherwise int64) (int64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%s is a number from 0 up", name)
	}
	return n, nil
}

// listSeen is GET /_sim/seen?client_msg_id=: how often it was seen.
func (p *Platform) listSeen(r *http.Request) (any, error) {
	id := r.URL.Query().Get("client_msg_id")
	if id == "" {
		return nil, errors.New("client_msg_id is empty")
	}
	list := []messageView{}
	for _, s := range p.seenWith(id) {
		list = append(list, p.view(s))
	}
	return map[string]any{"client_msg_id": id, "count": p.SeenCount(id), "messages": list}, nil
}

func (p *Platform) seenWith(clientMsgID string) []Seen {
	defer p.locked()()
	var list []Seen
	for _, s := range p.chats.list {
		if s.ClientMsgID == clientMsgID {
			list = append(list, s)
		}
	}
	return list
}

// pushView is a Push in JSON.
type pushView struct {
	Account string    `json:"account"`
	MsgType string    `json:"msgtype"`
	Event   string    `json:"event,omitempty"`
	OpenID  string    `json:"openid"`
	Key     string    `json:"event_key,omitempty"`
	Subject string    `json:"subject,omitempty"`
	Content string    `json:"content,omitempty"`
	MsgID   string    `json:"msgid,omitempty"`
	Status  string    `json:"status,omitempty"`
	At      time.Time `json:"at"`
	Tries   int       `json:"tries"`
	Taken   bool      `json:"taken"`
	Error   string    `json:"error,omitempty"`
	Answer  string    `json:"answer"`
	Reply   string    `json:"reply,omitempty"`
}

// listPushes is GET /_sim/pushes?limit=&account=&openid=: the newest, oldest first.
func (p *Platform) listPushes(r *http.Request) (any, error) {
	limit, err := number(r, "limit", 100)
	if err != nil {
		return nil, err
	}
	list := []pushView{}
	account, openid := r.URL.Query().Get("account"), r.URL.Query().Get("openid")
	for _, push := range p.Pushes() {
		if account != "" && account != push.AppID || openid != "" && openid != push.Event.OpenID && openid != push.Event.Subject {
			continue
		}
		list = append(list, push.view())
	}
	list = list[max(0, len(list)-int(min(limit, keepPushes))):]
	return map[string]any{"pushes": list, "waiting": p.PushesWaiting()}, nil
}

func (push Push) view() pushView {
	e := push.Event
	v := pushView{
		Account: push.AppID, MsgType: e.MsgType, Event: e.Name, OpenID: e.OpenID, Key: e.Key, Subject: e.Subject,
		Content: e.Content, Status: e.Status, At: push.At, Tries: push.Tries, Taken: push.Taken,
		Answer: string(push.Answer), Reply: string(push.Reply),
	}
	if v.MsgType == "" {
		v.MsgType = "event"
	}
	if e.MsgID != 0 {
		v.MsgID = e.MsgID.String()
	}
	if push.Err != nil {
		v.Error = push.Err.Error()
	}
	return v
}

// accountStats is what the control API tells of an account: no token, no secret.
type accountStats struct {
	AppID       string `json:"appid"`
	Name        string `json:"name"`
	DailyLimit  int64  `json:"daily_limit"`
	Used        int64  `json:"used"`
	MinuteLimit int64  `json:"minute_limit"`
	Frozen      int    `json:"frozen"`
	Templates   int    `json:"templates"`
}

func (a *Account) stats() accountStats {
	defer a.p.locked()()
	return accountStats{
		AppID: a.cfg.AppID, Name: a.cfg.Name, DailyLimit: a.limit(SendPath),
		Used: a.counter(SendPath, time.Now()).used, MinuteLimit: a.cfg.MinuteQuota,
		Frozen: int(a.frozen), Templates: len(a.templates),
	}
}

// callStats is a CallCount in JSON.
type callStats struct {
	Total  int            `json:"total"`
	OK     int            `json:"ok"`
	Lost   int            `json:"lost"`
	ByCode map[string]int `json:"by_errcode"`
}

// statsView is the answer of GET /_sim/stats.
type statsView struct {
	Seen         int                  `json:"seen"`
	Calls        map[string]callStats `json:"calls"`
	TokenFetches int                  `json:"token_fetches"`
	Scripted     int                  `json:"scripted"`
	Receipts     struct {
		Taken   int `json:"taken"`
		Failed  int `json:"failed"`
		Waiting int `json:"waiting"`
	} `json:"callbacks"`
	Accounts []accountStats `json:"accounts"`
}

func (p *Platform) stats(*http.Request) (any, error) { return p.statsView(), nil }

func (p *Platform) statsView() statsView {
	v := statsView{Seen: p.SeenTotal(), Calls: map[string]callStats{}, TokenFetches: p.TokenFetches(), Scripted: p.Scripted()}
	for path, n := range p.CallsByPath() {
		c := callStats{Total: n.Total, OK: n.OK, Lost: n.Lost, ByCode: map[string]int{}}
		for code, times := range n.ByCode {
			c.ByCode[strconv.Itoa(int(code))] = times
		}
		v.Calls[path] = c
	}
	v.Receipts.Waiting = p.PushesWaiting()
	v.Receipts.Taken, v.Receipts.Failed = p.pushCounts()
	for _, a := range p.order {
		v.Accounts = append(v.Accounts, a.stats())
	}
	return v
}

func (p *Platform) pushCounts() (takenCount, failedCount int) {
	defer p.locked()()
	return p.pushTaken, p.pushFailed
}

func (p *Platform) controlReset(*http.Request) (any, error) {
	p.Reset()
	return nil, nil
}

// Reset forgets messages, counts, scripts, faults, used quotas and what dedupe
// remembers. Accounts, templates, followers and tokens stay.
func (p *Platform) Reset() {
	p.ClearScript()
	defer p.locked()()
	p.chats.forget()
	p.counts = map[string]*CallCount{}
	p.fetches, p.pushed, p.pushTaken, p.pushFailed = 0, nil, 0, 0
	for _, a := range p.order {
		a.counters = map[string]*counter{}
		a.recent = newDedupe()
		a.outbox.queue = nil
	}
}
