package simserver

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// messageView is a message as the control API and the page show it.
type messageView struct {
	wechattest.Seen
	Title     string     `json:"title,omitempty"`
	Lines     []lineView `json:"lines,omitempty"`
	URL       string     `json:"url,omitempty"`
	MiniAppID string     `json:"miniprogram_appid,omitempty"`
	MiniPath  string     `json:"miniprogram_pagepath,omitempty"`
}

// lineView is one line of the message as the recipient reads it.
type lineView struct {
	Label string `json:"label"`
	Key   string `json:"key"`
	Value string `json:"value"`
}

// view joins a message with its template.
func (s server) view(seen wechattest.Seen) messageView {
	v := messageView{Seen: seen}
	m, err := seen.Message()
	if err != nil {
		return v
	}
	v.URL = m.URL
	if m.MiniProgram != nil {
		v.MiniAppID, v.MiniPath = m.MiniProgram.AppID, m.MiniProgram.PagePath
	}
	content := "" // of a template that was deleted, or never known
	for _, known := range s.p.Account(seen.AppID).Templates() {
		if known.ID == seen.TemplateID {
			v.Title, content = known.Title, known.Content
		}
	}
	for _, line := range m.Preview(content).Lines {
		v.Lines = append(v.Lines, lineView{line.Label, line.Key, line.Text})
	}
	return v
}

func (s server) views(list []wechattest.Seen) []messageView {
	views := make([]messageView, len(list))
	for i, seen := range list {
		views[i] = s.view(seen)
	}
	return views
}

// listMessages is GET /_sim/messages?after=&limit=&openid=: oldest first. The next page
// has after set to last.
func (s server) listMessages(r *http.Request) (any, error) {
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
	seen := s.p.SeenAfter(after, int(limit))
	if openid := r.URL.Query().Get("openid"); openid != "" {
		seen = slices.DeleteFunc(s.p.SeenAfter(after, s.p.SeenTotal()), func(m wechattest.Seen) bool { return m.OpenID != openid })
		seen = seen[:min(int(limit), len(seen))]
	}
	list, last := s.views(seen), after
	if n := len(list); n > 0 {
		last = list[n-1].Seq
	}
	return map[string]any{"messages": list, "last": last, "total": s.p.SeenTotal()}, nil
}

// number is a parameter of the query, or its default.
func number(r *http.Request, name string, missing int64) (int64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return missing, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%s is a number from 0 up", name)
	}
	return n, nil
}

// listSeen is GET /_sim/seen?client_msg_id=: how often recipients saw it.
func (s server) listSeen(r *http.Request) (any, error) {
	id := r.URL.Query().Get("client_msg_id")
	if id == "" {
		return nil, errors.New("client_msg_id is empty")
	}
	list := s.views(s.p.SeenWith(id))
	return map[string]any{"client_msg_id": id, "count": len(list), "messages": list}, nil
}

// pushView is a push in JSON.
type pushView struct {
	wechattest.Push
	Error string `json:"error,omitempty"`
}

// listPushes is GET /_sim/pushes?limit=&account=&openid=: the newest, oldest first.
func (s server) listPushes(r *http.Request) (any, error) {
	limit, err := number(r, "limit", 100)
	if err != nil {
		return nil, err
	}
	list := []pushView{}
	account, openid := r.URL.Query().Get("account"), r.URL.Query().Get("openid")
	for _, push := range s.p.Pushes() {
		if account != "" && account != push.AppID || openid != "" && openid != push.OpenID && openid != push.Subject {
			continue
		}
		v := pushView{Push: push}
		if push.Err != nil {
			v.Error = push.Err.Error()
		}
		list = append(list, v)
	}
	list = list[max(0, int64(len(list))-limit):]
	return map[string]any{"pushes": list, "waiting": s.p.PushCounts().Waiting}, nil
}

func (s server) listTemplates(r *http.Request) (any, error) {
	a, err := s.account(r.URL.Query().Get("account"))
	if err != nil {
		return nil, err
	}
	return map[string]any{"templates": a.Templates()}, nil
}

func (s server) listQRCodes(r *http.Request) (any, error) {
	a, err := s.account(r.URL.Query().Get("account"))
	if err != nil {
		return nil, err
	}
	return map[string]any{"qrcodes": append([]wechattest.QRCode{}, a.QRCodes()...)}, nil
}

// stats is the answer of GET /_sim/stats.
type stats struct {
	Seen         int                             `json:"seen"`
	Calls        map[string]wechattest.CallCount `json:"calls"`
	TokenFetches int                             `json:"token_fetches"`
	Scripted     int                             `json:"scripted"`
	Callbacks    wechattest.PushCounts           `json:"callbacks"`
	Accounts     []wechattest.AccountStats       `json:"accounts"`
}

func (s server) stats() stats {
	v := stats{
		Seen: s.p.SeenTotal(), Calls: s.p.CallsByPath(), TokenFetches: s.p.TokenFetches(),
		Scripted: s.p.Scripted(), Callbacks: s.p.PushCounts(),
	}
	for _, a := range s.p.Accounts() {
		v.Accounts = append(v.Accounts, a.Stats())
	}
	return v
}
