package intake_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/wxnotify/wxnotify/internal/intake"
	"github.com/wxnotify/wxnotify/wechat"
)

// texts are of the kind that encodings and decoders change.
func texts() *rapid.Generator[string] {
	return rapid.StringOfN(rapid.SampledFrom([]rune("aZ0 \"\\/&<>\t\n\u0000\u007f\u2028é你咖\ue000😀\U0010ffff€")), 0, 12, -1)
}

// TestParseKeepsEveryMessage: what is encoded for WeChat, or by encoding/json with all
// its escapes, is read as it was, in both forms.
func TestParseKeepsEveryMessage(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := &wechat.TemplateMessage{
			ToUser: texts().Draw(t, "touser"), TemplateID: texts().Draw(t, "template"), URL: texts().Draw(t, "url"), Data: map[string]wechat.Field{},
		}
		if rapid.Bool().Draw(t, "mini") {
			m.MiniProgram = &wechat.MiniProgram{AppID: "wx" + texts().Draw(t, "appid"), PagePath: texts().Draw(t, "page")}
		}
		for _, key := range rapid.SliceOfNDistinct(texts(), 0, 4, rapid.ID).Draw(t, "keys") {
			m.Data[key] = wechat.Field{Value: texts().Draw(t, "value"), Color: texts().Draw(t, "color")}
		}
		raw, err := wechat.MarshalBody(m)
		if err != nil {
			t.Fatal(err)
		}
		escaped, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		id := texts().Filter(func(s string) bool { return s != "" }).Draw(t, "id")
		quoted, _ := json.Marshal(id)
		ids := map[string]bool{}
		for _, text := range []string{
			string(raw), string(escaped), `{"id":` + string(quoted) + `,"message":` + string(raw) + `}`, "\xEF\xBB\xBF \r\n" + string(escaped) + "\n",
		} {
			r, err := intake.Parse([]byte(text))
			if err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			if diff := cmp.Diff(m, r.Message.Message, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("%q is read differently:\n%s", text, diff)
			}
			if !r.Bare && r.ID != id {
				t.Fatalf("the id %q is read as %q", id, r.ID)
			}
			content, err := r.ContentID()
			if err != nil {
				t.Fatal(err)
			}
			ids[content] = true
		}
		if len(ids) != 1 {
			t.Fatalf("one message has %d ids", len(ids))
		}
	})
}

// TestReaderKeepsTheOrderAndTheLines: any mix of messages, blank lines and lines with
// faults is read line by line.
func TestReaderKeepsTheOrderAndTheLines(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		lines := []string{ours("first", "一")}
		var want []int
		want = append(want, 1)
		for range rapid.IntRange(0, 12).Draw(t, "lines") {
			line := rapid.SampledFrom([]string{"", " \t", ours("x", "二"), `{"id":`, "[]", "7", "\xff", ours("x", "\\ud83d")}).Draw(t, "line")
			lines = append(lines, line)
			if strings.TrimSpace(line) != "" {
				want = append(want, len(lines))
			}
		}
		r, err := intake.NewReader(strings.NewReader(strings.Join(lines, rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "end"))), "")
		if err != nil {
			t.Fatal(err)
		}
		var got []int
		for {
			line, err := r.Next()
			if err != nil {
				break
			}
			got = append(got, line.Number)
			if good := strings.Contains(lines[line.Number-1], `"value":"一"`) || strings.Contains(lines[line.Number-1], `"value":"二"`); good != (line.Err == nil) {
				t.Fatalf("line %d %q: %v", line.Number, lines[line.Number-1], line.Err)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%q:\n%s", lines, diff)
		}
	})
}
