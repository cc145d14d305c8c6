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

// serveIndustryGet is GET /cgi-bin/template/get_industry: of each account the same two.
func serveIndustryGet(*call) answer {
	type industry struct {
		First  string `json:"first_class"`
		Second string `json:"second_class"`
	}
	return object(map[string]industry{"primary_industry": {"IT科技", "互联网|电子商务"}, "secondary_industry": {"IT科技", "电子技术"}})
}
