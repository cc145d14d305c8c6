package wechattest

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// Reply is one answer of a script or a fault: what happens instead of, or on
// top of, the platform's own answer. Make it with Errcode, HTTPStatus, Hang,
// Slow, CutBefore, CutAfterAccept, CutMidAnswer, Garbage or OK.
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
	repeats int  // further uses; negative: for ever
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

// OK is the platform's own answer: it spaces faults in a script.
func OK() Reply { return Reply{} }

// Errcode answers with an errcode and WeChat's wording for it. The call has no
// effect but counts against the quota.
func Errcode(code wechat.Code) Reply { return Reply{kind: replyErrcode, code: code} }

// HTTPStatus answers with a status, as a gateway does, and a page of HTML. The
// call has no effect unless Accepted.
func HTTPStatus(status int) Reply {
	return Reply{kind: replyStatus, status: status, text: "<html><body><h1>" + http.StatusText(status) + "</h1></body></html>\n"}
}

// Hang takes the call, says nothing for d and cuts the connection. The call has
// no effect unless Accepted.
func Hang(d time.Duration) Reply { return Reply{kind: replyHang, delay: d} }

// Slow gives the platform's own answer, d later. The call takes effect at once.
func Slow(d time.Duration) Reply { return Reply{delay: d} }

// CutBefore cuts the connection before the call takes effect.
func CutBefore() Reply { return Reply{kind: replyCut} }

// CutAfterAccept lets the call take effect and cuts the connection without one
// byte of an answer.
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
// message although the caller is told otherwise.
func (r Reply) Accepted() Reply { r.effect = true; return r }

// Msg sets the errmsg of an Errcode.
func (r Reply) Msg(text string) Reply { r.text = text; return r }

// Times makes the reply serve n calls instead of one.
func (r Reply) Times(n int) Reply { r.repeats = n - 1; return r }

// Forever makes the reply serve every call until ClearScript.
func (r Reply) Forever() Reply { r.repeats = -1; return r }

func (r Reply) target() string {
	if r.path == "" {
		return SendPath
	}
	return r.path
}

// script holds the replies in wait and the standing faults.
type script struct {
	replies map[string][]Reply
	faults  map[string][]fault
	dice    *rand.Rand
}

type fault struct {
	ratio float64
	reply Reply
}

func newScript(seed uint64) script {
	return script{
		replies: map[string][]Reply{},
		faults:  map[string][]fault{},
		dice:    rand.New(rand.NewPCG(seed, seed)), //nolint:gosec // a repeatable mix is wanted
	}
}

// Script queues replies: each call to a path takes the next one that applies to
// it, whatever its token, and the platform's own answers follow when none is left.
func (p *Platform) Script(replies ...Reply) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range replies {
		p.script.replies[r.target()] = append(p.script.replies[r.target()], r)
	}
	p.armed.Store(true)
}

// Fault gives a share of the calls to the reply's path this reply, at random
// from Config.Seed: Fault(0.20, CutAfterAccept()) is one in five. Ratios of
// several faults on a path add up.
func (p *Platform) Fault(ratio float64, reply Reply) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.script.faults[reply.target()] = append(p.script.faults[reply.target()], fault{ratio, reply})
	p.armed.Store(true)
}

// Always gives every call to the reply's path this reply.
func (p *Platform) Always(reply Reply) { p.Fault(1, reply) }

// ClearScript drops the replies in wait and all faults.
func (p *Platform) ClearScript() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.script.replies)
	clear(p.script.faults)
	p.armed.Store(false)
}

// Scripted counts the replies still in wait; one with Forever counts once.
func (p *Platform) Scripted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, list := range p.script.replies {
		for _, r := range list {
			n += 1 + max(0, r.repeats)
		}
	}
	return n
}

// next takes the reply for a call. The platform's lock is held.
func (s *script) next(c *call) Reply {
	for i, r := range s.replies[c.path] {
		if !c.matches(r) {
			continue
		}
		switch {
		case r.repeats > 0:
			s.replies[c.path][i].repeats--
		case r.repeats == 0:
			s.replies[c.path] = slices.Delete(s.replies[c.path], i, i+1)
		}
		return r
	}
	list := s.faults[c.path]
	if len(list) == 0 {
		return Reply{}
	}
	dice := s.dice.Float64()
	for _, f := range list {
		if !c.matches(f.reply) {
			continue
		}
		if dice < f.ratio {
			return f.reply
		}
		dice -= f.ratio
	}
	return Reply{}
}
