package wechattest

import (
	"context"
	htmltemplate "html/template"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/wxnotify/wxnotify/wechat"
)

// Platform is WeChat's server side, simulated. It is an http.Handler: put it
// behind httptest.NewServer or a listener, or reach it by Client without a
// socket. Safe for concurrent use.
type Platform struct {
	cfg    Config
	routes map[string]route
	others http.Handler
	sheets func() *htmltemplate.Template
	loop   *Loopback
	ctx    context.Context //nolint:containedctx // ends with Close; what it bounds outlives every call
	cancel context.CancelFunc
	pushes sync.WaitGroup
	armed  atomic.Bool // a script or a fault is set
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
	// of all pushes, also those that pushed no longer holds
	pushTaken, pushFailed int
	loops                 []*Loopback
	rids                  rids
	oauth                 oauth
	closed                bool
}

// New makes a platform. Make it inside the synctest bubble that uses it, and
// Close it there.
func New(cfg Config) *Platform {
	cfg = cfg.withDefaults()
	ctx, cancel := context.WithCancel(context.Background()) //nolint:forbidigo // see Platform.ctx
	p := &Platform{
		cfg:      cfg,
		ctx:      ctx,
		cancel:   cancel,
		outward:  &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: pushers}},
		accounts: map[string]*Account{},
		tokens:   map[string]*accessToken{},
		script:   newScript(cfg.Seed),
		chats:    newChats(cfg),
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
	p.routes = routes()
	p.others = p.pages()
	p.loop = p.newLoopback(p)
	return p
}

// Account returns the account with this appid. It panics when there is none,
// since a test that names a wrong account cannot go on.
func (p *Platform) Account(appid string) *Account {
	if a := p.accounts[appid]; a != nil {
		return a
	}
	panic("wechattest: no account " + appid + " on this platform; list it in Config.Accounts")
}

// Accounts returns all accounts in the order of Config.Accounts.
func (p *Platform) Accounts() []*Account { return slices.Clone(p.order) }

// BaseURL is the API's address for Client, for wechat.Config.BaseURL. A platform
// behind a listener of yours has the listener's address.
func (p *Platform) BaseURL() string { return "http://api.wechat.test" }

// Client returns a client whose every request, whatever its host, reaches the
// platform without a socket, over connections that can be cut.
func (p *Platform) Client() *http.Client { return p.loop.Client() }

// Close cuts all connections of Client, wakes what hangs, drops receipts that
// were not delivered, and returns when all of that has ended.
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

// newLoopback makes a Loopback that ends with the platform.
func (p *Platform) newLoopback(h http.Handler) *Loopback {
	l := NewLoopback(h)
	p.loops = append(p.loops, l)
	return l
}

// locked takes the lock and returns its release.
func (p *Platform) locked() func() {
	p.mu.Lock()
	return p.mu.Unlock
}

// CallCount counts the calls of one API path.
type CallCount struct {
	Total int // every call that arrived, whatever its answer
	OK    int // answered with errcode 0 or without one
	// Lost calls got no answer of the API: cut, hung, an HTTP status, garbage.
	// Their effect, if any, is seen in Seen.
	Lost   int
	ByCode map[wechat.Code]int // answered with this errcode, 0 left out
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
	c.ByCode = make(map[wechat.Code]int, len(n.ByCode))
	maps.Copy(c.ByCode, n.ByCode)
	return c
}

// count books the end of a call; lost means that the caller got no answer.
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
