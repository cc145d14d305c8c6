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

// The modes. Stable is the default and preferable: all systems of one account get the
// same token and do not supersede each other's.
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
	// SecretFingerprint is Secret.Fingerprint of the account's AppSecret. A Store whose
	// fingerprint differs from that of the last failed fetch asks WeChat at once: the
	// secret was corrected. Empty: it waits for the end of the back-off like all others.
	SecretFingerprint string
	// NeverFetch, when it is not nil, keeps this process from fetching, as one without the
	// AppSecret: it uses what others fetched, and the error of Token without one, of Refresh
	// and of Revoke wraps NeverFetch. The fetcher may be nil then.
	NeverFetch error
	// Owner names this process in leases. Default: host, process id and a
	// random part.
	Owner string
	// Margin is how long before a token's expiry Run fetches the next one. Default
	// 4 minutes in Stable mode, where WeChat returns the same token until 5 minutes
	// before its expiry; 10 minutes in Classic mode. A token with less life than
	// this is refreshed after 30 s.
	Margin time.Duration
	// Lease is how long one process may fetch alone. If it is killed, another takes
	// over after this. If it stalls for longer, its late token overwrites no newer
	// one. Default 10 s.
	Lease time.Duration
	// FetchTimeout bounds one call of Fetcher. Shorter than Lease. Default 8 s.
	FetchTimeout time.Duration
	// Wait bounds how long Token waits for another process's fetch. Default
	// Lease + FetchTimeout: the lease of a killed process and its successor's fetch.
	Wait time.Duration
	// Reread is the age at which a process's copy of Redis' data is read again, in
	// the background. Default 3 s.
	Reread time.Duration
	// RefusedGap is the least time, over all processes, from a fetch to the next one
	// caused by a refusal; Token waits that long. If tokens are refused within 250 ms
	// of their fetch it doubles each time, up to 5 minutes, and Token returns an
	// error until it is over. Default 2 s.
	RefusedGap time.Duration
	// WarThreshold is how many fresh tokens of Classic mode may be refused within
	// an hour before State.War is set. Default 3.
	WarThreshold int
	// OnEvent is called for each event, synchronously: it must return soon. Nil: no
	// events.
	OnEvent func(Event)
}

// Limits of WeChat and our own; see the package comment.
const (
	minLife       = 30 * time.Second       // a token is kept at least this long
	young         = 250 * time.Millisecond // a token refused at less than this age was refused at once
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
