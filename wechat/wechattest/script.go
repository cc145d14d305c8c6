package wechattest

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// Reply replaces or follows the platform's own answer to a call. Make it with
// Errcode, HTTPStatus, Hang, Slow, CutBefore, CutAfterAccept, CutMidAnswer,
// Garbage or OK.
type Reply struct {
	kind    replyKind
	path    string
	openid  string
	appid   string
	code    wechat.Code
	text    string
	status  int
	delay   time.Duration
	effect  bool // the call takes effect before the fault
	repeats int  // further uses; negative: no limit
}

type replyKind int

const (
	replyNormal replyKind = iota
	replyErrcode
	replyStatus
	replyHang
	replyCut
	replyCutMid
	replyGarbage
)

// OK is the platform's own answer, to place between faults of a script.
func OK() Reply { return Reply{} }

// Errcode answers with an errcode and WeChat's errmsg for it. The call has no
// effect unless Accepted, but counts against the quota.
func Errcode(code wechat.Code) Reply { return Reply{kind: replyErrcode, code: code} }

// HTTPStatus answers with a status and an HTML page, as a gateway does. The call
// has no effect unless Accepted.
func HTTPStatus(status int) Reply {
	return Reply{kind: replyStatus, status: status, text: "<html><body><h1>" + http.StatusText(status) + "</h1></body></html>\n"}
}

// Hang reads the call, sends nothing for d and cuts the connection. The call has
// no effect unless Accepted.
func Hang(d time.Duration) Reply { return Reply{kind: replyHang, delay: d} }

// Slow gives the platform's own answer after d. The call takes effect at once.
func Slow(d time.Duration) Reply { return Reply{delay: d} }

// CutBefore cuts the connection before the call takes effect.
func CutBefore() Reply { return Reply{kind: replyCut} }

// CutAfterAccept lets the call take effect and cuts the connection before the
// first byte of the answer.
func CutAfterAccept() Reply { return Reply{kind: replyCut, effect: true} }

// CutMidAnswer lets the call take effect and cuts the connection in the middle
// of the answer's body.
func CutMidAnswer() Reply { return Reply{kind: replyCutMid, effect: true} }

// Garbage answers status 200 with text that is not JSON. The call has no effect
// unless Accepted.
func Garbage(text string) Reply {
	return Reply{kind: replyGarbage, status: http.StatusOK, text: text}
}

// On applies the reply to another path than SendPath.
func (r Reply) On(path string) Reply { r.path = path; return r }

// For applies the reply to messages for one openid.
func (r Reply) For(openid string) Reply { r.openid = openid; return r }

// Account applies the reply to calls of one account.
func (r Reply) Account(appid string) Reply { r.appid = appid; return r }

// Accepted lets the call take effect before the fault: the recipient sees the
// message although the caller gets an error.
func (r Reply) Accepted() Reply { r.effect = true; return r }

// Msg sets the errmsg of an Errcode. Empty: WeChat's usual one.
func (r Reply) Msg(text string) Reply { r.text = text; return r }

// Times makes the reply apply to n calls instead of one.
func (r Reply) Times(n int) Reply { r.repeats = n - 1; return r }

// Forever makes the reply apply to every call until ClearScript.
func (r Reply) Forever() Reply { r.repeats = -1; return r }

func (r Reply) target() string {
	if r.path == "" {
		return SendPath
	}
	return r.path
}

// script holds the queued replies and the faults, by API path.
type script struct {
	replies map[string][]Reply
	faults  map[string][]fault
	random  *rand.Rand
}

type fault struct {
	ratio float64
	reply Reply
}

func newScript(seed uint64) script {
	return script{
		replies: map[string][]Reply{},
		faults:  map[string][]fault{},
		random:  rand.New(rand.NewPCG(seed, seed)), //nolint:gosec // must be repeatable
	}
}

// Script queues replies. Each call to a path takes the next reply that applies to
// it, with any token. When none is left, the platform answers by its own rules.
func (p *Platform) Script(replies ...Reply) {
	defer p.locked()()
	for _, r := range replies {
		p.script.replies[r.target()] = append(p.script.replies[r.target()], r)
	}
	p.armed.Store(true)
}

// Fault gives this reply to a random share of the calls to its path:
// Fault(0.20, CutAfterAccept()) is one in five. Several faults on a path exclude
// each other, so their ratios add up. Config.Seed makes the choice repeatable.
func (p *Platform) Fault(ratio float64, reply Reply) {
	defer p.locked()()
	p.script.faults[reply.target()] = append(p.script.faults[reply.target()], fault{ratio, reply})
	p.armed.Store(true)
}

// Always gives this reply to every call to its path.
func (p *Platform) Always(reply Reply) { p.Fault(1, reply) }

// ClearScript drops the queued replies and all faults.
func (p *Platform) ClearScript() {
	p.ClearReplies()
	p.ClearFaults()
	p.armed.Store(false)
}

// ClearReplies drops the queued replies.
func (p *Platform) ClearReplies() {
	defer p.locked()()
	clear(p.script.replies)
}

// ClearFaults drops all faults.
func (p *Platform) ClearFaults() {
	defer p.locked()()
	clear(p.script.faults)
}

// Scripted counts the queued replies; one with Forever counts once.
func (p *Platform) Scripted() int {
	defer p.locked()()
	n := 0
	for _, list := range p.script.replies {
		for _, r := range list {
			n += 1 + max(0, r.repeats)
		}
	}
	return n
}

// nextReply takes the reply for a call from the script.
func (p *Platform) nextReply(c *call) Reply {
	defer p.locked()()
	s, path := &p.script, c.path()
	for i, r := range s.replies[path] {
		if !c.matches(r) {
			continue
		}
		switch {
		case r.repeats > 0:
			s.replies[path][i].repeats--
		case r.repeats == 0:
			s.replies[path] = slices.Delete(s.replies[path], i, i+1)
		}
		return r
	}
	if len(s.faults[path]) == 0 {
		return Reply{} // without a random number, so that other paths stay repeatable
	}
	at := s.random.Float64()
	for _, f := range s.faults[path] {
		if !c.matches(f.reply) {
			continue
		}
		if at < f.ratio {
			return f.reply
		}
		at -= f.ratio
	}
	return Reply{}
}
