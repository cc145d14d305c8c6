package wechattest

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxTemplates is how many templates one account can have.
const maxTemplates = 25

// serveTemplateList is GET /cgi-bin/template/get_all_private_template.
func serveTemplateList(c *call) answer {
	list := c.account.Templates()
	for i := range list {
		list[i].Const, list[i].Banned = nil, false // not part of WeChat's answer
	}
	return object(map[string][]Template{"template_list": list})
}

// historicID is the short id of a template from before 2023.
var historicID = regexp.MustCompile(`^(TM|OPENTM)[0-9]{1,12}$`)

// serveTemplateAdd is POST /cgi-bin/template/api_add_template. A numeric short id
// names a category template, whose keys follow keyword_name_list. All are things
// here; WeChat takes the types from its template library. A historic short id, such
// as TM00015, takes no keywords: its template has first, two keywords and remark.
func serveTemplateAdd(c *call) answer {
	var in struct {
		ShortID  string   `json:"template_id_short"`
		Keywords []string `json:"keyword_name_list"`
	}
	if code := c.decode(&in); code != 0 {
		return refuse(code)
	}
	_, err := strconv.ParseUint(in.ShortID, 10, 32)
	historic := historicID.MatchString(in.ShortID)
	switch {
	case in.ShortID == "":
		return refuse(40036)
	case historic:
	case err != nil:
		return refuse(40247)
	case len(in.Keywords) == 0 || slices.ContainsFunc(in.Keywords, badKeyword):
		return refuse(40246)
	}
	defer c.p.locked()()
	if len(c.account.templates) >= maxTemplates {
		return refuse(45026)
	}
	t := Template{ID: randomText(43), Title: "历史模板 " + in.ShortID}
	t.Content = "{{first.DATA}}\n内容:{{keyword1.DATA}}\n时间:{{keyword2.DATA}}\n{{remark.DATA}}"
	if !historic {
		var content []string
		for i, keyword := range in.Keywords {
			content = append(content, keyword+":{{thing"+strconv.Itoa(i+1)+".DATA}}")
		}
		t.Title, t.Content = "类目模板 "+in.ShortID, strings.Join(content, "\n")
	}
	c.account.templates = append(c.account.templates, newTemplate(t))
	return object(struct {
		Errcode    int    `json:"errcode"`
		Errmsg     string `json:"errmsg"`
		TemplateID string `json:"template_id"`
	}{0, "ok", t.ID})
}

func badKeyword(s string) bool {
	return strings.TrimSpace(s) == "" || utf8.RuneCountInString(s) > 20 || strings.ContainsAny(s, "{}\\")
}

// serveTemplateDelete is POST /cgi-bin/template/del_private_template.
func serveTemplateDelete(c *call) answer {
	var in struct {
		ID string `json:"template_id"`
	}
	if code := c.decode(&in); code != 0 {
		return refuse(code)
	}
	defer c.p.locked()()
	if c.account.template(in.ID) == nil {
		return refuse(40037)
	}
	c.account.deleteTemplate(in.ID)
	return answer{}
}

// serveIndustrySet is POST /cgi-bin/template/api_set_industry: once a month. It
// deletes the templates of an industry that is no longer set.
func serveIndustrySet(c *call) answer {
	var in struct {
		First  string `json:"industry_id1"`
		Second string `json:"industry_id2"`
	}
	if code := c.decode(&in); code != 0 {
		return refuse(code)
	}
	wanted := [2]string{in.First, in.Second}
	for _, id := range wanted {
		if _, ok := industryOf(id); !ok {
			return refuse(40035)
		}
	}
	defer c.p.locked()()
	a := c.account
	if last := a.industryAt; !last.IsZero() && last.Year() == c.now.Year() && last.Month() == c.now.Month() {
		return refuse(43100)
	}
	for _, id := range a.industry {
		if id == wanted[0] || id == wanted[1] {
			continue
		}
		old, _ := industryOf(id)
		a.templates = slices.DeleteFunc(a.templates, func(t *template) bool {
			return t.Primary == old.First && t.Deputy == old.Second
		})
	}
	a.industry, a.industryAt = wanted, c.now
	return answer{}
}

// serveIndustryGet is GET /cgi-bin/template/get_industry.
func serveIndustryGet(c *call) answer {
	defer c.p.locked()()
	first, _ := industryOf(c.account.industry[0])
	second, _ := industryOf(c.account.industry[1])
	return object(map[string]industry{"primary_industry": first, "secondary_industry": second})
}

// industry is one of WeChat's industries.
type industry struct {
	First  string `json:"first_class"`
	Second string `json:"second_class"`
}

// industryOf returns the industry with this number, 1 to 41 (docs: 设置所属行业).
func industryOf(id string) (industry, bool) {
	n, err := strconv.Atoi(id)
	if err != nil || n < 1 {
		return industry{}, false
	}
	for _, class := range [][]string{
		{"IT科技", "互联网|电子商务", "IT软件与服务", "IT硬件与设备", "电子技术", "通信与运营商", "网络游戏"},
		{"金融业", "银行", "基金理财信托", "保险"},
		{"餐饮", "餐饮"},
		{"酒店旅游", "酒店", "旅游"},
		{"运输与仓储", "快递", "物流", "仓储"},
		{"教育", "培训", "院校"},
		{"政府与公共事业", "学术科研", "交警", "博物馆", "公共事业|非盈利机构"},
		{"医药护理", "医药医疗", "护理美容", "保健与卫生"},
		{"交通工具", "汽车相关", "摩托车相关", "火车相关", "飞机相关"},
		{"房地产", "建筑", "物业"},
		{"消费品", "消费品"},
		{"商业服务", "法律", "会展", "中介服务", "认证", "审计"},
		{"文体娱乐", "传媒", "体育", "娱乐休闲"},
		{"印刷", "印刷"},
		{"其它", "其它"},
	} {
		if n < len(class) {
			return industry{class[0], class[n]}, true
		}
		n -= len(class) - 1
	}
	return industry{}, false
}
