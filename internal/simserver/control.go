package simserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wxnotify/wxnotify/internal/clientaddr"
	"github.com/wxnotify/wxnotify/internal/rawjson"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// maxBody is the longest body of a control call in bytes.
const maxBody = 1 << 20

// server serves the control API and the page of one platform.
type server struct{ p *wechattest.Platform }

// New serves p's API paths, the pictures of its QR codes, the control API under
// /_sim/ and the page at /. addr is where it listens: on a loopback address, page and
// control API answer to the names of the loopback alone, on another one to no foreign name.
// A foreign name that resolves to 127.0.0.1 would put a foreign page in the same origin (DNS
// rebinding), also where a container's port is published there. The API paths answer to any
// name, such as api.weixin.qq.com in a hosts file.
func New(p *wechattest.Platform, addr string) http.Handler {
	s := server{p}
	own := http.NewServeMux()
	own.HandleFunc("GET /{$}", s.servePage)
	own.HandleFunc("GET /_sim/page.css", serveStyle)
	own.Handle("/_sim/", s.control())
	mux := http.NewServeMux()
	mux.Handle("/", p)
	mux.HandleFunc("GET /cgi-bin/showqrcode", s.serveQRCode)
	mux.Handle("GET /{$}", checkHost(addr, own))
	mux.Handle("/_sim/", checkHost(addr, own))
	return mux
}

// checkHost refuses foreign names: those that are not the loopback's and, when addr is not on
// it, neither an IP address nor a name without a dot nor that of addr.
func checkHost(addr string, next http.Handler) http.Handler {
	own, open := clientaddr.Host(addr), !clientaddr.Loopback(addr)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := clientaddr.Host(r.Host)
		_, notIP := netip.ParseAddr(host)
		switch {
		case clientaddr.Loopback(host), open && host != "" && (notIP == nil || host == own || !strings.Contains(host, ".")):
			next.ServeHTTP(w, r)
		case open:
			http.Error(w, "the simulator does not answer to this name: use its IP address or a name without a dot, or start it with --addr NAME:8090",
				http.StatusMisdirectedRequest)
		default:
			http.Error(w, "the simulator answers to 127.0.0.1 and localhost only; start it with --addr 0.0.0.0:8090 for other machines",
				http.StatusMisdirectedRequest)
		}
	})
}

// control is the control API. A browser's cross-site requests are refused.
func (s server) control() http.Handler {
	calls := map[string]controlCall{
		"POST /_sim/script":          decoded(s.setScript),
		"POST /_sim/faults":          decoded(s.setFaults),
		"POST /_sim/followers":       onAccount(s, changeFollowers),
		"POST /_sim/templates":       onAccount(s, changeTemplates),
		"GET /_sim/templates":        s.listTemplates,
		"POST /_sim/tokens/kill":     decoded(s.killTokens),
		"POST /_sim/quota":           onAccount(s, changeQuota),
		"POST /_sim/account":         onAccount(s, changeAccount),
		"POST /_sim/migrate":         onAccount(s, s.migrate),
		"POST /_sim/callback":        onAccount(s, changeCallback),
		"POST /_sim/callback/verify": s.verifyCallback,
		"POST /_sim/oauth/code":      onAccount(s, makeOAuthCode),
		"POST /_sim/reset":           s.reset,
		"GET /_sim/messages":         s.listMessages,
		"GET /_sim/seen":             s.listSeen,
		"GET /_sim/pushes":           s.listPushes,
		"GET /_sim/stats":            func(*http.Request) (any, error) { return s.stats(), nil },
		"GET /_sim/qrcodes":          s.listQRCodes,
	}
	names := slices.Sorted(maps.Keys(calls))
	calls["GET /_sim/{$}"] = func(*http.Request) (any, error) {
		return map[string]any{"calls": names, "docs": "docs/simulator.md"}, nil
	}
	mux := http.NewServeMux()
	for pattern, call := range calls {
		mux.Handle(pattern, call)
	}
	return http.NewCrossOriginProtection().Handler(mux)
}

// controlCall returns what is answered as JSON; nil is {"ok": true}. An error is
// answered with status 400.
type controlCall func(*http.Request) (any, error)

func (call controlCall) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	out, err := call(r)
	status := http.StatusOK
	if err != nil {
		status, out = http.StatusBadRequest, map[string]string{"error": err.Error()}
	}
	if out == nil {
		out = map[string]bool{"ok": true}
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	text, _ := rawjson.Marshal(out)    // cannot fail
	_, _ = w.Write(append(text, '\n')) // the caller may have gone
}

// decode decodes the body of a control call. An empty body is an empty object.
func decode(r *http.Request, into any) error {
	if r.ContentLength == 0 {
		return nil
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("body: %w", err)
	}
	return nil
}

// decoded is a call with a JSON body.
func decoded[In any](do func(In) (any, error)) controlCall {
	return func(r *http.Request) (any, error) {
		var in In
		if err := decode(r, &in); err != nil {
			return nil, err
		}
		return do(in)
	}
}

// target is the account that a call is about, a part of its body.
type target struct {
	Account string `json:"account"`
}

func (t target) appid() string { return t.Account }

// onAccount is a call with a JSON body that names an account.
func onAccount[In interface{ appid() string }](s server, do func(*wechattest.Account, In) (any, error)) controlCall {
	return decoded(func(in In) (any, error) {
		a, err := s.account(in.appid())
		if err != nil {
			return nil, err
		}
		return do(a, in)
	})
}

