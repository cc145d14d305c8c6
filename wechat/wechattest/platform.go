package wechattest

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/wxnotify/wxnotify/wechat"
)

// Platform simulates WeChat's servers. It is an http.Handler: put it behind
// httptest.NewServer or another listener, or reach it through Client without a
// socket. Safe for concurrent use.
type Platform struct {
	cfg    Config
	routes map[string]route
	loop   *Loopback
	ctx    context.Context //nolint:containedctx // cancelled by Close; bounds background work
	cancel context.CancelFunc
	pushes sync.WaitGroup
	armed  atomic.Bool // a reply is scripted or a fault is set
	// outward delivers events to real addresses.
	outward *http.Client

	mu       sync.Mutex
	accounts map[string]*Account
	order    []*Account
	tokens   map[string]*accessToken
	script   script
	chats    *chats
	counts   map[string]*CallCount
	fetches  int
	lastID   wechat.MessageID
	pushed   []Push
	// Counts of all pushes, also of those that pushed no longer holds.
	pushTaken, pushFailed int
	loops                 []*Loopback
	rids                  rids
	oauth                 oauth
	closed                bool
}

// New makes a platform. In a synctest bubble, call New and Close inside the
// bubble.
func New(cfg Config) *Platform {
	cfg = cfg.withDefaults()
	ctx, cancel := context.WithCancel(context.Background()) //nolint:forbidigo // see Platform.ctx
	p := &Platform{
		cfg:      cfg,
		routes:   routes(),
		ctx:      ctx,
		cancel:   cancel,
		outward:  &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: pushers}},
		accounts: map[string]*Account{},
		tokens:   map[string]*accessToken{},
		script:   newScript(cfg.Seed),
		chats:    newChats(cfg.KeepSeen),
		counts:   map[string]*CallCount{},
		lastID:   firstMessageID(),
		oauth:    newOAuth(),
		rids:     rids{byID: map[string]ridEntry{}},
	}
	for _, ac := range cfg.Accounts {
		a := newAccount(p, ac)
		p.accounts[ac.AppID] = a
		p.order = append(p.order, a)
	}
	p.loop = p.newLoopback(p)
	return p
}

// Account returns the account with this appid. It panics when there is none.
func (p *Platform) Account(appid string) *Account {
	if a := p.accounts[appid]; a != nil {
		return a
	}
	panic("wechattest: no account " + appid + " on this platform; list it in Config.Accounts")
}

// Accounts returns all accounts in the order of Config.Accounts.
func (p *Platform) Accounts() []*Account { return slices.Clone(p.order) }

// BaseURL is the value of wechat.Config.BaseURL for use with Client. A platform
// behind your own listener has the listener's address instead.
func (p *Platform) BaseURL() string { return "http://api.wechat.test" }

// Client returns a client whose every request, for any host, reaches the
// platform without a socket, over connections that can be cut.
func (p *Platform) Client() *http.Client { return p.loop.Client() }

// Close cuts all connections of Client, ends hanging calls, drops undelivered
// events, and returns when all background work has ended.
func (p *Platform) Close() {
	p.mu.Lock()
	p.closed = true
	loops := slices.Clone(p.loops)
	p.mu.Unlock()
	p.cancel()
	for _, l := range loops {
		l.Close()
	}
	p.pushes.Wait()
	p.outward.CloseIdleConnections()
}

// newLoopback makes a Loopback that Close closes.
func (p *Platform) newLoopback(h http.Handler) *Loopback {
	l := NewLoopback(h)
	p.loops = append(p.loops, l)
	return l
}

// locked locks the platform and returns the unlock function.
func (p *Platform) locked() func() {
	p.mu.Lock()
	return p.mu.Unlock
}

// Serves reports whether path is an API path of the platform.
func (p *Platform) Serves(path string) bool {
	_, ok := p.routes[path]
	return ok
}

// CallCount counts the calls of one API path.
type CallCount struct {
	Total int `json:"total"` // every call that arrived, with any answer
	OK    int `json:"ok"`    // answered with errcode 0 or without one
	// Lost calls got no answer of the API: cut, hung, an HTTP status, garbage.
	// Their effect, if any, shows in Seen.
	Lost   int                 `json:"lost"`
	ByCode map[wechat.Code]int `json:"by_errcode"` // answered with this errcode, without 0
}

// Calls returns the count of one path, such as SendPath.
func (p *Platform) Calls(path string) CallCount {
	defer p.locked()()
	n := p.counts[path]
	if n == nil {
		return CallCount{ByCode: map[wechat.Code]int{}}
	}
	return n.clone()
}

// CallsByPath returns the counts of all paths that were called.
func (p *Platform) CallsByPath() map[string]CallCount {
	defer p.locked()()
	all := make(map[string]CallCount, len(p.counts))
	for path, n := range p.counts {
		all[path] = n.clone()
	}
	return all
}

func (n *CallCount) clone() CallCount {
	c := *n
	c.ByCode = maps.Clone(n.ByCode)
	return c
}

// count records the end of a call; lost means that the caller got no answer.
func (p *Platform) count(path string, code wechat.Code, lost bool) {
	defer p.locked()()
	n := p.counts[path]
	if n == nil {
		n = &CallCount{ByCode: map[wechat.Code]int{}}
		p.counts[path] = n
	}
	n.Total++
	switch {
	case lost:
		n.Lost++
	case code == 0:
		n.OK++
	default:
		n.ByCode[code]++
	}
}

// Reset drops messages, counts, scripted replies, faults, used quotas, waiting
// events and remembered client_msg_ids. Accounts, templates, followers and
// tokens stay.
func (p *Platform) Reset() {
	p.ClearScript()
	defer p.locked()()
	p.chats.clear()
	clear(p.counts)
	p.fetches, p.pushed, p.pushTaken, p.pushFailed = 0, nil, 0, 0
	for _, a := range p.order {
		clear(a.counters)
		a.recent = newDedupe()
		a.outbox.queue = nil
	}
}
