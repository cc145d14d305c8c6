package job_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wxnotify/wxnotify/internal/job"
)

// The golden files of a version are written once, when the version is new.
var newGolden = flag.Bool("new-golden", false, "write golden files that do not exist")

func full() job.Envelope {
	return job.Envelope{
		ID: "order-1001-paid", Class: job.Critical, To: "oABC-123_xyz", Template: "ngqIpbwh8bUfcSsECmogfXcV14J0tQlEpBO27izEYtY",
		QueuedAt:    time.UnixMilli(1795392000123).UTC(),
		NotBefore:   time.UnixMilli(1795392060000).UTC(),
		NotAfter:    time.UnixMilli(1795395600000).UTC(),
		AtLeastOnce: true,
		Body:        []byte(`{"touser":"oABC-123_xyz","template_id":"ngqIpbwh8bUfcSsECmogfXcV14J0tQlEpBO27izEYtY","data":{"thing1":{"value":"订单 & <已> 付"}}}`),
	}
}

func lean() job.Envelope {
	return job.Envelope{ID: "a b/ü", Class: job.Default, User: "u-17", Body: []byte("{\n\"data\":{}}")}
}

// traced is a message that was enqueued in a trace.
func traced() job.Envelope {
	e := full()
	e.Trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	return e
}

func TestEncodeAndParseAgreeWithTheGoldenFiles(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]job.Envelope{"v1.golden": full(), "v1-user.golden": lean(), "v1-trace.golden": traced()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := "testdata/" + name
			encoded, err := job.Encode(want)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) && *newGolden {
				if err := os.WriteFile(path, encoded, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			golden, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got, err := job.Parse(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("Parse reads the golden file differently (-want +got):\n%s", diff)
			}
			if !bytes.Equal(encoded, golden) {
				t.Errorf("Encode writes\n%s\nthe golden file has\n%s", encoded, golden)
			}
		})
	}
}

func TestParseIgnoresUnknownFieldsAndReportsNewerVersions(t *testing.T) {
	t.Parallel()
	t.Run("unknown field is ignored", func(t *testing.T) {
		t.Parallel()
		e, err := job.Parse([]byte(`{"v":1,"id":"x","c":"bulk","to":"o1","new":{"deep":[1]}}` + "\n{}"))
		if err != nil || e.ID != "x" || e.Class != job.Bulk {
			t.Errorf("got %+v, %v", e, err)
		}
	})
	for _, line := range []string{`{"v":2}`, `{"v":7,"id":{"no":"longer text"}}`, `{"q":"2027-01-01","id":7,"v":2}`} {
		t.Run("newer version is reported "+line, func(t *testing.T) {
			t.Parallel()
			_, err := job.Parse([]byte(line + "\n{}"))
			var newer *job.NewerVersionError
			if !errors.As(err, &newer) || newer.Version < 2 {
				t.Errorf("got %v, want a NewerVersionError", err)
			}
			if errors.Is(err, job.ErrMalformed) {
				t.Error("a newer version is reported as malformed")
			}
		})
	}
}

func TestParseRefusesMalformedEnvelopes(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]string{
		"nothing":         "",
		"no line feed":    `{"v":1,"id":"x","c":"bulk","to":"o1"}`,
		"not JSON":        "secret-openid\n{}",
		"no version":      `{"id":"x","c":"bulk","to":"o1"}` + "\n{}",
		"version below 1": `{"v":-1,"id":"x","c":"bulk","to":"o1"}` + "\n{}",
		"no id":           `{"v":1,"c":"bulk","to":"o1"}` + "\n{}",
		"no recipient":    `{"v":1,"id":"x","c":"bulk"}` + "\n{}",
		"two recipients":  `{"v":1,"id":"x","c":"bulk","to":"o1","u":"u1"}` + "\n{}",
		"class":           `{"v":1,"id":"x","c":"urgent","to":"o1"}` + "\n{}",
		"no body":         `{"v":1,"id":"x","c":"bulk","to":"o1"}` + "\n",
		"body is a list":  `{"v":1,"id":"x","c":"bulk","to":"o1"}` + "\n[]",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := job.Parse([]byte(data))
			if !errors.Is(err, job.ErrMalformed) {
				t.Fatalf("got %v, want ErrMalformed", err)
			}
			if strings.Contains(err.Error(), "openid") {
				t.Errorf("the error quotes the envelope: %v", err)
			}
		})
	}
}

func TestEncodeNamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := job.Encode(job.Envelope{To: "a", User: "b\xff"})
	if err == nil {
		t.Fatal("got no error")
	}
	for _, want := range []string{"id is empty", "both to and user", "not a JSON object", "class", "UTF-8"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %q", err, want)
		}
	}
}

func TestParseClassKnowsAllClasses(t *testing.T) {
	t.Parallel()
	for _, c := range job.Classes() {
		if got, err := job.ParseClass(string(c)); got != c || err != nil {
			t.Errorf("ParseClass(%q) = %q, %v", c, got, err)
		}
	}
	if got, err := job.ParseClass(""); got != job.Default || err != nil {
		t.Errorf("empty: got %q, %v", got, err)
	}
	if _, err := job.ParseClass("Urgent"); err == nil || !strings.Contains(err.Error(), "critical, default or bulk") {
		t.Errorf("got %v, want the known classes named", err)
	}
}

