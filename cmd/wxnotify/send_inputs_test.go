package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// TestSendInputs: what people hand in, as they reported it of this and other senders,
// is read or named, never sent as something else. Nothing else is enqueued.
func TestSendInputs(t *testing.T) {
	t.Parallel()
	s := newSendTo(t)
	const head = `"touser":"oInput00000000000000000000001","template_id":"ngqIpbwh8bUfcSsECmogfXcV14J0tQlEpBO27izEYtY"`
	queued := 0
	for name, tt := range map[string]struct {
		input string
		code  int
		want  []string
	}{
		"miniprogram.page":     {`{` + head + `,"miniprogram":{"appid":"wx0000000000000abc","page":"p"},"data":{"thing1":{"value":"1"}}}`, 0, []string{"enqueued 1"}},
		"miniprogram.path":     {`{` + head + `,"miniprogram":{"appid":"wx0000000000000abc","path":"p"},"data":{"thing1":{"value":"2"}}}`, 0, []string{"enqueued 1"}},
		"miniprogram.pagePath": {`{` + head + `,"miniprogram":{"appid":"wx0000000000000abc","pagePath":"p"},"data":{"thing1":{"value":"3"}}}`, 0, []string{"enqueued 1"}},
		"a subscribe notice": {
			`{` + head + `,"page":"p","miniprogram_state":"formal","lang":"zh_CN","data":{"thing1":{"value":"x"}}}`, 1,
			[]string{"line 1: lang is a field of a subscribe notice", "miniprogram_state is", "page is", "enqueued 0", "refused 1"},
		},
		"a number": {`{` + head + `,"data":{"number01":{"value":10}}}`, 1, []string{"data.number01.value is not text: put it in quotes"}},
		"true, null, a list": {
			`{` + head + `,"data":{"thing1":{"value":true},"thing2":{"value":null},"thing3":{"value":["a"]}}}`, 1,
			[]string{"data.thing1.value is not text", "data.thing2.value is null, not text", "data.thing3.value is not text"},
		},
		"values without objects": {`{` + head + `,"data":{"thing1":"x"}}`, 1, []string{`data.thing1 is not an object: write it as {"value":"…"}`}},
		"names of an SDK": {
			`{"toUser":"o","templateId":"T","data":{"thing1":{"value":"x"}}}`, 1,
			[]string{"toUser is not a field of WeChat's message: write touser", "templateId is not a field of WeChat's message: write template_id"},
		},
		"a list of openids":        {`{"touser":["o1","o2"],"template_id":"T","data":{"thing1":{"value":"x"}}}`, 1, []string{"touser has several recipients: enqueue one message for each recipient"}},
		"ours and WeChat's":        {`{"id":"x",` + head + `,"data":{"thing1":{"value":"x"}}}`, 1, []string{`id stands beside the fields of WeChat's message: put those under "message"`}},
		"no message":               {`{"id":"x"}`, 1, []string{"line 1 (x): message is missing"}},
		"an empty object":          {`{}`, 1, []string{"touser is missing", "template_id is missing", "data has no values"}},
		"a Python literal":         {`{'touser':'o1'}`, 2, []string{"standard input is not JSON on line 1: invalid character"}},
		"a line of an array":       {`{` + head + `,"data":{"thing1":{"value":"x"}}},` + "\n{}", 1, []string{"line 1 is not JSON: character ", "after top-level value", "refused 2"}},
		"half an emoji":            {`{` + head + `,"data":{"thing1":{"value":"\ud83d"}}}`, 1, []string{"data.thing1.value has half of a surrogate pair"}},
		"a replaced emoji":         {`{` + head + `,"data":{"thing1":{"value":"` + "\uFFFD" + `"}}}`, 1, []string{"data.thing1.value has the replacement character U+FFFD"}},
		"a key twice":              {`{` + head + `,"data":{"thing1":{"value":"x"},"thing1":{"value":"y"}}}`, 1, []string{"data.thing1 is given twice"}},
		"a day too many":           {`{` + head + `,"data":{"time1":{"value":"2026-02-30 10:00"},"time2":{"value":"25:61"}}}`, 1, []string{"data.time1.value has a day that does not exist", "data.time2.value has a time that does not exist"}},
		"letters in phrase":        {`{` + head + `,"data":{"phrase1":{"value":"OK"}}}`, 1, []string{"data.phrase1.value has other characters than Chinese ones"}},
		"null":                     {"null\n", 2, []string{"standard input is not a JSON object: write one message a line"}},
		"two marks":                {"\ufeff\ufeff" + `{` + head + `,"data":{"thing1":{"value":"4"}}}`, 0, []string{"enqueued 1"}},
		"a Chinese key":            {`{` + head + `,"data":{"姓名":{"value":"x"}}}`, 1, []string{`data["姓名"] is not a key`}},
		"full-width digits":        {`{` + head + `,"data":{"phone_number1":{"value":"１３８００００４５６７"}}}`, 1, []string{"data.phone_number1.value has full-width characters: write digits as 0-9"}},
		"a hidden value":           {`{` + head + `,"data":{"thing1":{"value":"\u200b\u2060"}}}`, 1, []string{"data.thing1.value has only characters that are not seen"}},
		"a right-to-left override": {`{` + head + `,"data":{"thing1":{"value":"\u202e5"}}}`, 0, []string{"warning: line 1", "data.thing1.value has controls of the writing direction"}},
		"a phone number for an openid": {
			`{"touser":"13812345678","template_id":"T","miniprogram":{"appid":"foo","pagepath":"p"},"data":{"thing1":{"value":"x"}}}`, 0,
			[]string{"warning: line 1", "touser has another form than WeChat's openids", "miniprogram.appid has another form than WeChat's appids", "enqueued 1"},
		},
		"an email":       {"From: a@b.example\nSubject: x\n", 2, []string{"is not JSON: write one message a line"}},
		"a web page":     {"<!DOCTYPE html>", 2, []string{"is XML or HTML, not JSON"}},
		"a table":        {"openid;thing1\no1;x\n", 2, []string{"looks like CSV, not JSON"}},
		"nothing":        {"\r\n\r\n", 2, []string{"standard input has no messages: it is empty"}},
		"an empty array": {"[]", 2, []string{"standard input has no messages: the array is empty\n"}},
	} {
		r := s.send(t, tt.input)
		if r.code != tt.code {
			t.Errorf("%s: exit %d, want %d:\n%s%s", name, r.code, tt.code, r.stdout, r.stderr)
		}
		for _, want := range tt.want {
			if !strings.Contains(r.stderr, want) {
				t.Errorf("%s: %q is not printed:\n%s", name, want, r.stderr)
			}
		}
		if r.code == 0 {
			queued++
		} else if r.stdout != "" {
			t.Errorf("%s: refused, and on stdout stands\n%s", name, r.stdout)
		}
		for _, never := range []string{" json: ", "main.", "Go value", "goroutine", "%!"} {
			if strings.Contains(r.stderr, never) {
				t.Errorf("%s shows %q:\n%s", name, never, r.stderr)
			}
		}
	}
	if n := s.queued(t); n != queued {
		t.Errorf("%d messages in the queue, want %d", n, queued)
	}
}

