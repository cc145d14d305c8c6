package enroll

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

//go:embed page.html
var pageHTML string

//go:embed icons.html
var iconsHTML string

//go:embed style.css
var styleCSS string

// pageName says which page a follower sees.
type pageName string

const (
	pageScan     pageName = "scan"     // not in WeChat: scan the code with it
	pageConfirm  pageName = "confirm"  // after WeChat's page: enrol for this user, yes or no
	pageBound    pageName = "bound"    // done, messages will arrive
	pageEnrolled pageName = "enrolled" // the link was used, by the reader or by another person
	pageFollow   pageName = "follow"   // bound, but must follow the account before a message can arrive
	pageSpent    pageName = "spent"    // the link was used, by another person or before it was undone
	pageTaken    pageName = "taken"    // the user has another openid, or too many
	pageTooMany  pageName = "toomany"  // the account's limit per minute is reached
	pageInvalid  pageName = "invalid"  // the link is damaged, expired or forged
	pageMismatch pageName = "mismatch" // what WeChat says differs from what the business stored
	pageSnapshot pageName = "snapshot" // WeChat shows a quick look, and tells us nothing true
	pageBusy     pageName = "busy"     // WeChat does not answer
	pageRefused  pageName = "refused"  // the follower did not agree
	pageMissing  pageName = "missing"  // no enrolment ticket in the link
	pageNotFound pageName = "notfound" // no such address
	pageError    pageName = "error"    // our own fault
)

// page is one answer to a follower.
type page struct {
	Name    pageName      // what happened; an unknown one is shown as pageError
	Status  int           // the HTTP status; 0 is the page's usual one
	Account string        // the account's display name; may be empty
	QR      []byte        // a PNG; nil: no picture
	Link    string        // where the main button leads; empty, or neither http(s) nor on this site: no button
	Refresh time.Duration // the page reloads, to the second; 0: it does not
	Wrong   string        // a short code shown small for support, such as "E-STATE"; empty: none
	User    string        // for which user, masked; empty: not shown
	Form    *pageForm     // the question; nil: none
	Wait    time.Duration // when to try again, to the second; 0: not said
}

// pageForm is the question of pageConfirm. Its answer is a POST to "callback", beside
// the page.
type pageForm struct {
	State, Code string   // go back with the answer
	LeadsTo     []string // addresses outside to which the answer may redirect
}

// pageLook is what a page has in every language.
type pageLook struct {
	status int    // when the page says none
	tone   string // good, calm, warn, bad: the colour of the icon
}

// pages shows what a follower sees while enrolling.
type pages struct {
	html   *template.Template
	looks  map[pageName]pageLook
	policy string // the Content-Security-Policy of a page without a form
	zh, en *pageWords
}

// newPages fails only when the package was built wrong.
func newPages() (*pages, error) {
	html, err := template.New("page").Parse(pageHTML)
	if err == nil {
		_, err = html.New("icons").Parse(iconsHTML)
	}
	if err != nil {
		return nil, fmt.Errorf("page template: %w", err)
	}
	p := &pages{html: html, policy: pagePolicy(styleCSS, "'none'"), zh: pageChinese(), en: pageEnglish(), looks: map[pageName]pageLook{
		pageScan:     {http.StatusOK, "good"},
		pageConfirm:  {http.StatusOK, "calm"},
		pageBound:    {http.StatusOK, "good"},
		pageEnrolled: {http.StatusOK, "good"},
		pageFollow:   {http.StatusOK, "calm"},
		pageSpent:    {http.StatusGone, "warn"},
		pageTaken:    {http.StatusConflict, "warn"},
		pageTooMany:  {http.StatusServiceUnavailable, "warn"},
		pageInvalid:  {http.StatusBadRequest, "warn"},
		pageMismatch: {http.StatusForbidden, "bad"},
		pageSnapshot: {http.StatusOK, "calm"},
		pageBusy:     {http.StatusServiceUnavailable, "warn"},
		pageRefused:  {http.StatusOK, "calm"},
		pageMissing:  {http.StatusBadRequest, "warn"},
		pageNotFound: {http.StatusNotFound, "calm"},
		pageError:    {http.StatusInternalServerError, "bad"},
	}}
	for name := range p.looks {
		for _, t := range []*pageWords{p.zh, p.en} {
			if t.Pages[name].Title == "" {
				return nil, fmt.Errorf("page %s has no words in %s", name, t.Lang)
			}
		}
	}
	return p, nil
}

// pagePolicy lets a page have its own style sheet, named by its hash, and
// pictures that stand in it; no script, nothing from elsewhere, no frame. forms says where
// a form may lead.
func pagePolicy(css, forms string) string {
	sum := sha256.Sum256([]byte(css))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; img-src data:; base-uri 'none'; form-action " + forms + "; frame-ancestors 'none'"
}

