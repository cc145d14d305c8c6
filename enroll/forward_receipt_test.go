package enroll_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// withReceipts forwards receipts under msgid 9000 and the length of the message's ID.
func withReceipts(f forwarder) func(*enroll.Config) {
	return func(c *enroll.Config) {
		c.Accounts[0].Forward = f
		c.Accounts[0].ReceiptMsgID = func(id string) wechat.MessageID { return wechat.MessageID(9000 + len(id)) }
	}
}

// The business's own SDK reads the receipt as WeChat's in plain mode, whatever the mode
// of the account, with the msgid that the gateway had answered.
func TestReceiptsGoOnToTheBusinessWithTheMsgidOfTheGateway(t *testing.T) {
	t.Parallel()
	for _, mode := range []wechat.CallbackMode{wechat.CallbackPlain, wechat.CallbackSecure} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				shopToken := newCallback(t, wechat.CallbackPlain)
				var mu sync.Mutex
				var got []wechat.Event
				business := wechattest.NewLoopback(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					body, _ := io.ReadAll(r.Body)
					p, err := shopToken.Open(r.URL.Query(), body)
					if err != nil {
						t.Errorf("the business cannot read it: %v", err)
						return
					}
					mu.Lock()
					defer mu.Unlock()
					got = append(got, *p.Event)
				}))
				t.Cleanup(business.Close)
				w := newWorld(t, settings{mode: mode, change: func(c *enroll.Config) {
					f, err := enroll.NewHTTPForwarder("http://shop.test/wechat", c.Accounts[0].Callback, business.Client())
					must(t, err)
					withReceipts(func(ctx context.Context, p *wechat.Push) ([]byte, error) { return f.Forward(ctx, p) })(c)
				}})
				w.run()
				w.message("order-1", openID, job.Bulk, 1)
				w.message("order-22", openID, job.Bulk, 2)
				w.p.Account(appID).Push(finished(1, "success"))
				w.p.Account(appID).Push(finished(2, "failed:user block"))
				w.p.Account(appID).Push(finished(77, "success")) // another system's
				settle()
				time.Sleep(3 * time.Minute) // virtual: the second looks
				settle()
				if len(got) != 2 || w.record("order-1").State != ledger.Delivered {
					t.Fatalf("%d receipts went on: %+v", len(got), got)
				}
				slices.SortFunc(got, func(a, b wechat.Event) int { return int(a.MsgID - b.MsgID) })
				for i, want := range []wechat.Event{{MsgID: 9007, Status: "success"}, {MsgID: 9008, Status: "failed:user block"}} {
					g := got[i]
					if g.MsgID != want.MsgID || g.Status != want.Status || g.OpenID != openID || g.To == "" || !g.Is(wechat.EventTemplateFinished) || g.CreatedAt.IsZero() {
						t.Errorf("receipt %d is %+v", i, g)
					}
				}
			})
		})
	}
}

// A business that is away for some minutes gets each receipt later; settling goes on.
func TestReceiptsAreForwardedAgainUntilTheyAreTaken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		away  time.Duration
		taken int
	}{"for 3 minutes": {3 * time.Minute, 1}, "for an hour": {time.Hour, 0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				back := time.Now().Add(c.away)
				taken, tries := 0, 0
				w := newWorld(t, settings{change: withReceipts(func(context.Context, *wechat.Push) ([]byte, error) {
					if tries++; time.Now().Before(back) {
						return nil, errors.New("down")
					}
					taken++
					return nil, nil
				})})
				w.run()
				w.message("order-1", openID, job.Bulk, 1)
				w.p.Account(appID).Push(finished(1, "success"))
				settle()
				if r := w.record("order-1"); r.State != ledger.Delivered {
					t.Errorf("settling waits for the business: %+v", r)
				}
				time.Sleep(2 * time.Hour) // virtual
				settle()
				if taken != c.taken || tries > 10 {
					t.Errorf("taken %d times in %d tries, want %d", taken, tries, c.taken)
				}
				if n := w.count(enroll.KindEnded, "delivered"); n > 1 {
					t.Errorf("the end was counted %d times", n)
				}
			})
		})
	}
}

// What is sent again has not ended: its receipt does not go on, the last one does.
func TestAReceiptOfAMessageThatIsSentAgainStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		taken := 0
		w := newWorld(t, settings{
			roster: func(c *enroll.RosterConfig) { c.Resend = []job.Class{job.Bulk} },
			change: withReceipts(func(context.Context, *wechat.Push) ([]byte, error) { taken++; return nil, nil }),
		})
		records, err := ledger.New(w.rdb, appID, nil, ledger.Config{Resend: []job.Class{job.Bulk}})
		must(t, err)
		t.Cleanup(func() { _ = records.Close() })
		w.records = records
		w.run()
		w.message("order-1", openID, job.Bulk, 1)
		w.p.Account(appID).Push(finished(1, "failed: system failed"))
		settle()
		if r := w.record("order-1"); r.State.Ended() || taken != 0 {
			t.Errorf("the message is %s, and %d receipts went on", r.State, taken)
		}
	})
}
