package wechattest

import (
	"context"
	"math/rand/v2"
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
	Taken bool  // the server answered in time with 200 and an empty body or success
	Err   error // of the last try that failed without an answer
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
	for range cb.Tries {
		result.Tries++
		result.At = time.Now()
		if result.Taken, result.Err = a.try(ctx, cb, d.event); result.Taken || !wait(ctx, cb.RetryGap) {
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

func (a *Account) try(ctx context.Context, cb CallbackConfig, e Event) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, cb.Timeout)
	defer cancel()
	req, err := a.request(ctx, cb, e, time.Now())
	if err != nil {
		return false, err
	}
	status, body, err := a.exchange(cb, req)
	return err == nil && taken(status, body), err
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

func newTicket() string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	ticket := []byte("gQH")
	for len(ticket) < 94 {
		ticket = append(ticket, letters[rand.IntN(len(letters))])
	}
	return string(ticket) + "=="
}
