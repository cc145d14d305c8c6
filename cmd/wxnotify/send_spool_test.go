package main

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wxnotify/wxnotify/internal/intake"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

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
