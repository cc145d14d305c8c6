package wechat_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/html/charset"
	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/wxnotify/wxnotify/wechat"
)

// unreadable are documents that WeChat may push and that are no event.
func unreadable() map[string]string {
	said := func(content string) string { return strings.Replace(receipt, "<Status>", content+"<Status>", 1) }
	return map[string]string{
		"a CDATA section in what a follower wrote": said("<Content><![CDATA[<xml><s><![CDATA[ok]]></s></xml>]]></Content>"),
		"an end of CDATA in what a follower wrote": said("<Content><![CDATA[a ]]> b]]> & c</Content>"),
		"a tag that is not closed":                 said("<Content><b></Content>"),
		"an entity":                                said("<Content>&nbsp;</Content>"),
		"too deep":                                 said(strings.Repeat("<a>", 17) + strings.Repeat("</a>", 17)),
		"an unknown encoding":                      `<?xml version="1.0" encoding="x-canary"?>` + receipt,
		"UTF-16":                                   "\xff\xfe<\x00x\x00m\x00l\x00>\x00",
		"broken JSON":                              `{"FromUserName":"` + canaryOpenID + `"`,
		"a time that is no number":                 strings.Replace(receipt, "1395658920", "canary", 1),
		"no text":                                  "",
	}
}

func TestUnreadableDocumentsOfWeChatAreToldFromForgeries(t *testing.T) {
	t.Parallel()
	for _, mode := range modes() {
		c := newCallback(t, mode)
		for name, document := range unreadable() {
			good := genuine(mode, document)
			if mode == wechat.CallbackCompat {
				good.body = envelope(wechat.CallbackSecure, sealed(cbKey, cbAppID, document), "")
				good.query = genuine(wechat.CallbackSecure, document).query
			}
			_, err := c.Open(good.query, []byte(good.body))
			mustRefuse(t, err, wechat.CallbackFaultDocument)
			var e *wechat.CallbackError
			if !errors.As(err, &e) || e.Push() == nil {
				t.Errorf("%s, %s: taken for a forgery: %v", mode, name, err)
				continue
			}
			p := e.Push()
			if string(p.Document) != document || len(p.Nonce) != 64 || len(p.Digest) != 64 || p.Event.OpenID != "" {
				t.Errorf("%s, %s: %+v", mode, name, p)
			}
			if answer, err := c.Seal(p, nil); err != nil || len(answer) != 0 {
				t.Errorf("%s, %s: cannot be answered: %q, %v", mode, name, answer, err)
			}
			forged := good
			forged.query = signed("another token", "x", time.Now())
			_, err = c.Open(forged.query, []byte(forged.body))
			if !errors.As(err, &e) || e.Push() != nil {
				t.Errorf("%s, %s: a forgery counts as a push: %v", mode, name, err)
			}
		}
	}
}

// Clear text with inner elements is read: only what XML forbids is not.
func TestFollowersTextsAreReadWhereXMLAllows(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"elements":          "<xml><s>ok</s></xml>",
		"control character": "a\x02b",
		"escaped":           "&lt;xml&gt; ]]&gt;",
		"two sections":      "<![CDATA[a ]]]]><![CDATA[> b]]>",
	} {
		document := strings.Replace(receipt, "<Status>", "<Content>"+content+"</Content><Status>", 1)
		for _, mode := range modes() {
			if p := mustOpen(t, newCallback(t, mode), genuine(mode, document)); p.Event.OpenID != canaryOpenID {
				t.Errorf("%s, %s: %+v", mode, name, p.Event)
			}
		}
	}
}

func TestDeclaredEncodingsAreDecoded(t *testing.T) {
	t.Parallel()
	said := strings.Replace(receipt, "<Status>", "<Content>苹果</Content><Status>", 1)
	gbk, err := simplifiedchinese.GBK.NewEncoder().String(said)
	must(t, err)
	for name, document := range map[string]string{
		"GB2312":                            `<?xml version="1.0" encoding="GB2312"?>` + gbk,
		"gbk, single quote":                 `<?xml version='1.0' encoding='gbk' standalone='yes'?>` + "\n" + gbk,
		"GB18030":                           `<?xml version="1.0" encoding="GB18030"?>` + gbk,
		"declared GB2312, written in UTF-8": `<?xml version="1.0" encoding="GB2312"?>` + said,
		"UTF-8":                             `<?xml version="1.0" encoding="UTF-8"?>` + said,
	} {
		for _, mode := range []wechat.CallbackMode{wechat.CallbackPlain, wechat.CallbackSecure} {
			c := newCallback(t, mode, func(cfg *wechat.CallbackConfig) { cfg.CharsetReader = charset.NewReaderLabel })
			p := mustOpen(t, c, genuine(mode, document))
			if p.Event.Content != "苹果" || p.Event.OpenID != canaryOpenID {
				t.Errorf("%s, %s: %+v", mode, name, p.Event)
			}
			if string(p.Document) != document {
				t.Errorf("%s, %s: the document was changed", mode, name)
			}
		}
	}
	for name, reader := range map[string]func(string, io.Reader) (io.Reader, error){
		"none": nil, "one that fails": func(string, io.Reader) (io.Reader, error) { return nil, errors.New("canary") },
		"one that breaks": func(string, io.Reader) (io.Reader, error) { return brokenReader{}, nil },
	} {
		c := newCallback(t, wechat.CallbackPlain, func(cfg *wechat.CallbackConfig) { cfg.CharsetReader = reader })
		p := genuine(wechat.CallbackPlain, `<?xml version="1.0" encoding="GB2312"?>`+gbk)
		_, err := c.Open(p.query, []byte(p.body))
		if mustRefuse(t, err, wechat.CallbackFaultDocument); t.Failed() {
			t.Fatal(name)
		}
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("canary") }

// What a server may refuse before it reads the body.
func TestCheckQueryNeedsNoBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, mode := range modes() {
			c := newCallback(t, mode)
			good := genuine(mode, receipt)
			if err := c.CheckQuery(good.query); err != nil {
				t.Errorf("%s: %v", mode, err)
			}
			mustRefuse(t, c.CheckQuery(nil), wechat.CallbackFaultSignature)
			short := genuine(mode, receipt).query
			short.Set("signature", "0123")
			short.Set("msg_signature", "0123")
			mustRefuse(t, c.CheckQuery(short), wechat.CallbackFaultSignature)
			other := genuine(wechat.CallbackPlain, receipt).query
			if mode == wechat.CallbackPlain {
				other = genuine(wechat.CallbackSecure, receipt).query
			}
			mustRefuse(t, c.CheckQuery(other), wechat.CallbackFaultMode)
			time.Sleep(10*time.Minute + time.Second) // virtual
			mustRefuse(t, c.CheckQuery(good.query), wechat.CallbackFaultStale)
		}
	})
}

