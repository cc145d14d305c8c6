// Package settings has the configuration of a process: the table of settings, how their
// texts are read from a file, the environment and flags, and what is wrong with them.
package settings

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/wxnotify/wxnotify/internal/clientaddr"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/seal"
	"github.com/wxnotify/wxnotify/internal/usage"
	"github.com/wxnotify/wxnotify/wechat"
)

//go:generate go test -run ^TestGolden -update .

// Config is the effective configuration of one process: defaults, overlaid by
// the file, the environment and the flags, in this order. Its tags are the only
// table of settings. The table also makes the flags, both READMEs,
// .env.example and the JSON schema of the file:
//
//	koanf    key in the file; WXNOTIFY_<KEY> and --<key> derive from it
//	default  the default, as text; none: empty
//	rule     how the text is read and which texts are accepted, see rules
//	group    the commands that use it; on a struct: for each of its fields
//	usage    one line of documentation
type Config struct {
	Redis   redisConfig  `koanf:",squash" group:"connecting"`
	Account Account      `koanf:",squash"` // the values that an entry of accounts inherits
	Worker  workerConfig `koanf:",squash" group:"sending"`
	Public  publicConfig `koanf:",squash" group:"publishing"`
	Ops     opsConfig    `koanf:",squash" group:"operating"`
	API     apiConfig    `koanf:",squash" group:"answering"`
	Log     logConfig    `koanf:",squash" group:"logging"`

	// Accounts has one entry for each account of the file's list, or the only
	// account, or none.
	Accounts []Account `koanf:"-"`
	// Warnings are accepted settings that are probably mistakes.
	Warnings []string `koanf:"-"`

	// Patience is how long Redis may take to answer. Load leaves it zero, for the defaults
	// of redisconn and doctor; tests, which run side by side, set more.
	Patience time.Duration `koanf:"-"`

	// Rows are the settings as `config` prints them, in the table's order.
	Rows []Row `koanf:"-"`
	// AccountRows has one entry for each account of the file's list.
	AccountRows []AccountRows `koanf:"-"`
	// Files are those that settings came from.
	Files []File `koanf:"-"`
}

// File is a file that settings come from.
type File struct {
	Path  string
	Holds string // the secrets in it, for a reader; empty: none
}

// redisConfig is what every command needs that connects.
type redisConfig struct {
	URL            wechat.Secret `koanf:"redis_url" default:"redis://127.0.0.1:6379/0" usage:"redis://, rediss://, unix:///path?db=0, redis-sentinel://host1,host2/?master=name or redis-cluster://host1,host2"`
	CA             string        `koanf:"redis_ca_file" usage:"PEM file of the authorities that may sign Redis' certificate; those of the system"`
	Cert           string        `koanf:"redis_cert_file" usage:"PEM file of the client certificate, for a Redis that demands one"`
	Key            string        `koanf:"redis_key_file" usage:"PEM file of the client certificate's key"`
	ServerName     string        `koanf:"redis_server_name" usage:"name in Redis' certificate; the host of the URL"`
	SealKeys       wechat.Secret `koanf:"seal_keys" rule:"sealkeys" usage:"seals messages that wait in Redis: keys of 64 hexadecimal digits, each made by 'openssl rand -hex 32', with commas between them; the first one seals, all open"`
	SealNameKeys   wechat.Secret `koanf:"seal_name_keys" rule:"sealkeys" usage:"seals openids and users in Redis: keys as WXNOTIFY_SEAL_KEYS has them, which is required; the first one seals, in all processes; 'wxnotify seal names' converts an account"`
	Keep           time.Duration `koanf:"keep" default:"72h" rule:"keep" usage:"how long a record stays after its message ended, 1h or more"`
	EventsKeep     time.Duration `koanf:"events_keep" default:"72h" rule:"eventskeep" usage:"how long events are kept for webhooks and readers, 1h to 168h"`
	EventsMax      int64         `koanf:"events_max" default:"1000000" rule:"whole 1000" usage:"entries of an account's events, some 100 bytes each, 1000 to 1000000"`
	WebhookPrivate bool          `koanf:"webhook_private" default:"false" rule:"bool" usage:"true lets webhooks use http:// and private networks"`
}

