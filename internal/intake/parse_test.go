package intake_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wxnotify/wxnotify/internal/intake"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

const body = `{"touser":"o1","template_id":"T","data":{"thing1":{"value":"x"}}}`

// faultsOf prints the faults of an error as "path code; path code".
func faultsOf(err error) string {
	var invalid *wechat.InvalidError
	if err == nil {
		return ""
	}
	if !errors.As(err, &invalid) {
		return err.Error()
	}
	return codes(invalid.Faults)
}

func codes(faults []wechat.Fault) string {
	parts := make([]string, 0, len(faults))
	for _, f := range faults {
		parts = append(parts, f.Path+" "+string(f.Code))
	}
	return strings.Join(parts, "; ")
}

func TestParseReadsBothForms(t *testing.T) {
	t.Parallel()
	message := &wechat.TemplateMessage{ToUser: "o1", TemplateID: "T", Data: map[string]wechat.Field{"thing1": {Value: "x"}}}
	at := time.Date(2026, 11, 22, 1, 0, 0, 0, time.UTC)
	for text, want := range map[string]intake.Request{
		body: {Message: producer.Message{Message: message}, Bare: true},
		strings.Replace(body, "{", `{"client_msg_id":"order-1",`, 1): {Message: producer.Message{ID: "order-1", Message: message}, Bare: true},
		`{"message":` + body + `}`:                                   {Message: producer.Message{Message: message}},
		`{"id":null,"class":null,"message":` + body + `}`:            {Message: producer.Message{Message: message}},
		`{"id":"i","account":"wx1","class":"bulk","not_before":"2026-11-22T09:00:00+08:00","not_after":"2026-11-22T01:00:00Z","at_least_once":true,"message":` + body + `}`: {
			Account: "wx1",
			Message: producer.Message{ID: "i", Message: message, Terms: producer.Terms{Class: "bulk", NotBefore: at, NotAfter: at, AtLeastOnce: true}},
		},
		`{"user":"u","message":{"template_id":"T","client_msg_id":"c","data":{}}}`: {
			Message: producer.Message{ID: "c", Message: &wechat.TemplateMessage{TemplateID: "T", Data: map[string]wechat.Field{}}, Terms: producer.Terms{User: "u"}},
		},
	} {
		got, err := intake.Parse([]byte(text))
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", text, err, diff)
		}
	}
}

