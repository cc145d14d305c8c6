package wechat_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/wechat"
)

func TestPreviewShowsTheCardAsTheFollowerSeesIt(t *testing.T) {
	t.Parallel()
	fields := func(pairs ...string) map[string]wechat.Field {
		data := map[string]wechat.Field{}
		for i := 0; i < len(pairs); i += 2 {
			data[pairs[i]] = wechat.Field{Value: pairs[i+1]}
		}
		return data
	}
	for _, tt := range []struct {
		name, content string
		message       wechat.TemplateMessage
		want, opens   string
	}{
		{
			"numbers order the keys", "",
			wechat.TemplateMessage{URL: "https://h/", Data: fields("thing10", "j", "time2", "10:00", "amount3", "¥1")},
			" time2=10:00  amount3=¥1  thing10=j", "https://h/",
		},
		{
			"the template has order and labels", "{{first.DATA}}\n金额：{{amount3.DATA}}\n商品:{{thing1.DATA}}\n时间:{{time2.DATA}}",
			wechat.TemplateMessage{Data: fields("thing1", "咖啡", "amount3", "¥1", "first", "您好")},
			"金额 amount3=¥1 商品 thing1=咖啡", "",
		},
		{
			"first and remark are hidden, emoji dropped, lines joined, long keywords cut", "",
			wechat.TemplateMessage{Data: fields("first", "您好", "keyword1", strings.Repeat("好", 25), "keyword2", "a🌸\nb", "remark", "谢谢")},
			" keyword1=" + strings.Repeat("好", 20) + "…  keyword2=a b", "",
		},
		{
			"the mini program comes before the address", "",
			wechat.TemplateMessage{URL: "https://h/", MiniProgram: &wechat.MiniProgram{AppID: "wx1", PagePath: "p?a=1"}},
			"", "miniprogram wx1 p?a=1",
		},
	} {
		p := tt.message.Preview(tt.content)
		var lines []string
		for _, l := range p.Lines {
			lines = append(lines, l.Label+" "+l.Key+"="+l.Text)
		}
		if got := strings.Join(lines, " "); got != tt.want || p.Opens != tt.opens {
			t.Errorf("%s: %q opens %q, want %q opens %q", tt.name, got, p.Opens, tt.want, tt.opens)
		}
	}
	if p := (*wechat.TemplateMessage)(nil).Preview(""); len(p.Lines) != 0 || p.Opens != "" {
		t.Errorf("nil: %+v", p)
	}
}

func TestWarningsNameAnUnusualTemplateID(t *testing.T) {
	t.Parallel()
	m := orderPaid()
	m.TemplateID = "OPENTM207293101"
	if got := faultCodes(m.Warnings()); got != "template_id template-id-length" {
		t.Errorf("got %q", got)
	}
}

func ExampleTemplateMessage_Preview() {
	m := &wechat.TemplateMessage{Data: map[string]wechat.Field{"first": {Value: "您好"}, "keyword1": {Value: "手冲咖啡 ☕"}}}
	for _, line := range m.Preview("{{first.DATA}}\n商品：{{keyword1.DATA}}").Lines {
		fmt.Println(line.Label, line.Text)
	}
	// Output: 商品 手冲咖啡
}
