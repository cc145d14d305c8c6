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

// CallbackMode is how events are secured (消息加解密方式).
type CallbackMode int

// The modes of the server configuration.
const (
	CallbackPlain  CallbackMode = iota // clear text, a signature over the query only
	CallbackCompat                     // clear text and the encrypted form in one document
	CallbackSecure                     // the encrypted form alone
)

// CallbackConfig is the server configuration of an account (服务器配置). Without
// URL and Handler no event is sent.
type CallbackConfig struct {
	// URL receives the events, its path and query kept.
	URL string
	// Handler receives the events without a socket; URL then only gives the path.
	Handler http.Handler
	// Mode secures the events. Default CallbackPlain.
	Mode CallbackMode
	// Token signs each event.
	Token wechat.Secret
	// EncodingAESKey is 43 letters and digits; needed by compat and secure mode.
	EncodingAESKey wechat.Secret
	// Delay passes between the acceptance of a message and its receipt. Default 0.
	Delay time.Duration
	// BeforeAnswer delivers the receipt before the send is answered.
	BeforeAnswer bool
	// Copies is how often each receipt is delivered. Default 1.
	Copies int
	// LostShare of the receipts, 0 to 1, is never sent.
	LostShare float64
	// ZeroMsgID sends MsgID 0 for messages with a client_msg_id, as was reported
	// of WeChat.
	ZeroMsgID bool
	// Timeout is what the server has to answer. Default 5 s.
	Timeout time.Duration
	// Tries is how often an event is tried. Default 3.
	Tries int
	// RetryGap passes between two tries. Default 0: at once.
	RetryGap time.Duration
	// SameQuery repeats the first try byte for byte. Default: each try of an
	// event is signed, and encrypted, anew. What WeChat does is not documented.
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

func (c CallbackConfig) enabled() bool { return c.URL != "" || c.Handler != nil }

// sign is hex(sha1(concat(sort(parts)))), the one formula of all signatures
// (wechat docs: 消息加解密说明).
func sign(parts ...string) string {
	slices.Sort(parts)
	sum := sha1.Sum([]byte(strings.Join(parts, ""))) //nolint:gosec // WeChat's signature is SHA-1
	return hex.EncodeToString(sum[:])
}

// signedQuery is the query of an event; encrypted is empty in plain mode.
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

// target is the callback's address with more parameters.
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

// delivery is one try of an event, ready to be sent.
type delivery struct {
	target, body string
}

// delivery secures one event in the account's mode. created is the event's own
// time, now that of the try.
func (a *Account) delivery(cb CallbackConfig, e Event, created, now time.Time) (delivery, error) {
	fields := e.fields(a.cfg.OriginalID, created)
	plain, encrypted := "<xml>"+fields+"</xml>", ""
	body := plain
	if cb.Mode != CallbackPlain {
		var err error
		if encrypted, err = encrypt(cb.EncodingAESKey.Reveal(), a.cfg.AppID, plain); err != nil {
			return delivery{}, err
		}
		element := "<Encrypt>" + cdata(encrypted) + "</Encrypt>"
		body = "<xml><ToUserName>" + cdata(a.cfg.OriginalID) + "</ToUserName>" + element + "</xml>"
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

// VerifyCallback does what the console does when the server configuration is
// saved: a GET that must be answered with echostr, byte for byte.
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

// exchange makes one request to the callback and reads the answer.
func (a *Account) exchange(cb CallbackConfig, req *http.Request) (int, []byte, error) {
	resp, err := a.p.callbackClient(a, cb).Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("wechattest: callback: %w", withoutURL(err))
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return 0, nil, fmt.Errorf("wechattest: callback: read answer: %w", err)
	}
	return resp.StatusCode, body, nil
}

// withoutURL drops the URL, which carries signatures, from an error.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// callback returns the account's server configuration.
func (a *Account) callback() CallbackConfig {
	defer a.p.locked()()
	return a.cfg.Callback.withDefaults()
}

// SetCallback changes the server configuration, at once.
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