// account finds an account. An empty appid means the only one.
func (s server) account(appid string) (*wechattest.Account, error) {
	accounts := s.p.Accounts()
	if appid == "" && len(accounts) == 1 {
		return accounts[0], nil
	}
	if appid == "" {
		return nil, errors.New("account is empty and the platform has several; name the appid")
	}
	for _, a := range accounts {
		if a.AppID() == appid {
			return a, nil
		}
	}
	return nil, fmt.Errorf("account %s is not on this platform", appid)
}

// duration is a time.Duration in JSON: "1.5s", or a number of seconds.
type duration time.Duration

func (d *duration) UnmarshalJSON(data []byte) error {
	if seconds, err := strconv.ParseFloat(string(data), 64); err == nil {
		*d = duration(seconds * float64(time.Second))
		return nil
	}
	var text string
	err := json.Unmarshal(data, &text)
	if err == nil {
		var parsed time.Duration
		parsed, err = time.ParseDuration(text)
		*d = duration(parsed)
	}
	if err != nil {
		return fmt.Errorf("a duration is a text such as \"1.5s\": %w", err)
	}
	return nil
}

// replySpec is a wechattest.Reply in JSON.
type replySpec struct {
	Do       string      `json:"do"`
	Errcode  wechat.Code `json:"errcode"`
	Errmsg   string      `json:"errmsg"`
	Status   int         `json:"status"`
	Delay    duration    `json:"delay"`
	Text     string      `json:"text"`
	Accepted bool        `json:"accepted"`
	Path     string      `json:"path"`
	OpenID   string      `json:"openid"`
	Account  string      `json:"account"`
	Times    int         `json:"times"`
	Forever  bool        `json:"forever"`
}

// reply checks the spec and converts it.
func (spec replySpec) reply(p *wechattest.Platform) (wechattest.Reply, error) {
	var r wechattest.Reply
	switch spec.Do {
	case "ok":
		r = wechattest.OK()
	case "errcode":
		if spec.Errcode == 0 {
			return r, errors.New("do errcode needs an errcode other than 0")
		}
		r = wechattest.Errcode(spec.Errcode).Msg(spec.Errmsg)
	case "http_status":
		if spec.Status < 200 || spec.Status > 599 {
			return r, errors.New("do http_status needs a status from 200 to 599")
		}
		r = wechattest.HTTPStatus(spec.Status)
	case "hang":
		r = wechattest.Hang(time.Duration(spec.Delay))
	case "slow":
		r = wechattest.Slow(time.Duration(spec.Delay))
	case "cut_before":
		r = wechattest.CutBefore()
	case "cut_after_accept":
		r = wechattest.CutAfterAccept()
	case "cut_mid_answer":
		r = wechattest.CutMidAnswer()
	case "garbage":
		r = wechattest.Garbage(spec.Text)
	default:
		return r, fmt.Errorf("do %q is not one of ok, errcode, http_status, hang, slow, cut_before, "+
			"cut_after_accept, cut_mid_answer, garbage", spec.Do)
	}
	if spec.Path != "" && !p.Serves(spec.Path) {
		return r, fmt.Errorf("path %s is not an API of the platform", spec.Path)
	}
	r = r.On(spec.Path).For(spec.OpenID).Account(spec.Account)
	if spec.Accepted {
		r = r.Accepted()
	}
	if spec.Times > 1 {
		r = r.Times(spec.Times)
	}
	if spec.Forever {
		r = r.Forever()
	}
	return r, nil
}

type scriptIn struct {
	Replies []replySpec `json:"replies"`
	Clear   bool        `json:"clear"`
}

func (s server) setScript(in scriptIn) (any, error) {
	var replies []wechattest.Reply
	for i, spec := range in.Replies {
		reply, err := spec.reply(s.p)
		if err != nil {
			return nil, fmt.Errorf("replies[%d]: %w", i, err)
		}
		replies = append(replies, reply)
	}
	if in.Clear {
		s.p.ClearReplies()
	}
	s.p.Script(replies...)
	return map[string]int{"waiting": s.p.Scripted()}, nil
}

type faultsIn struct {
	Faults []struct {
		Ratio float64 `json:"ratio"`
		replySpec
	} `json:"faults"`
}

func (s server) setFaults(in faultsIn) (any, error) {
	var replies []wechattest.Reply
	for i, f := range in.Faults {
		reply, err := f.reply(s.p)
		if err != nil {
			return nil, fmt.Errorf("faults[%d]: %w", i, err)
		}
		if f.Ratio <= 0 || f.Ratio > 1 {
			return nil, fmt.Errorf("faults[%d]: ratio is the share of the calls, above 0 and at most 1", i)
		}
		replies = append(replies, reply)
	}
	s.p.ClearFaults()
	for i, reply := range replies {
		s.p.Fault(in.Faults[i].Ratio, reply)
	}
	return map[string]int{"faults": len(replies)}, nil
}

type killIn struct {
	target
	RefuseStable bool `json:"refuse_stable"`
}

// killTokens invalidates all tokens of one account, or of all when none is named.
func (s server) killTokens(in killIn) (any, error) {
	if in.Account == "" && !in.RefuseStable {
		s.p.KillTokens()
		return nil, nil
	}
	a, err := s.account(in.Account)
	switch {
	case err != nil:
		return nil, err
	case in.RefuseStable:
		a.RefuseStableToken()
	default:
		a.KillTokens()
	}
	return nil, nil
}

func (s server) verifyCallback(r *http.Request) (any, error) {
	return onAccount(s, func(a *wechattest.Account, _ target) (any, error) {
		return nil, a.VerifyCallback(r.Context())
	})(r)
}

func (s server) reset(*http.Request) (any, error) {
	s.p.Reset()
	return nil, nil
}
