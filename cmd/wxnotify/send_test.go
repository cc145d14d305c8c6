package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// sendTo is a Redis without workers, and how to send into it.
type sendTo struct {
	server *redistest.Server
	env    map[string]string
}

func newSendTo(t *testing.T) sendTo {
	t.Helper()
	server := redistest.Start(t)
	return sendTo{server, map[string]string{"WXNOTIFY_REDIS_URL": server.URL(), "WXNOTIFY_APPID": "wx0000000000000001"}}
}

// send runs `send --json -` with this input.
func (s sendTo) send(t *testing.T, input string, args ...string) result {
	t.Helper()
	var out, errOut bytes.Buffer
	code := run(t.Context(), append([]string{"send", "--json", "-"}, args...), environment{
		Env: s.env, Stdin: strings.NewReader(input), Stdout: &out, Stderr: &errOut,
	})
	return result{code, out.String(), errOut.String()}
}

// queued counts the messages in the queues.
func (s sendTo) queued(t *testing.T) int {
	t.Helper()
	keys, err := s.server.Client(t).Keys(t.Context(), "asynq:{*}:t:*").Result()
	if err != nil {
		t.Fatal(err)
	}
	return len(keys)
}

func jsonBody(openid string, value any) string {
	quoted, _ := json.Marshal(value)
	return `{"touser":"` + openid + `","template_id":"` + wechattest.TemplateDelivery + `","data":{"thing1":{"value":` + string(quoted) + `}}}`
}

func jsonLine(id, openid string, value any) string {
	return `{"id":"` + id + `","message":` + jsonBody(openid, value) + `}`
}

func mustSay(t *testing.T, r result, code int, wants ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit %d, want %d:\n%s%s", r.code, code, r.stdout, r.stderr)
	}
	for _, want := range wants {
		if !strings.Contains(r.stdout+r.stderr, want) {
			t.Errorf("%q is not printed:\n%s%s", want, r.stdout, r.stderr)
		}
	}
}

// P05: a file is enqueued as a whole or not at all, and again without sending twice.
func TestSendChecksAFileBeforeTheFirstMessage(t *testing.T) {
	t.Parallel()
	s := newSendTo(t)
	var good, bad []string
	for i := range 1500 {
		good = append(good, jsonBody(fmt.Sprintf("oFile%023d", i), "商品"))
	}
	bad = append(bad, good...)
	bad[1199] = jsonBody("oFile00000000000000000001199", 10)
	bad[1300] = "{"
	r := s.send(t, strings.Join(bad, "\n"))
	mustSay(t, r, exitFailed, "line 1200: data.thing1.value is not text: put it in quotes", "line 1301 is not JSON",
		"messages read: 1500; enqueued 0, known already 0, refused 2, not tried 1498; correct the file")
	if n := s.queued(t); n != 0 || r.stdout != "" {
		t.Fatalf("%d messages of a file with a fault are in the queue:\n%s", n, r.stdout)
	}
	mustSay(t, s.send(t, strings.Join(good, "\n")), exitDone, "enqueued 1500, known already 0")
	slices.Reverse(good)
	mustSay(t, s.send(t, "["+strings.Join(good, ",\n")+"]"), exitDone, "enqueued 0, known already 1500", "known already: nothing was enqueued; it is queued")
	if n := s.queued(t); n != 1500 {
		t.Errorf("%d messages in the queue, want 1500", n)
	}
}

