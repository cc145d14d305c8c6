package enroll

import (
	"net/http"
	"strconv"
	"strings"
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

// readsChinese tells whether the reader prefers Chinese, in any script, to
// English. Who names no language at all is in China more often than not; who
// names neither of the two is better off with English. The first of two equal
// wishes counts. What cannot be read is skipped.
func readsChinese(accept string) bool {
	var zh, en, other float64
	zhNamed := false
	zhFirst := true
	for part := range strings.SplitSeq(accept, ",") {
		tag, params, _ := strings.Cut(part, ";")
		q, ok := quality(params)
		if !ok {
			continue
		}
		main, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(tag)), "-")
		switch main {
		case "zh", "cmn", "yue":
			zhNamed = true
			if q > zh {
				zh, zhFirst = q, q > en
			}
		case "en":
			en = max(en, q)
		default:
			if isLanguage(main) {
				other = max(other, q)
			}
		}
	}
	switch {
	case zh > 0 || en > 0:
		return zh > en || zh == en && zhFirst
	default:
		return !zhNamed && other == 0
	}
}

// isLanguage tells a language's name from "*" and nonsense.
func isLanguage(name string) bool {
	for _, c := range []byte(name) {
		if c < 'a' || c > 'z' {
			return false
		}
	}
	return len(name) >= 2 && len(name) <= 8
}

// quality reads the parameters of one language: q=0 to q=1, and 1 when there is no q.
func quality(params string) (float64, bool) {
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(param, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "q") {
			continue
		}
		q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		return q, err == nil && q >= 0 && q <= 1
	}
	return 1, true
}
