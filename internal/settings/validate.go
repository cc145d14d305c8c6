package settings

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/wxnotify/wxnotify/internal/clientaddr"
	"github.com/wxnotify/wxnotify/internal/usage"
	"github.com/wxnotify/wxnotify/wechat"
)

// complaints collects faults, which stop the program, and warnings. label names a
// setting as the operator wrote it, see origin.
type complaints struct {
	faults   []error
	warnings []string
	label    func(name string) string
}

func (c *complaints) fault(bad bool, name, format string, args ...any) {
	if bad {
		c.faults = append(c.faults, fmt.Errorf("%s: "+format, append([]any{c.label(name)}, args...)...))
	}
}

func (c *complaints) warn(bad bool, name, format string, args ...any) {
	if bad {
		c.warnings = append(c.warnings, fmt.Sprintf("%s: "+format, append([]any{c.label(name)}, args...)...))
	}
}

// placeholder complains of a secret that is public. Against a simulator it does
// no harm.
func (c *complaints) placeholder(name string, s wechat.Secret, simulated bool) {
	const text = "is a placeholder from an example, which is public: put your own there"
	// What WeChat issues is no row of characters, and the simulator's own secrets are.
	issued := name == "appsecret" || strings.HasPrefix(name, "encoding_aes_key")
	known := isPlaceholder(s) || issued && isRow(s)
	c.fault(isReference(s), name, "is a reference that nothing replaced, such as ${NAME}: put the secret itself there")
	if isReference(s) {
		return
	}
	c.fault(known && !simulated, name, text)
	c.warn(known && simulated && name != "appsecret", name, text)
	c.warn(!known && (isRow(s) || isRepetition(s)) && !simulated, name, "is a row of characters, which is easy to guess: put a random one there")
}

// clearText warns of an address of http:// that leads to another machine.
func (c *complaints) clearText(name, address, what string) {
	host := plainHost(address)
	c.warn(host != "" && !clientaddr.Loopback(host), name, "is http:// and not on this machine: %s; use https://", what)
}

// reachable warns of an address that WeChat's servers or its consoles do not take.
// Docs: 消息推送配置 (ports), 网页授权域名 (names).
func (c *complaints) reachable(name, address string) {
	u, err := url.Parse(address)
	if err != nil || clientaddr.Loopback(u.Host) {
		return
	}
	_, notIP := netip.ParseAddr(u.Hostname())
	c.warn(notIP == nil, name, "has an IP address in place of a name: 网页授权域名 takes names alone, so that followers cannot enrol; use a domain of yours")
	standard := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	c.warn(u.Port() != "" && u.Port() != standard, name, "has the port %s: WeChat pushes to http:// on port 80 and https:// on port 443 alone; put a proxy there", u.Port())
}

var (
	appIDForm     = regexp.MustCompile(`^wx[0-9a-f]{16}$`)
	appSecretForm = regexp.MustCompile(`^[0-9a-fA-F]{32}$`)
)

// IsAppID reports whether text has the form of WeChat's appids.
func IsAppID(text string) bool { return appIDForm.MatchString(text) }

// shortToken is the length below which a callback Token is warned of. 16 of 62
// characters are 95 bits, too many to guess.
const shortToken = 16

// shortPassword is the length below which the password of ops_login is warned of.
const shortPassword = 8

// Check checks an account of which only what calls WeChat is known. It names settings by
// their key.
func (a *Account) Check() (warnings []string, faults []error) {
	found := &complaints{label: func(name string) string { return name }}
	a.validate(Calling, found)
	return found.warnings, found.faults
}

