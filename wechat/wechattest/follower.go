package wechattest

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// Values of subscribe_scene.
const (
	sceneSearch = "ADD_SCENE_SEARCH"
	sceneQRCode = "ADD_SCENE_QR_CODE"
)

// Subscribe makes openid a follower and pushes the event. scene is the scene of
// the QR code, empty for a follow without one.
func (a *Account) Subscribe(openid, scene string) {
	defer a.p.locked()()
	ticket := ""
	if scene != "" {
		ticket = newTicket()
	}
	a.subscribe(openid, scene, ticket)
}

func (a *Account) subscribe(openid, scene, ticket string) {
	e := Event{Name: wechat.EventSubscribe, OpenID: openid, Ticket: ticket}
	f := a.follower(openid)
	f.follows, f.since, f.scene, f.qrScene = true, time.Now(), sceneSearch, scene
	if scene != "" {
		e.Key, f.scene = "qrscene_"+scene, sceneQRCode
	}
	a.enqueueNow(e)
}

// Unsubscribe makes openid a non-follower and pushes the event.
func (a *Account) Unsubscribe(openid string) {
	defer a.p.locked()()
	a.follower(openid).follows = false
	a.enqueueNow(Event{Name: wechat.EventUnsubscribe, OpenID: openid})
}

// QRCode is a parametric QR code that qrcode/create made.
type QRCode struct {
	Ticket  string    `json:"ticket"`
	Scene   string    `json:"scene"`
	Expires time.Time `json:"expires,omitzero"` // zero: never
}

// URL is the content of the QR code's picture.
func (q QRCode) URL() string { return "http://weixin.qq.com/q/" + q.Ticket[3:25] }

// QRCodes returns the account's QR codes, oldest first.
func (a *Account) QRCodes() []QRCode {
	defer a.p.locked()()
	return slices.Clone(a.qrcodes)
}

// Scan is openid scanning the QR code with this ticket: for a follower the
// platform pushes SCAN, a non-follower subscribes. It returns false when the
// ticket is unknown or has expired.
func (a *Account) Scan(openid, ticket string) bool {
	defer a.p.locked()()
	i := slices.IndexFunc(a.qrcodes, func(q QRCode) bool { return q.Ticket == ticket })
	if i < 0 {
		return false
	}
	q := a.qrcodes[i]
	if !q.Expires.IsZero() && time.Now().After(q.Expires) {
		return false
	}
	if a.follows(openid) {
		a.enqueueNow(Event{Name: wechat.EventScan, OpenID: openid, Key: q.Scene, Ticket: ticket})
		return true
	}
	a.subscribe(openid, q.Scene, ticket)
	return true
}

// Say is a follower who writes text to the account. It returns the id of the
// follower's message. The passive reply of the account's server is in Push.Reply.
func (a *Account) Say(openid, text string) wechat.MessageID {
	defer a.p.locked()()
	id := wechat.MessageID(rand.Int64N(1<<62) + 1<<53)
	a.enqueueNow(Event{MsgType: "text", OpenID: openid, Content: text, MsgID: id})
	return id
}

// systemOpenID is WeChat's own sender of user_authorization events.
const systemOpenID = "oSIMsystem000000000000000000"

// RevokeAuthorization is a user who withdraws the consent to use the profile:
// the platform pushes user_authorization_revoke, whose FromUserName is not the
// user.
func (a *Account) RevokeAuthorization(openid string) {
	a.endConsent(wechat.EventAuthorizationRevoked, openid)
}

// CancelAuthorization is a user who closes the WeChat account: the platform
// pushes user_authorization_cancellation, whose FromUserName is not the user.
func (a *Account) CancelAuthorization(openid string) {
	a.endConsent(wechat.EventAuthorizationCancelled, openid)
}

func (a *Account) endConsent(name, openid string) {
	a.Push(Event{
		Name: name, OpenID: systemOpenID, Subject: openid,
		Extra: "<AppID>" + cdata(a.cfg.AppID) + "</AppID><RevokeInfo>" + cdata("1") + "</RevokeInfo>",
	})
}

func newTicket() string { return "gQH" + randomText(91) + "==" }

// randomText returns n random letters and digits.
func randomText(n int) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	text := make([]byte, n)
	for i := range text {
		text[i] = letters[rand.IntN(len(letters))]
	}
	return string(text)
}
