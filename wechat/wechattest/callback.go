package wechattest

import (
	"context"
	"crypto/sha1" //nolint:gosec // WeChat's signature is SHA-1
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// CallbackMode is the security mode of events (消息加解密方式).
type CallbackMode int

// The security modes.
const (
	CallbackPlain  CallbackMode = iota // in the clear; the signature does not cover the body
	CallbackCompat                     // in the clear and encrypted, in one document
	CallbackSecure                     // encrypted
)

// CallbackConfig is the server configuration of an account (服务器配置). Without
// URL and Handler no event is sent.
type CallbackConfig struct {
	// URL receives the events. Its path and query are kept.
	URL string
	// Handler receives the events without a socket. URL then gives the path only.
	Handler http.Handler
	// Mode secures the events. Default CallbackPlain.
	Mode CallbackMode
	// Token signs each event.
	Token wechat.Secret
	// EncodingAESKey is 43 letters and digits. Compat and secure mode need it.
	EncodingAESKey wechat.Secret
	// Delay is the time from the acceptance of a message to its receipt. Default 0.
	Delay time.Duration
	// BeforeAnswer delivers the receipt before the send is answered. Default false.
	BeforeAnswer bool
	// Copies is how often each receipt is delivered. Default 1.
	Copies int
	// LostShare is the share of receipts, 0 to 1, that is never sent. Default 0.
	LostShare float64
	// ZeroMsgID sends MsgID 0 for messages with a client_msg_id, as developers
	// reported of WeChat. Default false.
	ZeroMsgID bool
	// Timeout is the time in which the server must answer. Default 5 s.
	Timeout time.Duration
	// Tries is how often an event is tried. Default 3.
	Tries int
	// RetryGap is the time between two tries. Default 0.
	RetryGap time.Duration
	// SameQuery repeats the first try byte for byte. Default false: each try is
	// signed and encrypted anew. WeChat does not document which it does.
	SameQuery bool
}

func (c CallbackConfig) withDefaults() CallbackConfig {
	if c.Copies == 0 {
		c.Copies = 1
	}
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	if c.Tries == 0 {
		c.Tries = 3
	}
	if c.URL == "" {
		c.URL = "http://callback.wechat.test/"
	}
	return c
}

// Validate reports what a push with c would fail for: a URL that is not absolute,
// or a key of another form in compat and secure mode.
func (c CallbackConfig) Validate() error {
	var err error
	if c.Mode != CallbackPlain {
		_, _, err = newCipher(c.EncodingAESKey.Reveal())
	}
	_, urlErr := c.withDefaults().target(nil)
	return errors.Join(err, urlErr)
}

func (c CallbackConfig) enabled() bool { return c.URL != "" || c.Handler != nil }

// sign is hex(sha1(concat(sort(parts)))), the formula of all signatures (docs:
// 消息加解密说明).
func sign(parts ...string) string {
	slices.Sort(parts)
	sum := sha1.Sum([]byte(strings.Join(parts, ""))) //nolint:gosec // WeChat's signature is SHA-1
	return hex.EncodeToString(sum[:])
}

// signedQuery is the query of an event. encrypted is empty in plain mode.
func (c CallbackConfig) signedQuery(openid, encrypted string, now time.Time) url.Values {
	timestamp, nonce := strconv.FormatInt(now.Unix(), 10), strconv.FormatUint(uint64(rand.Uint32()), 10)
	q := url.Values{
		"signature": {sign(c.Token.Reveal(), timestamp, nonce)},
		"timestamp": {timestamp}, "nonce": {nonce}, "openid": {openid},
	}
	if encrypted != "" {
		q.Set("encrypt_type", "aes")
		q.Set("msg_signature", sign(c.Token.Reveal(), timestamp, nonce, encrypted))
	}
	return q
}

// target is URL with more parameters.
func (c CallbackConfig) target(q url.Values) (string, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" {
		return "", errors.New("wechattest: CallbackConfig.URL is not an absolute URL; write http://host/path")
	}
	all := u.Query()
	maps.Copy(all, q)
	u.RawQuery = all.Encode()
	return u.String(), nil
}

