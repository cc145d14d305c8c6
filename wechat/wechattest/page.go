package wechattest

import (
	"bytes"
	"cmp"
	"embed"
	htmltemplate "html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/wxnotify/wxnotify/wechat"
)

//go:embed page
var pageFiles embed.FS

// pageSize is how many messages one page lists.
const pageSize = 30

// pages serves what is not an API path: control API, authorize page, the list.
func (p *Platform) pages() http.Handler {
	p.sheets = sync.OnceValue(func() *htmltemplate.Template { // most platforms never show a page
		return htmltemplate.Must(htmltemplate.ParseFS(pageFiles, "page/*.html"))
	})
	mux := http.NewServeMux()
	mux.Handle("/_sim/", p.Control())
	mux.HandleFunc("GET /_sim/page.css", serveStyle)
	mux.HandleFunc("GET /{$}", p.servePage)
	mux.HandleFunc("GET "+authorizePath, p.serveAuthorize)
	mux.HandleFunc("POST "+authorizePath, p.serveAuthorize)
	return mux
}

func serveStyle(w http.ResponseWriter, _ *http.Request) {
	text, _ := pageFiles.ReadFile("page/page.css") // embedded
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "max-age=60")
	w.Write(text) //nolint:errcheck // the caller may have gone
}

// sheet is what a page is made of.
type sheet struct {
	W    words
	Lang string
	Data any
}

// render writes a page under a policy that allows no script at all.
func (p *Platform) render(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	lang := language(r)
	var page bytes.Buffer
	if err := p.sheets().ExecuteTemplate(&page, name+".html", sheet{wordsIn(lang), lang, data}); err != nil {
		http.Error(w, "the page cannot be made", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	// No form-action: the consent form redirects to the account's own site.
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept-Language")
	w.WriteHeader(status)
	w.Write(page.Bytes()) //nolint:errcheck // the caller may have gone
}

// listPage is the data of the list of messages.
type listPage struct {
	Messages                    []bubble
	Total, Calls, Refused, Lost string
	Codes                       []codeCount
	Accounts                    []accountBar
	Older                       int64 // show messages before this Seq; 0: none
	Live                        bool
	Host                        string
	AppID                       string
	Paused                      bool
}

// bubble is one message as the page shows it.
type bubble struct {
	messageView
	Recipient string // masked
	Day       string
	Clock     string
	When      string
	Name      string // of the account, when there are several
	Initial   string // in the picture's place
	Link      string // http and https alone
	LinkHost  string
	Ended     string // the receipt in words
	Good, Bad bool
}

// codeCount is how often one errcode was answered.
type codeCount struct {
	Code  string
	Name  string
	Times int
}

// accountBar is the quota of one account.
type accountBar struct {
	accountStats
	Percent             int
	UsedText, LimitText string
}

func (p *Platform) servePage(w http.ResponseWriter, r *http.Request) {
	before, err := number(r, "before", 0)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	still := r.URL.Query().Has("still")
	d := listPage{Live: before == 0 && !still, Paused: still, Host: r.Host, AppID: p.order[0].AppID()}
	stats := p.statsView()
	sends := stats.Calls[SendPath]
	d.Total, d.Calls = thousands(int64(stats.Seen)), thousands(int64(sends.Total))
	d.Refused, d.Lost = thousands(int64(sends.Total-sends.OK-sends.Lost)), thousands(int64(sends.Lost))
	d.Codes = codeCounts(sends)
	for _, a := range stats.Accounts {
		bar := accountBar{accountStats: a, Percent: 100, UsedText: thousands(a.Used), LimitText: thousands(a.DailyLimit)}
		if a.DailyLimit > 0 {
			bar.Percent = int(min(100, a.Used*100/a.DailyLimit))
		}
		d.Accounts = append(d.Accounts, bar)
	}
	list, older := p.newest(before)
	lang := language(r)
	for _, s := range list {
		d.Messages = append(d.Messages, p.bubble(s, wordsIn(lang)))
	}
	d.Older = older
	p.render(w, r, http.StatusOK, "list", d)
}

// codeCounts lists the errcodes of a path, the most frequent first.
func codeCounts(n callStats) []codeCount {
	var list []codeCount
	for code, times := range n.ByCode {
		number, _ := strconv.Atoi(code) // written by strconv
		list = append(list, codeCount{code, errText(wechat.Code(number)), times})
	}
	slices.SortFunc(list, func(a, b codeCount) int {
		return cmp.Or(cmp.Compare(b.Times, a.Times), cmp.Compare(a.Code, b.Code))
	})
	return list
}

// thousands writes 100000 as 100,000.
func thousands(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// newest returns one page of messages before a Seq, newest first, and where the
// next page begins.
func (p *Platform) newest(before int64) (list []Seen, older int64) {
	defer p.locked()()
	end := len(p.chats.list)
	if before > 0 {
		end = int(min(max(before-p.chats.first, 0), int64(end)))
	}
	start := max(0, end-pageSize)
	for i := end - 1; i >= start; i-- {
		list = append(list, p.chats.list[i])
	}
	if start > 0 {
		older = p.chats.list[start].Seq
	}
	return list, older
}

func (p *Platform) bubble(s Seen, w words) bubble {
	b := bubble{messageView: p.view(s), Recipient: maskOpenID(s.OpenID), When: s.At.UTC().Format(time.RFC3339)}
	local := s.At.In(time.FixedZone("", int(p.cfg.QuotaUTCOffset/time.Second)))
	b.Day, b.Clock = local.Format(w.DayFormat), local.Format("15:04:05")
	name := p.accounts[s.AppID].cfg.Name
	first, _ := utf8.DecodeRuneInString(name)
	b.Initial = string(first)
	if len(p.order) > 1 {
		b.Name = name
	}
	if b.Title == "" {
		b.Title = s.TemplateID
	}
	if u, err := url.Parse(b.URL); err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") {
		b.Link, b.LinkHost = b.URL, u.Host
	}
	switch {
	case s.Receipt == ReceiptSuccess:
		b.Ended, b.Good = w.Delivered, true
	case s.Receipt != "":
		b.Ended, b.Bad = s.Receipt, true
	}
	return b
}

// maskOpenID keeps the ends alone: people read the page.
func maskOpenID(openid string) string {
	const head, tail = 4, 2
	if len(openid) <= head+tail {
		return "…"
	}
	return openid[:head] + "…" + openid[len(openid)-tail:]
}

// language is the better of Chinese and English for the visitor: ?lang=, then
// Accept-Language, then English.
func language(r *http.Request) string {
	if lang := r.URL.Query().Get("lang"); lang == "zh" || lang == "en" {
		return lang
	}
	best, bestWeight := "en", 0.0
	for part := range strings.SplitSeq(r.Header.Get("Accept-Language"), ",") {
		tag, parameters, _ := strings.Cut(strings.TrimSpace(part), ";")
		weight := 1.0
		if text, ok := strings.CutPrefix(strings.TrimSpace(parameters), "q="); ok {
			weight, _ = strconv.ParseFloat(text, 64) // 0 when it cannot be read: not wanted
		}
		primary, _, _ := strings.Cut(strings.ToLower(tag), "-")
		if (primary == "zh" || primary == "en") && weight > bestWeight {
			best, bestWeight = primary, weight
		}
	}
	return best
}
