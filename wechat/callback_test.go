package wechat_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// The account of these tests. The unused bits of its key's last letter are not
// zero, as in three of four keys.
const (
	cbAppID  = "wx2c2769f8efd9abc2"
	cbToken  = "canaryCallbackToken"
	cbToken2 = "canaryCallbackToken2"
	cbKey    = "canaryghijklmnopqrstuvwxyz0123456789ABCDEFG"
	cbKey2   = "canaryGHIJKLMNOPQRSTUVWXYZ0123456789abcdefg"
	receipt  = "<xml><ToUserName><![CDATA[gh_7f083739789a]]></ToUserName><FromUserName><![CDATA[" + canaryOpenID + "]]></FromUserName>" +
		"<CreateTime>1395658920</CreateTime><MsgType><![CDATA[event]]></MsgType><Event><![CDATA[TEMPLATESENDJOBFINISH]]></Event>" +
		"<MsgID>2918131553548107776</MsgID><Status><![CDATA[success]]></Status></xml>"
)

func rotating(values ...string) []wechat.RotatingSecret {
	var list []wechat.RotatingSecret
	for _, v := range values {
		list = append(list, wechat.RotatingSecret{Value: wechat.NewSecret(v)})
	}
	return list
}

func newCallback(tb testing.TB, mode wechat.CallbackMode, change ...func(*wechat.CallbackConfig)) *wechat.Callback {
	tb.Helper()
	cfg := wechat.CallbackConfig{AppID: cbAppID, Mode: mode, Tokens: rotating(cbToken), AESKeys: rotating(cbKey)}
	for _, f := range change {
		f(&cfg)
	}
	c, err := wechat.NewCallback(cfg)
	must(tb, err)
	return c
}

// pushed is one POST as WeChat makes it, which tests may change.
type pushed struct {
	query url.Values
	body  string
}

// sealPlain encrypts a text without padding it. It shares no code with the package.
func sealPlain(key string, plain []byte) string {
	raw, err := base64.StdEncoding.DecodeString(key + "=")
	if err != nil {
		panic(err)
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		panic(err)
	}
	out := make([]byte, len(plain))
	cipher.NewCBCEncrypter(block, raw[:16]).CryptBlocks(out, plain)
	return base64.StdEncoding.EncodeToString(out)
}

// layout is random, length, document, appid.
func layout(length uint32, document, appid string) []byte {
	plain := binary.BigEndian.AppendUint32([]byte("0123456789abcdef"), length)
	return append(append(plain, document...), appid...)
}

func padded(plain []byte) []byte {
	n := 32 - len(plain)%32
	return append(plain, bytes.Repeat([]byte{byte(n)}, n)...)
}

func sealed(key, appid, document string) string {
	return sealPlain(key, padded(layout(uint32(len(document)), document, appid)))
}

// signed makes the query of encrypted, empty in plain mode.
func signed(token, encrypted string, at time.Time) url.Values {
	timestamp, nonce := strconv.FormatInt(at.Unix(), 10), "1320562132"
	q := url.Values{
		"signature": {wechat.Signature(token, timestamp, nonce)}, "timestamp": {timestamp}, "nonce": {nonce}, "openid": {canaryOpenID},
	}
	if encrypted != "" {
		q.Set("encrypt_type", "aes")
		q.Set("msg_signature", wechat.Signature(token, timestamp, nonce, encrypted))
	}
	return q
}

// envelope is the body around encrypted; compat repeats the document.
func envelope(mode wechat.CallbackMode, encrypted, document string) string {
	element := "<Encrypt><![CDATA[" + encrypted + "]]></Encrypt></xml>"
	if mode == wechat.CallbackCompat {
		return strings.TrimSuffix(document, "</xml>") + element
	}
	return "<xml><ToUserName><![CDATA[gh_7f083739789a]]></ToUserName>" + element
}