// The envelope is searched, not parsed: elements, JSON members, any amount of rest.
func TestEncryptIsFoundInEveryEnvelope(t *testing.T) {
	t.Parallel()
	c := newCallback(t, wechat.CallbackSecure)
	encrypted := sealed(cbKey, cbAppID, receipt)
	for name, body := range map[string]string{
		"CDATA":             "<xml><ToUserName>g</ToUserName><Encrypt><![CDATA[" + encrypted + "]]></Encrypt></xml>",
		"text":              "<xml><Encrypt>" + encrypted + "</Encrypt></xml>",
		"lines":             "\xEF\xBB\xBF<?xml version='1.0'?>\r\n<xml>\r\n <Encrypt>\r\n  <![CDATA[\n" + encrypted + "\n]]>\r\n </Encrypt>\r\n</xml>\r\n",
		"blanks in the tag": "<xml>< Encrypt >" + encrypted + "</ Encrypt ></xml>",
		"JSON":              `{"ToUserName":"g", "Encrypt" : "` + strings.ReplaceAll(encrypted, "/", `\/`) + `"}`,
		"JSON, plain slash": `{"Encrypt":"` + encrypted + `","ToUserName":"g"}`,
	} {
		p, err := c.Open(signed(cbToken, encrypted, time.Now()), []byte(body))
		if err != nil || string(p.Document) != receipt {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, body := range map[string]string{
		"another name":    "<xml><XEncrypt>" + encrypted + "</XEncrypt></xml>",
		"a longer name":   "<xml><EncryptX>" + encrypted + "</EncryptX></xml>",
		"JSON, a list":    `{"Encrypt":["` + encrypted + `"]}`,
		"JSON, no value":  `{"Encrypt"}`,
		"JSON, not ended": `{"Encrypt":"` + encrypted + `}`,
		"as a value":      `{"a":"Encrypt"}`,
	} {
		_, err := c.Open(signed(cbToken, encrypted, time.Now()), []byte(body))
		if err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

// SignForward is recognised; no query of WeChat's and none of Sign's is.
func TestForwardedQueriesAreRecognised(t *testing.T) {
	t.Parallel()
	c := newCallback(t, wechat.CallbackPlain)
	now := time.Now()
	q := c.SignForward(canaryOpenID, now)
	if !wechat.Forwarded(q) || q.Get("openid") != canaryOpenID {
		t.Errorf("%v", q)
	}
	mustOpen(t, c, pushed{q, receipt}) // as the business's server does
	if wechat.Forwarded(c.Sign(canaryOpenID, now)) || wechat.Forwarded(genuine(wechat.CallbackSecure, receipt).query) || wechat.Forwarded(nil) {
		t.Error("a query of WeChat's is called forwarded")
	}
	// The signed text has no separators: no other split of it verifies.
	whole := q.Get("timestamp") + q.Get("nonce")
	for cut := range len(whole) {
		for _, pair := range [][2]string{{whole[:cut], whole[cut:]}, {whole[cut:], whole[:cut]}} {
			other := map[string][]string{"signature": q["signature"], "timestamp": {pair[0]}, "nonce": {pair[1]}}
			if _, err := c.Open(other, []byte(receipt)); err == nil && !wechat.Forwarded(other) {
				t.Errorf("timestamp %s, nonce %s: accepted", pair[0], pair[1])
			}
		}
	}
}

func TestTokensOfOneLetterAreRefused(t *testing.T) {
	t.Parallel()
	for token, good := range map[string]bool{"": false, "c": false, "ca": false, "can": true, cbToken: true} {
		_, err := wechat.NewCallback(wechat.CallbackConfig{AppID: cbAppID, Mode: wechat.CallbackPlain, Tokens: rotating(token)})
		if (err == nil) != good {
			t.Errorf("%d letters: %v", len(token), err)
		}
	}
}

// BenchmarkRefuseUnsigned is what an unsigned body of 64 KB costs.
func BenchmarkRefuseUnsigned(b *testing.B) {
	c := newCallback(b, wechat.CallbackSecure)
	body := []byte("<xml>" + strings.Repeat("<a/>", 16_000) + "</xml>")
	q := signed("another token", "x", time.Now())
	for b.Loop() {
		if _, err := c.Open(q, body); err == nil {
			b.Fatal("opened")
		}
	}
}
