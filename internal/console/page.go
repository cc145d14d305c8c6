package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/locale"
	"github.com/wxnotify/wxnotify/internal/mask"
	"github.com/wxnotify/wxnotify/wechat"
)

// policy lets pages load our style sheet and script, and nothing else.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; " +
	"base-uri 'none'; frame-ancestors 'none'"

// request is one request with what every page needs of it.
type request struct {
	*http.Request

	w       http.ResponseWriter
	who     Operator
	lang    wechat.Lang
	words   locale.Words // of lang
	account *Account     // named by the request, else the first
	open    bool         // a page for everyone who has its link
	problem string       // why what was typed into the form was refused
}

// ctx is the context of the request.
func (r *request) ctx() context.Context { return r.Context() }

// text translates.
func (r *request) text(english string, args ...any) string { return r.words.Say(english, args...) }

// faultError is shown as a page. Its text is a key of the table of words.
type faultError struct {
	status int
	text   string
	args   []any
	err    error
}

func (e *faultError) Error() string { return locale.Words(nil).Say(e.text, e.args...) }

func (e *faultError) Unwrap() error { return e.err }

// wrong is a fault of what the operator typed or of an old page.
func wrong(text string, args ...any) error {
	return &faultError{status: http.StatusBadRequest, text: text, args: args}
}

func (c *Console) serve(w http.ResponseWriter, r *http.Request, role Role, h func(*request) error) {
	c.answer(w, &request{Request: r}, role, h)
}

// answer fills r in and has h answer it. An open request names no account: an error's page
// would tell a person without a login which ones there are.
func (c *Console) answer(w http.ResponseWriter, req *request, role Role, h func(*request) error) {
	r := req.Request
	w.Header().Set("Content-Security-Policy", policy)
	w.Header().Set("Cache-Control", "no-store")
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	req.w, req.who, req.lang = w, operatorOf(r), languageOf(r)
	c.rememberLanguage(req)
	req.words = c.words[req.lang]
	req.account = &c.cfg.Accounts[0]
	err, served := r.ParseForm(), true
	if appid := r.Form.Get("account"); appid != "" && !req.open {
		if named := c.account(appid); named != nil {
			req.account = named
		} else {
			served = false
		}
	}
	switch {
	case err != nil:
		err = wrong("The form cannot be read.")
	case !served:
		err = &faultError{status: http.StatusNotFound, text: "This process does not serve that account."}
	case req.who.Role < role:
		err = &faultError{status: http.StatusForbidden, text: "Your role does not permit this."}
	default:
		err = h(req)
		if r.Method == http.MethodPost {
			c.live.forget(req.account) // the page that follows shows the change
		}
	}
	if err != nil {
		c.fail(req, err)
	}
}

// fail shows an error.
func (c *Console) fail(r *request, err error) {
	fault := &faultError{status: http.StatusServiceUnavailable, text: "This cannot be read or changed now: %s", args: []any{mask.Text(err.Error())}}
	switch {
	case errors.As(err, &fault):
	case errors.Is(err, errSealed):
		fault = &faultError{status: http.StatusGone, text: "The page is out of date: the program was started again since. Begin at the overview."}
	case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
		return // the browser has gone
	default:
		c.log.Warn("console page failed", zap.String("path", r.URL.Path), zap.Error(err))
	}
	if form, title, data := formOf(r); form != "" && fault.status < http.StatusInternalServerError {
		r.problem = r.text(fault.text, fault.args...)
		if err := c.render(r, fault.status, form, r.text(title), data); err == nil {
			return
		}
	}
	if err := c.render(r, fault.status, "error", r.text("Not done"), r.text(fault.text, fault.args...)); err != nil {
		http.Error(r.w, fault.Error(), fault.status)
	}
}