// genuine is a valid push of document in this mode, signed now.
func genuine(mode wechat.CallbackMode, document string) pushed {
	if mode == wechat.CallbackPlain {
		return pushed{signed(cbToken, "", time.Now()), document}
	}
	encrypted := sealed(cbKey, cbAppID, document)
	return pushed{signed(cbToken, encrypted, time.Now()), envelope(mode, encrypted, document)}
}

// encryptedAs is a push with this Encrypt and a valid signature.
func encryptedAs(mode wechat.CallbackMode, encrypted string) pushed {
	return pushed{signed(cbToken, encrypted, time.Now()), envelope(mode, encrypted, receipt)}
}

func modes() []wechat.CallbackMode {
	return []wechat.CallbackMode{wechat.CallbackPlain, wechat.CallbackCompat, wechat.CallbackSecure}
}

// mustOpen opens a valid push.
func mustOpen(tb testing.TB, c *wechat.Callback, p pushed) *wechat.Push {
	tb.Helper()
	push, err := c.Open(p.query, []byte(p.body))
	if err != nil {
		tb.Fatalf("a genuine push was refused: %v", err)
	}
	return push
}

// mustRefuse expects this fault, a remedy, and no secret in the error.
func mustRefuse(tb testing.TB, err error, want wechat.CallbackFault) {
	tb.Helper()
	var e *wechat.CallbackError
	if !errors.As(err, &e) || e.Fault != want {
		tb.Errorf("got %v, want the fault %q", err, want)
		return
	}
	if !strings.Contains(err.Error(), e.Fault.Remedy()) || e.Fault.Remedy() == "" {
		tb.Errorf("no remedy: %v", err)
	}
	noCallbackCanary(tb, err)
}

func noCallbackCanary(tb testing.TB, err error) {
	tb.Helper()
	for _, text := range allTexts(err) {
		for _, secret := range []string{"canary", "CANARY", "oCAN", "7f083739789a", "success", "1320562132", "43751", "script", "Cookie"} {
			if strings.Contains(text, secret) {
				tb.Errorf("the error has %q: %s", secret, text)
			}
		}
	}
}

func TestOpenReturnsGenuinePushes(t *testing.T) {
	t.Parallel()
	for _, mode := range modes() {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			p := genuine(mode, receipt)
			push := mustOpen(t, newCallback(t, mode), p)
			e := push.Event
			if e.OpenID != canaryOpenID || !e.Is(wechat.EventTemplateFinished) || e.MsgID != 2918131553548107776 || e.Status != "success" {
				t.Errorf("event %+v", e)
			}
			if string(push.Document) != receipt {
				t.Errorf("document %s", push.Document)
			}
			if len(push.Nonce) != 64 || len(push.Digest) != 64 || push.Nonce == push.Digest {
				t.Errorf("nonce %q, digest %q", push.Nonce, push.Digest)
			}
			if want := p.query.Get("timestamp"); strconv.FormatInt(push.SignedAt.Unix(), 10) != want ||
				push.FreshUntil.Sub(push.SignedAt) != 10*time.Minute {
				t.Errorf("signed at %v, fresh until %v; want %s and ten minutes on", push.SignedAt, push.FreshUntil, want)
			}
			if text := fmt.Sprintf("%+v %#v", newCallback(t, mode), *newCallback(t, mode)); strings.Contains(text, "canary") {
				t.Errorf("a Callback prints its secrets: %s", text)
			}
		})
	}
}

