package enroll

import (
	"net/http"
	"strings"

	"github.com/wxnotify/wxnotify/internal/locale"
	"github.com/wxnotify/wxnotify/wechat"
)

// reader is where a page is read, since a code is taken up differently there.
type reader int

const (
	readerDesk   reader = iota // a desktop, in a browser or in WeChat: a phone scans the screen
	readerPhone                // a phone's browser: its own screen cannot be scanned
	readerWeChat               // WeChat on a phone: long-press the picture
)

func readerOf(r *http.Request) reader {
	switch {
	case !onPhone(r):
		return readerDesk
	case inWeChat(r):
		return readerWeChat
	default:
		return readerPhone
	}
}

// inWeChat tells whether the page is opened inside WeChat, on a phone or a
// desktop. WeCom's browser has WeChat's name in its header too, but cannot use WeChat's
// OAuth page, so it gets the QR code. The header can be forged: it only selects a page.
func inWeChat(r *http.Request) bool {
	agent := strings.ToLower(r.UserAgent())
	return strings.Contains(agent, "micromessenger") && !strings.Contains(agent, "wxwork")
}

// onPhone takes a tablet for a phone. One that calls itself a desktop is told
// to use a phone, and that works as well.
func onPhone(r *http.Request) bool {
	if r.Header.Get("Sec-CH-UA-Mobile") == "?1" {
		return true
	}
	agent := r.UserAgent()
	for _, mark := range []string{"Mobile", "Android", "iPhone", "iPad", "OpenHarmony"} {
		if strings.Contains(agent, mark) {
			return true
		}
	}
	return false
}

// words picks the language of the answer by the Accept-Language header.
func (p *pages) words(r *http.Request) *pageWords {
	if readsChinese(strings.Join(r.Header.Values("Accept-Language"), ",")) {
		return p.zh
	}
	return p.en
}

// readsChinese tells whether the reader prefers Chinese to English. Who names no language,
// or none that can be read, is in China more often than not.
func readsChinese(accept string) bool {
	return locale.FromHeaderOr(accept, wechat.Chinese) == wechat.Chinese
}
