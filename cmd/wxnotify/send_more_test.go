package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wxnotify/wxnotify/internal/intake"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// between calls do between two parts of a stream.
type between struct {
	do func()
}

func (b *between) Read([]byte) (int, error) {
	if b.do != nil {
		b.do()
		b.do = nil
	}
	return 0, io.EOF
}

// A run that Redis broke off is completed by the same command, and nothing is sent
// twice.
func TestSendTwiceAfterRedisWentAway(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.AOF()...)
	s := sendTo{server, map[string]string{"WXNOTIFY_REDIS_URL": server.URL(), "WXNOTIFY_APPID": "wx0000000000000001"}}
	const total = sendChunk + 200
	part := func(from, to int) string {
		var b strings.Builder
		for i := from; i < to; i++ {
			b.WriteString(jsonBody(fmt.Sprintf("oGone%023d", i), "商品") + "\n")
		}
		return b.String()
	}
	var out, errOut bytes.Buffer
	code := run(t.Context(), []string{"send", "--json", "-", "--continue-on-error", "-o", "json"}, environment{
		Env: s.env, Stdout: &out, Stderr: &errOut,
		Stdin: io.MultiReader(strings.NewReader(part(0, sendChunk)), &between{server.Kill}, strings.NewReader(part(sendChunk, total))),
	})
	var summary struct {
		Summary tally `json:"summary"`
	}
	for line := range strings.Lines(errOut.String()) {
		_ = json.Unmarshal([]byte(line), &summary)
	}
	got := summary.Summary
	if code != exitFailed || got.Enqueued < sendChunk/2 || got.Unanswered == 0 || got.Enqueued+got.Unanswered != total || got.Messages != total {
		t.Errorf("exit %d, %+v: want the first chunk enqueued and the second without an answer\n%s", code, got, errOut.String())
	}
	if n := strings.Count(out.String(), "\n"); n != got.Messages || !strings.Contains(out.String(), `"state":"unanswered"`) {
		t.Errorf("%d results of %d messages", n, got.Messages)
	}
	if n := strings.Count(errOut.String(), `"error"`); n != 1 {
		t.Errorf("%d errors, want one:\n%.600s", n, errOut.String())
	}
	server.Restart(t)
	mustSay(t, s.send(t, part(0, total)), exitDone, fmt.Sprintf("messages read: %d", total), "refused 0, not tried 0")
	if n := s.queued(t); n != total {
		t.Errorf("%d messages in the queue, want %d", n, total)
	}
}

func TestSendTakesTermsOfFlagsForLinesThatHaveNone(t *testing.T) {
	t.Parallel()
	s := newSendTo(t)
	body := func(n int) string { return jsonBody(fmt.Sprintf("oTerm%023d", n), "一") }
	lines := strings.Join([]string{
		`{"id":"own","class":"critical","not_before":"2027-01-01T09:00:00+08:00","not_after":"2027-01-02T09:00:00+08:00","message":` + body(1) + `}`,
		`{"id":"none","message":` + body(2) + `}`,
		body(3),
	}, "\n")
	r := s.send(t, lines, "--class", "bulk", "--not-before", "24h", "--not-after", "48h", "--at-least-once")
	mustSay(t, r, exitDone, "own\tscheduled", "none\tscheduled", "\tscheduled\n")
	show := func(id string) (status producer.Status) {
		t.Helper()
		r := inProcess(t, s.env, "status", id, "-o", "json")
		if err := json.Unmarshal([]byte(r.stdout), &status); err != nil {
			t.Fatalf("%v: %s%s", err, r.stdout, r.stderr)
		}
		return status
	}
	if own := show("own"); own.Class != producer.Critical || !own.NotBefore.Equal(time.Date(2027, 1, 1, 1, 0, 0, 0, time.UTC)) || !own.NotAfter.Equal(time.Date(2027, 1, 2, 1, 0, 0, 0, time.UTC)) {
		t.Errorf("the terms of the line are lost: %+v", own)
	}
	if none := show("none"); none.Class != producer.Bulk || time.Until(none.NotBefore) < 23*time.Hour || time.Until(none.NotAfter) < 47*time.Hour {
		t.Errorf("the terms of the flags are lost: %+v", none)
	}
}

