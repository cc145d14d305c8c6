package wechattest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// Control serves the control API under /_sim/, for tests in any language. Every
// call takes and returns JSON; a wrong call answers 400 with {"error": …}. A
// browser's cross-site requests are refused.
func (p *Platform) Control() http.Handler {
	mux := http.NewServeMux()
	calls := map[string]func(*http.Request) (any, error){
		"POST /_sim/script":          p.controlScript,
		"POST /_sim/faults":          p.controlFaults,
		"POST /_sim/followers":       p.controlFollowers,
		"POST /_sim/templates":       p.controlTemplates,
		"GET /_sim/templates":        p.listTemplates,
		"POST /_sim/tokens/kill":     p.controlKill,
		"POST /_sim/quota":           p.controlQuota,
		"POST /_sim/account":         p.controlAccount,
		"POST /_sim/callback":        p.controlCallback,
		"POST /_sim/callback/verify": p.controlVerify,
		"POST /_sim/oauth/code":      p.controlOAuthCode,
		"POST /_sim/reset":           p.controlReset,
		"GET /_sim/messages":         p.listMessages,
		"GET /_sim/seen":             p.listSeen,
		"GET /_sim/pushes":           p.listPushes,
		"GET /_sim/stats":            p.stats,
		"GET /_sim/qrcodes":          p.listQRCodes,
	}
	for pattern, handle := range calls {
		mux.Handle(pattern, controlHandler(handle))
	}
	names := slices.Sorted(maps.Keys(calls))
	mux.Handle("GET /_sim/{$}", controlHandler(func(*http.Request) (any, error) {
		return map[string]any{"calls": names, "docs": "go doc github.com/wxnotify/wxnotify/wechat/wechattest"}, nil
	}))
	return http.NewCrossOriginProtection().Handler(mux)
}

// controlHandler turns a verb of the control API into a handler.
type controlHandler func(*http.Request) (any, error)

func (h controlHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	out, err := h(r)
	status := http.StatusOK
	if err != nil {
		status, out = http.StatusBadRequest, map[string]string{"error": err.Error()}
	}
	if out == nil {
		out = map[string]bool{"ok": true}
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(out) // the caller may have gone
}

// read decodes a control call; an empty body is an empty object.
func read(r *http.Request, into any) error {
	if r.ContentLength == 0 {
		return nil
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("body: %w", err)
	}
	return nil
}

// named finds an account; an empty appid means the only one.
func (p *Platform) named(appid string) (*Account, error) {
	if appid == "" && len(p.order) == 1 {
		return p.order[0], nil
	}
	if appid == "" {
		return nil, errors.New("account is empty and the platform has several; name the appid")
	}
	if a := p.accounts[appid]; a != nil {
		return a, nil
	}
	return nil, fmt.Errorf("account %s is not on this platform", appid)
}

// span is a duration in JSON: "1.5s", or a number of seconds.
type span time.Duration

func (s *span) UnmarshalJSON(text []byte) error {
	if seconds, err := strconv.ParseFloat(string(text), 64); err == nil {
		*s = span(seconds * float64(time.Second))
		return nil
	}
	var word string
	if err := json.Unmarshal(text, &word); err != nil {
		return fmt.Errorf("a duration is a text such as \"1.5s\": %w", err)
	}
	d, err := time.ParseDuration(word)
	if err != nil {
		return fmt.Errorf("a duration is a text such as \"1.5s\": %w", err)
	}
	*s = span(d)
	return nil
}

// replySpec is a Reply in JSON.
type replySpec struct {
	Do       string      `json:"do"`
	Errcode  wechat.Code `json:"errcode"`
	Errmsg   string      `json:"errmsg"`
	Status   int         `json:"status"`
	Delay    span        `json:"delay"`
	Text     string      `json:"text"`
	Accepted bool        `json:"accepted"`
	Path     string      `json:"path"`
	OpenID   string      `json:"openid"`
	Account  string      `json:"account"`
	Times    int         `json:"times"`
	Forever  bool        `json:"forever"`
}

func (s replySpec) reply(p *Platform) (Reply, error) {
	r, err := s.kind()
	if err != nil {
		return r, err
	}
	if _, ok := p.routes[s.Path]; s.Path != "" && !ok {
		return r, fmt.Errorf("path %s is not an API of the platform", s.Path)
	}
	r = r.On(s.Path).For(s.OpenID).Account(s.Account)
	if s.Accepted {
		r = r.Accepted()
	}
	if s.Times > 1 {
		r = r.Times(s.Times)
	}
	if s.Forever {
		r = r.Forever()
	}
	return r, nil
}

func (s replySpec) kind() (Reply, error) {
	switch s.Do {
	case "ok":
		return OK(), nil
	case "errcode":
		if s.Errcode == 0 {
			return Reply{}, errors.New("do errcode needs an errcode other than 0")
		}
		return Errcode(s.Errcode).Msg(s.Errmsg), nil
	case "http_status":
		if s.Status < 200 || s.Status > 599 {
			return Reply{}, errors.New("do http_status needs a status from 200 to 599")
		}
		return HTTPStatus(s.Status), nil
	case "hang":
		return Hang(time.Duration(s.Delay)), nil
	case "slow":
		return Slow(time.Duration(s.Delay)), nil
	case "cut_before":
		return CutBefore(), nil
	case "cut_after_accept":
		return CutAfterAccept(), nil
	case "cut_mid_answer":
		return CutMidAnswer(), nil
	case "garbage":
		return Garbage(s.Text), nil
	}
	return Reply{}, fmt.Errorf("do %q is not one of ok, errcode, http_status, hang, slow, cut_before, "+
		"cut_after_accept, cut_mid_answer, garbage", s.Do)
}

func (p *Platform) controlScript(r *http.Request) (any, error) {
	var in struct {
		Replies []replySpec `json:"replies"`
		Clear   bool        `json:"clear"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	var replies []Reply
	for i, s := range in.Replies {
		reply, err := s.reply(p)
		if err != nil {
			return nil, fmt.Errorf("replies[%d]: %w", i, err)
		}
		replies = append(replies, reply)
	}
	if in.Clear {
		p.clearReplies()
	}
	p.Script(replies...)
	return map[string]int{"waiting": p.Scripted()}, nil
}

func (p *Platform) clearReplies() {
	defer p.locked()()
	clear(p.script.replies)
}

func (p *Platform) controlFaults(r *http.Request) (any, error) {
	var in struct {
		Faults []struct {
			Ratio float64 `json:"ratio"`
			replySpec
		} `json:"faults"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	var replies []Reply
	for i, f := range in.Faults {
		reply, err := f.reply(p)
		if err != nil {
			return nil, fmt.Errorf("faults[%d]: %w", i, err)
		}
		if f.Ratio <= 0 || f.Ratio > 1 {
			return nil, fmt.Errorf("faults[%d]: ratio is the share of the calls, above 0 and at most 1", i)
		}
		replies = append(replies, reply)
	}
	p.clearFaults()
	for i, reply := range replies {
		p.Fault(in.Faults[i].Ratio, reply)
	}
	return map[string]int{"faults": len(replies)}, nil
}

func (p *Platform) clearFaults() {
	defer p.locked()()
	clear(p.script.faults)
}
