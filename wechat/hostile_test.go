package wechat_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// hostile are pushes that must be refused, each made from a valid one.
func hostile(mode wechat.CallbackMode) map[string]struct {
	pushed
	fault wechat.CallbackFault
} {
	type row = struct {
		pushed
		fault wechat.CallbackFault
	}
	var (
		good = genuine(mode, receipt)
		cut  = func(encrypted string, n int) string { // without the last n bytes
			raw, err := base64.StdEncoding.DecodeString(encrypted)
			if err != nil {
				panic(err)
			}
			return base64.StdEncoding.EncodeToString(raw[:len(raw)-n])
		}
		whole = sealed(cbKey, cbAppID, receipt)
		plain = func(document string) []byte { return layout(uint32(len(document)), document, cbAppID) }
		as    = func(encrypted string) pushed { return encryptedAs(mode, encrypted) }
		// endsWith replaces the padding; the rest is a whole number of blocks.
		endsWith = func(pad ...byte) []byte {
			p := plain(receipt)
			p = append(p, bytes.Repeat([]byte{1}, (64-(len(p)+len(pad))%32)%32)...)
			return append(p, pad...)
		}
		changed = good
	)
	changed.query = signed(cbToken, whole, time.Now())
	changed.body = strings.Replace(good.body, "<Encrypt><![CDATA["+whole[:1], "<Encrypt><![CDATA["+otherLetter(whole[:1]), 1)
	withoutMsg := signed(cbToken, whole, time.Now())
	withoutMsg.Del("msg_signature")
	forged := signed("another token", whole, time.Now())
	forged.Set("signature", signed(cbToken, "", time.Now()).Get("signature"))
	borrowed := signed(cbToken, whole, time.Now())
	borrowed.Set("msg_signature", borrowed.Get("signature"))
	raw := signed(cbToken, "", time.Now())
	raw.Set("encrypt_type", "raw")
	return map[string]row{
		"downgrade: clear, well signed":       {pushed{signed(cbToken, "", time.Now()), receipt}, wechat.CallbackFaultMode},
		"downgrade: encrypt_type raw":         {pushed{raw, receipt}, wechat.CallbackFaultMode},
		"downgrade: clear with msg_signature": {pushed{good.query, receipt}, wechat.CallbackFaultMode},
		"downgrade: Encrypt is empty":         {as(""), wechat.CallbackFaultMode},
		"downgrade: without msg_signature":    {pushed{withoutMsg, good.body}, wechat.CallbackFaultSignature},
		"signature for msg_signature":         {pushed{borrowed, good.body}, wechat.CallbackFaultSignature},
		"msg_signature with another token":    {pushed{forged, good.body}, wechat.CallbackFaultSignature},
		"one letter of Encrypt is changed":    {changed, wechat.CallbackFaultSignature},
		"Encrypt of another push":             {pushed{good.query, envelope(mode, sealed(cbKey, cbAppID, "<xml/>"), receipt)}, wechat.CallbackFaultSignature},
		"another key":                         {as(sealed(cbKey2, cbAppID, receipt)), wechat.CallbackFaultEncryption},
		"no base64":                           {as("***"), wechat.CallbackFaultEncryption},
		"cut by half a pad":                   {as(cut(whole, 16)), wechat.CallbackFaultEncryption},
		"cut by a pad":                        {as(cut(whole, 32)), wechat.CallbackFaultEncryption},
		"cut by a byte":                       {as(cut(whole, 1)), wechat.CallbackFaultEncryption},
		"nothing but a pad":                   {as(sealPlain(cbKey, bytes.Repeat([]byte{32}, 32))), wechat.CallbackFaultEncryption},
		"shorter than its head":               {as(sealPlain(cbKey, padded([]byte("0123456789abcdef\x00")))), wechat.CallbackFaultEncryption},
		"pad of 0":                            {as(sealPlain(cbKey, endsWith(0))), wechat.CallbackFaultEncryption},
		"pad of 33":                           {as(sealPlain(cbKey, endsWith(bytes.Repeat([]byte{33}, 33)...))), wechat.CallbackFaultEncryption},
		"pad of 255":                          {as(sealPlain(cbKey, endsWith(255))), wechat.CallbackFaultEncryption},
		"pad bytes differ":                    {as(sealPlain(cbKey, endsWith(2, 3, 3))), wechat.CallbackFaultEncryption},
		"length over everything":              {as(sealPlain(cbKey, padded(layout(0xFFFFFFFF, receipt, cbAppID)))), wechat.CallbackFaultEncryption},
		"length that overflows with the head": {as(sealPlain(cbKey, padded(layout(0xFFFFFFEC, receipt, cbAppID)))), wechat.CallbackFaultEncryption},
		"length over the sign bit":            {as(sealPlain(cbKey, padded(layout(1<<31, receipt, cbAppID)))), wechat.CallbackFaultEncryption},
		"length up to the appid's end":        {as(sealPlain(cbKey, padded(layout(uint32(len(receipt+cbAppID)), receipt, cbAppID)))), wechat.CallbackFaultAppID},
		"length one more":                     {as(sealPlain(cbKey, padded(layout(uint32(len(receipt)+1), receipt, cbAppID)))), wechat.CallbackFaultAppID},
		"length one less":                     {as(sealPlain(cbKey, padded(layout(uint32(len(receipt)-1), receipt, cbAppID)))), wechat.CallbackFaultAppID},
		"another appid":                       {as(sealed(cbKey, "wx0000000000000000", receipt)), wechat.CallbackFaultAppID},
		"no appid":                            {as(sealed(cbKey, "", receipt)), wechat.CallbackFaultAppID},
		"an appid that begins so":             {as(sealed(cbKey, cbAppID+"0", receipt)), wechat.CallbackFaultAppID},
		"the appid in capitals":               {as(sealed(cbKey, strings.ToUpper(cbAppID), receipt)), wechat.CallbackFaultAppID},
		"a DTD, encrypted":                    {as(sealed(cbKey, cbAppID, `<!DOCTYPE xml [<!ENTITY canary "x">]>`+receipt)), wechat.CallbackFaultDocument},
		"an entity, encrypted":                {as(sealed(cbKey, cbAppID, strings.Replace(receipt, "<Status>", "<Status>&canary;", 1))), wechat.CallbackFaultDocument},
		"truncated, encrypted":                {as(sealed(cbKey, cbAppID, receipt[:len(receipt)-20])), wechat.CallbackFaultDocument},
		"no document, encrypted":              {as(sealed(cbKey, cbAppID, "canary")), wechat.CallbackFaultDocument},
		"a MsgID beyond 64 bits, encrypted":   {as(sealed(cbKey, cbAppID, strings.Replace(receipt, "2918131553548107776", "29181315535481077760", 1))), wechat.CallbackFaultDocument},
		"a DTD around":                        {pushed{good.query, `<!DOCTYPE xml SYSTEM "file:///etc/passwd">` + good.body}, wechat.CallbackFaultDocument},
		"truncated around":                    {pushed{good.query, good.body[:len(good.body)-8]}, wechat.CallbackFaultDocument},
		"nothing":                             {pushed{good.query, ""}, wechat.CallbackFaultDocument},
		"two megabytes":                       {pushed{good.query, good.body + strings.Repeat(" ", 2<<20)}, wechat.CallbackFaultDocument},
	}
}

