package wechat

import "context"

// Template is one of the account's templates, at most 25.
type Template struct {
	ID              string `json:"template_id"`
	Title           string `json:"title"`
	PrimaryIndustry string `json:"primary_industry"`
	DeputyIndustry  string `json:"deputy_industry"`
	Content         string `json:"content"` // with {{key.DATA}} placeholders
	Example         string `json:"example"`
}

// Keys returns the keys of the template's placeholders in their order.
func (t Template) Keys() []string { return ParseTemplateKeys(t.Content) }

// Templates calls GET /cgi-bin/template/get_all_private_template (docs:
// 获取已添加至账号下所有模板列表). WeChat may omit category templates.
func (c *Client) Templates(ctx context.Context) ([]Template, error) {
	const op = "/cgi-bin/template/get_all_private_template"
	var answer struct {
		status
		List []Template `json:"template_list"`
	}
	if err := c.get(ctx, op, nil, &answer); err != nil {
		return nil, err
	}
	if answer.List == nil {
		return nil, unreadable(op, "the answer has no template_list")
	}
	return answer.List, nil
}

// ParseTemplateKeys returns the keys of a template's content, in their order and
// without duplicates.
func ParseTemplateKeys(content string) []string {
	keys, _ := linesOf(content)
	return keys
}