// Account is one account. Every field may differ per account.
type Account struct {
	AppID        string        `koanf:"appid" rule:"appid" group:"connecting" usage:"the account's appid"`
	AppSecret    wechat.Secret `koanf:"appsecret" group:"calling" usage:"the account's AppSecret"`
	TokenMode    string        `koanf:"token_mode" default:"stable" rule:"oneof stable classic" group:"calling" usage:"which token endpoint: stable or classic"`
	Proxy        wechat.Secret `koanf:"wechat_proxy" rule:"proxy" group:"calling" usage:"http://, https:// or socks5:// proxy of all calls to WeChat; HTTPS_PROXY"`
	BaseURL      string        `koanf:"wechat_base_url" default:"https://api.weixin.qq.com" rule:"url" group:"calling" usage:"WeChat's API host; a simulator or proxy takes http://"`
	AuthorizeURL string        `koanf:"wechat_authorize_url" default:"https://open.weixin.qq.com/connect/oauth2/authorize" rule:"url" group:"publishing" usage:"WeChat's OAuth page"`

	DailyQuota int64         `koanf:"daily_quota" default:"100000" rule:"whole 0" group:"sending,answering" usage:"sends a day; 0 asks WeChat's quota API"`
	Reserve    float64       `koanf:"reserve_critical" default:"0.02" rule:"share" group:"sending,answering" usage:"share of the quota that only class critical may use"`
	Rate       float64       `koanf:"rate" default:"50" rule:"rate" group:"sending,answering" usage:"sends a second, all workers together"`
	UTCOffset  time.Duration `koanf:"quota_utc_offset" default:"+08:00" rule:"offset" group:"sending,answering" usage:"UTC offset at whose midnight the quota's day ends"`
	Resend     []job.Class   `koanf:"resend" default:"critical" rule:"classes" group:"sending,publishing" usage:"classes whose messages are sent again when the receipt says that WeChat failed; - for none"`

	CallbackToken wechat.Secret       `koanf:"callback_token" rule:"token" group:"publishing" usage:"Token of 消息推送配置, 3 to 32 letters or digits"`
	AESKey        wechat.Secret       `koanf:"encoding_aes_key" rule:"aeskey" group:"publishing" usage:"EncodingAESKey of 消息推送配置, 43 letters or digits"`
	CallbackMode  wechat.CallbackMode `koanf:"callback_mode" rule:"oneof plain compat secure" group:"publishing" usage:"plain, compat or secure; secure when a key is set"`
	PreviousToken wechat.Secret       `koanf:"callback_token_previous" rule:"token" group:"publishing" usage:"the previous Token, accepted until callback_previous_until"`
	PreviousKey   wechat.Secret       `koanf:"encoding_aes_key_previous" rule:"aeskey" group:"publishing" usage:"the previous EncodingAESKey, accepted until callback_previous_until"`
	PreviousUntil time.Time           `koanf:"callback_previous_until" rule:"moment" group:"publishing" usage:"when the previous ones end, such as 2026-12-01T00:00:00+08:00"`
	ForwardURL    string              `koanf:"forward_url" rule:"url query" group:"publishing" usage:"your own server for what followers say and do: it gets WeChat's pushes in plain mode, and its replies go to the follower"`

	Name              string `koanf:"account_name" group:"publishing" usage:"the account's name on the pages that followers see"`
	EraseUnsubscribed bool   `koanf:"erase_unsubscribed" default:"false" rule:"bool" group:"publishing" usage:"erase a follower who unsubscribes: roster, records, waiting messages"`
	Bind              string `koanf:"bind" default:"latest" rule:"oneof latest first" group:"publishing" usage:"latest: messages go to a user's openid that was bound last; first: a further openid is refused until unbind"`
}

// workerConfig is common to the accounts of a worker process.
type workerConfig struct {
	Concurrency  int           `koanf:"concurrency" default:"64" rule:"whole 1" usage:"sends in flight per process and account; at most 500 is sensible"`
	DrainTimeout time.Duration `koanf:"drain_timeout" default:"15s" rule:"drain" usage:"how long a stop waits for sends in flight, 11s or more"`
}

// publicConfig is the listener that followers and WeChat reach.
type publicConfig struct {
	URL               string         `koanf:"public_url" rule:"url" group:"publishing,answering" usage:"base of the links that users open"`
	Addr              string         `koanf:"public_addr" default:":8080" rule:"address" usage:"where enroll listens"`
	EnrollKey         wechat.Secret  `koanf:"enroll_key" rule:"key" group:"publishing,answering" usage:"signs enrolment tickets, 32 bytes or more"`
	PreviousEnrollKey wechat.Secret  `koanf:"enroll_key_previous" rule:"key" usage:"the previous enroll_key: links made with it are good, for 30 days at most; remove it then"`
	ReturnURLs        []string       `koanf:"return_urls" rule:"urls query" usage:"addresses that a link may send the follower to afterwards, separated by commas"`
	VerifyFiles       string         `koanf:"verify_files" usage:"folder of MP_verify_*.txt, served at the public root"`
	TrustedProxies    []netip.Prefix `koanf:"trusted_proxies" rule:"networks" group:"publishing,operating,answering" usage:"proxies whose X-Forwarded-For counts, such as 10.0.0.0/8, separated by commas"`
}

