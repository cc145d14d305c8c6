package simserver

import (
	"bytes"
	"cmp"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/wxnotify/wxnotify/internal/locale"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

//go:embed page
var pageFiles embed.FS

//nolint:gochecknoglobals // parsed once, never changed
var listTemplate = template.Must(template.New("list.html").Funcs(template.FuncMap{
	"thousands": thousands, "percent": percent,
}).ParseFS(pageFiles, "page/list.html"))

// pageSize is how many messages one page lists.
const pageSize = 30

// china is the time zone of the times on the page.
//
//nolint:gochecknoglobals // never changed
var china = time.FixedZone("", 8*60*60)

func serveStyle(w http.ResponseWriter, _ *http.Request) {
	text, _ := pageFiles.ReadFile("page/page.css") // embedded
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "max-age=60")
	w.Write(text) //nolint:errcheck // the visitor may have gone
}

// listPage is the data of the page.
type listPage struct {
	W        words
	Stats    stats
	Sends    wechattest.CallCount
	Refused  int
	Codes    []codeCount
	Messages []bubble
	Older    int64 // the next page has messages before this Seq; 0: none
	Live     bool  // the browser reloads it
	Paused   bool
	Host     string
	// The filter by follower: OpenID as it was typed, or Of, the number of one of the
	// follower's messages, so that no link has an openid.
	OpenID string
	Of     int64
}

// bubble is one message as the page shows it.
type bubble struct {
	messageView
	Recipient string // masked
	Day       string
	Clock     string
	When      string
	Name      string // of the account, when there are several
	Initial   string // the account's, in place of a picture
	Link      string // http and https only
	LinkHost  string
	Outcome   string // of the receipt
	Good      bool
}

// codeCount is how often one errcode was answered.
type codeCount struct {
	Code  wechat.Code
	Text  string
	Times int
}

func (s server) servePage(w http.ResponseWriter, r *http.Request) {
	before, err := number(r, "before", 0)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	page := listPage{W: wordsIn(language(r)), Stats: s.stats(), Host: r.Host, Paused: r.URL.Query().Has("still")}
	follower, err := s.filter(r, &page)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	page.Live = before == 0 && !page.Paused
	page.Sends = page.Stats.Calls[wechattest.SendPath]
	page.Refused = page.Sends.Total - page.Sends.OK - page.Sends.Lost
	page.Codes = codeCounts(page.Sends)
	list := s.p.SeenBefore(before, pageSize+1)
	if follower != "" {
		list = s.p.SeenTo(follower, before, pageSize+1)
	}
	if len(list) > pageSize {
		list = list[:pageSize]
		page.Older = list[pageSize-1].Seq
	}
	for _, seen := range list {
		page.Messages = append(page.Messages, page.bubble(s.view(seen)))
	}
	var text bytes.Buffer
	if err := listTemplate.Execute(&text, page); err != nil {
		http.Error(w, "the page cannot be rendered", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept-Language")
	w.Write(text.Bytes()) //nolint:errcheck // the visitor may have gone
}

// filter reads ?openid= and ?of= into page, and returns the openid of the follower
// whose messages are wanted; empty: all.
func (s server) filter(r *http.Request, page *listPage) (openid string, err error) {
	page.OpenID = r.URL.Query().Get("openid")
	if page.Of, err = number(r, "of", 0); err != nil || page.Of == 0 {
		return page.OpenID, err
	}
	one := s.p.SeenAfter(page.Of-1, 1)
	if len(one) == 0 || one[0].Seq != page.Of {
		return "", errors.New("of: this message is not kept any more")
	}
	return one[0].OpenID, nil
}

// codeCounts lists the errcodes of a path, the most frequent first.
func codeCounts(n wechattest.CallCount) []codeCount {
	var list []codeCount
	for code, times := range n.ByCode {
		list = append(list, codeCount{code, code.Says(), times})
	}
	slices.SortFunc(list, func(a, b codeCount) int {
		return cmp.Or(cmp.Compare(b.Times, a.Times), cmp.Compare(a.Code, b.Code))
	})
	return list
}

// thousands writes the integer 100000 as 100,000.
func thousands(n any) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// percent is the used share of a limit, at most 100.
func percent(used, limit int64) int64 {
	if limit <= 0 {
		return 100
	}
	return min(100, used*100/limit)
}

func (page listPage) bubble(v messageView) bubble {
	at := v.At.In(china)
	b := bubble{
		messageView: v, Recipient: wechat.MaskOpenID(v.OpenID), When: v.At.UTC().Format(time.RFC3339),
		Day: at.Format(page.W.DayFormat), Clock: at.Format(time.TimeOnly),
	}
	accounts := page.Stats.Accounts
	i := slices.IndexFunc(accounts, func(a wechattest.AccountStats) bool { return a.AppID == v.AppID })
	first, _ := utf8.DecodeRuneInString(accounts[i].Name)
	b.Initial = string(first)
	if len(accounts) > 1 {
		b.Name = accounts[i].Name
	}
	b.Title = cmp.Or(b.Title, v.TemplateID)
	if u, err := url.Parse(v.URL); err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") {
		b.Link, b.LinkHost = v.URL, u.Host
	}
	b.Outcome, b.Good = v.Receipt, v.Receipt == wechattest.ReceiptSuccess
	if b.Good {
		b.Outcome = page.W.Delivered
	}
	return b
}

// language is zh or en: ?lang=, else what the browser prefers.
func language(r *http.Request) string {
	if chosen := r.URL.Query().Get("lang"); chosen == "zh" || chosen == "en" {
		return chosen
	}
	return string(locale.FromHeader(r.Header.Get("Accept-Language")))
}
