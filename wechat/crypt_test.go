package wechat_test

import (
	"encoding/base64"
	"errors"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// vector is one of the published crypto vectors.
type vector struct {
	ID        string `json:"id"`
	Kind      string `json:"kind"`
	Token     string `json:"token"`
	Timestamp string `json:"timestamp"`
	Nonce     string `json:"nonce"`
	Expect    string `json:"expect"`
	Encrypt   string `json:"encrypt"`
	Key       string `json:"encodingAESKey"`
	ReceiveID string `json:"receiveid"`
	Plaintext string `json:"plaintext"`
	Random    string `json:"random16"`
}

func TestPublishedCryptoVectors(t *testing.T) {
	t.Parallel()
	vectors := readSamples(t).Crypto
	if len(vectors) < 18 {
		t.Fatalf("%d vectors, want 18", len(vectors))
	}
	for _, v := range vectors {
		t.Run(v.ID, func(t *testing.T) {
			t.Parallel()
			switch v.Kind {
			case "signature":
				if got := wechat.Signature(v.Token, v.Timestamp, v.Nonce); got != v.Expect {
					t.Errorf("signature %s, want %s", got, v.Expect)
				}
			case "msg_signature":
				if got := wechat.Signature(v.Token, v.Timestamp, v.Nonce, v.Encrypt); got != v.Expect {
					t.Errorf("msg_signature %s, want %s", got, v.Expect)
				}
			case "decrypt":
				got, err := wechat.Decrypt(v.Key, v.ReceiveID, v.Encrypt)
				if err != nil || string(got) != v.Plaintext {
					t.Errorf("decrypted %q, %v\nwant %q", got, err, v.Plaintext)
				}
				back, err := wechat.EncryptWith([16]byte([]byte(v.Random)), v.Key, v.ReceiveID, []byte(v.Plaintext))
				if err != nil || back != v.Encrypt {
					t.Errorf("encrypted again: %s, %v", back, err)
				}
				if _, err := wechat.Decrypt(v.Key, v.ReceiveID+"x", v.Encrypt); err == nil {
					t.Error("opens for another appid")
				}
			case "encrypt":
				got, err := wechat.EncryptWith([16]byte([]byte(v.Random)), v.Key, v.ReceiveID, []byte(v.Plaintext))
				if err != nil || got != v.Expect {
					t.Errorf("encrypted %s, %v\nwant %s", got, err, v.Expect)
				}
			default:
				t.Errorf("kind %q has no test", v.Kind)
			}
		})
	}
}

// The pushes of WeChat's page, some of them in JSON, open at their timestamps.
func TestPublishedPushesOpen(t *testing.T) {
	t.Parallel()
	byID := map[string]vector{}
	for _, v := range readSamples(t).Crypto {
		byID[v.ID] = v
	}
	at := func(t *testing.T, timestamp string) {
		t.Helper()
		seconds, err := strconv.ParseInt(timestamp, 10, 64)
		must(t, err)
		time.Sleep(time.Until(time.Unix(seconds, 0)))
	}
	open := func(t *testing.T, sign, crypt vector, body string) *wechat.Push {
		t.Helper()
		at(t, sign.Timestamp)
		c, err := wechat.NewCallback(wechat.CallbackConfig{
			AppID: crypt.ReceiveID, Mode: wechat.CallbackCompat, Tokens: rotating(sign.Token), AESKeys: rotating(crypt.Key),
		})
		must(t, err)
		return mustOpen(t, c, pushed{url.Values{
			"timestamp": {sign.Timestamp}, "nonce": {sign.Nonce}, "msg_signature": {sign.Expect}, "encrypt_type": {"aes"},
		}, body})
	}
	synctest.Test(t, func(t *testing.T) {
		demo := byID["tencent-demo-py-decrypt"]
		p := open(t, byID["tencent-demo-py-msg_signature"], demo,
			"<xml><ToUserName><![CDATA[gh_10f6c3c3ac5a]]></ToUserName>\n<Encrypt><![CDATA["+demo.Encrypt+"]]></Encrypt>\n</xml>")
		if e := p.Event; e.MsgType != wechat.MsgTypeText || e.Content != "abcdteT" || e.MsgID != 6054768590064713728 || e.OpenID != "oyORnuP8q7ou2gfYjqLzSIWZf0rs" {
			t.Errorf("the demo's push is %+v", e)
		}
		echo := byID["official-doc-get-verify"]
		at(t, echo.Timestamp)
		c := newCallback(t, wechat.CallbackSecure, func(cfg *wechat.CallbackConfig) { cfg.Tokens = rotating(echo.Token) })
		got, err := c.Echo(url.Values{
			"signature": {echo.Expect}, "timestamp": {echo.Timestamp}, "nonce": {echo.Nonce}, "echostr": {"4375120948345356249"},
		})
		if err != nil || got != "4375120948345356249" {
			t.Errorf("echo %q, %v", got, err)
		}
		doc := byID["official-doc-secure-post-decrypt"]
		p = open(t, byID["official-doc-secure-post-msg_signature"], doc, `{"ToUserName":"gh_97417a04a28d","Encrypt":"`+doc.Encrypt+`"}`)
		if e := p.Event; !e.Is("DEBUG_demo") || e.OpenID != "o9AgO5Kd5ggOC-bXrbNODIiE3bGY" || e.CreatedAt.Unix() != 1714112445 {
			t.Errorf("the page's push is %+v", e)
		}
	})
}

func TestRoundTripOfEveryLength(t *testing.T) {
	t.Parallel()
	for n := range 130 {
		document := strings.Repeat("文"[:1], n)
		text, err := wechat.EncryptWith([16]byte{}, cbKey, cbAppID, []byte(document))
		must(t, err)
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(raw)%32 != 0 {
			t.Errorf("%d bytes: cipher text of %d, %v", n, len(raw), err)
		}
		if got, err := wechat.Decrypt(cbKey, cbAppID, text); err != nil || string(got) != document {
			t.Errorf("%d bytes decrypted to %d, %v", n, len(got), err)
		}
	}
}

func TestEncodingAESKeyIsChecked(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", "short", cbKey + "=", cbKey + "A", cbKey[:42] + "\n", cbKey[:42] + "*", strings.Repeat("文", 14) + "a"} {
		if _, err := wechat.Decrypt(key, cbAppID, sealed(cbKey, cbAppID, receipt)); err == nil {
			t.Errorf("key %q opens", key)
		}
		if _, err := wechat.EncryptWith([16]byte{}, key, cbAppID, nil); err == nil {
			t.Errorf("key %q seals", key)
		}
	}
}