// validate checks what depends on more than one setting. Secrets that the
// command has no use for were not read and are zero.
func (a *Account) validate(uses Group, c *complaints) {
	c.placeholder("appsecret", a.AppSecret, a.Simulated())
	c.placeholder("callback_token", a.CallbackToken, a.Simulated())
	c.placeholder("encoding_aes_key", a.AESKey, a.Simulated())
	c.placeholder("callback_token_previous", a.PreviousToken, a.Simulated())
	c.placeholder("encoding_aes_key_previous", a.PreviousKey, a.Simulated())
	if uses&Calling != 0 {
		c.clearText("wechat_base_url", a.BaseURL, "AppSecret and access tokens can be read on the way")
	}
	c.warn(a.real() && a.AppID != "" && !IsAppID(a.AppID), "appid", "is no appid of WeChat's: those are wx and 16 hexadecimal digits")
	c.fault(a.real() && !a.AppSecret.IsZero() && !isPlaceholder(a.AppSecret) && !appSecretForm.MatchString(a.AppSecret.Reveal()),
		"appsecret", "is no AppSecret: those are 32 hexadecimal digits, this is a text of %d bytes; copy it anew, there is no need to reset it",
		len(a.AppSecret.Reveal()))
	if uses&Publishing == 0 {
		return
	}
	c.fault(a.Mode() != wechat.CallbackPlain && a.AESKey.IsZero() && !a.CallbackToken.IsZero(), "encoding_aes_key",
		"is missing: callback mode %s needs it", a.Mode())
	rotating := !a.PreviousToken.IsZero() || !a.PreviousKey.IsZero()
	c.fault(rotating && a.PreviousUntil.IsZero(), "callback_previous_until",
		"is missing: say until when the previous secrets are accepted")
	length := len(a.CallbackToken.Reveal())
	c.warn(length > 0 && length < shortToken && !isPlaceholder(a.CallbackToken), "callback_token",
		"has %d characters: take %d or more, since it alone signs WeChat's pushes", length, shortToken)
	c.clearText("wechat_authorize_url", a.AuthorizeURL, "followers can be led elsewhere on the way")
	c.warn(!a.CallbackToken.IsZero() && a.Mode() == wechat.CallbackPlain && !a.Simulated(), "callback_mode",
		"is plain: WeChat's signature does not cover what it pushes; choose secure mode in 消息推送配置 on developers.weixin.qq.com/platform and set %s", c.label("encoding_aes_key"))
	c.warn(a.Simulated() && strings.HasPrefix(a.AuthorizeURL, "https://open.weixin.qq.com/"), "wechat_authorize_url",
		"is WeChat's own, though %s is http://, as a simulator's: links lead followers to the real WeChat", c.label("wechat_base_url"))
}

// validate checks what depends on more than one setting of the process.
func (c *Config) validate(uses Group, found *complaints) {
	ids := c.AppIDs()
	for i, id := range ids {
		if id != "" && slices.Index(ids, id) < i {
			found.faults = append(found.faults, fmt.Errorf("accounts: %s is listed twice", id))
		}
	}
	found.fault(!c.Redis.SealNameKeys.IsZero() && c.Redis.SealKeys.IsZero(), "seal_name_keys",
		"needs %s: without it the openids and users of messages that wait are in clear", found.label("seal_keys"))
	simulated := !slices.ContainsFunc(c.Accounts, func(a Account) bool { return !a.Simulated() })
	found.placeholder("enroll_key", c.Public.EnrollKey, simulated)
	found.placeholder("enroll_key_previous", c.Public.PreviousEnrollKey, simulated)
	found.placeholder("ops_login", c.Ops.Login, simulated)
	_, password, _ := strings.Cut(c.Ops.Login.Reveal(), ":")
	found.warn(len(password) > 0 && len(password) < shortPassword && !isPlaceholder(c.Ops.Login), "ops_login",
		"has a password of %d characters: take %d or more", len(password), shortPassword)
	if uses&Publishing != 0 {
		found.faults = append(found.faults, c.sharedTokens()...)
		found.clearText("public_url", c.Public.URL, "links and WeChat's pushes can be read and changed on the way")
		if !simulated {
			found.reachable("public_url", c.Public.URL)
		}
	}
	found.warn(slices.ContainsFunc(c.Public.TrustedProxies, func(n netip.Prefix) bool { return n.Bits() == 0 }), "trusted_proxies",
		"trusts every address: a client that writes X-Forwarded-For chooses the address under which it is limited; name the networks of the proxies alone")
	if uses&Answering != 0 && c.API.Addr != Off && c.API.Addr != "" {
		found.warn(!clientaddr.Loopback(c.API.Addr) && len(c.Public.TrustedProxies) == 0, "api_addr",
			"other machines reach %s by http://: API keys and messages can be read on the way; put a proxy with TLS before it and name it in WXNOTIFY_TRUSTED_PROXIES, or listen on 127.0.0.1",
			usage.Quote(c.API.Addr))
		found.fault(!c.API.Keys.IsZero() && len(c.Accounts) > 1, "api_keys",
			"belong to the only account, and there are %d: make keys of each account with `wxnotify api keys create --account`", len(c.Accounts))
	}
	if uses&Operating != 0 {
		found.fault(c.Ops.Login.IsZero() && c.Ops.UsersFile == "" && c.Ops.Addr != Off && c.Ops.Addr != "" && !clientaddr.Loopback(c.Ops.Addr), "ops_login",
			"is missing: other machines reach %s (%s); set user:password, or listen on 127.0.0.1", usage.Quote(c.Ops.Addr), found.label("ops_addr"))
	}
}

// plainHost is the host of an http:// address in small letters; empty for another one.
func plainHost(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" {
		return ""
	}
	return strings.ToLower(u.Hostname())
}
