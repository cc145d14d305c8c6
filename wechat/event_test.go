package wechat_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/wechat"
)

func parse(t *testing.T, document string) *wechat.Event {
	t.Helper()
	e, err := wechat.ParseEvent([]byte(document))
	if err != nil {
		t.Fatalf("%v: %s", err, document)
	}
	return e
}

func TestPublishedEventsParse(t *testing.T) {
	t.Parallel()
	events := readSamples(t).Events
	if len(events) < 13 {
		t.Fatalf("%d events, want 13", len(events))
	}
	for _, s := range events {
		t.Run(s.ID, func(t *testing.T) {
			t.Parallel()
			e := parse(t, s.XML)
			want := func(name string) string { text, _ := s.Fields[name].(string); return text }
			if e.To != want("ToUserName") || e.OpenID != want("FromUserName") || e.MsgType != want("MsgType") || e.Name != want("Event") ||
				e.Key != want("EventKey") || e.Ticket != want("Ticket") || e.Status != want("Status") {
				t.Errorf("got %+v, want %v", e, s.Fields)
			}
			if created := want("CreateTime"); created != "" && created != strconv.FormatInt(e.CreatedAt.Unix(), 10) {
				t.Errorf("created %v, want %s", e.CreatedAt, created)
			}
			if id := want("MsgID"); id != "" && id != e.MsgID.String() || id == "" && e.MsgID != 0 {
				t.Errorf("msgid %v, want %q", e.MsgID, id)
			}
			if e.Name != "" && (!e.Is(strings.ToUpper(e.Name)) || !e.Is(strings.ToLower(e.Name))) {
				t.Errorf("%q is not itself in another case", e.Name)
			}
			fields, err := wechat.ParseDocument([]byte(s.XML))
			if err != nil || fields["Encrypt"] != want("Encrypt") || fields["MsgSignature"] != want("MsgSignature") || fields["TimeStamp"] != want("TimeStamp") {
				t.Errorf("envelope %v, %v", fields, err)
			}
		})
	}
}

// Receipts have MsgID, followers' messages MsgId.
func TestRcp02MsgIDAndMsgIdAreBothRead(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"MsgID", "MsgId"} {
		for _, id := range []string{"200163836", "3557254367693750277", "9223372036854775807", "0"} {
			e := parse(t, "<xml><MsgType>event</MsgType><"+name+">"+id+"</"+name+"></xml>")
			if e.MsgID.String() != id {
				t.Errorf("%s %s is %v", name, id, e.MsgID)
			}
		}
		for _, id := range []string{"1e3", "1.0", "9223372036854775808", "x", "0x10", "1 2"} {
			if e, err := wechat.ParseEvent([]byte("<xml><" + name + ">" + id + "</" + name + "></xml>")); err == nil {
				t.Errorf("%s %q is read as %v", name, id, e.MsgID)
			}
		}
	}
	if e := parse(t, "<xml><MsgID>0</MsgID><MsgId>7</MsgId></xml>"); e.MsgID != 7 {
		t.Errorf("MsgID 0 beside MsgId 7 is %v", e.MsgID)
	}
	if e := parse(t, "<xml><MsgID></MsgID></xml>"); e.MsgID != 0 {
		t.Errorf("an empty MsgID is %v", e.MsgID)
	}
}

func TestSceneOfScansAndSubscribes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ event, key, want string }{
		{"subscribe", "", ""},
		{"subscribe", "qrscene_bind-1", "bind-1"},
		{"Subscribe", "qrscene_qrscene_1", "qrscene_1"},
		{"subscribe", "qrscene_", ""},
		{"subscribe", "last_trade_no_123", ""},
		{"SCAN", "bind-1", "bind-1"},
		{"scan", "qrscene_1", "qrscene_1"},
		{"CLICK", "menu", ""},
		{"unsubscribe", "", ""},
	} {
		e := parse(t, "<xml><MsgType>event</MsgType><Event>"+tt.event+"</Event><EventKey><![CDATA["+tt.key+"]]></EventKey></xml>")
		if got := e.Scene(); got != tt.want {
			t.Errorf("%s %s: scene %q, want %q", tt.event, tt.key, got, tt.want)
		}
	}
	if parse(t, "<xml><MsgType>text</MsgType><Event>subscribe</Event></xml>").Is(wechat.EventSubscribe) {
		t.Error("a text message is an event")
	}
}

