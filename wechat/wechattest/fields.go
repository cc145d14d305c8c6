package wechattest

import (
	"slices"
	"strings"

	"github.com/wxnotify/wxnotify/wechat"
)

// checkFields compares the message with the template's keys and their types. It
// returns the errcode and the errmsg, which names the first key at fault.
func (t *template) checkFields(m *wechat.TemplateMessage) (wechat.Code, string) {
	for _, line := range t.lines {
		value, list := m.Data[line.Key].Value, t.Const[line.Key]
		wrong := ""
		switch {
		case isHistoric(line.Key): // WeChat does not check the value
		case value == "" && strings.HasPrefix(line.Key, "const"):
		case strings.TrimSpace(value) == "":
			wrong = " is empty"
		case list != nil && !slices.Contains(list, value), wechat.ValidateValue(line.Key, value) != nil:
			wrong = " invalid"
		}
		if wrong != "" {
			return wechat.CodeInvalidArgument, "argument invalid! data." + line.Key + ".value" + wrong
		}
	}
	return 0, ""
}

// isHistoric reports whether key is of a historic template: keyword1, or a name
// without a number.
func isHistoric(key string) bool {
	name := strings.TrimRight(key, "0123456789")
	return name == key || name == "keyword"
}
