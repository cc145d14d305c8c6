package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
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

// Ctrl-C ends a command that waits for its input, and nothing of a part is enqueued.
func TestSendEndsWhenItIsInterruptedWhileItReads(t *testing.T) {
	t.Parallel()
	s := newSendTo(t)
	ctx, interrupt := context.WithCancel(t.Context())
	stdin, write := io.Pipe()
	defer func() { _ = write.Close() }()
	ended := make(chan result, 1)
	go func() {
		var out, errOut bytes.Buffer
		code := run(ctx, []string{"send", "--json", "-"}, environment{Env: s.env, Stdin: stdin, Stdout: &out, Stderr: &errOut})
		ended <- result{code, out.String(), errOut.String()}
	}()
	if _, err := io.WriteString(write, jsonLine("a", "oPart00000000000000000000001", "一")+"\n"); err != nil {
		t.Fatal(err)
	}
	interrupt()
	mustSay(t, <-ended, exitUsage, "standard input cannot be read: context canceled")
	if n := s.queued(t); n != 0 {
		t.Errorf("%d messages of a part are in the queue", n)
	}
}

func TestKnownMessagesSayHowTheyEnded(t *testing.T) {
	t.Parallel()
	for state, want := range map[producer.State]string{
		producer.Queued: "nothing was enqueued; it is queued", producer.Retrying: "nothing was enqueued; it is retrying",
		producer.Accepted:  "nothing was sent; WeChat has accepted it; a new id sends it again",
		producer.Delivered: "nothing was sent; it ended as delivered; a new id", producer.Dead: "nothing was sent; it ended as dead; a new id",
	} {
		if got := (&app{lang: wechat.English}).knownText(state); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", state, got, want)
		}
	}
}
