package wechattest

import (
	"regexp"
	"slices"
	"strings"
)

// Template is one template of an account, as 我的模板 lists it.
type Template struct {
	ID      string `json:"template_id"`
	Title   string `json:"title"`
	Primary string `json:"primary_industry"`
	Deputy  string `json:"deputy_industry"`
	// Content names the keys: 商品:{{thing1.DATA}}. Every key is required.
	Content string `json:"content"`
	Example string `json:"example"`
	// Const lists the allowed values of const keys. A key without a list takes any
	// value of up to 20 characters.
	Const map[string][]string `json:"const,omitempty"`
	// Banned templates answer 43116.
	Banned bool `json:"banned,omitempty"`
}

var placeholder = regexp.MustCompile(`^(.*?)[:：]?\s*\{ ?\{\s*([A-Za-z_]+\d*)\.DATA\s*\} ?\}`)

// Line is one placeholder of a template with the label in front of it.
type Line struct{ Label, Key string }

// DefaultTemplates returns the default of AccountConfig.Templates: an order, a
// lab result and a delivery, with typed keys.
func DefaultTemplates() []Template {
	return []Template{
		{
			ID: TemplateOrderPaid, Title: "订单支付成功通知", Primary: "IT科技", Deputy: "互联网|电子商务",
			Content: "商品名称:{{thing1.DATA}}\n支付时间:{{time2.DATA}}\n支付金额:{{amount3.DATA}}",
			Example: "商品名称:红富士苹果\n支付时间:2024年5月1日 10:00\n支付金额:¥10.00",
		},
		{
			ID: TemplateLabResult, Title: "检验报告出具通知", Primary: "医疗护理", Deputy: "医院",
			Content: "就诊人:{{thing1.DATA}}\n检验项目:{{thing2.DATA}}\n报告编号:{{character_string3.DATA}}\n报告时间:{{time4.DATA}}",
			Example: "就诊人:张三\n检验项目:血常规\n报告编号:LAB20240501\n报告时间:2024年5月1日 10:00",
		},
		{
			ID: TemplateDelivery, Title: "订单发货通知", Primary: "IT科技", Deputy: "互联网|电子商务",
			Content: "快递公司:{{thing1.DATA}}\n快递单号:{{character_string2.DATA}}\n收货电话:{{phone_number3.DATA}}\n配送状态:{{const4.DATA}}",
			Example: "快递公司:顺丰速运\n快递单号:SF1234567890\n收货电话:0571-88888888\n配送状态:已发货",
			Const:   map[string][]string{"const4": {"已发货", "配送中", "已签收"}},
		},
	}
}

// template is a Template with its parsed lines.
type template struct {
	Template
	lines []Line
}

func newTemplate(t Template) *template {
	return &template{Template: t, lines: t.Lines()}
}

// Lines returns the placeholders in the order of the content.
func (t Template) Lines() []Line {
	var lines []Line
	for text := range strings.SplitSeq(t.Content, "\n") {
		for {
			m := placeholder.FindStringSubmatchIndex(text)
			if m == nil {
				break
			}
			key := text[m[4]:m[5]]
			if !slices.ContainsFunc(lines, func(l Line) bool { return l.Key == key }) {
				lines = append(lines, Line{Label: strings.TrimSpace(text[m[2]:m[3]]), Key: key})
			}
			text = text[m[1]:]
		}
	}
	return lines
}
