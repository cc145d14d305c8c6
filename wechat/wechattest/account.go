package wechattest

import (
	"slices"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// Account is one account on the platform. Its verbs are what an administrator
// or a follower does; they are safe for concurrent use and take effect at once.
type Account struct {
	p   *Platform
	cfg AccountConfig

	// Guarded by the platform's lock.
	templates    []*template
	followers    map[string]*follower
	roster       []string // openids of followers, in the order of their coming
	frozen       wechat.Code
	tokensFrozen wechat.Code
	classic      *accessToken
	stable       *accessToken
	forced       forceCount
	counters     map[string]*counter
	limits       map[string]int64
	recent       dedupe
	industry     [2]string
	industryAt   time.Time
	clears       monthCount
	apiClears    monthCount
	outbox       outbox
	loop         *Loopback // to Callback.Handler
	qrcodes      map[string]qrcode
}

// follower is what the platform knows of one openid beyond the default.
type follower struct {
	follows  bool
	since    time.Time
	scene    string
	qrScene  string
	refused  map[string]bool
	reject   wechat.Code
	snapshot bool   // a virtual user of a page in quick look
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
		qrcodes:   map[string]qrcode{},
		industry:  [2]string{"1", "4"},
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

// Follow makes the openids followers.
func (a *Account) Follow(openids ...string) {
	a.each(openids, func(f *follower) { a.follow(f, "ADD_SCENE_SEARCH") })
}

// Unfollow makes the openids non-followers: a send answers 43004.
func (a *Account) Unfollow(openids ...string) {
	a.each(openids, func(f *follower) { f.follows = false })
}

// Refuse makes openid refuse one template, as the recipient can in WeChat
// 8.0.38 and later: a send answers 43101.
func (a *Account) Refuse(openid, templateID string) {
	a.each([]string{openid}, func(f *follower) { f.refused[templateID] = true })
}

// Allow undoes Refuse.
func (a *Account) Allow(openid, templateID string) {
	a.each([]string{openid}, func(f *follower) { delete(f.refused, templateID) })
}

// Reject answers every send to openid with code, such as 43019 (blacklist),
// 43117 (too often) or 50002 (limited); 0 stops it.
func (a *Account) Reject(openid string, code wechat.Code) {
	a.each([]string{openid}, func(f *follower) { f.reject = code })
}

// SetReceipt sets the status of openid's receipts, such as "failed:user block";
// empty means success.
func (a *Account) SetReceipt(openid, status string) {
	a.each([]string{openid}, func(f *follower) { f.status = status })
}

// Follows reports whether openid is a follower.
func (a *Account) Follows(openid string) bool {
	defer a.p.locked()()
	return a.follows(openid)
}

// AddTemplate adds t, or replaces the template with its id.
func (a *Account) AddTemplate(t Template) {
	defer a.p.locked()()
	a.templates = slices.DeleteFunc(a.templates, func(o *template) bool { return o.ID == t.ID })
	a.templates = append(a.templates, newTemplate(t))
}

// DeleteTemplate removes a template, as an administrator or a change of
// industry does: a send answers 40037.
func (a *Account) DeleteTemplate(id string) {
	defer a.p.locked()()
	a.templates = slices.DeleteFunc(a.templates, func(o *template) bool { return o.ID == id })
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

// SetSecret changes the AppSecret, which kills every token.
func (a *Account) SetSecret(secret wechat.Secret) {
	defer a.p.locked()()
	a.cfg.AppSecret = secret
	a.killTokens()
}

// SetAllowedIPs changes the IP whitelist of the token endpoints; none allows all.
func (a *Account) SetAllowedIPs(ips ...string) {
	defer a.p.locked()()
	a.cfg.AllowedIPs = ips
}

// Freeze answers every call that carries a token with code, such as 48004 or
// 50007; 0 thaws.
func (a *Account) Freeze(code wechat.Code) {
	defer a.p.locked()()
	a.frozen = code
}

// FreezeTokens answers every fetch of a token with code, such as 40243 or
// 89503; 0 thaws.
func (a *Account) FreezeTokens(code wechat.Code) {
	defer a.p.locked()()
	a.tokensFrozen = code
}

// each changes followers under the lock and keeps the roster.
func (a *Account) each(openids []string, change func(*follower)) {
	defer a.p.locked()()
	for _, openid := range openids {
		change(a.follower(openid))
	}
}

// follower returns the entry of openid, made when it is missing. The lock is held.
func (a *Account) follower(openid string) *follower {
	f := a.followers[openid]
	if f == nil {
		f = &follower{follows: !a.p.cfg.Strangers, since: time.Now(), scene: "ADD_SCENE_SEARCH", refused: map[string]bool{}}
		a.followers[openid] = f
		a.roster = append(a.roster, openid)
	}
	return f
}

func (a *Account) follow(f *follower, scene string) {
	if !f.follows {
		f.follows, f.since, f.scene = true, time.Now(), scene
	}
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
