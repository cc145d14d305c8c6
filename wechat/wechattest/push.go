package wechattest

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"net/http"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// pushers is how many events of one account are delivered at once.
const pushers = 64

// keepPushes is how many of the newest pushes are kept.
const keepPushes = 10_000

// Push is one event that the platform tried to deliver.
type Push struct {
	AppID string `json:"account"`
	Event
	At    time.Time `json:"at"` // of the last try
	Tries int       `json:"tries"`
	// Taken means that the server answered in time with 200 and an empty body,
	// success, or a reply.
	Taken bool `json:"taken"`
	// Err is why the last try got no answer, or an unreadable reply.
	Err error `json:"-"`
	// Answer is the body of the last answer, at most 64 KB.
	Answer string `json:"answer"`
	// Reply is the passive reply in Answer, decrypted. Empty: none.
	Reply string `json:"reply,omitempty"`
}

// outbox holds an account's events until they are due, oldest first.
type outbox struct {
	queue   []duePush
	running int
}

type duePush struct {
	event Event
	due   time.Time
	seq   int64 // of the message that this is the receipt of; 0 for other events
}

// Pushes returns the delivered and failed events, oldest first, at most 10 000.
func (p *Platform) Pushes() []Push {
	defer p.locked()()
	return append([]Push(nil), p.pushed...)
}

// PushCounts counts events since the start or the last Reset.
type PushCounts struct {
	Taken   int `json:"taken"`
	Failed  int `json:"failed"`  // not taken after the last try
	Waiting int `json:"waiting"` // not due yet, or being delivered
}

// PushCounts returns the counts of all accounts' events.
func (p *Platform) PushCounts() PushCounts {
	defer p.locked()()
	n := PushCounts{Taken: p.pushTaken, Failed: p.pushFailed}
	for _, a := range p.order {
		n.Waiting += len(a.outbox.queue) + a.outbox.running
	}
	return n
}

// Push delivers an event to the account's server in the background, with the
// timeout and the tries of its CallbackConfig. Without a server it does nothing.
func (a *Account) Push(e Event) {
	defer a.p.locked()()
	a.enqueueNow(e)
}

func (a *Account) enqueueNow(e Event) { a.enqueue(duePush{event: e, due: time.Now()}) }

// enqueue queues an event and starts a goroutine for it, at most pushers. The
// lock is held.
func (a *Account) enqueue(d duePush) {
	if !a.cfg.Callback.enabled() || a.p.closed {
		return
	}
	if d.event.MsgType == "" {
		d.event.MsgType = wechat.MsgTypeEvent
	}
	a.outbox.queue = append(a.outbox.queue, d)
	if a.outbox.running < pushers {
		a.outbox.running++
		a.p.pushes.Add(1)
		go a.drain()
	}
}

// drain delivers events until the outbox is empty.
func (a *Account) drain() {
	defer a.p.pushes.Done()
	for {
		d, ok := a.nextPush()
		if !ok {
			return
		}
		if wait(a.p.ctx, time.Until(d.due)) {
			a.push(a.p.ctx, d)
		}
	}
}

func (a *Account) nextPush() (duePush, bool) {
	defer a.p.locked()()
	if len(a.outbox.queue) == 0 || a.p.closed {
		a.outbox.running--
		return duePush{}, false
	}
	d := a.outbox.queue[0]
	a.outbox.queue = a.outbox.queue[1:]
	return d, true
}

// push tries one event until it is taken or no try is left.
func (a *Account) push(ctx context.Context, d duePush) {
	cb := a.callback()
	result := Push{AppID: a.cfg.AppID, Event: d.event}
	created := time.Now() // CreateTime, the same in every try
	if d.due.Before(created) {
		created = d.due
	}
	var request delivery
	for range cb.Tries {
		result.Tries++
		result.At = time.Now()
		if request.target == "" || !cb.SameQuery {
			if request, result.Err = a.delivery(cb, d.event, created, result.At); result.Err != nil {
				break
			}
		}
		a.try(ctx, cb, request, &result)
		if result.Taken || !wait(ctx, cb.RetryGap) {
			break
		}
	}
	defer a.p.locked()()
	if len(a.p.pushed) >= keepPushes {
		a.p.pushed = append(a.p.pushed[:0:0], a.p.pushed[keepPushes/10:]...)
	}
	a.p.pushed = append(a.p.pushed, result)
	if result.Taken {
		a.p.pushTaken++
	} else {
		a.p.pushFailed++
	}
	if m := a.p.chats.at(d.seq); d.seq > 0 && m != nil {
		m.Receipt = d.event.Status
	}
}

// try makes one request and writes its outcome into result.
func (a *Account) try(ctx context.Context, cb CallbackConfig, d delivery, result *Push) {
	ctx, cancel := context.WithTimeout(ctx, cb.Timeout)
	defer cancel()
	result.Taken, result.Answer, result.Reply = false, "", ""
	req, err := d.request(ctx)
	if err != nil {
		result.Err = err
		return
	}
	status, body, err := a.exchange(cb, req)
	result.Answer, result.Err = string(body), err
	if err != nil || status != http.StatusOK {
		return
	}
	switch answer := bytes.TrimSpace(body); {
	case len(answer) == 0, string(answer) == "success":
		result.Taken = true
	case bytes.HasPrefix(answer, []byte("<xml")):
		result.Reply, result.Err = a.reply(cb, answer)
		result.Taken = result.Err == nil
	}
}

// reply opens a passive reply: encrypted in secure mode, clear in plain mode,
// either in compat mode.
func (a *Account) reply(cb CallbackConfig, answer []byte) (string, error) {
	var envelope struct {
		Encrypt      string `xml:"Encrypt"`
		MsgSignature string `xml:"MsgSignature"`
		TimeStamp    string `xml:"TimeStamp"`
		Nonce        string `xml:"Nonce"`
	}
	if err := xml.Unmarshal(answer, &envelope); err != nil {
		return "", errors.New("wechattest: the passive reply is not XML")
	}
	if envelope.Encrypt == "" && cb.Mode != CallbackSecure {
		return string(answer), nil
	}
	if cb.Mode == CallbackPlain || envelope.MsgSignature !=
		sign(cb.Token.Reveal(), envelope.TimeStamp, envelope.Nonce, envelope.Encrypt) {
		return "", errReply
	}
	return decrypt(cb.EncodingAESKey.Reveal(), a.cfg.AppID, envelope.Encrypt)
}

// receipt queues the receipts of an accepted message. The lock is held. The
// result, if not nil, must run before the send is answered.
func (a *Account) receipt(m Seen) func() {
	cb := a.cfg.Callback
	if !cb.enabled() || cb.LostShare > 0 && a.p.script.random.Float64() < cb.LostShare {
		return nil
	}
	cb = cb.withDefaults()
	e := Event{Name: wechat.EventTemplateFinished, OpenID: m.OpenID, MsgID: m.MsgID, Status: ReceiptSuccess, MsgType: wechat.MsgTypeEvent}
	if f := a.followers[m.OpenID]; f != nil && f.status != "" {
		e.Status = f.status
	}
	if cb.ZeroMsgID && m.ClientMsgID != "" {
		e.MsgID = 0
	}
	d := duePush{event: e, due: m.At.Add(cb.Delay), seq: m.Seq}
	copies := cb.Copies
	if cb.BeforeAnswer {
		copies--
	}
	for range copies {
		a.enqueue(d)
	}
	if !cb.BeforeAnswer {
		return nil
	}
	return func() { a.push(a.p.ctx, d) }
}

// wait waits for d. It returns false when ctx ends first.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
