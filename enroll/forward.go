package enroll

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"time"

	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/mask"
	"github.com/wxnotify/wxnotify/wechat"
)

const (
	// forwardLife is how long the business's own handler may work on a push. Its
	// reply is relayed when it comes in time to be.
	forwardLife = 30 * time.Second
	maxReply    = 1 << 20
)

// Forwarder is the business's own handler of what followers say and do: since
// the server configuration turns off the menus and replies of WeChat's console,
// the business has to answer. The passive reply is clear XML (docs: 被动回复用户消息); empty or
// "success" for none. It must be safe for concurrent use, and is called once for
// each push, whatever came before.
type Forwarder interface {
	Forward(ctx context.Context, p *wechat.Push) (reply []byte, err error)
}

// forward hands p to the business and waits for its reply as long as ctx lets
// it. The handler itself may take longer.
func (s *Service) forward(ctx context.Context, a *account, p *wechat.Push) []byte {
	type outcome struct {
		reply []byte
		err   error
	}
	done := make(chan outcome, 1)
	began := time.Now()
	go func() {
		longer, cancel := context.WithTimeout(context.WithoutCancel(ctx), forwardLife)
		defer cancel()
		reply, err := s.callForwarder(longer, a, p)
		done <- outcome{reply, err}
	}()
	e := Event{Account: a.AppID, Kind: KindForwarded, Name: "ok"}
	defer func() {
		e.Took = time.Since(began)
		s.cfg.OnEvent(e)
	}()
	select {
	case o := <-done:
		if o.err != nil {
			e.Name = "failed"
			s.log.warn("forward "+a.AppID, "the business's own server did not take a push",
				zap.String("account", a.AppID), zap.Error(o.err))
			return nil
		}
		return o.reply
	case <-ctx.Done():
		e.Name = "late"
		s.log.warn("forward late "+a.AppID, "the business's own server has not answered a push in time; WeChat got success instead",
			zap.String("account", a.AppID))
		return nil
	}
}

// callForwarder keeps a panic of the business's handler from ending the process.
func (s *Service) callForwarder(ctx context.Context, a *account, p *wechat.Push) (reply []byte, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("the handler panicked: %T", cause)
		}
	}()
	return a.Forward.Forward(ctx, p)
}

// HTTPForwarder posts pushes to the business's own server, which sees them as
// WeChat sends them in plain mode: a signed query, clear XML.
type HTTPForwarder struct {
	url      url.URL
	callback *wechat.Callback
	http     *http.Client
}

// NewHTTPForwarder to target, an http(s) address. A query in it is kept. hc may
// be nil: a client of its own. Redirects are not followed.
func NewHTTPForwarder(target string, callback *wechat.Callback, hc *http.Client) (*HTTPForwarder, error) {
	u, err := url.Parse(target)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("enroll: the address to forward to must be http(s), such as https://shop.example/wechat")
	}
	if callback == nil {
		return nil, errors.New("enroll: forwarding needs the account's callback configuration")
	}
	if hc == nil {
		hc = &http.Client{Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
			TLSHandshakeTimeout: 2 * time.Second, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute,
		}}
	}
	client := *hc
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &HTTPForwarder{url: *u, callback: callback, http: &client}, nil
}

// Forward posts p and returns the body of a 200 answer.
func (f *HTTPForwarder) Forward(ctx context.Context, p *wechat.Push) ([]byte, error) {
	u := f.url
	q := u.Query()
	maps.Copy(q, f.callback.SignForward(p.Event.OpenID, time.Now()))
	u.RawQuery = q.Encode()
	req := (&http.Request{
		Method: http.MethodPost, URL: &u, Host: u.Host, Header: http.Header{"Content-Type": {"text/xml; charset=utf-8"}},
		ContentLength: int64(len(p.Document)), Body: io.NopCloser(bytes.NewReader(p.Document)),
	}).WithContext(ctx)
	resp, err := f.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("forward: %w", mask.WithoutURL(err)) // the address has the follower's openid
	}
	defer func() { _ = resp.Body.Close() }() // read to the end or given up
	reply, err := io.ReadAll(io.LimitReader(resp.Body, maxReply+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("forward: read the reply: %w", err)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("forward: HTTP %d", resp.StatusCode)
	case len(reply) > maxReply:
		return nil, errors.New("forward: the reply is longer than 1 MB")
	}
	return bytes.TrimSpace(reply), nil
}
