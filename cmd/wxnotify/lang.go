package main

import (
	"errors"
	"regexp"
	"strconv"
	"strings"

	"github.com/wxnotify/wxnotify/internal/locale"
	"github.com/wxnotify/wxnotify/internal/redisconn"
	"github.com/wxnotify/wxnotify/internal/usage"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
)

// chooseLang sets the language of what the commands say about messages: --lang,
// WXNOTIFY_LANG, or the locale. Logs, help and the keys of JSON are in English always.
func (a *app) chooseLang() error {
	a.lang = locale.FromEnvironment(a.Env)
	label, chosen := "--lang", a.langFlag
	if chosen == "" {
		label, chosen = "WXNOTIFY_LANG", a.Env["WXNOTIFY_LANG"]
	}
	switch wechat.Lang(chosen) {
	case "":
	case wechat.English, wechat.Chinese:
		a.lang = wechat.Lang(chosen)
	default:
		return usage.Errorf("%s: %s is not one of zh, en", label, usage.Quote(chosen))
	}
	return nil
}

// say returns the text in the language of this run.
func (a *app) say(en, zh string) string { return a.lang.Choose(en, zh) }

// errorText is err in the language of this run where its text exists in both.
func (a *app) errorText(err error) string {
	return strings.TrimPrefix(a.localText(err), "producer: ") // the package, which only Go programs call
}

func (a *app) localText(err error) string {
	if refused := redisconn.Refusal(err, a.lang); refused != "" {
		return refused
	}
	var local interface {
		error
		In(lang wechat.Lang) string
	}
	if errors.As(err, &local) {
		return strings.Replace(err.Error(), local.Error(), local.In(a.lang), 1)
	}
	var refused *wechat.Error
	switch text := err.Error(); {
	case !errors.As(err, &refused):
		return text
	case strings.Contains(text, refused.Remedy()):
		return strings.Replace(text, refused.Remedy(), refused.RemedyIn(a.lang), 1)
	default:
		return text + a.say(": ", "：") + refused.RemedyIn(a.lang)
	}
}

// closureName is the reason of a closed gate.
func (a *app) closureName(r ratelimit.Reason) string {
	return a.say(string(r), string(r)+" "+locale.GateReason(r, wechat.Chinese))
}

// closureDetail is why a gate is closed. A worker stored it in English: what it says
// beside the remedy of an errcode stays so.
func (a *app) closureDetail(detail string) string {
	if a.lang != wechat.Chinese {
		return detail
	}
	match := regexp.MustCompile(`errcode (-?\d+)`).FindStringSubmatch(detail)
	if match == nil {
		return detail
	}
	code, _ := strconv.Atoi(match[1]) // digits
	e := &wechat.Error{Op: wechat.SendPath, Code: wechat.Code(code)}
	if address := regexp.MustCompile(`\bAdd ([0-9a-fA-F.:]+) to\b`).FindStringSubmatch(detail); address != nil {
		e.Msg = "invalid ip " + address[1]
	}
	return strings.Replace(detail, e.Remedy(), e.RemedyIn(wechat.Chinese), 1)
}