// formOf is the page whose form a request filled in, so that a fault shows the form with
// what was typed. name is empty for other requests.
func formOf(r *request) (name, title string, data any) {
	if r.Method != http.MethodPost || r.who.Role < Support {
		return "", "", nil
	}
	switch r.URL.Path {
	case "/console/messages":
		return "messages", "Messages", messagesView{States: ledger.States()}
	case "/console/roster":
		return "roster", "Roster", rosterView{}
	case "/console/suppressions":
		return "suppressions", "Suppressions", suppressionsView{}
	}
	return "", "", nil
}

// page is what layout.html gets.
type page struct {
	Lang, Other wechat.Lang
	InOther     string // address of this page in Other
	Asynqmon    string
	LogOut      string // address that ends the session; empty: there is none
	Base        string // path of the console, without a slash at its end
	Name, Title string // which page it is, and its heading
	Who         Operator
	Account     *Account
	Accounts    []Account
	At          string
	Notice      string
	Data        any
	Live        string // what the script subscribes to; empty: nothing
	Runs        int
	TwoPersons  bool
	Waiting     int // for a second person
	Open        bool
	Problem     string     // why what was typed was refused
	typed       url.Values // that was refused
}

// Typed is what the operator typed into a field, where it was refused.
func (p page) Typed(field string) string { return p.typed.Get(field) }

// May reports whether the operator has a role, for templates.
func (p page) May(role string) bool {
	return p.Who.Role >= map[string]Role{"support": Support, "operate": Operate, "admin": Admin}[role]
}

func (c *Console) base() string { return c.cfg.Prefix + "/console" }

func (c *Console) pageOf(r *request, name, title string, data any) page {
	p := page{
		Lang: r.lang, Other: wechat.Chinese, Base: c.base(), Asynqmon: c.cfg.Prefix + "/asynqmon/", Name: name, Title: title, Who: r.who, Account: r.account,
		Accounts: c.cfg.Accounts, At: moment(time.Now()), Data: data, Notice: c.notice(r), Runs: c.runs.active(),
		TwoPersons: c.cfg.TwoPersons, Waiting: len(c.approvals.live()), Open: r.open, Problem: r.problem,
	}
	if r.problem != "" {
		p.typed = r.PostForm
	}
	if r.lang == wechat.Chinese {
		p.Other = wechat.English
	}
	if r.who.LogOut {
		p.LogOut = c.cfg.Prefix + "/oidc/logout"
	}
	p.InOther = c.inLanguage(r, p.Other)
	switch name {
	case "overview", "runs":
		p.Live = name
	}
	return p
}

// render writes a page.
func (c *Console) render(r *request, status int, name, title string, data any) error {
	var body bytes.Buffer
	if err := c.pages[r.lang][name].ExecuteTemplate(&body, "layout", c.pageOf(r, name, title, data)); err != nil {
		return fmt.Errorf("console: page %s: %w", name, err)
	}
	head := r.w.Header()
	head.Set("Content-Type", "text/html; charset=utf-8")
	head.Set("Content-Language", string(r.lang))
	r.w.WriteHeader(status)
	_, _ = r.w.Write(body.Bytes()) // an error means that the client has gone
	return nil
}

// parsePages parses each page once for each language: the function t translates.
func parsePages(texts map[wechat.Lang]locale.Words) (map[wechat.Lang]map[string]*template.Template, error) {
	names, err := fs.Glob(files, "pages/*.html")
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	out := map[wechat.Lang]map[string]*template.Template{}
	for _, lang := range []wechat.Lang{wechat.English, wechat.Chinese} {
		out[lang] = map[string]*template.Template{}
		funcs := template.FuncMap{
			"t":    func(english string, args ...any) any { return inPage(texts[lang], english, args...) },
			"time": timeElement,
			"num":  func(n any) string { return grouped(fmt.Sprint(n)) },
		}
		for _, name := range names {
			base := strings.TrimSuffix(path.Base(name), ".html")
			if base == "layout" {
				continue
			}
			tmpl, err := template.New(base).Funcs(funcs).ParseFS(files, "pages/layout.html", name)
			if err != nil {
				return nil, fmt.Errorf("console: page %s: %w", base, err)
			}
			out[lang][base] = tmpl
		}
	}
	return out, nil
}

