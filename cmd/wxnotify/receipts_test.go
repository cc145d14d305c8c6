package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redisconn"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// TestReceiptsOfACampaign: 7 300 receipts against one enroll process and a real Redis, as
// fast as 64 connections bring them. None is lost, the ledger is right for each, and at p99
// they are acknowledged before WeChat gives up. How many a second, P15 measures.
func TestReceiptsOfACampaign(t *testing.T) {
	t.Parallel()
	const total = 7300
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "everysec")
	w := newWorld(t, server.URL())
	addr := testutil.FreeAddr(t)
	env := w.with("WXNOTIFY_PUBLIC_ADDR", addr, "WXNOTIFY_CALLBACK_TOKEN", callbackToken, "WXNOTIFY_CALLBACK_MODE", "plain")
	proc := start(t, env, "enroll")
	proc.says(t, "enroll started")

	rdb, err := redisconn.Dial(server.URL())
	check(t, err)
	defer func() { _ = rdb.Close() }()
	records, err := ledger.New(rdb, wechattest.AppID, nil, ledger.Config{})
	check(t, err)
	defer func() { _ = records.Close() }()
	side(t, total, func(i int) error { return acceptedMessage(t.Context(), records, i) })

	callback, err := wechat.NewCallback(wechat.CallbackConfig{
		AppID: wechattest.AppID, Mode: wechat.CallbackPlain, Tokens: []wechat.RotatingSecret{{Value: wechat.NewSecret(callbackToken)}},
	})
	check(t, err)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	took := make([]time.Duration, total)
	var signatures sync.Map
	began := time.Now()
	side(t, total, func(i int) error {
		at := time.Now()
		defer func() { took[i] = time.Since(at) }()
		var q url.Values
		for used := true; used; { // in plain mode a second push with one nonce is a replay
			q = callback.Sign(receiptOpenID(i), at)
			_, used = signatures.LoadOrStore(q.Get("signature"), i)
		}
		var err error
		for range 4 { // WeChat repeats three times what is not acknowledged in time
			if err = pushReceipt(t.Context(), client, "http://"+addr+"/callback/"+wechattest.AppID+"?"+q.Encode(), i, at); err == nil {
				break
			}
		}
		return err
	})
	elapsed := time.Since(began)
	slices.Sort(took)
	p99 := took[total*99/100]
	t.Logf("%d receipts acknowledged in %s (%.0f/s), p99 %s", total, elapsed.Round(time.Millisecond), float64(total)/elapsed.Seconds(), p99)
	// 64 connections are answered in turn: a machine that is too busy for 256 receipts/s has
	// twenty times the mean.
	if limit := max(5*time.Second, 20*elapsed*64/total); p99 > limit {
		t.Errorf("p99 is %s, want at most %s", p99, limit)
	}
	want := map[ledger.State]int{ledger.Delivered: total - total/10, ledger.Rejected: total / 10}
	testutil.Until(t, "every message is settled", func() bool { return settledAll(t, records, total, want) })
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// side does n things from 64 goroutines.
func side(t *testing.T, n int, do func(i int) error) {
	t.Helper()
	const hands = 64
	var all sync.WaitGroup
	for h := range hands {
		all.Go(func() {
			for i := h; i < n; i += hands {
				if err := do(i); err != nil {
					t.Errorf("number %d: %v", i, err)
					return
				}
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

func receiptOpenID(i int) string { return fmt.Sprintf("oCampaign%019d", i) }
func receiptID(i int) string     { return fmt.Sprintf("campaign-%06d", i) }
func receiptMsgID(i int) int64   { return 3_000_000_000_000_000_000 + int64(i) }

func acceptedMessage(ctx context.Context, records *ledger.Ledger, i int) error {
	e := job.Envelope{
		ID: receiptID(i), Class: job.Bulk, To: receiptOpenID(i), Template: "t", QueuedAt: time.Now(), Body: []byte(`{"touser":"o"}`),
	}
	if _, err := records.Begin(ctx, e, ledger.Delivery{N: 1}); err != nil {
		return err
	}
	_, err := records.Accepted(ctx, e.ID, 1, ledger.Acceptance{To: e.To, MsgID: wechat.MessageID(receiptMsgID(i)), Class: e.Class})
	return err
}

// pushReceipt is what WeChat pushes; each tenth could not be delivered.
func pushReceipt(ctx context.Context, client *http.Client, address string, i int, at time.Time) error {
	status := "success"
	if i%10 == 9 {
		status = "failed: system failed"
	}
	body := fmt.Sprintf("<xml><ToUserName>gh_1</ToUserName><FromUserName>%s</FromUserName><CreateTime>%d</CreateTime>"+
		"<MsgType>event</MsgType><Event>TEMPLATESENDJOBFINISH</Event><MsgID>%d</MsgID><Status>%s</Status></xml>",
		receiptOpenID(i), at.Unix(), receiptMsgID(i), status)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewBufferString(body))
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	var said bytes.Buffer
	_, err = said.ReadFrom(resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || said.String() != "success") {
		err = fmt.Errorf("%s %q", resp.Status, said.String())
	}
	return err
}

func settledAll(t *testing.T, records *ledger.Ledger, total int, want map[ledger.State]int) bool {
	t.Helper()
	got := map[ledger.State]int{}
	for from := 0; from < total; from += 1000 {
		var ids []string
		for i := from; i < min(from+1000, total); i++ {
			ids = append(ids, receiptID(i))
		}
		found, err := records.Get(t.Context(), ids...)
		check(t, err)
		for i, r := range found {
			if r == nil {
				t.Fatalf("%s has no record", ids[i])
			}
			if (r.State == ledger.Rejected) != ((from+i)%10 == 9) && r.State != ledger.Accepted {
				t.Fatalf("%s is %s by a receipt that was not its own", r.ID, r.State)
			}
			got[r.State]++
		}
	}
	return got[ledger.Delivered] == want[ledger.Delivered] && got[ledger.Rejected] == want[ledger.Rejected]
}