// forger makes queries that are nearly valid.
type forger struct {
	*rand.Rand
	now string
}

func (f forger) hex(n int) string {
	const digits = "0123456789abcdef"
	b := make([]byte, n)
	for i := range b {
		b[i] = digits[f.IntN(16)]
	}
	return string(b)
}

// forge writes a query into q: a random signature, or a captured one with another
// part changed.
func (f forger) forge(q url.Values, captured url.Values) {
	maps.Copy(q, captured)
	nonce := []string{strconv.FormatUint(uint64(f.Uint32()), 10)}
	switch f.IntN(6) {
	case 0:
		q["signature"], q["msg_signature"] = []string{f.hex(40)}, []string{f.hex(40)}
	case 1: // one digit of each signature
		for _, name := range []string{"signature", "msg_signature"} {
			text := []byte(captured.Get(name))
			i := f.IntN(len(text))
			text[i] = text[i]&0xF0 | (text[i]+1+byte(f.IntN(5)))&0x0F
			q[name] = []string{string(text)}
		}
	case 2:
		q["nonce"] = nonce
	case 3:
		q["timestamp"] = []string{strconv.FormatInt(time.Now().Unix()+1+f.Int64N(500), 10)}
	case 4: // another split of the same signed text
		q["timestamp"], q["nonce"] = captured["nonce"], captured["timestamp"]
	case 5:
		q["nonce"], q["timestamp"] = nonce, []string{f.now}
		q["signature"] = []string{wechat.Signature(f.hex(8), f.now, nonce[0])}
	}
}