// static serves the style sheet and the script.
func (c *Console) static(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	if !c.file(w, name) {
		c.serve(w, r, View, func(*request) error { return &faultError{status: http.StatusNotFound, text: "There is no such page."} })
	}
}

// file writes one that pages load, if there is such a file.
func (c *Console) file(w http.ResponseWriter, name string) bool {
	body, err := files.ReadFile("pages/" + name)
	if err != nil || path.Ext(name) == ".html" {
		return false
	}
	w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
	w.Header().Set("Cache-Control", "private, max-age=300")
	_, _ = w.Write(body)
	return true
}

const languageCookie = "wxnotify_lang"

// languageOf is the language that the operator chose, else that of the browser.
func languageOf(r *http.Request) wechat.Lang {
	if chosen, err := r.Cookie(languageCookie); err == nil {
		if lang := wechat.Lang(chosen.Value); lang == wechat.Chinese || lang == wechat.English {
			return lang
		}
	}
	return locale.FromHeader(r.Header.Get("Accept-Language"))
}

// rememberLanguage keeps the language that the query names for a year.
func (c *Console) rememberLanguage(r *request) {
	lang := wechat.Lang(r.URL.Query().Get("lang"))
	if lang != wechat.Chinese && lang != wechat.English {
		return
	}
	r.lang = lang
	http.SetCookie(r.w, &http.Cookie{
		Name: languageCookie, Value: string(lang), Path: c.base() + "/", MaxAge: 365 * 24 * 3600, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
}

// inLanguage is the address of this page in a language; of the overview where the page
// answers a form.
func (c *Console) inLanguage(r *request, lang wechat.Lang) string {
	query, path := r.URL.Query(), c.cfg.Prefix+r.URL.Path
	if r.Method != http.MethodGet {
		query, path = url.Values{}, c.base()+"/"
	}
	query.Del("done")
	query.Set("lang", string(lang))
	return path + "?" + query.Encode()
}

// moment shows a time in the time zone of the process; empty for none.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05 -07:00")
}

// timeElement is a moment in HTML; in a table it stands on one line.
func timeElement(t time.Time) template.HTML {
	if t.IsZero() {
		return ""
	}
	return template.HTML("<time>" + moment(t) + "</time>") //nolint:gosec // digits and signs
}

// grouped puts commas between thousands.
func grouped(digits string) string {
	if _, err := strconv.ParseInt(digits, 10, 64); err != nil {
		return digits
	}
	var out strings.Builder
	for i, d := range digits {
		if left := len(digits) - i; i > 0 && left%3 == 0 && digits[i-1] != '-' {
			out.WriteString(",")
		}
		out.WriteRune(d)
	}
	return out.String()
}

// notices are the texts that follow a redirect, by their names in its query.
func (c *Console) notice(r *request) string {
	text, known := notices()[r.URL.Query().Get("done")]
	if !known {
		return ""
	}
	return r.text(text)
}

func notices() map[string]string {
	return map[string]string{
		"paused": "Paused.", "resumed": "Resumed.", "cancelled": "Cancelled.", "retried": "Put on its queue again.", "dropped": "Dropped.",
		"lifted": "The suppression is lifted.", "unbound": "Unbound.", "erased": "Erased.", "revoked": "The key is revoked.",
		"stopped": "Stopped.", "enabled": "Enabled.", "asked": "It waits for a second person.", "refused": "Refused: nothing was changed.",
	}
}

// redirect answers a form with the page to show next. query may be nil; done names a
// notice, or is empty.
func (c *Console) redirect(r *request, to string, query map[string]string, done string) {
	values := url.Values{}
	values.Set("account", r.account.AppID)
	for name, value := range query {
		values.Set(name, value)
	}
	if done != "" {
		values.Set("done", done)
	}
	http.Redirect(r.w, r.Request, c.base()+to+"?"+values.Encode(), http.StatusSeeOther)
}
