package wechat_test

import (
	crand "crypto/rand"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// FuzzParseEvent checks that any bytes are an event or an error, and that no error
// quotes them.
func FuzzParseEvent(f *testing.F) {
	f.Add([]byte(receipt))
	f.Add([]byte("<xml>< OpenID>o</ OpenID><![CDATA[x]]></xml>"))
	f.Add([]byte(`{"MsgID":2918131553548107776," OpenID":"o"}`))
	f.Add([]byte(`{"\u004dsgType":"event"}`))
	f.Add([]byte("\xEF\xBB\xBF<?xml version='1.0'?><xml><a><b/></a></xml>"))
	f.Add([]byte("<!DOCTYPE x [<!ENTITY a 'b'>]><xml>&a;</xml>"))
	f.Fuzz(func(t *testing.T, document []byte) {
		e, err := wechat.ParseEvent(document)
		if err != nil {
			if len(document) > 60 && strings.Contains(err.Error(), string(document)) {
				t.Errorf("the error quotes the document: %v", err)
			}
			return
		}
		if len(e.DedupeKey()) != 64 || e.MsgID.String() == "" || len(e.Scene()) > len(e.Key) {
			t.Errorf("%+v", e)
		}
		if _, err := e.CreatedAt.MarshalJSON(); err != nil {
			t.Errorf("a time that cannot be formatted: %v", err)
		}
		if e.MsgType != "" && !strings.Contains(string(document), "MsgType") && !strings.Contains(string(document), `\u`) {
			t.Errorf("MsgType %q out of nowhere", e.MsgType)
		}
	})
}

// FuzzCallbackOpen checks that no query and body of a stranger is accepted: the seeds are
// pushes that the Token signed, the callbacks have another one. A seed that is one mutation
// away from a genuine push would let the fuzzer undo the forgery.
func FuzzCallbackOpen(f *testing.F) {
	for _, mode := range modes() {
		p := genuine(mode, receipt)
		f.Add(p.query.Encode(), []byte(p.body))
	}
	old := signed(cbToken, "", time.Unix(1714037059, 0))
	f.Add(old.Encode(), []byte(receipt))
	unguessed := func(cfg *wechat.CallbackConfig) { cfg.Tokens = rotating(crand.Text()) }
	f.Fuzz(func(t *testing.T, query string, body []byte) {
		q, _ := url.ParseQuery(query) // what can be parsed of it
		for _, mode := range modes() {
			c := newCallback(t, mode, unguessed)
			if p, err := c.Open(q, body); err == nil {
				t.Errorf("%s: opened %+v", mode, p.Event)
			} else {
				var e *wechat.CallbackError
				if !errors.As(err, &e) || e.Fault.Remedy() == "" || strings.Contains(err.Error(), "canary") {
					t.Errorf("%s: %v", mode, err)
				}
			}
			if echo, err := c.Echo(q); err == nil {
				t.Errorf("%s: echoed %q", mode, echo)
			}
		}
	})
}

// FuzzDecrypt checks that no text decrypts for another appid, and that a decrypted
// text is not longer than its input.
func FuzzDecrypt(f *testing.F) {
	f.Add(sealed(cbKey, cbAppID, receipt))
	f.Add(sealed(cbKey, "", ""))
	f.Add(sealPlain(cbKey, padded(layout(0xFFFFFFFF, receipt, cbAppID))))
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, text string) {
		if document, err := wechat.Decrypt(cbKey, "wx_nobody_ever_had_this_appid", text); err == nil {
			t.Errorf("opened %q for another appid", document)
		}
		if document, err := wechat.Decrypt(cbKey, cbAppID, text); err == nil && len(document) > len(text) {
			t.Errorf("%d bytes out of %d", len(document), len(text))
		}
	})
}
