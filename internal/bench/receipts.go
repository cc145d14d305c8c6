package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/bench/figure"
	"github.com/wxnotify/wxnotify/internal/broker"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest" //nolint:depguard // the benchmark's account is the simulator's
)

const (
	receiptToken = "bench0Token"
	pushHands    = 64 // connections that WeChat pushes on
	firstMsgID   = 4_000_000_000_000_000_000
)

// receiving is the child that takes WeChat's pushes until its stdin ends.
func receiving(ctx context.Context, t task, stdin io.Reader, stdout io.Writer) error {
	rdb, err := broker.Dial(t.Redis)
	if err != nil {
		return err
	}
	defer func() { _ = rdb.Close() }()
	records, err := ledger.New(rdb, ledger.Config{Account: wechattest.AppID})
	if err != nil {
		return err
	}
	defer func() { _ = records.Close() }()
	callback, err := pushCallback()
	if err != nil {
		return err
	}
	roster, err := enroll.NewRoster(rdb, wechattest.AppID)
	if err != nil {
		return err
	}
	s, err := enroll.New(enroll.Config{Redis: rdb, Accounts: []enroll.Account{{
		AppID: wechattest.AppID, Callback: callback, Receipts: records, Followers: records,
		Eraser: enroll.NewEraser(roster, records, broker.NewInspector(rdb)),
	}}})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // opens at once or fails
	if err != nil {
		return fmt.Errorf("listen on loopback: %w", err)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var g errgroup.Group
	server := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: time.Minute}
	g.Go(func() error { return s.Run(ctx) })
	g.Go(func() error { return server.Serve(l) })
	if err := json.NewEncoder(stdout).Encode(outcome{URL: l.Addr().String()}); err != nil {
		return fmt.Errorf("write the address: %w", err)
	}
	_, _ = io.Copy(io.Discard, stdin) // ends with the parent
	stop()
	_ = server.Close()
	if err := g.Wait(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

func pushCallback() (*wechat.Callback, error) {
	return wechat.NewCallback(wechat.CallbackConfig{
		AppID: wechattest.AppID, Mode: wechat.CallbackPlain,
		Tokens: []wechat.RotatingSecret{{Value: wechat.NewSecret(receiptToken)}},
	})
}

// callbacks is P15: receipts of accepted messages, from the push to its
// acknowledgement, and to the settled record.
func (l *lab) callbacks(ctx context.Context) ([]figure.Row, error) {
	if err := l.empty(ctx); err != nil {
		return nil, err
	}
	records, err := ledger.New(l.rdb, ledger.Config{Account: wechattest.AppID})
	if err != nil {
		return nil, err
	}
	defer func() { _ = records.Close() }()
	n := l.o.messages
	if err := acceptMany(ctx, records, n); err != nil {
		return nil, err
	}
	addr, stop, err := startServer(ctx, task{Role: "receive", Redis: l.redis}, l.stderr)
	if err != nil {
		return nil, err
	}
	defer stop()
	callback, err := pushCallback()
	if err != nil {
		return nil, err
	}
	from := time.Now()
	if err := byHands(n, func(lo, hi int) error { return pushReceipts(ctx, addr, callback, lo, hi) }); err != nil {
		return nil, err
	}
	acknowledged := time.Since(from)
	if err := allSettled(ctx, records, n); err != nil {
		return nil, err
	}
	none := figure.Row{Number: "P15", Theirs: math.NaN(), Ratio: math.NaN()}
	settled := none
	settled.Measure, settled.Ours = "  to the settled record, /s", float64(n)/time.Since(from).Seconds()
	return []figure.Row{
		l.only("P15", "receipts/s acknowledged, one process, plain mode", float64(n)/acknowledged.Seconds(), figure.AtLeast(5000)),
		settled,
	}, nil
}

// byHands splits n things among pushHands goroutines.
func byHands(n int, do func(lo, hi int) error) error {
	var g errgroup.Group
	for h := range pushHands {
		g.Go(func() error { return do(h*n/pushHands, (h+1)*n/pushHands) })
	}
	return g.Wait() //nolint:wrapcheck // wrapped by who does it
}

func receiptOpenID(i int) string { return fmt.Sprintf("oReceipt%020d", i) }
func receiptID(i int) string     { return fmt.Sprintf("receipt-%08d", i) }

func acceptMany(ctx context.Context, records *ledger.Ledger, n int) error {
	return byHands(n, func(lo, hi int) error {
		for i := lo; i < hi; i++ {
			e := job.Envelope{
				ID: receiptID(i), Class: job.Bulk, To: receiptOpenID(i), Template: "t", QueuedAt: time.Now(), Body: []byte(`{"touser":"o"}`),
			}
			if _, err := records.Begin(ctx, e); err != nil {
				return err
			}
			yes := ledger.Acceptance{To: e.To, MsgID: wechat.MessageID(firstMsgID + i), Class: e.Class}
			if err := records.Accepted(ctx, e.ID, yes); err != nil {
				return err
			}
		}
		return nil
	})
}

// pushReceipts is WeChat on one connection, as lean as it goes: it shares the
// machine with what it measures.
func pushReceipts(ctx context.Context, addr string, callback *wechat.Callback, lo, hi int) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("push: %w", err)
	}
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(conn)
	for i := lo; i < hi; i++ {
		if _, err := io.WriteString(conn, pushRequest(addr, callback.Sign(receiptOpenID(i), time.Now()), i)); err != nil {
			return fmt.Errorf("push: %w", err)
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return fmt.Errorf("push: %w", err)
		}
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			return fmt.Errorf("push: %s %w", resp.Status, err)
		}
	}
	return nil
}

func pushRequest(addr string, query url.Values, i int) string {
	body := fmt.Sprintf("<xml><ToUserName><![CDATA[gh_1]]></ToUserName><FromUserName><![CDATA[%s]]></FromUserName>"+
		"<CreateTime>%d</CreateTime><MsgType><![CDATA[event]]></MsgType><Event><![CDATA[TEMPLATESENDJOBFINISH]]></Event>"+
		"<MsgID>%d</MsgID><Status><![CDATA[success]]></Status></xml>", receiptOpenID(i), time.Now().Unix(), firstMsgID+i)
	return fmt.Sprintf("POST /callback/%s?%s HTTP/1.1\r\nHost: %s\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n%s",
		wechattest.AppID, query.Encode(), addr, len(body), body)
}

// allSettled waits until every record has its receipt.
func allSettled(ctx context.Context, records *ledger.Ledger, n int) error {
	ctx, cancel := context.WithTimeout(ctx, childLimit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		counts, err := records.Counts(ctx, time.Now())
		if err != nil {
			return err
		}
		if counts[ledger.Delivered] >= int64(n) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d receipts are settled: %w", counts[ledger.Delivered], n, ctx.Err())
		}
	}
}