// opsConfig is the listener that operators reach.
type opsConfig struct {
	Addr  string        `koanf:"ops_addr" default:"127.0.0.1:9090" rule:"address or -" usage:"where /console/ /healthz /readyz /metrics /asynqmon/ listen; - for nowhere"`
	Login wechat.Secret `koanf:"ops_login" rule:"login" usage:"user:password of the operators' listener; required beyond loopback"`
	// UsersFile is read at the start and at a reload.
	UsersFile  string `koanf:"ops_users_file" usage:"file of further logins, a line each: name:role:hash, the role view, support, operate or admin, the hash of bcrypt, or oidc"`
	Audit      string `koanf:"audit_file" usage:"file that gets a line of JSON for each change made in the console or by the HTTP API, each with the hash of the line before; - for stdout"`
	TwoPersons bool   `koanf:"ops_two_persons" default:"false" rule:"bool" usage:"true asks a second login for its confirmation before a person is erased (role admin) or all dead letters of a kind are dropped (role operate)"`
	// The five of OIDC are set together, but for the last.
	Issuer       string        `koanf:"ops_oidc_issuer" rule:"url" usage:"OIDC issuer whose people may log in to the operators' listener, such as https://sso.example.com/realms/ops"`
	ClientID     string        `koanf:"ops_oidc_client_id" usage:"client id that the OIDC issuer gave"`
	ClientSecret wechat.Secret `koanf:"ops_oidc_client_secret" usage:"client secret that the OIDC issuer gave"`
	RedirectURL  string        `koanf:"ops_oidc_redirect_url" rule:"url" usage:"/oidc/callback of the operators' listener as browsers see it, such as https://ops.example.com/oidc/callback"`
	RoleClaim    string        `koanf:"ops_oidc_role_claim" usage:"claim of the ID token with the role view, support, operate or admin; roles come from ops_users_file otherwise"`
	LinkKey      wechat.Secret `koanf:"ops_link_key" rule:"key" usage:"signs links to a message's page that need no login, 32 bytes or more; without it there are none"`
	Hosts        []string      `koanf:"ops_hosts" rule:"hosts" usage:"names under which a proxy reaches the operators' listener, separated by commas"`
	Prefix       string        `koanf:"ops_prefix" rule:"path" usage:"path under which a proxy serves the operators' listener, such as /wxnotify"`
}

// apiConfig is the listener of the HTTP API.
type apiConfig struct {
	Addr    string        `koanf:"api_addr" default:"127.0.0.1:8081" rule:"address or -" usage:"where the HTTP API listens; - for nowhere"`
	Keys    wechat.Secret `koanf:"api_keys" rule:"apikeys" usage:"static live keys of the HTTP API, name:secret with commas between them, 32 characters or more each; better make keys with 'wxnotify api keys create'"`
	Gateway bool          `koanf:"gateway" default:"false" rule:"bool" usage:"serve WeChat's own paths on the API listener, for programs with an SDK of WeChat's"`
}

// logConfig is how the long-running commands log, on stderr.
type logConfig struct {
	Level  string `koanf:"log_level" default:"info" rule:"oneof debug info warn error" usage:"debug, info, warn or error"`
	Format string `koanf:"log_format" rule:"oneof json console" usage:"json or console; console when stderr is a terminal, else json"`
}

// Mode is callback_mode, or what it defaults to.
func (a *Account) Mode() wechat.CallbackMode {
	switch {
	case a.CallbackMode != "":
		return a.CallbackMode
	case a.AESKey.IsZero():
		return wechat.CallbackPlain
	default:
		return wechat.CallbackSecure
	}
}

// real reports whether the account calls WeChat itself, and not a simulator or
// a proxy.
func (a *Account) real() bool {
	host, _, _ := strings.Cut(strings.TrimPrefix(a.BaseURL, "https://"), "/")
	return strings.HasSuffix(host, ".weixin.qq.com")
}

