package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

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
	mustSay(t, more("--data", "thing1=\xca\xd6"), exitUsage, "--data: is not UTF-8")
	mustSay(t, inProcess(t, s.env, "send", "--samples", "3"), exitDone, "sample-", "-3\tqueued")
	if r := inProcess(t, s.env, "send", "--samples", "2", "--dry-run", "-o", "json"); r.code != exitDone || strings.Count(r.stdout, `"preview"`) != 2 {
		t.Errorf("samples: exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
}