// formTargets returns the form-action of a page with a form. Browsers apply it to all
// redirects after the form, including those of the business's own page, which are unknown
// here: so every https site is allowed. http is allowed only if a known address has it, as
// with the simulator.
func formTargets(f *pageForm) string {
	targets := "'self' https:"
	if slices.ContainsFunc(f.LeadsTo, func(address string) bool { return strings.HasPrefix(address, "http://") }) {
		targets += " http:"
	}
	return targets
}

// pageView is what page.html shows.
type pageView struct {
	T       *pageWords
	Text    pageText
	Name    pageName
	Tone    string
	Style   template.CSS
	Account string
	QR      template.URL
	How     pageSteps
	Link    string
	Refresh int // seconds
	Wrong   string
	User    string
	Form    *pageForm
}

// show answers with a page in the reader's language. It needs no script, and
// nothing but itself. An answer to HEAD has the same headers and no body.
func (p *pages) show(w http.ResponseWriter, r *http.Request, v page) {
	t := p.words(r)
	l, known := p.looks[v.Name]
	if !known {
		v.Name, v.Status = pageError, 0
		l = p.looks[pageError]
	}
	if v.Status == 0 {
		v.Status = l.status
	}
	policy := p.policy
	if v.Form != nil {
		policy = pagePolicy(styleCSS, formTargets(v.Form))
	}
	view := pageView{
		T: t, Text: t.Pages[v.Name].after(v.Wait), Name: v.Name, Tone: l.tone, Style: template.CSS(styleCSS),
		Account: pageLine(v.Account), Link: pageLink(v.Link), Wrong: pageLine(v.Wrong), User: pageLine(v.User), Form: v.Form,
		How: t.how(v.Name, readerOf(r), len(v.QR) > 0),
	}
	if len(v.QR) > 0 {
		view.QR = template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(v.QR))
	}
	if v.Refresh > 0 {
		view.Refresh = seconds(v.Refresh)
	}
	p.secure(w.Header(), policy)
	var body bytes.Buffer
	if err := p.html.Execute(&body, view); err != nil {
		http.Error(w, view.Text.Title, http.StatusInternalServerError)
		return
	}
	head := w.Header()
	head.Set("Content-Type", "text/html; charset=utf-8")
	head.Set("Content-Language", t.Lang)
	head.Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(v.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body.Bytes()) // the reader may be gone: nothing to do about it
	}
}

// secure sets the headers that every page has. The address holds the
// follower's enrolment ticket: it goes to no other site, no cache and no index.
func (p *pages) secure(head http.Header, policy string) {
	head.Set("Content-Security-Policy", policy)
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("X-Frame-Options", "DENY")
	head.Set("X-Robots-Tag", "noindex, nofollow")
	head.Set("Referrer-Policy", "no-referrer")
	head.Set("Cross-Origin-Opener-Policy", "same-origin")
	head.Set("Cross-Origin-Resource-Policy", "same-origin")
	head.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()")
	head.Set("Cache-Control", "no-store")
	head.Add("Vary", "Accept-Language, User-Agent, Sec-CH-UA-Mobile")
}

// pageLink returns an address that a button may lead to, or nothing: http and
// https, or a path or query on this site. A browser reads "\" as "/" and skips
// control characters, so neither may stand in it.
func pageLink(link string) string {
	const most = 2048 // bytes; no address that works everywhere is longer
	if len(link) > most || strings.ContainsFunc(link, func(c rune) bool { return c == '\\' || unicode.IsSpace(c) || unicode.IsControl(c) }) {
		return ""
	}
	u, err := url.Parse(link)
	switch {
	case err != nil || u.User != nil || u.Opaque != "":
		return ""
	case u.Scheme == "http" || u.Scheme == "https":
		if u.Hostname() == "" {
			return ""
		}
	case u.Scheme != "" || strings.HasPrefix(link, "//"):
		return ""
	}
	return link
}

// pageLine makes one line of a text from elsewhere: valid, with no control
// characters, and not so long that it buries the page.
func pageLine(s string) string {
	const most = 40 // an account's name has 30 at most
	s = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(s, ""))
	line := []rune(strings.Join(strings.Fields(s), " "))
	if len(line) > most {
		return string(line[:most]) + "…"
	}
	return string(line)
}

// seconds rounds up.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// maskUser masks the business's id of a user: the first character and up to three at the
// end stay, at most a third of the rest. The user can recognise it; a reader of the page
// cannot learn it.
func maskUser(user string) string {
	id := []rune(user)
	tail := min(3, (len(id)-1)/3)
	if len(id) == 0 || tail < 1 {
		return "***"
	}
	return string(id[:1]) + "***" + string(id[len(id)-tail:])
}
