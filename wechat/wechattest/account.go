package wechattest

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// Account is one account on the platform. Its methods do what an administrator
// or a follower does; they are safe for concurrent use and take effect at once.
type Account struct {
	p *Platform

	// Guarded by the platform's lock.
	cfg          AccountConfig
	templates    []*template
	followers    map[string]*follower
	roster       []string // keys of followers, in the order they were added
	frozen       wechat.Code
	tokensFrozen wechat.Code
	classic      *accessToken
	stable       *accessToken
	forced       forceCount
	counters     map[string]*counter
	limits       map[string]int64
	recent       dedupe
	outbox       outbox
	loop         *Loopback // serves Callback.Handler
	qrcodes      []QRCode
	migration    *migration        // nil: no account was moved to this one
	moved        map[string]string // openids of the previous account, and what they became
	menu         json.RawMessage   // its buttons; nil: none
}

// follower is the state of one openid that differs from the default.
type follower struct {
	follows  bool
	since    time.Time
	scene    string
	qrScene  string
	refused  map[string]bool // templates
	reject   wechat.Code
	snapshot bool   // a virtual user of a page in snapshot mode
	status   string // of receipts
}

func newAccount(p *Platform, cfg AccountConfig) *Account {
	cfg = cfg.withDefaults()
	a := &Account{
		p: p, cfg: cfg,
		followers: map[string]*follower{},
		counters:  map[string]*counter{},
		limits:    defaultLimits(cfg),
		recent:    newDedupe(),
	}
	for _, t := range cfg.Templates {
		a.templates = append(a.templates, newTemplate(t))
	}
	if cfg.Callback.Handler != nil {
		a.loop = p.newLoopback(cfg.Callback.Handler)
	}
	return a
}

// AppID returns the account's appid.
func (a *Account) AppID() string { return a.cfg.AppID }

// Follow makes the openids followers, without an event.
func (a *Account) Follow(openids ...string) {
	a.change(openids, func(f *follower) {
		if !f.follows {
			f.follows, f.since, f.scene = true, time.Now(), sceneSearch
		}
	})
}

// Unfollow makes the openids non-followers, without an event: a send answers
// 43004.
func (a *Account) Unfollow(openids ...string) {
	a.change(openids, func(f *follower) { f.follows = false })
}

// Refuse makes openid refuse one template, as users can since WeChat 8.0.38: a
// send answers 43101.
func (a *Account) Refuse(openid, templateID string) {
	a.change([]string{openid}, func(f *follower) { f.refused[templateID] = true })
}

// Allow undoes Refuse.
func (a *Account) Allow(openid, templateID string) {
	a.change([]string{openid}, func(f *follower) { delete(f.refused, templateID) })
}

// Reject answers every send to openid with code, such as 43019 (blacklisted),
// 43117 (too frequent) or 50002 (limited). 0 ends it.
func (a *Account) Reject(openid string, code wechat.Code) {
	a.change([]string{openid}, func(f *follower) { f.reject = code })
}

// SetReceipt sets the status of openid's receipts, such as "failed:user block".
// Empty means success.
func (a *Account) SetReceipt(openid, status string) {
	a.change([]string{openid}, func(f *follower) { f.status = status })
}

// Follows reports whether openid is a follower.
func (a *Account) Follows(openid string) bool {
	defer a.p.locked()()
	return a.follows(openid)
}

// AddTemplate adds t, or replaces the template with the same id.
func (a *Account) AddTemplate(t Template) {
	defer a.p.locked()()
	a.deleteTemplate(t.ID)
	a.templates = append(a.templates, newTemplate(t))
}

// DeleteTemplate deletes a template, as an administrator or a change of industry
// does: a send answers 40037.
func (a *Account) DeleteTemplate(id string) {
	defer a.p.locked()()
	a.deleteTemplate(id)
}

func (a *Account) deleteTemplate(id string) {
	a.templates = slices.DeleteFunc(a.templates, func(t *template) bool { return t.ID == id })
}

// Templates returns the account's templates.
func (a *Account) Templates() []Template {
	defer a.p.locked()()
	list := make([]Template, len(a.templates))
	for i, t := range a.templates {
		list[i] = t.Template
	}
	return list
}

// SetSecret changes the AppSecret, which invalidates every token.
func (a *Account) SetSecret(secret wechat.Secret) {
	defer a.p.locked()()
	a.cfg.AppSecret = secret
	a.killTokens()
}

// Freeze answers every call that carries a token with code, such as 48004 or
// 50007. 0 ends it.
func (a *Account) Freeze(code wechat.Code) {
	defer a.p.locked()()
	a.frozen = code
}

// FreezeTokens answers every token fetch with code, such as 40243 or 89503. 0
// ends it.
func (a *Account) FreezeTokens(code wechat.Code) {
	defer a.p.locked()()
	a.tokensFrozen = code
}

// AccountStats is the state of an account. It has no token and no secret.
type AccountStats struct {
	AppID       string      `json:"appid"`
	Name        string      `json:"name"`
	DailyLimit  int64       `json:"daily_limit"`
	Used        int64       `json:"used"` // template sends that count against today's quota
	MinuteLimit int64       `json:"minute_limit"`
	Frozen      wechat.Code `json:"frozen"`
	Templates   int         `json:"templates"`
}

// Stats returns the account's state.
func (a *Account) Stats() AccountStats {
	defer a.p.locked()()
	return AccountStats{
		AppID: a.cfg.AppID, Name: a.cfg.Name, DailyLimit: a.limit(SendPath),
		Used: a.counter(SendPath, time.Now()).used, MinuteLimit: a.cfg.MinuteQuota,
		Frozen: a.frozen, Templates: len(a.templates),
	}
}

// change applies a change to followers under the lock.
func (a *Account) change(openids []string, change func(*follower)) {
	defer a.p.locked()()
	for _, openid := range openids {
		change(a.follower(openid))
	}
}

// follower returns the entry of openid and creates it when missing. The lock is
// held.
func (a *Account) follower(openid string) *follower {
	f := a.followers[openid]
	if f == nil {
		f = a.newFollower()
		f.refused = map[string]bool{}
		a.followers[openid] = f
		a.roster = append(a.roster, openid)
	}
	return f
}

// newFollower is the state of an openid without an entry.
func (a *Account) newFollower() *follower {
	return &follower{follows: !a.p.cfg.Strangers, since: time.Now(), scene: sceneSearch}
}

func (a *Account) follows(openid string) bool {
	if f := a.followers[openid]; f != nil {
		return f.follows
	}
	return !a.p.cfg.Strangers
}

func (a *Account) template(id string) *template {
	for _, t := range a.templates {
		if t.ID == id {
			return t
		}
	}
	return nil
}