func otherLetter(letter string) string {
	if letter == "A" {
		return "B"
	}
	return "A"
}

func TestCbk03ForgedEncryptedPushesAreRefused(t *testing.T) {
	t.Parallel()
	for _, mode := range []wechat.CallbackMode{wechat.CallbackCompat, wechat.CallbackSecure} {
		c := newCallback(t, mode)
		for name, tt := range hostile(mode) {
			t.Run(string(mode)+"/"+name, func(t *testing.T) {
				t.Parallel()
				if p := mustOpen(t, c, genuine(mode, receipt)); p.Event.OpenID != canaryOpenID {
					t.Fatalf("event %+v", p.Event)
				}
				p, err := c.Open(tt.query, []byte(tt.body))
				if p != nil {
					t.Errorf("opened as %+v", p.Event)
				}
				mustRefuse(t, err, tt.fault)
			})
		}
	}
}

// In compat mode the clear part is not signed.
func TestCbk03CompatIgnoresTheClearPart(t *testing.T) {
	t.Parallel()
	c := newCallback(t, wechat.CallbackCompat)
	p := genuine(wechat.CallbackCompat, receipt)
	for what, tamper := range map[string]func(string) string{
		"another sender":    func(b string) string { return strings.ReplaceAll(b, canaryOpenID, "oEvil") },
		"another status":    func(b string) string { return strings.ReplaceAll(b, "success", "failed:user block") },
		"another event":     func(b string) string { return strings.ReplaceAll(b, "TEMPLATESENDJOBFINISH", "unsubscribe") },
		"one more element":  func(b string) string { return strings.Replace(b, "<xml>", "<xml><OpenID>oEvil</OpenID>", 1) },
		"an Encrypt behind": func(b string) string { return strings.Replace(b, "</xml>", "<Encrypt>x</Encrypt></xml>", 1) },
		"an Encrypt before": func(b string) string { return strings.Replace(b, "<xml>", "<xml><Encrypt>x</Encrypt>", 1) },
		"an Encrypt in what a follower wrote": func(b string) string {
			return strings.Replace(b, "<xml>", "<xml><Content><![CDATA[<Encrypt>x</Encrypt> ]]> <Encrypt><![CDATA[x]]></Encrypt>]]></Content>", 1)
		},
		"nothing but Encrypt": func(string) string { return envelope(wechat.CallbackSecure, sealed(cbKey, cbAppID, receipt), "") },
	} {
		push, err := c.Open(p.query, []byte(tamper(p.body)))
		if err != nil || string(push.Document) != receipt || push.Event.OpenID != canaryOpenID || push.Event.Status != "success" {
			t.Errorf("%s: %+v, %v; want WeChat's own document", what, push, err)
		}
	}
	_, err := c.Open(p.query, []byte("<xml>"+strings.Repeat("<Encrypt>x</Encrypt>", 100)+"</xml>"))
	mustRefuse(t, err, wechat.CallbackFaultSignature)
}