// The element may have white space around its name.
func TestSubjectIsTheUserWhoseConsentEnded(t *testing.T) {
	t.Parallel()
	const head = "<xml><FromUserName>oSystem</FromUserName><MsgType>event</MsgType><Event>"
	for _, name := range []string{wechat.EventAuthorizationRevoked, wechat.EventAuthorizationCancelled, "USER_AUTHORIZATION_REVOKE"} {
		for _, element := range []string{
			"<OpenID>oUser</OpenID>", "< OpenID>oUser</ OpenID>", "<OpenID > oUser\n</OpenID >", "<\tOpenID><![CDATA[ oUser ]]></OpenID>",
		} {
			if e := parse(t, head+name+"</Event>"+element+"</xml>"); e.Subject != "oUser" || e.OpenID != "oSystem" {
				t.Errorf("%s %s: %+v", name, element, e)
			}
		}
		for _, key := range []string{"OpenID", " OpenID", "OpenID "} {
			if e := parse(t, `{"FromUserName":"oSystem","MsgType":"event","Event":"`+name+`","`+key+`":"oUser"}`); e.Subject != "oUser" {
				t.Errorf("%s, key %q: %+v", name, key, e)
			}
		}
		if e := parse(t, head+name+"</Event></xml>"); e.Subject != "" {
			t.Errorf("%s without OpenID: subject %q", name, e.Subject)
		}
	}
	if e := parse(t, head+"CLICK</Event><OpenID>oUser</OpenID></xml>"); e.Subject != "" {
		t.Errorf("CLICK has the subject %q", e.Subject)
	}
}

func TestParseEventIsLenient(t *testing.T) {
	t.Parallel()
	const want = "oUser"
	for name, document := range map[string]string{
		"white space":         "\n <xml>\n <FromUserName>\n oUser \n</FromUserName> </xml>\n",
		"byte order mark":     "\xEF\xBB\xBF<xml><FromUserName>oUser</FromUserName></xml>",
		"declaration":         `<?xml version="1.0" encoding="UTF-8"?><xml><FromUserName>oUser</FromUserName></xml>`,
		"comment":             "<!-- a --><xml><!-- b --><FromUserName>oU<!-- c -->ser</FromUserName></xml>",
		"CDATA in pieces":     "<xml><FromUserName>o<![CDATA[Us]]><![CDATA[er]]></FromUserName></xml>",
		"character reference": "<xml><FromUserName>&#111;User</FromUserName></xml>",
		"attributes":          `<xml a="b"><FromUserName c='d'>oUser</FromUserName></xml>`,
		"unknown elements":    "<xml><New><FromUserName>oOther</FromUserName></New><X/><FromUserName>oUser</FromUserName></xml>",
		"the first counts":    "<xml><FromUserName>oUser</FromUserName><FromUserName>oOther</FromUserName></xml>",
		"control character":   "<xml><Content><![CDATA[a\x08b\x00]]></Content><FromUserName>oUser</FromUserName></xml>",
		"bad UTF-8":           "<xml><Content><![CDATA[\xff\xfe]]></Content><FromUserName>oUser</FromUserName></xml>",
		"text like a tag":     "<xml><Content><![CDATA[< FromUserName>oOther</FromUserName>]]></Content>< FromUserName>oUser</FromUserName></xml>",
		"a stray space":       "<xml><FromUserName>oUser</FromUserName><RevokeInfo>1</RevokeInfo>\n< OpenPID><![CDATA[x]]></OpenPID></xml>",
		"15 deep":             "<xml>" + strings.Repeat("<a>", 15) + strings.Repeat("</a>", 15) + "<FromUserName>oUser</FromUserName></xml>",
		"JSON":                `{"FromUserName":"oUser","CreateTime":1714112445,"List":[{"MsgID":"x"}],"MsgID":2918131553548107776,"X":null,"Y":{"FromUserName":1}}`,
	} {
		if e := parse(t, document); e.OpenID != want {
			t.Errorf("%s: %+v", name, e)
		}
	}
	if e := parse(t, `{"MsgID":2918131553548107776}`); e.MsgID != 2918131553548107776 {
		t.Errorf("JSON number is %v", e.MsgID)
	}
	if e := parse(t, "<xml><Content><![CDATA[a < b &amp; 红]]></Content></xml>"); e.Content != "a < b &amp; 红" {
		t.Errorf("content %q", e.Content)
	}
}