func TestSendOfFlags(t *testing.T) {
	t.Parallel()
	s := newSendTo(t)
	to := []string{"send", "--to", "oFlag00000000000000000000001", "--template", wechattest.TemplateDelivery}
	more := func(args ...string) result { return inProcess(t, s.env, append(to[:len(to):len(to)], args...)...) }
	r := more("--data", "thing1=a", "--url", "https://h/", "--miniprogram", "wx0123456789abcdef:pages/a?b=c:d", "--dry-run")
	mustSay(t, r, exitDone, "| thing1  a", "opens     miniprogram wx0123456789abcdef pages/a?b=c:d", "would be enqueued")
	if r := more("--data", "thing1=", "--data", "phrase2=OK"); r.code != exitFailed || strings.Contains(r.stderr, "cli-") ||
		!strings.HasPrefix(r.stderr, "wxnotify: data.phrase2.value has other characters") || strings.Contains(r.stderr, "messages read") {
		t.Errorf("two faults: exit %d: %s", r.code, r.stderr)
	}
	mustSay(t, more("--data", "thing1=a", "--miniprogram", "wx0123456789abcdef", "--id", "flags", "--not-before", "24h"), exitDone, "flags\tscheduled")
	mustSay(t, more("--data", "thing1=a", "--miniprogram", "wx0123456789abcdef", "--id", "flags", "--wait", "--wait-for", "1ms"), exitFailed,
		"flags: known already: nothing was enqueued; it is scheduled", "still on their way")
	mustSay(t, inProcess(t, s.env, "send", "--user", "u1", "--template", "T", "--data", "thing1=a", "--dry-run"), exitDone,
		"user      u1", "template_id has another length")
	mustSay(t, inProcess(t, s.env, "send", "--user", "u1", "--to", "o1", "--template", "T", "--data", "thing1=a"), exitFailed, "touser has both an openid and a user")
	mustSay(t, more("--data", "thing1=\xca\xd6"), exitFailed, "data.thing1.value is not UTF-8")
	mustSay(t, inProcess(t, s.env, "send", "--samples", "3"), exitDone, "sample-", "-3\tqueued")
	if r := inProcess(t, s.env, "send", "--samples", "2", "--dry-run", "-o", "json"); r.code != exitDone || strings.Count(r.stdout, `"preview"`) != 2 {
		t.Errorf("samples: exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
}

func TestKnownMessagesSayHowTheyEnded(t *testing.T) {
	t.Parallel()
	for state, want := range map[producer.State]string{
		producer.Queued: "nothing was enqueued; it is queued", producer.Retrying: "nothing was enqueued; it is retrying",
		producer.Accepted:  "nothing was sent; WeChat has accepted it; a new id sends it again",
		producer.Delivered: "nothing was sent; it ended as delivered; a new id", producer.Dead: "nothing was sent; it ended as dead; a new id",
	} {
		if got := knownText(state); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", state, got, want)
		}
	}
}

// TestSpoolKeepsMessagesAsTheyAre: in memory and in the file.
func TestSpoolKeepsMessagesAsTheyAre(t *testing.T) {
	t.Parallel()
	at := time.Date(2027, 1, 1, 9, 0, 0, 123456789, time.FixedZone("", 8*3600))
	full := intake.Request{Message: producer.Message{
		ID: "i", Terms: producer.Terms{Class: producer.Bulk, NotBefore: at, NotAfter: at.Add(time.Hour), AtLeastOnce: true},
		Message: &wechat.TemplateMessage{
			ToUser: "o1", TemplateID: "T", URL: "https://h/?a=1&b=<2>", MiniProgram: &wechat.MiniProgram{AppID: "wx1", PagePath: "p?a=1&b=2"},
			Data: map[string]wechat.Field{"keyword1": {Value: "a\n\u2028 \"咖啡\" & <b> 😀\\", Color: "#173177"}, "const2": {}},
		},
	}}
	user := intake.Request{Bare: true, Message: producer.Message{
		ID: "j", Terms: producer.Terms{User: "u"}, Message: &wechat.TemplateMessage{TemplateID: "T", Data: map[string]wechat.Field{"thing1": {Value: "x"}}},
	}}
	s := &spool{}
	defer s.close()
	var want []item
	for i := range spoolInMemory + 10 {
		it := item{line: i + 1, request: full}
		if i%2 == 1 {
			it.request = user
		}
		if err := s.add(it); err != nil {
			t.Fatal(err)
		}
		want = append(want, it)
	}
	next, err := s.source()
	if err != nil {
		t.Fatal(err)
	}
	var got []item
	for {
		it, err := next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		got = append(got, it)
	}
	// A time keeps its moment; its zone's name may change.
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(item{})); diff != "" {
		t.Errorf("kept differently:\n%.2000s", diff)
	}
}