var simulatorHost = regexp.MustCompile(`^(wx|wechat-?)?sim(ulat(e|or|ion))?([-.0-9]|$)`)

// Simulated reports whether the account calls a simulator: on this machine, or on a
// host named so, such as http://simulate:8090.
func (a *Account) Simulated() bool {
	host := plainHost(a.BaseURL)
	return host != "" && (clientaddr.Loopback(host) || simulatorHost.MatchString(host))
}

// Pick returns the account named appid, or the only one when appid is empty. Its error,
// also that of several accounts and none chosen, is wrong usage.
func (c *Config) Pick(appid string) (*Account, error) {
	switch {
	case len(c.Accounts) == 0:
		return nil, usage.Errorf("no account: set WXNOTIFY_APPID, or name the file that `wxnotify init` wrote, or one with accounts, by --config or WXNOTIFY_CONFIG")
	case appid == "" && len(c.Accounts) > 1:
		return nil, usage.Errorf("several accounts: name one with --account (%s)", strings.Join(c.AppIDs(), ", "))
	case appid == "":
		return &c.Accounts[0], nil
	}
	for i := range c.Accounts {
		if c.Accounts[i].AppID == appid {
			return &c.Accounts[i], nil
		}
	}
	return nil, usage.Errorf("no account %s is configured; configured are: %s", appid, strings.Join(c.AppIDs(), ", "))
}

// Chosen returns the account named appid, or all when appid is empty.
func (c *Config) Chosen(appid string) ([]*Account, error) {
	if appid != "" || len(c.Accounts) == 0 {
		one, err := c.Pick(appid)
		return []*Account{one}, err
	}
	return c.All(), nil
}

// All lists the accounts.
func (c *Config) All() []*Account {
	list := make([]*Account, len(c.Accounts))
	for i := range c.Accounts {
		list[i] = &c.Accounts[i]
	}
	return list
}

// AppIDs lists the appids of the accounts.
func (c *Config) AppIDs() []string {
	var ids []string
	for _, a := range c.Accounts {
		ids = append(ids, a.AppID)
	}
	return ids
}

// SecretsMissing names those of the accounts that cannot call WeChat; nil: there are none.
func SecretsMissing(accounts []*Account) error {
	var faults []error
	for _, a := range accounts {
		if a.AppSecret.IsZero() {
			faults = append(faults, fmt.Errorf(
				"account %s: the AppSecret is missing; set WXNOTIFY_APPSECRET or WXNOTIFY_APPSECRET_FILE, or appsecret_file in the account's entry", shownAppID(a.AppID)))
		}
	}
	if len(faults) > 0 {
		return usage.Wrap(errors.Join(faults...))
	}
	return nil
}

// shownAppID is an appid as an error shows it: what has not the form of one may be a
// secret in the wrong place.
func shownAppID(appid string) string {
	if strings.HasPrefix(appid, "wx") {
		return appid
	}
	return usage.Quote(appid)
}

// LinksMissing names what is needed for enrolment links; nil: nothing is missing.
func (c *Config) LinksMissing() error {
	var missing []string
	if c.Public.URL == "" {
		missing = append(missing, "WXNOTIFY_PUBLIC_URL")
	}
	if c.Public.EnrollKey.IsZero() {
		missing = append(missing, "WXNOTIFY_ENROLL_KEY or WXNOTIFY_ENROLL_KEY_FILE (make a key with `openssl rand -hex 32`)")
	}
	if missing == nil {
		return nil
	}
	return usage.Errorf("links cannot be made: set %s", strings.Join(missing, " and "))
}

// Label names a setting, by its key, as the operator wrote it: a variable, a flag, or a
// file and its key.
func (c *Config) Label(name string) string { return c.row(name).label }

// IsDefault reports whether the setting was left at its default.
func (c *Config) IsDefault(name string) bool { return c.row(name).Source == "default" }

func (c *Config) row(name string) Row {
	return c.Rows[slices.IndexFunc(c.Rows, func(s Row) bool { return s.Name == name })]
}

// Codec writes and reads the messages of one account that wait.
func (c *Config) Codec(appid string) job.Codec {
	keys, _ := seal.New(c.Redis.SealKeys.Reveal()) // was checked
	return job.NewCodec(appid, keys)
}

// Names seal the openids and users of one account; nil: they are in clear.
func (c *Config) Names(appid string) *seal.Names {
	n, _ := seal.NewNames(c.Redis.SealNameKeys.Reveal(), appid) // was checked
	return n
}