func TestParseEventRefuses(t *testing.T) {
	t.Parallel()
	const canary = "<Status>canary</Status>"
	for name, document := range map[string]string{
		"nothing":              "",
		"text":                 "canary",
		"an unclosed root":     "<xml>" + canary,
		"an unclosed element":  "<xml><Status>canary</xml>",
		"another root":         "<html>" + canary + "</html>",
		"two roots":            "<xml></xml><xml>" + canary + "</xml>",
		"text behind":          "<xml></xml>canary",
		"text before":          "canary<xml></xml>",
		"a DTD":                "<!DOCTYPE xml><xml>" + canary + "</xml>",
		"a DTD in lower case":  "<!doctype xml><xml>" + canary + "</xml>",
		"entities":             `<!DOCTYPE xml [<!ENTITY a "canary"><!ENTITY b "&a;&a;">]><xml><Status>&b;</Status></xml>`,
		"an external entity":   `<!DOCTYPE xml [<!ENTITY a SYSTEM "file:///canary">]><xml><Status>&a;</Status></xml>`,
		"an entity inside":     "<xml><!ENTITY a 'canary'></xml>",
		"an unknown entity":    "<xml><Status>&canary;</Status></xml>",
		"an instruction":       "<?canary x?><xml></xml>",
		"a second declaration": `<xml><?xml version="1.0"?></xml>`,
		"another encoding":     `<?xml version="1.0" encoding="GBK"?><xml>` + canary + `</xml>`,
		"17 deep":              "<xml>" + strings.Repeat("<a>", 16) + strings.Repeat("</a>", 16) + "</xml>",
		"two megabytes":        "<xml>" + strings.Repeat(" ", 2<<20) + "</xml>",
		"a time in words":      "<xml><CreateTime>canary</CreateTime></xml>",
		"a time before 1970":   "<xml><CreateTime>-1</CreateTime></xml>",
		"a time without end":   "<xml><CreateTime>9223372036854775807</CreateTime></xml>",
		"broken JSON":          `{"Status":"canary"`,
		"JSON behind JSON":     `{"Status":"canary"}{}`,
	} {
		e, err := wechat.ParseEvent([]byte(document))
		if err == nil {
			t.Errorf("%s: read as %+v", name, e)
			continue
		}
		noCanary(t, err)
	}
}

func TestDedupeKeyDiffersBetweenEventsOnly(t *testing.T) {
	t.Parallel()
	base := parse(t, receipt)
	if again := parse(t, receipt); len(base.DedupeKey()) != 64 || base.DedupeKey() != again.DedupeKey() {
		t.Error("the same event has two keys")
	}
	seen := map[string]string{base.DedupeKey(): "base"}
	change := func(old, with string) string {
		if !strings.Contains(receipt, old) {
			t.Fatalf("the receipt has no %q", old)
		}
		return strings.Replace(receipt, old, with, 1)
	}
	for what, document := range map[string]string{
		"account": change("gh_7f", "gh_8f"),
		"sender":  change("oCANARY", "oOTHER"),
		"time":    change("1395658920", "1395658921"),
		"type":    change("CDATA[event", "CDATA[other"),
		"event":   change("TEMPLATE", "MASS"),
		"msgid":   change("2918131553548107776", "2918131553548107777"),
		"status":  change("success", "failed:user block"),
		"key":     change("<Status>", "<EventKey>k</EventKey><Status>"),
		"no ambiguity of key and name": change("<Event><![CDATA[TEMPLATESENDJOBFINISH]]></Event>",
			"<Event><![CDATA[TEMPLATESENDJOB]]></Event><EventKey>FINISH</EventKey>"),
	} {
		key := parse(t, document).DedupeKey()
		if other, known := seen[key]; known {
			t.Errorf("%s has the key of %s", what, other)
		}
		seen[key] = what
	}
}
