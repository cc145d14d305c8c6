package worker_test

import (
	"context"
	"encoding/xml"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// clerk takes WeChat's events to the ledger, as the public endpoint does.
type clerk struct {
	p       *pipe
	records *ledger.Ledger

	mu      sync.Mutex
	settled []*ledger.Settled
}

func newClerk(p *pipe) *clerk {
	p.Helper()
	records, err := ledger.New(p.admin, appid, nil, ledger.Config{})
	if err != nil {
		p.Fatal(err)
	}
	c := &clerk{p: p, records: records}
	p.Cleanup(func() { _ = records.Close() })
	return c
}

func (c *clerk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var e struct {
		FromUserName, Status string
		CreateTime           int64
		MsgID                int64
	}
	if err := xml.NewDecoder(r.Body).Decode(&e); err != nil {
		c.p.Error(err)
	}
	receipt := ledger.Receipt{
		MsgID: wechat.MessageID(e.MsgID), OpenID: e.FromUserName, Status: e.Status, At: time.Unix(e.CreateTime, 0),
	}
	s, err := c.records.Receipt(r.Context(), receipt)
	if err == nil && s == nil {
		go c.later(context.WithoutCancel(r.Context()), receipt)
	}
	if err == nil {
		err = c.again(r.Context(), s)
	}
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError) // WeChat pushes it again
	}
}

// later looks again for the message of a receipt that named none.
func (c *clerk) later(ctx context.Context, r ledger.Receipt) {
	time.Sleep(time.Minute)
	s, err := c.records.Match(ctx, r)
	for err == nil {
		if err = c.again(ctx, s); err == nil {
			return
		}
		time.Sleep(time.Second)
	}
	c.p.Error(err)
}

// again puts the message on its queue again where the receipt asks for it.
func (c *clerk) again(ctx context.Context, s *ledger.Settled) error {
	c.mu.Lock()
	c.settled = append(c.settled, s)
	c.mu.Unlock()
	if s == nil || s.Resend == nil {
		return nil
	}
	existing, err := queue.Put(ctx, c.p.admin, appid, s.Class, queue.Item{ID: s.ID, Payload: s.Resend.Payload, ProcessAt: s.Resend.After})
	if err == nil && existing[0] == "active" {
		err = queue.ErrActive // its first task is not completed yet
	}
	return err
}