// TestSendDeliversTheTextThatWasWritten: from a file of Windows to the follower.
func TestSendDeliversTheTextThatWasWritten(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	w := newWorld(t, server.URL())
	worker := start(t, w.env, "worker")
	worker.says(t, "worker started")
	text := `{"id":"gbk-1","message":{"touser":"oWindows00000000000000000001","template_id":"` + wechattest.TemplateOrderPaid +
		`","miniprogram":{"appid":"wx0000000000000abc","page":"pages/order?id=1&from=手机"},"data":{"thing1":{"value":"手冲咖啡 & 司康"},"time2":{"value":"2026年11月22日 10:00"},"amount3":{"value":"¥38.00元"}}}}` + "\r\n"
	text = strings.Replace(text, "¥38.00元", "38.00元", 1) // GBK has no half-width ¥
	gbk, err := simplifiedchinese.GBK.NewEncoder().String(text)
	if err != nil {
		t.Fatal(err)
	}
	r := runProcess(t, w.env, strings.NewReader(gbk), "send", "--json", "-", "--encoding", "gb18030", "--wait")
	mustSay(t, r, exitDone, "gbk-1\taccepted", "enqueued 1")
	var seen []json.RawMessage
	for _, m := range w.seen(t) {
		seen = append(seen, m.Body)
	}
	if len(seen) != 1 || !bytes.Contains(seen[0], []byte(`"pagepath":"pages/order?id=1&from=手机"`)) || !bytes.Contains(seen[0], []byte(`"手冲咖啡 & 司康"`)) {
		t.Errorf("WeChat got %s", seen)
	}
	testutil.Until(t, "the receipt", func() bool {
		r = runProcess(t, w.env, strings.NewReader(gbk), "send", "--json", "-", "--encoding", "gbk", "--wait")
		return strings.Contains(r.stderr, "known already: nothing was sent;")
	})
	mustSay(t, r, exitDone, "gbk-1\taccepted", "line 1 (gbk-1): known already", "enqueued 0, known already 1")
	if n := len(w.seen(t)); n != 1 {
		t.Errorf("WeChat got %d messages", n)
	}
}