// None of a million forged queries is accepted in any mode, by Echo or Open.
func TestForgedQueriesAreRefused(t *testing.T) {
	t.Parallel()
	const workers, each = 4, 250_000
	var wg sync.WaitGroup
	for w := range uint64(workers) {
		wg.Go(func() {
			f := forger{rand.New(rand.NewPCG(w, 7)), strconv.FormatInt(time.Now().Unix(), 10)}
			captured := genuine(wechat.CallbackSecure, "<xml/>")
			secure := newCallback(t, wechat.CallbackSecure)
			plain := newCallback(t, wechat.CallbackPlain)
			q, body := url.Values{}, []byte(captured.body)
			for i := range each {
				f.forge(q, captured.query)
				var err error
				switch {
				case i%16 == 0: // less often: it costs more, since it has a body
					_, err = secure.Open(q, body)
				case i%2 == 0:
					delete(q, "encrypt_type")
					_, err = plain.Open(q, []byte("<xml/>"))
				default:
					q["echostr"] = captured.query["nonce"]
					_, err = plain.Echo(q)
				}
				if err == nil {
					t.Errorf("accepted %v, captured was %v", q, captured.query)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestNewCallbackReportsAllFaults(t *testing.T) {
	t.Parallel()
	_, err := wechat.NewCallback(wechat.CallbackConfig{
		AppID: "no appid", Mode: "safe", Window: -1,
		Tokens:  append(rotating("", " canary"), wechat.RotatingSecret{}),
		AESKeys: rotating("canary"),
	})
	for _, want := range []string{"AppID", "Mode is not plain, compat or secure", "Tokens[0]", "Tokens[1]", "Tokens[2]", "AESKeys[0] is not 43", "Window is negative"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
	if err != nil && (strings.Contains(err.Error(), "canary") || len(strings.Split(err.Error(), "\n")) != 7) {
		t.Errorf("want seven faults and no secret: %v", err)
	}
	ended := wechat.RotatingSecret{Value: wechat.NewSecret(cbToken), Until: time.Now().Add(time.Hour)}
	endedKey := wechat.RotatingSecret{Value: wechat.NewSecret(cbKey), Until: ended.Until}
	for want, cfg := range map[string]wechat.CallbackConfig{
		"Tokens is empty":           {AppID: cbAppID, Mode: wechat.CallbackPlain},
		"AESKeys is empty":          {AppID: cbAppID, Mode: wechat.CallbackSecure, Tokens: rotating(cbToken)},
		"and mode compat needs one": {AppID: cbAppID, Mode: wechat.CallbackCompat, Tokens: rotating(cbToken)},
		"Tokens[0].Until is set":    {AppID: cbAppID, Mode: wechat.CallbackPlain, Tokens: []wechat.RotatingSecret{ended}},
		"AESKeys[0].Until is set":   {AppID: cbAppID, Mode: wechat.CallbackSecure, Tokens: rotating(cbToken), AESKeys: []wechat.RotatingSecret{endedKey}},
	} {
		if _, err := wechat.NewCallback(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestCallbackFaultsHaveRemedies(t *testing.T) {
	t.Parallel()
	want := []wechat.CallbackFault{"signature", "stale", "mode", "encryption", "appid", "xml"}
	if got := wechat.CallbackFaults(); !slices.Equal(got, want) {
		t.Errorf("faults %v, want %v: the words stand in metrics", got, want)
	}
	for _, f := range wechat.CallbackFaults() {
		if f.Meaning(wechat.English) == "" || f.Remedy() == "" {
			t.Errorf("%s has no meaning or no remedy", f)
		}
	}
	if f := wechat.CallbackFault("x"); f.Meaning(wechat.English) != "" || f.Remedy() != "" {
		t.Error("an unknown fault has words")
	}
	if err := error(&wechat.CallbackError{Fault: "x", Detail: "y"}); err.Error() != "wechat: callback refused (x): y" || errors.Unwrap(err) != nil {
		t.Errorf("got %v", err)
	}
}