func TestCbk03ForgedPlainPushesAreRefused(t *testing.T) {
	t.Parallel()
	c := newCallback(t, wechat.CallbackPlain)
	good := genuine(wechat.CallbackPlain, receipt)
	secure, compat := genuine(wechat.CallbackSecure, receipt), genuine(wechat.CallbackCompat, receipt)
	quiet := genuine(wechat.CallbackCompat, receipt)
	quiet.query.Del("encrypt_type")
	for name, tt := range map[string]struct {
		pushed
		fault wechat.CallbackFault
	}{
		"secure mode":               {secure, wechat.CallbackFaultMode},
		"compat mode":               {compat, wechat.CallbackFaultMode},
		"compat, encrypt_type gone": {quiet, wechat.CallbackFaultMode},
		"unsigned":                  {pushed{nil, receipt}, wechat.CallbackFaultSignature},
		"another token":             {pushed{signed("x", "", time.Now()), receipt}, wechat.CallbackFaultSignature},
		"a DTD":                     {pushed{good.query, `<!DOCTYPE xml>` + receipt}, wechat.CallbackFaultDocument},
		"a directive inside":        {pushed{good.query, strings.Replace(receipt, "<MsgID>", "<!ENTITY x 'y'><MsgID>", 1)}, wechat.CallbackFaultDocument},
		"an entity":                 {pushed{good.query, strings.Replace(receipt, "<MsgID>", "<X>&lol;</X><MsgID>", 1)}, wechat.CallbackFaultDocument},
		"truncated":                 {pushed{good.query, receipt[:200]}, wechat.CallbackFaultDocument},
		"nested a million deep":     {pushed{good.query, "<xml>" + strings.Repeat("<a>", 200_000)}, wechat.CallbackFaultDocument},
		"empty":                     {pushed{good.query, ""}, wechat.CallbackFaultDocument},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mustOpen(t, c, good)
			_, err := c.Open(tt.query, []byte(tt.body))
			mustRefuse(t, err, tt.fault)
		})
	}
}