func TestParseRefusesWithAllFaultsAndTheirPaths(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"Id":"x","class":1,"at_least_once":"true","not_before":"tomorrow","not_after":1700000000,"message":{"toUser":"o"}}`: "Id field-unknown; at_least_once field-type; class field-type; message.toUser field-unknown; not_after field-type; not_before field-type",
		`{"id":"x","not_before":"2026-02-30T09:00:00Z","message":` + body + `}`:                                               "not_before field-type",
		`{"id":"","message":` + body + `}`:                                          "id id-missing",
		`{"id":1001,"message":` + body + `}`:                                        "id field-type",
		`{"id":"x","id":"y","message":` + body + `}`:                                "id field-twice",
		`{"id":"x","message":{"data":{"a1":{"value":10},"b1":{"value":"\ud83d"}}}}`: "message.data.b1.value half-surrogate; message.data.a1.value field-type",
		`{"id":"x","message":{"data":{"a1":{"value":"1"},"a1":{"value":"2"}}}}`:     "message.data.a1 field-twice",
		`{"id":"x","touser":"o1","template_id":"T","data":{}}`:                      "id field-unknown",
		`{"id":"x","touser":"o1","message":` + body + `}`:                           "touser field-unknown",
		`{"id":"x"}`:                "message message-missing",
		`{"id":"x","message":null}`: "message message-missing",
		`{"id":"x","message":[]}`:   "message not-json",
		`{"id":"x","message":{"client_msg_id":"y","data":{}}}`: "message.client_msg_id client-msg-id-invalid",
		`[]`:     " not-json",
		`{"id":`: " not-json",
		`null`:   " not-json",
		"{\"id\":\"\xd6\",\"message\":" + body + "}": "id not-utf8",
	} {
		_, err := intake.Parse([]byte(text))
		if got := faultsOf(err); got != want {
			t.Errorf("%s:\n got %q\nwant %q", text, got, want)
		}
	}
	_, err := intake.Parse([]byte(`{"id":"x","touser":"o1","template_id":"T","data":{}}`))
	if !strings.Contains(err.Error(), `put those under "message"`) {
		t.Errorf("%v has no remedy", err)
	}
	got, _ := intake.Parse([]byte(`{"id":"known","message":{"x":1}}`))
	if got.ID != "known" {
		t.Errorf("the ID %q of a refused message is lost for the report", got.ID)
	}
}

// A recipient whose message never leaves the workers has no openid's form.
func TestSimulatedRecipientsAreNotWarnedOf(t *testing.T) {
	t.Parallel()
	for to, warned := range map[string]bool{"wxn-sim-delivered": false, "13812345678": true} {
		r, err := intake.Parse([]byte(strings.Replace(body, "o1", to, 1)))
		if err != nil {
			t.Fatal(err)
		}
		if got := codes(r.Warnings()); strings.Contains(got, "openid-form") != warned || !strings.Contains(got, "template-id-length") {
			t.Errorf("%s: %s", to, got)
		}
	}
}

func TestFaultsOfTheProducerHaveThePathsOfTheDocument(t *testing.T) {
	t.Parallel()
	refused := &wechat.InvalidError{Faults: []wechat.Fault{{Path: "id"}, {Path: "touser"}, {Path: "data.thing1.value"}, {Path: `data["a b"]`}, {}}}
	ours, bare := intake.Request{}, intake.Request{Bare: true}
	if got := codes(ours.Faults(refused)); got != `id ; message.touser ; message.data.thing1.value ; message.data["a b"] ; message ` {
		t.Errorf("our form: %q", got)
	}
	if got := codes(bare.Faults(refused)); got != `id ; touser ; data.thing1.value ; data["a b"] ;  ` {
		t.Errorf("WeChat's form: %q", got)
	}
	ours.Message.Message = &wechat.TemplateMessage{Data: map[string]wechat.Field{"first": {Value: "x"}}}
	if got := codes(ours.Warnings()); got != "message.data.first historic-hidden" {
		t.Errorf("warnings: %q", got)
	}
	if refused.Faults[1].Path != "touser" || ours.Faults(errors.New("x")) != nil {
		t.Error("the error was changed, or another one has faults")
	}
}

func TestParseBodySeparatesTheFaultsOfMessages(t *testing.T) {
	t.Parallel()
	results, batch, err := intake.ParseBody([]byte(`{"messages":[`+body+`,{"id":7,"message":`+body+`},7]}`), 3)
	if err != nil || !batch || len(results) != 3 || faultsOf(results[0].Err) != "" || !results[0].Request.Bare ||
		faultsOf(results[1].Err) != "id field-type" || faultsOf(results[2].Err) != " not-json" {
		t.Errorf("%+v, %v", results, err)
	}
	for text, want := range map[string]string{
		`{"messages":[` + body + `,` + body + `]}`:  "messages body-too-large",
		`{"messages":[]}`:                           "messages message-missing",
		`{"messages":null}`:                         "messages field-type",
		`{"Messages":[` + body + `]}`:               "Messages field-unknown; messages field-type",
		`{"messages":{},"x":1}`:                     "x field-unknown; messages field-type",
		`{"messages":[],"messages":[` + body + `]}`: "messages field-twice",
		`[`:  " not-json",
		`[]`: " not-json",
	} {
		if _, _, err := intake.ParseBody([]byte(text), 1); faultsOf(err) != want {
			t.Errorf("%s: %q, want %q", text, faultsOf(err), want)
		}
	}
}

func TestParseBodyReadsOneMessageAsParseDoes(t *testing.T) {
	t.Parallel()
	for _, text := range []string{body, "\xEF\xBB\xBF " + body, `{"id":"i","message":` + body + `}`, `{"id":7}`, `{"x":"\ud83d"}`, `7`, `[`, "{\"a\":\"\x01\"}"} {
		want, wantErr := intake.Parse([]byte(text))
		got, batch, err := intake.ParseBody([]byte(text), 1)
		if batch || len(got) != 1 || cmp.Diff(want, got[0].Request) != "" || faultsOf(err) != faultsOf(wantErr) || faultsOf(got[0].Err) != faultsOf(err) {
			t.Errorf("%s: %+v, %v; want %+v, %v", text, got, err, want, wantErr)
		}
	}
}

func TestContentIDIsOfWhatIsSentAndToWhom(t *testing.T) {
	t.Parallel()
	id := func(text string) string {
		r, err := intake.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		id, err := r.ContentID()
		if err != nil || len(id) != 27 {
			t.Fatalf("%q, %v", id, err)
		}
		return id
	}
	bare := id(body)
	if again := id(`{"class":"bulk","message":` + strings.ReplaceAll(body, ":", " : ") + `}`); again != bare {
		t.Errorf("%s and %s: form, blanks and terms must not matter", bare, again)
	}
	withoutTo := strings.Replace(body, `"touser":"o1",`, "", 1)
	for _, other := range []string{
		strings.Replace(body, "o1", "o2", 1), strings.Replace(body, `"x"`, `"y"`, 1), `{"user":"o1","message":` + withoutTo + `}`,
	} {
		if id(other) == bare {
			t.Errorf("%s has the ID of another message", other)
		}
	}
}

// FuzzParse checks that the texts of all errors are one line, and that paths are
// pointers.
func FuzzParse(f *testing.F) {
	f.Add([]byte(body))
	f.Add([]byte(`{"id":"x","class":1,"message":` + body + `}`))
	f.Add([]byte("{\"a\xffb\":{\"x y\":[{\"\\ud83d\":1}]},\"message\":{\"data\":{\"\\n\":1}}}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := intake.Parse(data)
		if err == nil {
			if _, err := r.ContentID(); err != nil {
				t.Errorf("%q: %v", data, err)
			}
			return
		}
		var invalid *wechat.InvalidError
		if !errors.As(err, &invalid) || len(invalid.Faults) == 0 || strings.ContainsAny(err.Error(), "\n\r\x00") {
			t.Fatalf("%q: %q", data, err)
		}
		for _, f := range invalid.Faults {
			if p := f.Pointer(); p != "" && p[0] != '/' {
				t.Errorf("%q: the pointer of %q is %q", data, f.Path, p)
			}
		}
	})
}

func TestABatchOfTheAPIIsNamedInAFile(t *testing.T) {
	t.Parallel()
	if _, err := intake.Parse([]byte(`{"messages":[` + body + `]}`)); err == nil || !strings.Contains(err.Error(), "messages is a batch of the HTTP API: write its messages as an array") {
		t.Errorf("%v", err)
	}
}
