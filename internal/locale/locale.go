// Package locale chooses the language of the texts that people read.
package locale

import (
	"strings"

	"golang.org/x/text/language"

	"github.com/wxnotify/wxnotify/wechat"
)

// FromHeader chooses by the value of Accept-Language. Without a match it is English.
func FromHeader(accept string) wechat.Lang {
	matcher := language.NewMatcher([]language.Tag{language.English, language.Chinese, language.MustParse("yue")})
	if _, at := language.MatchStrings(matcher, accept); at > 0 {
		return wechat.Chinese
	}
	return wechat.English
}

// FromEnvironment chooses by LC_ALL, LC_MESSAGES and LANG: the first that is not
// empty counts, such as zh_CN.UTF-8. Any other language is English.
func FromEnvironment(env map[string]string) wechat.Lang {
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		value := strings.ToLower(env[name])
		if value == "" {
			continue
		}
		if value == "zh" || strings.HasPrefix(value, "zh_") || strings.HasPrefix(value, "zh-") || strings.HasPrefix(value, "zh.") {
			return wechat.Chinese
		}
		return wechat.English
	}
	return wechat.English
}
