package wechat

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// defaultCallbackWindow is the default of CallbackConfig.Window.
	defaultCallbackWindow = 10 * time.Minute
	// tokenMin is the length of the shortest Token that WeChat accepts. Its longest
	// has 32 characters, all of them letters or digits.
	tokenMin = 3
	// envelopeLimit is the longest body in compat and secure mode, in bytes. WeChat's
	// are a few kilobytes long.
	envelopeLimit = 64 << 10
)

// CallbackMode is the security mode of WeChat's pushes, as set in the account's
// server configuration (消息加解密方式). A push in another mode is refused.
type CallbackMode string

// The modes.
const (
	CallbackPlain  CallbackMode = "plain"  // 明文模式: in the clear; the signature does not cover the body
	CallbackCompat CallbackMode = "compat" // 兼容模式: in the clear and encrypted; only the encrypted part is read
	CallbackSecure CallbackMode = "secure" // 安全模式: encrypted
)

// RotatingSecret is a Token or an EncodingAESKey.
type RotatingSecret struct {
	Value Secret
	// Until is when a previous value is refused. Zero: never, as for the current
	// one.
	Until time.Time
}

func (s RotatingSecret) live(now time.Time) bool { return s.Until.IsZero() || now.Before(s.Until) }

// CallbackConfig is an account's server configuration (消息推送配置, formerly 服务器配置).
type CallbackConfig struct {
	// AppID is the account's appid. Required.
	AppID string
	// Mode is the account's 消息加解密方式. Required.
	Mode CallbackMode
	// Tokens verify and make signatures: the current one first, then previous
	// ones. At least one.
	Tokens []RotatingSecret
	// AESKeys are EncodingAESKeys, 43 letters and digits each, the current one
	// first. Compat and secure need at least one, plain ignores them.
	AESKeys []RotatingSecret
	// Window is how far a timestamp may be from now, in both directions. Zero: 10
	// minutes.
	Window time.Duration
	// CharsetReader decodes a document that declares another encoding than UTF-8,
	// such as charset.NewReaderLabel of golang.org/x/net/html/charset. Nil: only
	// UTF-8 is read.
	CharsetReader func(label string, input io.Reader) (io.Reader, error)
}

// Callback verifies and decrypts requests to an account's callback URL, and
// encrypts replies. It keeps no state: to handle a push once, remember Push.Nonce.
// Safe for concurrent use.
type Callback struct {
	appID   string
	mode    CallbackMode
	tokens  []RotatingSecret
	aesKeys []RotatingSecret
	window  time.Duration
	charset charsetReader
}

// NewCallback checks cfg and reports all its faults at once.
func NewCallback(cfg CallbackConfig) (*Callback, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	c := &Callback{appID: cfg.AppID, mode: cfg.Mode, window: cfg.Window, charset: cfg.CharsetReader}
	c.tokens = append(c.tokens, cfg.Tokens...)
	c.aesKeys = append(c.aesKeys, cfg.AESKeys...)
	if c.window == 0 {
		c.window = defaultCallbackWindow
	}
	return c, nil
}

// WithCharsetReader returns a Callback that is as c and decodes documents by reader,
// unless c has a CharsetReader of its own.
func (c *Callback) WithCharsetReader(reader func(label string, input io.Reader) (io.Reader, error)) *Callback {
	out := *c
	if out.charset == nil {
		out.charset = reader
	}
	return &out
}

func (c CallbackConfig) validate() error {
	var faults configFaults
	faults.check(isToken(c.AppID, 64), "CallbackConfig.AppID is not an appid: copy it from 开发信息 on developers.weixin.qq.com/platform, such as wx0123456789abcdef")
	encrypted := c.Mode == CallbackCompat || c.Mode == CallbackSecure
	faults.check(encrypted || c.Mode == CallbackPlain,
		"CallbackConfig.Mode is not plain, compat or secure: use the 消息加解密方式 of 消息推送配置")
	faults.check(len(c.Tokens) > 0, "CallbackConfig.Tokens is empty: set the Token of 消息推送配置")
	faults.check(len(c.AESKeys) > 0 || !encrypted,
		"CallbackConfig.AESKeys is empty, and mode %s needs one: set the EncodingAESKey of 消息推送配置", c.Mode)
	for i, t := range c.Tokens {
		text := t.Value.Reveal()
		faults.check(len(text) >= tokenMin && strings.TrimSpace(text) == text && !hasControl(text, false),
			"CallbackConfig.Tokens[%d] is shorter than %d characters or has white space at an end: copy the Token of 消息推送配置", i, tokenMin)
		faults.check(i > 0 || t.Until.IsZero(),
			"CallbackConfig.Tokens[0].Until is set: the first Token is the current one and has no end; put previous ones after it")
	}
	for i, k := range c.AESKeys {
		_, err := decodeAESKey(k.Value)
		faults.check(err == nil, "CallbackConfig.AESKeys[%d] is not 43 letters and digits: copy the EncodingAESKey of 消息推送配置", i)
		faults.check(i > 0 || k.Until.IsZero(),
			"CallbackConfig.AESKeys[0].Until is set: the first key is the current one and has no end; put previous ones after it")
	}
	faults.check(c.Window >= 0, "CallbackConfig.Window is negative: set a positive duration, or zero for %s", defaultCallbackWindow)
	return errors.Join(faults...)
}

