package job_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wxnotify/wxnotify/internal/job"
)

// The golden files hold usual IDs, this test the unusual ones: each is written
// without HTML escapes and read back unchanged.
func TestUnusualTextSurvivesEncodeAndParse(t *testing.T) {
	t.Parallel()
	for name, id := range map[string]string{
		"plain": "order-1001-paid", "quote": `a"b`, "backslash": `a\b`, "html": "<a&b>", "tab": "a\tb",
		"chinese": "订单-1", "line separator": "a\u2028b", "delete": "a\x7fb", "emoji": "x😀y",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := lean()
			e.ID, e.Key, e.QueuedAt = id, "key-"+id, time.UnixMilli(1795392000123).UTC()
			data, err := job.Encode(e)
			if err != nil {
				t.Fatal(err)
			}
			line, _, _ := bytes.Cut(data, []byte{'\n'})
			var want bytes.Buffer
			enc := json.NewEncoder(&want)
			enc.SetEscapeHTML(false)
			if err := enc.Encode(id); err != nil {
				t.Fatal(err)
			}
			if quoted := strings.TrimSpace(want.String()); !bytes.Contains(line, []byte(`"id":`+quoted+`,`)) {
				t.Errorf("the line %s does not hold the ID as %s", line, quoted)
			}
			got, err := job.Parse(data)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(e, got); diff != "" {
				t.Errorf("it came back changed (-want +got):\n%s", diff)
			}
		})
	}
}

// Parse accepts any JSON with the right fields, not only the form Encode writes.
func TestParseReadsAnyJSON(t *testing.T) {
	t.Parallel()
	want := job.Envelope{ID: "x", Class: job.Bulk, To: "o1", QueuedAt: time.UnixMilli(17).UTC(), Body: []byte("{}")}
	for _, line := range []string{
		`{"v":1,"id":"x","c":"bulk","to":"o1","q":17}`,
		`{ "v":1, "id":"x", "c":"bulk", "to":"o1", "q":17 }`,
		`{"q":17,"to":"o1","c":"bulk","id":"x","v":1}`,
		`{"v":1,"id":"\u0078","c":"bulk","to":"o1","q":17}`,
		`{"v":1,"ID":"x","c":"bulk","to":"o1","q":17}`,
		`{"v":1,"id":"y","id":"x","c":"bulk","to":"o1","q":17}`,
		`{"v":1,"id":"x","c":"bulk","to":"o1","q":17,"alo":false}`,
		`{"v":1,"id":"x","c":"bulk","to":"o1","q":17,"later":"x"}`,
	} {
		got, err := job.Parse([]byte(line + "\n{}"))
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", line, diff)
		}
	}
	for _, line := range []string{
		`{"v":1,"id":"x","c":"bulk","to":"o1","q":17,}`, `{"v":01,"id":"x","c":"bulk","to":"o1"}`,
		`{"v":1,"id":"x","c":"bulk","to":"o1","q":17}}`, `{"v":1 "id":"x"}`, `{}`, `{`, `}`, ``,
		`{"v":1,"id":"x","c":"bulk","to":"o1","q":-}`, `{"v":1,"id":"x","c":"bulk,"to":"o1"}`,
	} {
		if got, err := job.Parse([]byte(line + "\n{}")); err == nil {
			t.Errorf("%s was read as %+v", line, got)
		}
	}
}

// A test message must not be taken for the live one of its ID, nor by a reader of
// the line for one that is sent.
func TestATestMessageStaysOne(t *testing.T) {
	t.Parallel()
	live := lean()
	test := live
	test.Test = true
	if live.Hash() == test.Hash() {
		t.Error("a test and a live message have one hash")
	}
	data, err := job.Encode(test)
	if err != nil {
		t.Fatal(err)
	}
	got, err := job.Parse(data)
	if err != nil || !got.Test {
		t.Errorf("it came back as %+v, %v", got, err)
	}
}
