// Package wiring makes what the settings say: the connection to Redis, and what the program
// uses of one account. Nothing runs by it.
package wiring

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/api"
	"github.com/wxnotify/wxnotify/internal/apikey"
	"github.com/wxnotify/wxnotify/internal/events"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/names"
	"github.com/wxnotify/wxnotify/internal/redisconn"
	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/internal/seal"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/templates"
	"github.com/wxnotify/wxnotify/internal/usage"
	"github.com/wxnotify/wxnotify/internal/webhook"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
	"github.com/wxnotify/wxnotify/worker"
)

// The interfaces that the packages declare, and the types that this program
// gives them.
var (
	_ wechat.TokenSource = (*tokenstore.Store)(nil)
	_ tokenstore.Fetcher = (*wechat.TokenFetcher)(nil)
	_ worker.Sender      = (*wechat.Client)(nil)
	_ worker.QuotaReader = (*wechat.Client)(nil)
	_ worker.Gate        = (*ratelimit.Gate)(nil)
)

// Account is what commands and servers use of one account.
type Account struct {
	*settings.Account
	WeChat wechat.Config
	Tokens *tokenstore.Store
	Client *wechat.Client

	Redis    redis.UniversalClient // of all accounts
	Gate     *ratelimit.Gate
	Ledger   *ledger.Ledger
	Producer *producer.Producer
	Roster   *enroll.Roster
	Keys     *apikey.Store
	Webhooks *webhook.Store
	// Templates asks WeChat; nil without an AppSecret.
	Templates *templates.Known
	Codec     job.Codec   // of messages that wait
	Names     *seal.Names // nil: openids and users are in clear
}

// Connect dials Redis and refuses one that would lose messages, as wrong configuration. The
// report has what is only unwise. Close the client.
func Connect(ctx context.Context, c *settings.Config) (redis.UniversalClient, redisconn.Report, error) {
	server, err := RedisServer(c)
	if err != nil {
		return nil, redisconn.Report{}, err
	}
	report, err := CheckRedis(ctx, c, server)
	if err != nil {
		return nil, report, err
	}
	return server.Dial(), report, nil
}

// CheckRedis connects, and refuses a Redis that would lose messages.
func CheckRedis(ctx context.Context, c *settings.Config, server *redisconn.Server) (redisconn.Report, error) {
	report, err := server.Check(ctx)
	if err != nil {
		return report, usage.Errorf("%s: %w", c.Label("redis_url"), err)
	}
	return report, nil
}

// RedisServer reads the address of Redis. It does not connect.
func RedisServer(c *settings.Config) (*redisconn.Server, error) {
	server, err := redisconn.Parse(redisconn.Config{
		URL: c.Redis.URL.Reveal(), CAFile: c.Redis.CA, CertFile: c.Redis.Cert, KeyFile: c.Redis.Key, ServerName: c.Redis.ServerName,
		Patience: c.Patience,
	})
	if err != nil {
		return nil, usage.Errorf("%s: %w", c.Label("redis_url"), err)
	}
	return server, nil
}

// Open builds an account of c from its settings, without a call to Redis or WeChat. An error
// is wrong configuration. onToken may be nil. Close what it returns.
func Open(rdb redis.UniversalClient, c *settings.Config, a *settings.Account, onToken func(tokenstore.Event)) (*Account, error) {
	out := &Account{
		Account: a, Redis: rdb, Keys: apikey.NewStore(rdb, a.AppID), Names: c.Names(a.AppID),
	}
	if err := out.build(c, onToken); err != nil {
		return nil, usage.Errorf("account %s: %w", a.AppID, err)
	}
	return out, nil
}