// Push is a verified and decrypted push of WeChat.
type Push struct {
	Event *Event
	// Document is the decoded document: the body in plain mode, else the decrypted
	// text. It has the openid and what a follower wrote.
	Document []byte
	// Nonce identifies the signed query: 64 hex digits. Remember it until
	// FreshUntil: until then the same query is valid again.
	Nonce string
	// Digest is the SHA-256 of Document, 64 hex digits. The same Nonce with the
	// same Digest is a repeated delivery by WeChat. With another Digest it is a
	// captured query with another body, which plain mode does not detect.
	Digest string
	// SignedAt is the query's timestamp, FreshUntil the time from which the query
	// is refused.
	SignedAt, FreshUntil time.Time

	urlNonce string
	token    Secret
	aesKey   Secret
}

// Echo verifies the GET that WeChat makes when the server configuration is saved,
// and returns the echostr to answer as the only text, as text/plain (docs:
// 接入指南). The error is a *CallbackError.
func (c *Callback) Echo(query url.Values) (string, error) {
	if _, err := c.verify(query, "signature", time.Now()); err != nil {
		return "", err
	}
	// It is not signed, so it must be harmless: WeChat sends digits.
	echo := query.Get("echostr")
	if echo == "" || len(echo) > 256 || strings.Trim(echo, echoLetters) != "" {
		return "", refused(CallbackFaultSignature, "the query has no valid echostr")
	}
	return echo, nil
}

const echoLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_-.~"

// CheckQuery verifies what a push's query tells without the body, so that a server
// can refuse a push before it reads it: in plain mode the signature, in compat and
// secure mode the form of msg_signature; in all modes the timestamp. Open verifies
// this too. The error is a *CallbackError.
func (c *Callback) CheckQuery(query url.Values) error {
	now := time.Now()
	aes := strings.EqualFold(query.Get("encrypt_type"), "aes")
	switch {
	case c.mode == CallbackPlain && aes:
		return errEncrypted
	case c.mode == CallbackPlain:
		_, err := c.verify(query, "signature", now)
		return err
	case !aes && query.Get("msg_signature") == "":
		if _, err := c.verify(query, "signature", now); err != nil {
			return err
		}
		return refused(CallbackFaultMode, "the query is that of plain mode, and mode "+string(c.mode)+" is configured")
	}
	q, err := formOf(query, "msg_signature")
	if err != nil {
		return err
	}
	return c.checkAge(q.at, now)
}

var errEncrypted = refused(CallbackFaultMode, "the body is encrypted, and mode plain is configured")

// Open verifies the POST of an event and decodes it (docs: 消息加解密说明). In plain
// mode it verifies signature, in compat and secure mode msg_signature, which also
// covers the encrypted text; the rest of the body is ignored then, the clear part of
// a compat document included. Every valid Token and EncodingAESKey is tried. The
// error is a *CallbackError; its Push tells whether WeChat made the call all the
// same.
func (c *Callback) Open(query url.Values, body []byte) (*Push, error) {
	if err := c.CheckQuery(query); err != nil {
		return nil, err
	}
	if c.mode == CallbackPlain {
		return c.openPlain(query, body)
	}
	return c.openEncrypted(query, body)
}

func (c *Callback) openPlain(query url.Values, body []byte) (*Push, error) {
	q, err := c.verify(query, "signature", time.Now())
	if err != nil {
		return nil, err
	}
	return c.newPush(q, body, Secret{})
}

func (c *Callback) openEncrypted(query url.Values, body []byte) (*Push, error) {
	if len(body) > envelopeLimit {
		return nil, refused(CallbackFaultDocument, "the body is longer than 64 KB")
	}
	if !isEnvelope(body) {
		return nil, refused(CallbackFaultDocument, "the body is neither one <xml> element nor a JSON object")
	}
	texts := encryptedTexts(body)
	if len(texts) == 0 {
		return nil, refused(CallbackFaultMode, "the body has no Encrypt, and mode "+string(c.mode)+" is configured")
	}
	// signature, without msg_, does not cover the body, and WeChat's page says not
	// to use it in these modes. A follower's text in the clear part of a compat
	// document may look like an Encrypt: the one that msg_signature covers counts.
	now := time.Now()
	var err error
	for _, text := range texts {
		var q signedQuery
		if q, err = c.verify(query, "msg_signature", now, text); err == nil {
			return c.openText(q, text, now)
		}
	}
	return nil, err
}

// openText opens the text of Encrypt, which q signs.
func (c *Callback) openText(q signedQuery, text string, now time.Time) (*Push, error) {
	document, key, err := c.decrypt(text, now)
	if err != nil {
		return nil, err
	}
	return c.newPush(q, document, key)
}