// snd-08: at most 32 of [A-Za-z0-9_-], unique, stable.
func TestSnd08ClientMsgIDIsShortUniqueAndStable(t *testing.T) {
	t.Parallel()
	n := 1_000_000
	if testing.Short() {
		n = 50_000
	}
	seen := make(map[string]struct{}, n)
	for i := range n {
		id := fmt.Sprintf("order-%d", i)
		if i%2 == 0 {
			id = fmt.Sprintf("订单/%d/paid and shipped to the customer", i)
		}
		got := job.ClientMsgID(id)
		if len(got) == 0 || len(got) > 32 || strings.Trim(got, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") != "" {
			t.Fatalf("ClientMsgID(%q) = %q", id, got)
		}
		if i%2 == 1 && got != id {
			t.Fatalf("a plain id must stay as it is: %q became %q", id, got)
		}
		seen[got] = struct{}{}
	}
	if len(seen) != n {
		t.Errorf("%d ids gave %d", n, len(seen))
	}
	// Across processes and versions: these two stand for ever.
	for id, want := range map[string]string{
		"order-1001-paid":         "order-1001-paid",
		strings.Repeat("x", 33):   "EbpVo6fB7g-OuIZ9xApixnJA60peoSXu",
		strings.Repeat("x", 32):   strings.Repeat("x", 32),
		"":                        "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NM",
		"two words are not plain": "5RT0rVTbEWLOWmrEq0I0zZxoFg3dghek",
	} {
		if got := job.ClientMsgID(id); got != want {
			t.Errorf("ClientMsgID(%q) = %q, want %q", id, got, want)
		}
	}
}

func TestHashCoversBodyAndRecipientOnly(t *testing.T) {
	t.Parallel()
	e := full()
	if e.Hash() != job.Hash(e.Body) {
		t.Error("the hash of a message to an openid is the hash of its body")
	}
	later := e
	later.NotAfter = later.NotAfter.Add(time.Hour)
	later.Class = job.Bulk
	if later.Hash() != e.Hash() {
		t.Error("the terms must not change the hash")
	}
	a, b := lean(), lean()
	b.User = "u-18"
	if a.Hash() == b.Hash() {
		t.Error("two users' messages with one body must differ")
	}
	if got := job.Hash([]byte("{}")); got != "RBNvo1WzZ4o" {
		t.Errorf("Hash = %q: hashes in Redis would no longer match", got)
	}
}

func TestWithRecipientAddsToUserAsFirstField(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ body, openid, want string }{
		{`{"template_id":"T","data":{"a":{"value":"& <"}}}`, "o_-1", `{"touser":"o_-1","template_id":"T","data":{"a":{"value":"& <"}}}`},
		{`{}`, "o1", `{"touser":"o1"}`},
		{`{ }`, "o1", `{"touser":"o1" }`},
		{`{"a":1}`, `o"\`, `{"touser":"o\"\\","a":1}`},
	} {
		body := []byte(tc.body)
		got := job.WithRecipient(body, tc.openid)
		if string(got) != tc.want {
			t.Errorf("WithRecipient(%s) = %s, want %s", tc.body, got, tc.want)
		}
		if !json.Valid(got) {
			t.Errorf("%s is not JSON", got)
		}
		if string(body) != tc.body {
			t.Errorf("the body given was changed to %s", body)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, e := range []job.Envelope{full(), lean()} {
		data, err := job.Encode(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"v":2}` + "\n{}"))
	f.Add([]byte(`{"v":1,"id":"x","c":"bulk","u":"u1","q":17,"nb":18,"na":19,"alo":true}` + "\n{}"))
	f.Add([]byte(`{"v":1,"id":"x","c":"bulk","u":"u1","tp":"00-1-2-01"}` + "\n{}"))
	f.Add([]byte("\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := job.Parse(data)
		if err != nil {
			return
		}
		terms, _, _ := bytes.Cut(data, []byte{'\n'})
		var byJSON struct {
			ID, To, U, T string
			C            job.Class
			Q            int64
			TP           string
			ALO          bool
		}
		if err := json.Unmarshal(terms, &byJSON); err != nil {
			t.Fatalf("Parse took what encoding/json refuses: %v", err)
		}
		if byJSON.ID != e.ID || byJSON.C != e.Class || byJSON.To != e.To || byJSON.U != e.User || byJSON.T != e.Template ||
			byJSON.Q != 0 && byJSON.Q != e.QueuedAt.UnixMilli() || byJSON.ALO != e.AtLeastOnce || byJSON.TP != e.Trace {
			t.Fatalf("%s was read as %+v", terms, e)
		}
		again, err := job.Encode(e)
		if err != nil {
			t.Fatalf("Parse took what Encode refuses: %v", err)
		}
		back, err := job.Parse(again)
		if err != nil {
			t.Fatalf("Parse refuses what Encode wrote: %v", err)
		}
		if diff := cmp.Diff(e, back); diff != "" {
			t.Fatalf("changed on the way (-before +after):\n%s", diff)
		}
	})
}

func FuzzWithRecipient(f *testing.F) {
	f.Add([]byte(`{"a":1}`), "o1")
	f.Add([]byte(`{}`), "\x00\xff")
	f.Fuzz(func(t *testing.T, body []byte, openid string) {
		var object map[string]json.RawMessage
		if len(body) == 0 || body[0] != '{' || json.Unmarshal(body, &object) != nil {
			return
		}
		if got := job.WithRecipient(body, openid); !json.Valid(got) {
			t.Fatalf("%q gave %q", body, got)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	e := full()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := job.Encode(e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	data, err := job.Encode(full())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := job.Parse(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHash(b *testing.B) {
	e := full()
	b.ReportAllocs()
	for b.Loop() {
		_ = e.Hash()
	}
}