func (a *Account) build(c *settings.Config, onToken func(tokenstore.Event)) (err error) {
	if a.Gate, err = NewGate(a.Redis, a.Account); err != nil {
		return err
	}
	a.WeChat = wechat.Config{
		AppID: a.AppID, AppSecret: a.AppSecret, BaseURL: a.BaseURL, Proxy: a.Proxy,
	}
	var fetcher tokenstore.Fetcher
	secret, never := "", errNoSecret
	if !a.AppSecret.IsZero() {
		secret, never = a.AppSecret.Fingerprint(), nil
		if fetcher, err = wechat.NewTokenFetcher(a.WeChat); err != nil {
			return err
		}
	}
	mode := map[string]tokenstore.Mode{"stable": tokenstore.Stable, "classic": tokenstore.Classic}[a.TokenMode]
	if a.Tokens, err = tokenstore.New(a.Redis, fetcher, tokenstore.Config{
		AppID: a.AppID, Mode: mode, SecretFingerprint: secret, NeverFetch: never, OnEvent: a.onToken(onToken),
	}); err != nil {
		return err
	}
	if a.Client, err = wechat.NewClient(a.WeChat, a.Tokens); err != nil {
		return err
	}
	if !a.AppSecret.IsZero() {
		a.Templates = &templates.Known{Ask: a.Client.Templates}
	}
	if a.Ledger, err = ledger.New(a.Redis, a.AppID, a.Names, ledger.Config{Keep: c.Redis.Keep, Resend: a.Resend}); err != nil {
		return err
	}
	a.Webhooks = webhook.NewStore(a.Ledger, c.Redis.WebhookPrivate)
	if a.Producer, err = NewProducer(a.Redis, c, a.Account); err != nil {
		return err
	}
	a.Codec = c.Codec(a.AppID)
	a.Roster, err = enroll.NewRoster(enroll.RosterConfig{
		Redis: a.Redis, Account: a.AppID, Keep: c.Redis.Keep, Resend: a.Resend, Bind: enroll.BindPolicy(a.Bind), EraseUnsubscribed: a.EraseUnsubscribed,
		WeChat: a.Client, SealKeys: c.Redis.SealKeys, SealNameKeys: c.Redis.SealNameKeys,
	})
	return err
}

// Events reads the account's events.
func (a *Account) Events() *events.Reader {
	return events.NewReader(a.Ledger, api.Describe(a.Producer))
}

// onToken opens the gate when there is a token again: its next probe may be minutes away.
func (a *Account) onToken(then func(tokenstore.Event)) func(tokenstore.Event) {
	return func(e tokenstore.Event) {
		if then != nil {
			then(e)
		}
		if !e.Recovered {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second) //nolint:forbidigo // the fetch that it follows outlives its caller, too
		defer cancel()
		_ = a.Gate.Open(ctx, ratelimit.ReasonToken) // Redis fails: the probe opens it
	}
}

// NewProducer opens the producer of one account of c.
func NewProducer(rdb redis.UniversalClient, c *settings.Config, a *settings.Account) (*producer.Producer, error) {
	return producer.New(rdb, producer.Config{Account: a.AppID, Keep: c.Redis.Keep, SealKeys: c.Redis.SealKeys, SealNameKeys: c.Redis.SealNameKeys})
}

// CheckNames refuses accounts whose openids and users are not sealed in Redis as this
// process seals them: wrong configuration.
func CheckNames(ctx context.Context, rdb redis.UniversalClient, c *settings.Config, appids ...string) error {
	for _, appid := range appids {
		err := names.Check(ctx, rdb, appid, c.Names(appid))
		if errors.Is(err, names.ErrMixed) {
			return usage.Wrap(err)
		}
		if err != nil {
			return fmt.Errorf("account %s: %w", appid, err)
		}
	}
	return nil
}

// NewGate opens the gate of one account.
func NewGate(rdb redis.UniversalClient, a *settings.Account) (*ratelimit.Gate, error) {
	return ratelimit.New(rdb, ratelimit.Config{
		Key: redisx.Prefix(a.AppID), Rate: a.Rate, DailyQuota: a.DailyQuota, Reserve: a.Reserve,
		UTCOffset: a.UTCOffset, Owner: owner(),
	})
}

// Close releases what the account holds. Redis stays open.
func (a *Account) Close() error {
	return errors.Join(a.Ledger.Close(), a.Producer.Close(), a.Roster.Close())
}

// owner names this process in leases and pauses.
func owner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "host"
	}
	return host + ":" + strconv.Itoa(os.Getpid())
}

// errNoSecret is the error of a command that needs a token where no AppSecret is
// configured. Reading Redis needs none.
var errNoSecret = errors.New("there is no access token, or another one is asked for, and the AppSecret is missing; set WXNOTIFY_APPSECRET or WXNOTIFY_APPSECRET_FILE")

// NewCallback builds our half of the account's server configuration, which needs a Token.
func NewCallback(a *settings.Account) (*wechat.Callback, error) {
	rotating := func(current, previous wechat.Secret) (out []wechat.RotatingSecret) {
		if !current.IsZero() {
			out = append(out, wechat.RotatingSecret{Value: current})
		}
		if !previous.IsZero() {
			out = append(out, wechat.RotatingSecret{Value: previous, Until: a.PreviousUntil})
		}
		return out
	}
	return wechat.NewCallback(wechat.CallbackConfig{
		AppID: a.AppID, Mode: a.Mode(),
		Tokens: rotating(a.CallbackToken, a.PreviousToken), AESKeys: rotating(a.AESKey, a.PreviousKey),
	})
}