// WeChat takes a message and cannot deliver it: one of class critical is sent
// again when WeChat no longer takes it for a repetition, once; others are not.
func TestRcp06StoryOfAResend(t *testing.T) {
	t.Parallel()
	for name, cb := range map[string]wechattest.CallbackConfig{
		"usual":                       {RetryGap: time.Second},
		"twice and before the answer": {RetryGap: time.Second, Copies: 2, BeforeAnswer: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var c *clerk
				cb.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.ServeHTTP(w, r) })
				p := newPipe(t, wechattest.Config{
					Latency:  20 * time.Millisecond,
					Accounts: []wechattest.AccountConfig{{AppID: appid, Callback: cb}},
				}, terms{concurrency: 4})
				c = newClerk(p)
				saved, lost, usual := envelope(appid, job.Critical, "saved"), envelope(appid, job.Critical, "lost"), envelope(appid, job.Default, "usual")
				a := p.p.Account(appid)
				for _, e := range []job.Envelope{saved, lost, usual} {
					a.SetReceipt(e.To, wechattest.ReceiptSystemFailed)
				}
				p.enqueue(appid, job.Critical, "saved", "lost")
				p.enqueue(appid, job.Default, "usual")
				w := p.start()
				p.until("to be sent again", time.Second, 5*time.Minute, func() bool {
					got := p.records(appid, "saved", "lost", "usual")
					return got[ledger.Retrying] == 2 && got[ledger.Rejected] == 1
				})
				if r := p.record(a.AppID(), "saved"); r.ResendAt.IsZero() || r.Reason != "system-failed" {
					t.Errorf("record %+v", r)
				}
				p.until("on its queue", time.Second, time.Minute, func() bool { return p.left(appid) == 2 })
				a.SetReceipt(saved.To, "")
				p.until("settled", 5*time.Second, 20*time.Minute, func() bool {
					got := p.records(appid, "saved", "lost")
					return got[ledger.Delivered] == 1 && got[ledger.Rejected] == 1
				})
				time.Sleep(2 * time.Minute) // virtual: nothing more happens
				if r := p.record(a.AppID(), "saved"); r.State != ledger.Delivered || r.Resends != 1 || r.PossibleDuplicate {
					t.Errorf("record %+v", r)
				}
				if r := p.record(a.AppID(), "lost"); r.State != ledger.Rejected || r.Receipt != "system-failed" {
					t.Errorf("record %+v", r)
				}
				var at []time.Time
				for _, m := range p.p.Seen() {
					if m.ClientMsgID == "saved" {
						at = append(at, m.At)
					}
				}
				if len(at) != 2 || at[1].Sub(at[0]) < 10*time.Minute+30*time.Second {
					t.Errorf("accepted at %v, want twice, more than ten minutes apart", at)
				}
				if calls := p.p.Calls(wechattest.SendPath).Total; calls != 5 {
					t.Errorf("%d calls, want 5: a resend is one call", calls)
				}
				if n := p.left(appid); n != 0 {
					t.Errorf("%d tasks are left", n)
				}
				if err := w.stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// The worker is killed between the record and the completion of its task, which
// comes back while the resend waits: it is not sent before its time.
func TestStoryOfAResendAfterACrash(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, wechattest.Config{}, terms{concurrency: 4})
		c := newClerk(p)
		e := envelope(appid, job.Critical, "m")
		payload, err := job.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.records.Begin(t.Context(), e, ledger.Delivery{N: 1}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.records.Accepted(t.Context(), "m", 1, ledger.Acceptance{To: e.To, MsgID: 7, Class: e.Class, Payload: payload}); err != nil {
			t.Fatal(err)
		}
		s, err := c.records.Receipt(t.Context(), ledger.Receipt{MsgID: 7, OpenID: e.To, Status: "failed: system failed"})
		if err != nil || s.Resend == nil {
			t.Fatalf("got %+v, %v", s, err)
		}
		p.enqueueAll(appid, job.Critical, []string{"m"}, func(_ int, own *job.Envelope) { *own = e }) // the first task, back
		if err := c.again(t.Context(), s); err != nil {
			t.Fatalf("a task of this ID waits already: %v", err)
		}
		p.start()
		time.Sleep(time.Until(s.Resend.After) - time.Second)
		if n := p.p.Calls(wechattest.SendPath).Total; n != 0 {
			t.Fatalf("%d calls before its time", n)
		}
		p.drained(time.Second, 2*time.Minute)
		p.seenOnce("m")
		if r := p.record(appid, "m"); r.State != ledger.Accepted || r.Resends != 1 {
			t.Errorf("record %+v", r)
		}
	})
}

// rcp-03: the answer is lost and the replays fail: the message ends as unknown, and
// its receipt, whose msgid is in no record, then settles it.
func TestRcp03StoryOfALostAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c *clerk
		p := newPipe(t, wechattest.Config{Accounts: []wechattest.AccountConfig{{AppID: appid, Callback: wechattest.CallbackConfig{
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.ServeHTTP(w, r) }),
		}}}}, terms{concurrency: 4})
		c = newClerk(p)
		to := envelope(appid, job.Default, "m").To
		p.p.Script(wechattest.CutAfterAccept().For(to).Times(1), wechattest.Errcode(-1).For(to).Times(100))
		p.enqueue(appid, job.Default, "m", "n")
		p.start()
		p.drained(time.Second, 20*time.Minute)
		if r := p.record(appid, "m"); r.State != ledger.Delivered || r.MsgID == 0 || r.SentAt.IsZero() {
			t.Errorf("record %+v", r)
		}
		if r := p.record(appid, "n"); r.State != ledger.Delivered {
			t.Errorf("record %+v", r)
		}
		p.seenOnce("m", "n")
		if calls := p.p.Calls(wechattest.SendPath).Total; calls > 10 {
			t.Errorf("%d calls: the replays go on although the receipt came", calls)
		}
	})
}
