package wechattest_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

func TestValuesAreCheckedByType(t *testing.T) {
	t.Parallel()
	long := strings.Repeat
	tests := []struct {
		key  string
		good []string
		bad  []string
	}{
		{"thing1", []string{long("长", 20), "a & <b>", long("😀", 10)}, []string{long("长", 21), "a\nb", long("😀", 10) + "x", "a\u0000"}},
		{"character_string2", []string{long("x", 32), "SF-1/2_3", "A，1"}, []string{long("x", 33), "单号1"}},
		{"time3", []string{
			"2019年10月1日 15:01", "15:01", "2019-10-01 15:01:02", "2019年10月1日", "2019/10/01",
			"2019年10月1日 15:01~2019年10月2日 15:01", "10月1日 15:01", "2019年10月", "24:00", "15点", "15时01分", "15:01～16:01",
		}, []string{"tomorrow", "2019-13-01", "15:61", "2019年10月32日", "1", "15:01~soon", "2019-10-01 x", "99999-1-1"}},
		{"date4", []string{"2019-10-01"}, []string{"soon"}},
		{"amount5", []string{"¥100.21", "￥100.21", "100元", "$5", "0.01", "123456789012.55", "-¥ 1,000.00 元"}, []string{"free", "¥", "1234567890123", "1.", "¥¥1", ".5", ",1"}},
		{"phone_number6", []string{"+86-0766-66888866", "10086"}, []string{"+86-0766-668888661", "电话1", "12a"}},
		{"car_number7", []string{"粤A8Z888挂"}, []string{"粤A8Z888挂9"}},
		{"const8", []string{"已发货"}, []string{"在路上"}},
		{"number9", []string{"12.5", "-1"}, []string{long("1", 33), "x"}},
		{"letter10", []string{"abc"}, []string{"ab1", long("a", 33)}},
		{"symbol11", []string{"*#"}, []string{"*#*#*#"}},
		{"name12", []string{"张三李四王五赵六钱七", long("a", 20), "张三abc"}, []string{"张三李四王五赵六钱七孙", long("a", 21)}},
		{"phrase13", []string{"已经完成了"}, []string{"已经完成了吗", "OK"}},
		{"short_thing14", []string{long("长", 20)}, []string{long("长", 21)}},
		{"enum15", []string{"任何"}, nil},
		{"keyword1", []string{long("长", 200)}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.key, func(t *testing.T) {
			t.Parallel()
			b := setup(t, wechattest.Config{})
			b.a.AddTemplate(wechattest.Template{
				ID: "t", Content: "标题:{{" + tt.key + ".DATA}}", Const: map[string][]string{"const8": {"已发货"}},
			})
			for want, values := range map[wechat.Code][]string{0: tt.good, 47003: tt.bad} {
				for _, value := range values {
					quoted, err := json.Marshal(value)
					must(t, err)
					r := b.send(`{"touser":"` + openid + `","template_id":"t","data":{"` + tt.key + `":{"value":` + string(quoted) + `}}}`)
					if r.code() != want {
						t.Errorf("%q: %v, want %d", value, r, want)
					}
					if want != 0 && !strings.HasPrefix(r.msg(), "argument invalid! data."+tt.key+".value invalid") {
						t.Errorf("%q: errmsg %q does not name the key", value, r.msg())
					}
				}
			}
		})
	}
}

func TestConstMayBeEmpty(t *testing.T) {
	t.Parallel()
	b := setup(t, wechattest.Config{})
	b.a.AddTemplate(wechattest.Template{ID: "t", Content: "{{const1.DATA}}", Const: map[string][]string{"const1": {"是"}}})
	for value, want := range map[string]wechat.Code{"": 0, "是": 0, " ": 47003, "否": 47003} {
		if r := b.send(`{"touser":"` + openid + `","template_id":"t","data":{"const1":{"value":"` + value + `"}}}`); r.code() != want {
			t.Errorf("value %q: %v, want %d", value, r, want)
		}
	}
}

func TestTemplateLinesHaveLabelAndKey(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{
		"商品:{{thing1.DATA}}\n时间：{{ time2.DATA }}": "商品=thing1 时间=time2",
		"{ {thing1.DATA} }": "=thing1",
		"{{first.DATA}}\n单号:{{keyword1.DATA}}\n{{remark.DATA}}": "=first 单号=keyword1 =remark",
		"甲:{{thing1.DATA}} 乙:{{thing2.DATA}}":                   "甲=thing1 乙=thing2",
		"{{thing1.DATA}}{{thing1.DATA}}":                        "=thing1",
		"{{thing1}} no":                                         "",
	} {
		var got []string
		for _, l := range (wechattest.Template{Content: content}).Lines() {
			got = append(got, l.Label+"="+l.Key)
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("lines of %q = %q, want %q", content, s, want)
		}
	}
}