// delivery is the content of one request to the account's server.
type delivery struct {
	target, body string
}

// delivery signs and encrypts an event as the account's mode requires. created is
// the event's CreateTime, now the time of the query.
func (a *Account) delivery(cb CallbackConfig, e Event, created, now time.Time) (delivery, error) {
	to := "gh_" + a.cfg.AppID[max(0, len(a.cfg.AppID)-12):]
	fields := e.fields(to, created)
	plain, encrypted := "<xml>"+fields+"</xml>", ""
	body := plain
	if cb.Mode != CallbackPlain {
		var err error
		if encrypted, err = encrypt(cb.EncodingAESKey.Reveal(), a.cfg.AppID, plain); err != nil {
			return delivery{}, err
		}
		element := "<Encrypt>" + cdata(encrypted) + "</Encrypt>"
		body = "<xml><ToUserName>" + cdata(to) + "</ToUserName>" + element + "</xml>"
		if cb.Mode == CallbackCompat {
			body = "<xml>" + fields + element + "</xml>"
		}
	}
	target, err := cb.target(cb.signedQuery(e.OpenID, encrypted, now))
	return delivery{target, body}, err
}

func (d delivery) request(ctx context.Context) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.target, strings.NewReader(d.body))
	if err != nil {
		return nil, fmt.Errorf("wechattest: callback request: %w", withoutURL(err))
	}
	req.Header.Set("Content-Type", "text/xml")
	req.Header.Set("User-Agent", "Mozilla/4.0")
	return req, nil
}

// VerifyCallback makes the request that WeChat makes when the server
// configuration is saved: a GET that must be answered with echostr, byte for byte.
func (a *Account) VerifyCallback(ctx context.Context) error {
	cb := a.callback()
	ctx, cancel := context.WithTimeout(ctx, cb.Timeout)
	defer cancel()
	echo := strconv.FormatUint(rand.Uint64(), 10)
	q := cb.signedQuery("", "", time.Now())
	q.Del("openid")
	q.Set("echostr", echo)
	target, err := cb.target(q)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return fmt.Errorf("wechattest: verify callback: %w", withoutURL(err))
	}
	status, body, err := a.exchange(cb, req)
	switch {
	case err != nil:
		return err
	case status != http.StatusOK:
		return fmt.Errorf("wechattest: verify callback: status %d instead of 200; check the signature with the Token", status)
	case subtle.ConstantTimeCompare(body, []byte(echo)) == 0:
		return fmt.Errorf("wechattest: verify callback: the answer is not echostr alone (%d bytes, want %d)", len(body), len(echo))
	}
	return nil
}

// exchange makes one request to the account's server and reads the answer.
func (a *Account) exchange(cb CallbackConfig, req *http.Request) (int, []byte, error) {
	resp, err := a.p.callbackClient(a, cb).Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("wechattest: callback: %w", withoutURL(err))
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return 0, nil, fmt.Errorf("wechattest: callback: read the answer: %w", err)
	}
	return resp.StatusCode, body, nil
}

// withoutURL removes the URL, which carries signatures, from an error.
func withoutURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// callback returns the account's server configuration with defaults.
func (a *Account) callback() CallbackConfig {
	defer a.p.locked()()
	return a.cfg.Callback.withDefaults()
}

// SetCallback changes the server configuration.
func (a *Account) SetCallback(cb CallbackConfig) {
	defer a.p.locked()()
	a.cfg.Callback = cb
	a.loop = nil
	if cb.Handler != nil {
		a.loop = a.p.newLoopback(cb.Handler)
	}
}

func (p *Platform) callbackClient(a *Account, cb CallbackConfig) *http.Client {
	defer p.locked()()
	switch {
	case cb.Handler != nil:
		return a.loop.Client()
	case p.cfg.CallbackClient != nil:
		return p.cfg.CallbackClient
	}
	return p.outward
}
