// Package locale chooses the language of the texts that people read.
package locale

import (
	"strings"

	"golang.org/x/text/language"

	"github.com/wxnotify/wxnotify/wechat"
)

// matcher takes about 50 µs to make.
//
//nolint:gochecknoglobals // never changed
var matcher = language.NewMatcher([]language.Tag{language.English, language.Chinese, language.MustParse("yue")})

// maxHeader is the longest Accept-Language that is read, in bytes. Browsers send about 50;
// to read 30 KB takes milliseconds.
const maxHeader = 1 << 10

// FromHeader chooses by the value of Accept-Language. Without a match it is English.
func FromHeader(accept string) wechat.Lang { return FromHeaderOr(accept, wechat.English) }

// FromHeaderOr chooses as FromHeader does; none is for a header that names no language, or
// none that can be read.
func FromHeaderOr(accept string, none wechat.Lang) wechat.Lang {
	if len(accept) > maxHeader {
		return none
	}
	named, _, err := language.ParseAcceptLanguage(accept)
	if err != nil || len(named) == 0 {
		return none
	}
	if _, at, _ := matcher.Match(named...); at > 0 {
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
