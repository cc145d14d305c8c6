package wechattest

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"net/http"
	"time"
)

// pushers is how many events of one account are under way at once.
const pushers = 64

// keepPushes bounds the list of Pushes.
const keepPushes = 10_000

// Push is one event that the platform tried to deliver.
type Push struct {
	AppID string
	Event Event
	At    time.Time // of the last try
	Tries int
	Taken bool  // the server answered in time with 200 and an empty body, success or a reply
	Err   error // of the last try that failed without an answer, or with an unreadable reply
	// Answer is the body of the last answer as it came, at most 64 KB.
	Answer []byte
	// Reply is the passive reply in Answer, in the clear; empty when there is none.
	Reply []byte
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

// Pushes returns the events that were tried, oldest first, at most 10 000.
func (p *Platform) Pushes() []Push {
	defer p.locked()()
	return append([]Push(nil), p.pushed...)
}

// PushesWaiting counts the events not yet tried to the end.
func (p *Platform) PushesWaiting() int {
	defer p.locked()()
	n := 0
	for _, a := range p.order {
		n += len(a.outbox.queue) + a.outbox.running
	}
	return n
}

// Push delivers an event to the account's server in the background, with
// WeChat's timeout and tries. Without a callback it does nothing.
func (a *Account) Push(e Event) {
	defer a.p.locked()()
	a.enqueue(duePush{event: e, due: time.Now()})
}

// enqueue hands a push to a pusher, started when there are fewer than the bound.
// The lock is held.
func (a *Account) enqueue(d duePush) {
	if !a.cfg.Callback.enabled() || a.p.closed {
		return
	}
	a.outbox.queue = append(a.outbox.queue, d)
	if a.outbox.running < pushers {
		a.outbox.running++
		a.p.pushes.Add(1)
		go a.drain()
	}
}

// drain pushes until the outbox is empty.
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

// push tries one event until it is taken or the tries are used up.
func (a *Account) push(ctx context.Context, d duePush) {
	cb := a.callback()
	result := Push{AppID: a.cfg.AppID, Event: d.event}
	created := time.Now() // the event's own time, the same in every try
	if d.due.Before(created) {
		created = d.due
	}
	var now delivery
	for range cb.Tries {
		result.Tries++
		result.At = time.Now()
		if now.target == "" || !cb.SameQuery {
			if now, result.Err = a.delivery(cb, d.event, created, result.At); result.Err != nil {
				break
			}
		}
		a.try(ctx, cb, now, &result)
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

// try makes one request and writes what came of it into result.
func (a *Account) try(ctx context.Context, cb CallbackConfig, d delivery, result *Push) {
	ctx, cancel := context.WithTimeout(ctx, cb.Timeout)
	defer cancel()
	result.Taken, result.Answer, result.Reply = false, nil, nil
	req, err := d.request(ctx)
	if err != nil {
		result.Err = err
		return
	}
	status, body, err := a.exchange(cb, req)
	result.Answer, result.Err = body, err
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

// reply reads a passive reply: encrypted in secure mode, in any way in compat
// mode, clear in plain mode.
func (a *Account) reply(cb CallbackConfig, answer []byte) ([]byte, error) {
	var envelope struct {
		Encrypt      string `xml:"Encrypt"`
		MsgSignature string `xml:"MsgSignature"`
		TimeStamp    string `xml:"TimeStamp"`
		Nonce        string `xml:"Nonce"`
	}
	if err := xml.Unmarshal(answer, &envelope); err != nil {
		return nil, errors.New("wechattest: the passive reply is not XML")
	}
	if envelope.Encrypt == "" && cb.Mode != CallbackSecure {
		return answer, nil
	}
	if cb.Mode == CallbackPlain || envelope.MsgSignature !=
		sign(cb.Token.Reveal(), envelope.TimeStamp, envelope.Nonce, envelope.Encrypt) {
		return nil, errReply
	}
	text, err := decrypt(cb.EncodingAESKey.Reveal(), a.cfg.AppID, envelope.Encrypt)
	return []byte(text), err
}

// receipt schedules the receipts of an accepted message. The lock is held. The
// result runs before the answer leaves; nil when nothing must.
func (a *Account) receipt(m Seen) func() {
	cb := a.cfg.Callback
	if !cb.enabled() || cb.LostShare > 0 && a.p.script.dice.Float64() < cb.LostShare {
		return nil
	}
	cb = cb.withDefaults()
	e := Event{Name: receiptEvent, OpenID: m.OpenID, MsgID: m.MsgID, Status: ReceiptSuccess}
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

// wait passes d and reports false when ctx ends first.
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