func TestCbk02EchoReturnsEchostrOfSignedQueriesOnly(t *testing.T) {
	t.Parallel()
	good := func() url.Values {
		q := signed(cbToken, "", time.Now())
		q.Del("openid")
		q.Set("echostr", "4375120948345356249")
		return q
	}
	for name, spoil := range map[string]func(url.Values){
		"no signature":            func(q url.Values) { q.Del("signature") },
		"empty signature":         func(q url.Values) { q.Set("signature", "") },
		"another token":           func(q url.Values) { q.Set("signature", wechat.Signature("x", q.Get("timestamp"), q.Get("nonce"))) },
		"no token":                func(q url.Values) { q.Set("signature", wechat.Signature("", q.Get("timestamp"), q.Get("nonce"))) },
		"one letter is different": func(q url.Values) { q.Set("signature", flipped(q.Get("signature"))) },
		"upper case":              func(q url.Values) { q.Set("signature", strings.ToUpper(q.Get("signature"))) },
		"longer":                  func(q url.Values) { q.Set("signature", q.Get("signature")+"0") },
		"another timestamp":       func(q url.Values) { q.Set("timestamp", strconv.FormatInt(time.Now().Unix()+1, 10)) },
		"another nonce":           func(q url.Values) { q.Set("nonce", "1") },
		"no nonce":                func(q url.Values) { q.Del("nonce") },
		"no timestamp":            func(q url.Values) { q.Del("timestamp") },
		"no echostr":              func(q url.Values) { q.Del("echostr") },
		"a script for echostr":    func(q url.Values) { q.Set("echostr", "<script>alert(1)</script>") },
		"a line for echostr":      func(q url.Values) { q.Set("echostr", "echo\r\nSet-Cookie: a=b") },
		"a book for echostr":      func(q url.Values) { q.Set("echostr", strings.Repeat("4", 257)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, mode := range modes() {
				c := newCallback(t, mode)
				if echo, err := c.Echo(good()); err != nil || echo != "4375120948345356249" {
					t.Fatalf("%s: %q, %v; want the echostr", mode, echo, err)
				}
				q := good()
				spoil(q)
				echo, err := c.Echo(q)
				if echo != "" {
					t.Errorf("%s: answered %q", mode, echo)
				}
				mustRefuse(t, err, wechat.CallbackFaultSignature)
			}
		})
	}
}

// flipped changes the first hex digit.
func flipped(text string) string {
	raw, err := hex.DecodeString(text)
	if err != nil {
		panic(err)
	}
	raw[0] ^= 0x10
	return hex.EncodeToString(raw)
}

func TestCbk04QueriesAreValidWithinTheWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct {
			window, age time.Duration
			stale       bool
		}{
			{0, 0, false},
			{0, 10 * time.Minute, false},
			{0, -10 * time.Minute, false},
			{0, 10*time.Minute + time.Second, true},
			{0, -10*time.Minute - time.Second, true},
			{0, time.Hour, true},
			{0, -time.Hour, true},
			{2 * time.Hour, time.Hour, false},
			{2 * time.Hour, 3 * time.Hour, true},
			{time.Second, time.Second, false},
			{time.Second, 2 * time.Second, true},
		} {
			for _, mode := range modes() {
				c := newCallback(t, mode, func(cfg *wechat.CallbackConfig) { cfg.Window = tt.window })
				p := genuine(mode, receipt)
				time.Sleep(max(0, tt.age))
				if tt.age < 0 {
					encrypted := sealed(cbKey, cbAppID, receipt)
					if mode == wechat.CallbackPlain {
						encrypted = ""
					}
					p.query = signed(cbToken, encrypted, time.Now().Add(-tt.age))
				}
				_, err := c.Open(p.query, []byte(p.body))
				if tt.stale {
					mustRefuse(t, err, wechat.CallbackFaultStale)
				} else if err != nil {
					t.Errorf("%s, age %v, window %v: %v", mode, tt.age, tt.window, err)
				}
			}
		}
	})
}

