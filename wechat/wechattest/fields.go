package wechattest

import (
	"errors"
	"slices"
	"strings"

	"github.com/wxnotify/wxnotify/wechat"
)

// checkFields compares the message with the template's keys and their types. It
// returns the errcode and the errmsg, which names the first key at fault.
func (t *template) checkFields(m *message) (wechat.Code, string) {
	typed := wechat.TemplateMessage{TemplateID: t.ID, Data: map[string]wechat.Field{}}
	for _, line := range t.lines {
		if !isHistoric(line.Key) { // WeChat does not check historic values
			typed.Data[line.Key] = wechat.Field{Value: m.values[line.Key]}
		}
	}
	wrong := map[string]wechat.FaultCode{} // by path
	if invalid, ok := errors.AsType[*wechat.InvalidError](typed.ValidateContent()); ok {
		for _, fault := range invalid.Faults {
			wrong[fault.Path] = fault.Code
		}
	}
	for _, line := range t.lines {
		path := "data." + line.Key + ".value"
		list, value := t.Const[line.Key], m.values[line.Key]
		switch {
		case wrong[path] == wechat.FaultValueEmpty:
			return wechat.CodeInvalidArgument, "argument invalid! " + path + " is empty"
		case wrong[path] != "", list != nil && value != "" && !slices.Contains(list, value):
			return wechat.CodeInvalidArgument, "argument invalid! " + path + " invalid"
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