// decrypt tries the valid keys and returns the one that fits.
func (c *Callback) decrypt(text string, now time.Time) ([]byte, Secret, error) {
	otherAppID := false
	for _, k := range c.aesKeys {
		if !k.live(now) {
			continue
		}
		document, err := decrypt(k.Value, c.appID, text)
		if err == nil {
			return document, k.Value, nil
		}
		otherAppID = otherAppID || errors.Is(err, errOtherAppID)
	}
	if otherAppID {
		return nil, Secret{}, refused(CallbackFaultAppID, "the appid in the encrypted text is not the account's")
	}
	return nil, Secret{}, refused(CallbackFaultEncryption, "no valid EncodingAESKey decrypts it")
}

// newPush decodes the document of a verified query. key is zero in plain mode.
func (c *Callback) newPush(q signedQuery, document []byte, key Secret) (*Push, error) {
	p := &Push{
		Event: &Event{}, Document: document,
		// Made from the signature only: the same signed text can be split into
		// timestamp and nonce in several ways.
		Nonce: hexSHA256([]byte(q.signature)), Digest: hexSHA256(document),
		SignedAt: q.at, FreshUntil: q.at.Add(c.window),
		urlNonce: q.nonce, token: q.token, aesKey: key,
	}
	text, err := decodeDeclared(trimDocument(document), c.charset)
	var fields map[string]string
	if err == nil {
		fields, err = parseDocument(text)
	}
	if err == nil && c.mode == CallbackPlain && fields["Encrypt"] != "" {
		return nil, errEncrypted
	}
	var event *Event
	if err == nil {
		event, err = newEvent(fields)
	}
	if err != nil {
		fault := refused(CallbackFaultDocument, detail(err))
		fault.push = p
		return nil, fault
	}
	p.Event = event
	return p, nil
}

// Nonce returns for the query of Echo what Push.Nonce is for a push, and how long
// to remember it: twice CallbackConfig.Window. In plain mode the same query is
// valid with any body.
func (c *Callback) Nonce(query url.Values) (name string, keep time.Duration) {
	return hexSHA256([]byte(query.Get("signature"))), 2 * c.window
}

// ErrReply is a passive reply for which WeChat would show the follower an error.
var ErrReply = errors.New(`wechat: the reply is neither one <xml> element in UTF-8, nor "success", nor empty: correct the program that made it`)

// Seal returns the body of a passive reply to p, without a byte order mark and blanks
// around it. In secure mode it is the document with Encrypt, MsgSignature, TimeStamp and
// Nonce, made with the Token and key of p. In plain and compat mode, and when reply is
// empty, "success" or encrypted already, it is reply. Another text is ErrReply.
func (c *Callback) Seal(p *Push, reply []byte) ([]byte, error) {
	reply = bytes.Trim(reply, "\ufeff \t\r\n")
	if len(reply) == 0 || string(reply) == "success" {
		return reply, nil
	}
	fields, err := parseXMLDocument(tidy(reply))
	if err != nil || !utf8.Valid(reply) {
		return nil, ErrReply
	}
	if c.mode != CallbackSecure || fields["Encrypt"] != "" {
		return reply, nil
	}
	text, err := encrypt(p.aesKey, c.appID, reply)
	if err != nil {
		return nil, refused(CallbackFaultEncryption, "the reply: "+detail(err))
	}
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	return []byte("<xml><Encrypt><![CDATA[" + text + "]]></Encrypt>" +
		"<MsgSignature><![CDATA[" + signature(p.token.Reveal(), timestamp, p.urlNonce, text) + "]]></MsgSignature>" +
		"<TimeStamp>" + timestamp + "</TimeStamp>" +
		"<Nonce><![CDATA[" + p.urlNonce + "]]></Nonce></xml>"), nil
}

// Sign returns a query that is signed with the current Token as WeChat signs in
// plain mode: signature, timestamp, nonce and openid. An own callback address in
// plain mode accepts it: for documents that go to another server use SignForward.
func (c *Callback) Sign(openid string, now time.Time) url.Values {
	return c.sign(openid, newNonce(), now)
}

// SignForward is Sign for a document that is forwarded to another server, which
// verifies it as WeChat's own. Forwarded recognises the query, so that who reads it,
// as in that server's access log, cannot push to this one with it.
func (c *Callback) SignForward(openid string, now time.Time) url.Values {
	return c.sign(openid, forwardPrefix+newNonce()+forwardSuffix, now)
}

func (c *Callback) sign(openid, nonce string, now time.Time) url.Values {
	timestamp := strconv.FormatInt(now.Unix(), 10)
	q := url.Values{
		"signature": {signature(c.tokens[0].Value.Reveal(), timestamp, nonce)},
		"timestamp": {timestamp}, "nonce": {nonce},
	}
	if openid != "" {
		q.Set("openid", openid)
	}
	return q
}

// Forwarded reports whether SignForward made the query: refuse it at your own
// callback address. It verifies no signature.
func Forwarded(query url.Values) bool { return strings.HasPrefix(query.Get("nonce"), forwardPrefix) }

// detail is the text of one of this package's errors without its prefix.
func detail(err error) string { return strings.TrimPrefix(err.Error(), "wechat: ") }

func hexSHA256(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
