package tokenstore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// Fetcher asks WeChat for an access token; *wechat.TokenFetcher is one. The
// store bounds each call with Config.FetchTimeout.
type Fetcher interface {
	// FetchClassic calls GET /cgi-bin/token, which supersedes the token before.
	FetchClassic(ctx context.Context) (wechat.Token, error)
	// FetchStable calls POST /cgi-bin/stable_token. With force the current
	// token is dropped at once: at most 20 a day, 30 s apart.
	FetchStable(ctx context.Context, force bool) (wechat.Token, error)
}

// Mode says which of WeChat's two token endpoints is used.
type Mode int

// The modes. Stable is the default and the better one: its token is the same
// for everybody who asks, so that two systems of one account live in peace.
const (
	Stable  Mode = iota // POST /cgi-bin/stable_token
	Classic             // GET /cgi-bin/token: each fetch supersedes the token before
)

// String is "stable" or "classic".
func (m Mode) String() string {
	if m == Classic {
		return "classic"
	}
	return "stable"
}

// Config of one account's token.
type Config struct {
	// AppID is the account; it names the keys wxn:{appid}:token…. Required.
	AppID string
	// Mode is the endpoint in use. Zero: Stable.
	Mode Mode
	// Owner names this process in leases. Default: host, process id and a
	// random part.
	Owner string
	// Margin is how long before a token's expiry Run fetches the next one.
	// Default 4 minutes in Stable mode, where an earlier call is given the same
	// token again (WeChat rolls it 5 minutes before its end), 10 minutes in
	// Classic mode. A token with less life than this is kept 30 s.
	Margin time.Duration
	// Lease is how long one process has to itself to fetch a token; when it is
	// killed meanwhile, another takes over after this. A process that stalls for
	// longer is fenced: what it brings home late overwrites nothing newer.
	// Default 10 s.
	Lease time.Duration
	// FetchTimeout bounds one call of Fetcher. Shorter than Lease. Default 8 s.
	FetchTimeout time.Duration
	// Wait bounds how long Token waits for another process's fetch. Default
	// Lease and FetchTimeout together: a killed holder and its heir.
	Wait time.Duration
	// Reread is how old a process's view of Redis may grow before it is read
	// again, beside a send and never in its way. Default 3 s.
	Reread time.Duration
	// RefusedGap is the least time between a fetch and the next one that a
	// refusal of its token causes, all processes together; Token waits that long.
	// When tokens are refused the moment they are fetched, it doubles each time,
	// up to 5 minutes, and Token returns an error meanwhile. Default 2 s.
	RefusedGap time.Duration
	// WarThreshold is how many fresh tokens of Classic mode may be refused within
	// an hour before State.War is set. Default 3.
	WarThreshold int
	// OnEvent is told what happens to the token, in the goroutine in which it
	// happens: it must return soon. Nil: nobody is told.
	OnEvent func(Event)
}

// What WeChat allows and what experience set; see the package comment.
const (
	minLife       = 30 * time.Second       // a token is kept at least this long
	young         = 250 * time.Millisecond // refused earlier than this: refused at once
	maxRefusedGap = 5 * time.Minute
	maxForced     = 20 // forced refreshes a day (docs: 获取稳定版接口调用凭据)
	forcedGap     = 30 * time.Second
	warWindow     = time.Hour
	redisTimeout  = 3 * time.Second // one script
)

func (c Config) withDefaults() Config {
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	if c.Mode == Classic {
		set(&c.Margin, 10*time.Minute)
	}
	set(&c.Margin, 4*time.Minute)
	set(&c.Lease, 10*time.Second)
	set(&c.FetchTimeout, 8*time.Second)
	set(&c.Wait, c.Lease+c.FetchTimeout)
	set(&c.Reread, 3*time.Second)
	set(&c.RefusedGap, 2*time.Second)
	if c.WarThreshold == 0 {
		c.WarThreshold = 3
	}
	if c.Owner == "" {
		c.Owner = defaultOwner()
	}
	if c.OnEvent == nil {
		c.OnEvent = func(Event) {}
	}
	return c
}

// validate names every fault at once.
func (c Config) validate() error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf("tokenstore: "+format, args...))
		}
	}
	fault(c.AppID == "", "AppID is empty: set the account's appid")
	fault(strings.ContainsAny(c.AppID, "{}:"), "AppID %q: an appid has no braces and no colon", c.AppID)
	fault(c.Mode != Stable && c.Mode != Classic, "Mode %d: use Stable or Classic", int(c.Mode))
	for _, d := range []struct {
		name string
		d    time.Duration
	}{
		{"Margin", c.Margin},
		{"Lease", c.Lease},
		{"FetchTimeout", c.FetchTimeout},
		{"Wait", c.Wait},
		{"Reread", c.Reread},
		{"RefusedGap", c.RefusedGap},
	} {
		fault(d.d < time.Millisecond, "%s %v: use at least 1ms, or 0 for the default", d.name, d.d)
	}
	fault(c.FetchTimeout >= c.Lease, "FetchTimeout %v: make it shorter than Lease (%v), "+
		"or two processes fetch whenever WeChat is slow", c.FetchTimeout, c.Lease)
	fault(c.WarThreshold < 0, "WarThreshold %d: use a positive number, or 0 for the default", c.WarThreshold)
	return errors.Join(faults...)
}

func defaultOwner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown-host"
	}
	b := make([]byte, 4)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the program instead
	return fmt.Sprintf("%s-%d-%s", host, os.Getpid(), hex.EncodeToString(b))
}
