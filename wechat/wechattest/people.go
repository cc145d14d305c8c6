package wechattest

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// Subscribe makes openid a follower and tells the account's server. scene is
// the scene of the QR code, empty for a plain follow.
func (a *Account) Subscribe(openid, scene string) {
	defer a.p.locked()()
	a.subscribe(openid, scene, "")
}

func (a *Account) subscribe(openid, scene, ticket string) {
	e := Event{Name: "subscribe", OpenID: openid, Ticket: ticket}
	how := "ADD_SCENE_SEARCH"
	if scene != "" {
		e.Key, how = "qrscene_"+scene, "ADD_SCENE_QR_CODE"
		if ticket == "" {
			e.Ticket = newTicket()
		}
	}
	f := a.follower(openid)
	f.follows, f.since, f.scene, f.qrScene = true, time.Now(), how, scene
	a.enqueue(duePush{event: e, due: time.Now()})
}

// Unsubscribe makes openid a non-follower and tells the account's server.
func (a *Account) Unsubscribe(openid string) {
	defer a.p.locked()()
	a.follower(openid).follows = false
	a.enqueue(duePush{event: Event{Name: "unsubscribe", OpenID: openid}, due: time.Now()})
}

// QRCode is a parametric QR code that the platform handed out.
type QRCode struct {
	Ticket  string    `json:"ticket"`
	Scene   string    `json:"scene"`
	Expires time.Time `json:"expires,omitzero"` // zero: never
}

// QRCodes lists the QR codes of qrcode/create, oldest first.
func (a *Account) QRCodes() []QRCode {
	defer a.p.locked()()
	tickets := slices.SortedFunc(maps.Keys(a.qrcodes), func(one, other string) int {
		return cmp.Or(a.qrcodes[one].made.Compare(a.qrcodes[other].made), strings.Compare(one, other))
	})
	out := make([]QRCode, len(tickets))
	for i, t := range tickets {
		out[i] = QRCode{t, a.qrcodes[t].scene, a.qrcodes[t].expires}
	}
	return out
}

func (p *Platform) listQRCodes(r *http.Request) (any, error) {
	a, err := p.named(r.URL.Query().Get("account"))
	if err != nil {
		return nil, err
	}
	return map[string][]QRCode{"qrcodes": a.QRCodes()}, nil
}

// Scan is what happens when openid scans a QR code with this ticket of
// qrcode/create: a follower's server gets SCAN, a stranger subscribes. It
// reports false when the ticket is not known or has expired.
func (a *Account) Scan(openid, ticket string) bool {
	defer a.p.locked()()
	q, ok := a.qrcodes[ticket]
	if !ok || !q.expires.IsZero() && time.Now().After(q.expires) {
		return false
	}
	if a.follows(openid) {
		a.enqueue(duePush{event: Event{Name: "SCAN", OpenID: openid, Key: q.scene, Ticket: ticket}, due: time.Now()})
		return true
	}
	a.subscribe(openid, q.scene, ticket)
	return true
}

// Say is a follower who writes text to the account. It returns the message's
// own number. What the account's server replies stands in Push.Reply.
func (a *Account) Say(openid, text string) wechat.MessageID {
	defer a.p.locked()()
	id := wechat.MessageID(rand.Int64N(1<<62) + 1<<53)
	a.enqueue(duePush{event: Event{MsgType: "text", OpenID: openid, Content: text, MsgID: id}, due: time.Now()})
	return id
}

// WeChat's own account, which tells that a user's consent ended.
const systemOpenID = "oSIMsystem000000000000000000"

// RevokeAuthorization is a user who withdraws the consent to use the profile:
// user_authorization_revoke, whose FromUserName is not the user.
func (a *Account) RevokeAuthorization(openid string) {
	a.consentEnds("user_authorization_revoke", openid)
}

// CancelAuthorization is a user who closes the WeChat account:
// user_authorization_cancellation, whose FromUserName is not the user.
func (a *Account) CancelAuthorization(openid string) {
	a.consentEnds("user_authorization_cancellation", openid)
}

func (a *Account) consentEnds(name, openid string) {
	defer a.p.locked()()
	a.enqueue(duePush{event: Event{
		Name: name, OpenID: systemOpenID, Subject: openid,
		Extra: "<AppID>" + cdata(a.cfg.AppID) + "</AppID><RevokeInfo>" + cdata("1") + "</RevokeInfo>",
	}, due: time.Now()})
}

func newTicket() string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	ticket := []byte("gQH")
	for len(ticket) < 94 {
		ticket = append(ticket, letters[rand.IntN(len(letters))])
	}
	return string(ticket) + "=="
}