func TestSendKeepsAFileThatIsLargerThanMemoryAllows(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	s := newSendTo(t)
	var lines []string
	for i := range spoolInMemory + 500 {
		lines = append(lines, fmt.Sprintf(`{"id":"m-%d","class":"bulk","not_after":"2099-01-01T00:00:00Z","user":"u%d","message":%s}`,
			i, i, strings.Replace(jsonBody("", "商品"), `"touser":"",`, "", 1)))
	}
	r := s.send(t, strings.Join(lines, "\n"), "--output", "json")
	mustSay(t, r, exitFailed, `{"summary":`)
	// not-after is too far ahead: every line has that fault, and 100 are shown.
	if n := strings.Count(r.stderr, `"line":`); n != refusedShown || !strings.Contains(r.stderr, fmt.Sprintf("and %d more messages are refused", len(lines)-refusedShown)) {
		t.Errorf("%d faults are shown:\n%.500s", n, r.stderr)
	}
	mustSay(t, s.send(t, strings.ReplaceAll(strings.Join(lines, "\n"), `"not_after":"2099-01-01T00:00:00Z",`, `"at_least_once":true,`)), exitDone,
		fmt.Sprintf("enqueued %d, ", len(lines)), fmt.Sprintf("m-%d\tqueued", len(lines)-1))
	if n := s.queued(t); n != len(lines) {
		t.Errorf("%d messages in the queue, want %d", n, len(lines))
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	t.Setenv("TMPDIR", filepath.Join(os.TempDir(), "missing"))
	mustSay(t, s.send(t, strings.ReplaceAll(strings.Join(lines, "\n"), `"not_after":"2099-01-01T00:00:00Z",`, "")), exitFailed, "TMPDIR", "enqueued 0")
}

func TestSendContinuesOnErrorWithAResultForEachLine(t *testing.T) {
	t.Parallel()
	s := newSendTo(t)
	input := strings.Join([]string{
		jsonLine("a", "oLine00000000000000000000001", "一"),
		jsonLine("b", "oLine00000000000000000000002", 10),
		"",
		jsonLine("c", "oLine00000000000000000000003", "\u00ff\u0000"),
		jsonLine("a", "oLine00000000000000000000004", "四"),
		"[]",
	}, "\r\n")
	r := s.send(t, input, "--continue-on-error")
	mustSay(t, r, exitFailed, "line 1\ta\tqueued\n", "line 2\tb\trefused: message.data.thing1.value is not text", "line 4\tc\trefused: message.data.thing1.value has a control character",
		"line 5\ta\trefused: id is that of line 1: give each message its own", "line 6\t-\trefused: ", "enqueued 1, known already 0, refused 4, not tried 0")
	if order := []string{"line 1", "line 2", "line 4", "line 5", "line 6"}; !slices.Equal(order, prefixes(r.stdout, 6)) {
		t.Errorf("the results are not in the order of the lines:\n%s", r.stdout)
	}
	r = s.send(t, input, "--continue-on-error", "--output", "json")
	var results []sendResult
	for line := range strings.Lines(r.stdout) {
		var one sendResult
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		results = append(results, one)
	}
	if len(results) != 5 || results[0].State != "queued" || !results[0].Duplicate || results[0].Error != nil ||
		results[1].State != "refused" || results[1].Line != 2 || results[1].ID != "b" || results[1].Error.Faults[0].Path != "message.data.thing1.value" {
		t.Errorf("results: %s", r.stdout)
	}
}

func prefixes(text string, length int) []string {
	var out []string
	for line := range strings.Lines(text) {
		out = append(out, line[:length])
	}
	return out
}

func TestSendGivesIDsThatASecondRunRepeats(t *testing.T) {
	t.Parallel()
	s := newSendTo(t)
	body := jsonBody("oSame00000000000000000000001", "一")
	mustSay(t, s.send(t, body), exitDone, "body-", "\tqueued")
	mustSay(t, s.send(t, body, "--class", "bulk"), exitDone, "known already")
	mustSay(t, s.send(t, body+"\n"+body), exitFailed, "line 2 (body-", ") is the same as on line 1: give each an id when the follower shall get both", "enqueued 0")
	mustSay(t, s.send(t, body, "--id", "mine"), exitDone, "mine\tqueued")
	mustSay(t, s.send(t, strings.Replace(body, "{", `{"client_msg_id":"own",`, 1)), exitDone, "own\tqueued")
	mustSay(t, s.send(t, body+"\n"+jsonBody("oSame00000000000000000000002", "一"), "--id", "x"), exitFailed, "line 2", "--id names one message")
	mustSay(t, s.send(t, jsonLine("y", "oSame00000000000000000000001", "一"), "--id", "x"), exitFailed, "id differs from --id")
	mustSay(t, s.send(t, jsonLine("mine", "oSame00000000000000000000001", "other")), exitFailed, "line 1 (mine): ", "belongs to another message", "refused 1")
	mustSay(t, s.send(t, `{"account":"wx9","message":`+body+`}`), exitFailed, "account is another account")
}

// P06, and the class: text that is not as it was written is never enqueued.
func TestSendReadsFilesOfWindowsOrNamesThem(t *testing.T) {
	t.Parallel()
	s := newSendTo(t)
	gbk, err := simplifiedchinese.GBK.NewEncoder().String(jsonLine("g", "oGBK000000000000000000000001", "手冲咖啡"))
	if err != nil {
		t.Fatal(err)
	}
	mustSay(t, s.send(t, jsonLine("u", "oGBK000000000000000000000001", "一")+"\n"+gbk), exitFailed, "line 2 is not UTF-8: --encoding gb18030 reads it")
	mustSay(t, s.send(t, jsonLine("u", "oGBK000000000000000000000001", "一"), "--encoding", "gb18030"), exitFailed, "is UTF-8, and would become other text")
	mustSay(t, s.send(t, "openid,thing1\n"), exitUsage, "looks like CSV")
	if n := s.queued(t); n != 0 {
		t.Errorf("%d damaged messages are in the queue", n)
	}
	mustSay(t, s.send(t, gbk, "--encoding", "gb18030", "--dry-run"), exitDone, "手冲咖啡")
	mustSay(t, s.send(t, gbk, "--encoding", "gb18030"), exitDone, "g\tqueued")
	mustSay(t, s.send(t, "["+jsonLine("z", "oGBK000000000000000000000001", "一")+","), exitUsage, "standard input is not JSON: the text ends too early", "enqueued 0")
}

// P22: what WeChat accepts and does not show is said before it is sent.
func TestSendPrintsWarningsAndTheCard(t *testing.T) {
	t.Parallel()
	s := newSendTo(t)
	historic := strings.Replace(jsonBody("oCard00000000000000000000001", "一"), `"thing1":{"value":"一"}`,
		`"first":{"value":"您好🌸"},"keyword1":{"value":"茶🌸"},"keyword2":{"value":"`+strings.Repeat("长", 25)+`"}`, 1)
	warnings := []string{"warning: line 1 (h): message.data.first is not shown", "keyword1.value has emoji", "keyword2.value will be cut"}
	lines := `{"id":"h","message":` + historic + "}\n" + `{"id":"i","message":` + strings.Replace(historic, "oCard", "oCarb", 1) + "}\n"
	r := s.send(t, lines, "--dry-run")
	mustSay(t, r, exitDone, append(warnings, "h\twould be enqueued", "oCar…01", "| keyword1  茶\n", "| keyword2  "+strings.Repeat("长", 20)+"…\n", "also in other messages: 1")...)
	if strings.Contains(r.stdout, "您好") || strings.Contains(r.stdout, "oCard0000") {
		t.Errorf("the card shows a hidden field or the openid:\n%s", r.stdout)
	}
	mustSay(t, s.send(t, lines), exitDone, append(warnings, "h\tqueued")...)
	r = s.send(t, lines, "--dry-run", "--output", "json")
	var shown plan
	if err := json.Unmarshal([]byte(strings.SplitAfter(r.stdout, "\n")[0]), &shown); err != nil || len(shown.Warnings) == 0 ||
		shown.Preview.Lines[0].Text != "茶" || shown.To != "oCar…01" || !shown.DryRun {
		t.Errorf("%v: %s", err, r.stdout)
	}
}

func TestSendStopsWhenRedisTakesNoMore(t *testing.T) {
	t.Parallel()
	s := newSendTo(t)
	rdb := s.server.Client(t)
	used, err := rdb.InfoMap(t.Context(), "memory").Result()
	if err != nil {
		t.Fatal(err)
	}
	inUse, _ := strconv.Atoi(used["Memory"]["used_memory"])
	if err := rdb.ConfigSet(t.Context(), "maxmemory", strconv.Itoa(inUse+inUse/6)).Err(); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for i := range 2500 {
		lines = append(lines, jsonLine(fmt.Sprint("m-", i), fmt.Sprintf("oFull%023d", i), "一"))
	}
	r := s.send(t, strings.Join(lines, "\n"))
	mustSay(t, r, exitFailed, "line 1 (m-0): enqueue: ", "messages read: 2500; enqueued 0, known already 0, refused 0, not tried 2500")
	if n := strings.Count(r.stderr, "\n"); n > 3 {
		t.Errorf("%d lines say the same:\n%.800s", n, r.stderr)
	}
	mustSay(t, s.send(t, strings.Join(lines, "\n"), "--continue-on-error"), exitFailed, "line 1000\tm-999\tnot-tried: ", "messages read: 1000; enqueued 0, known already 0, refused 0, not tried 1000; what follows was not read")
}

func TestSendWritesErrorsAsJSON(t *testing.T) {
	t.Parallel()
	s := newSendTo(t)
	errorOf := func(r result) (view errorView) {
		t.Helper()
		var line struct {
			Error errorView `json:"error"`
		}
		if err := json.Unmarshal([]byte(strings.SplitAfter(r.stderr, "\n")[0]), &line); err != nil || line.Error.Message == "" {
			t.Errorf("%v: %s", err, r.stderr)
		}
		return line.Error
	}
	if view := errorOf(s.send(t, jsonLine("x", "not an openid", "一"), "-o", "json")); view.ID != "x" || view.Line != 1 || view.Faults[0].Path != "message.touser" ||
		!strings.Contains(view.Message, "is not an openid") {
		t.Errorf("a refused message: %+v", view)
	}
	if view := errorOf(inProcess(t, s.env, "send", "-o", "json", "--to", "o", "--json", "-")); !strings.Contains(view.Message, "--to beside --json") {
		t.Errorf("wrong usage: %+v", view)
	}
	warned := map[string]string{"WXNOTIFY_REDIS_URL": s.server.URL(), "WXNOTIFY_APPID": "wxa"}
	if r := inProcess(t, warned, "status", "x", "-o", "json"); !strings.HasPrefix(r.stderr, `{"warning":{"message":"WXNOTIFY_APPID`) || !strings.Contains(r.stderr, "\n{\"error\":{") {
		t.Errorf("warnings and errors of another command: %s", r.stderr)
	}
	s.server.Kill()
	line := jsonLine("x", "oJSON00000000000000000000001", "一")
	if view := errorOf(runProcess(t, s.env, strings.NewReader(line), "send", "--json", "-", "-o", "json")); !strings.Contains(view.Message, "WXNOTIFY_REDIS_URL") {
		t.Errorf("Redis is gone: %+v", view)
	}
}