// In the overlap the current and the previous Token and key are valid in every
// combination.
func TestCbk05PreviousTokenAndKeyAreValidUntilTheirEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		until := time.Now().Add(24 * time.Hour)
		previous := func(s string) wechat.RotatingSecret {
			return wechat.RotatingSecret{Value: wechat.NewSecret(s), Until: until}
		}
		c := newCallback(t, wechat.CallbackSecure, func(cfg *wechat.CallbackConfig) {
			cfg.Tokens = append(rotating(cbToken2), previous(cbToken))
			cfg.AESKeys = append(rotating(cbKey2), previous(cbKey))
		})
		plain := newCallback(t, wechat.CallbackPlain, func(cfg *wechat.CallbackConfig) {
			cfg.Tokens = append(rotating(cbToken2), previous(cbToken))
		})
		try := func(token, key string) error {
			encrypted := sealed(key, cbAppID, receipt)
			_, err := c.Open(signed(token, encrypted, time.Now()), []byte(envelope(wechat.CallbackSecure, encrypted, receipt)))
			_, plainErr := plain.Open(signed(token, "", time.Now()), []byte(receipt))
			if err == nil && plainErr != nil {
				t.Errorf("plain mode: %v", plainErr)
			}
			return err
		}
		time.Sleep(24*time.Hour - time.Second)
		for _, pair := range [][2]string{{cbToken, cbKey}, {cbToken2, cbKey}, {cbToken, cbKey2}, {cbToken2, cbKey2}} {
			if err := try(pair[0], pair[1]); err != nil {
				t.Errorf("in the overlap, %s with %s: %v", pair[0], pair[1], err)
			}
		}
		time.Sleep(time.Second)
		mustRefuse(t, try(cbToken, cbKey), wechat.CallbackFaultSignature)
		mustRefuse(t, try(cbToken, cbKey2), wechat.CallbackFaultSignature)
		mustRefuse(t, try(cbToken2, cbKey), wechat.CallbackFaultEncryption)
		if err := try(cbToken2, cbKey2); err != nil {
			t.Errorf("the current pair after the overlap: %v", err)
		}
		if _, err := plain.Open(signed(cbToken, "", time.Now()), []byte(receipt)); err == nil {
			t.Error("plain mode takes the old token after its end")
		}
	})
}

// In plain mode Open does not detect another body with a captured query, but it
// returns the same Nonce with another Digest. Another split of the same signed text
// does not give another Nonce.
func TestCbk12CapturedQueryKeepsItsNonceWithAnotherBody(t *testing.T) {
	t.Parallel()
	c := newCallback(t, wechat.CallbackPlain)
	p := genuine(wechat.CallbackPlain, receipt)
	first, again := mustOpen(t, c, p), mustOpen(t, c, p)
	if first.Nonce != again.Nonce || first.Digest != again.Digest {
		t.Error("the same push twice has two names")
	}
	other := mustOpen(t, c, pushed{p.query, strings.ReplaceAll(receipt, "success", "failed:user block")})
	if other.Nonce != first.Nonce || other.Digest == first.Digest {
		t.Error("another body under one query must have its Nonce and another Digest")
	}
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	// The signed text is nonce, timestamp and token without separators.
	captured := wechat.Signature(cbToken, timestamp, "10")
	for name, q := range map[string]url.Values{
		"a zero goes to the timestamp": {"signature": {captured}, "timestamp": {"0" + timestamp}, "nonce": {"1"}},
		"the nonce is swallowed":       {"signature": {captured}, "timestamp": {"10" + timestamp}, "nonce": {""}},
		"a sign":                       {"signature": {wechat.Signature(cbToken, "+"+timestamp, "10")}, "timestamp": {"+" + timestamp}, "nonce": {"10"}},
		"a fraction":                   {"signature": {wechat.Signature(cbToken, timestamp+".0", "10")}, "timestamp": {timestamp + ".0"}, "nonce": {"10"}},
		"beyond 64 bits":               {"signature": {wechat.Signature(cbToken, "99999999999999999999", "10")}, "timestamp": {"99999999999999999999"}, "nonce": {"10"}},
		"an extended hash":             {"signature": {wechat.Signature(cbToken, timestamp, "9\x80\x00\x01")}, "timestamp": {timestamp}, "nonce": {"9\x80\x00\x01"}},
		"a long nonce":                 {"signature": {wechat.Signature(cbToken, timestamp, strings.Repeat("1", 64))}, "timestamp": {timestamp}, "nonce": {strings.Repeat("1", 64)}},
	} {
		_, err := c.Open(q, []byte(receipt))
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		mustRefuse(t, err, wechat.CallbackFaultSignature)
	}
}

func TestTimestampsAfter2038AreAccepted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)))
		for _, mode := range modes() {
			mustOpen(t, newCallback(t, mode), genuine(mode, receipt))
		}
	})
}
