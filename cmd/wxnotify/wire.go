package main

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

// account is what the commands use of one account.
type account struct {
	*settings.Account
	wechat wechat.Config
	tokens *tokenstore.Store
	client *wechat.Client

	rdb      redis.UniversalClient
	gate     *ratelimit.Gate
	ledger   *ledger.Ledger
	producer *producer.Producer
	roster   *enroll.Roster
	keys     *apikey.Store
	webhooks *webhook.Store
	// templates asks WeChat; nil without an AppSecret.
	templates *templates.Known
	codec     job.Codec   // of messages that wait
	names     *seal.Names // nil: openids and users are in clear
}

// connect dials Redis and refuses one that would lose messages. The report has what is
// only unwise.
func connect(ctx context.Context, c *settings.Config) (redis.UniversalClient, redisconn.Report, error) {
	server, err := redisServer(c)
	if err != nil {
		return nil, redisconn.Report{}, err
	}
	report, err := checkRedis(ctx, c, server)
	if err != nil {
		return nil, report, err
	}
	return server.Dial(), report, nil
}

// checkRedis connects, and refuses a Redis that would lose messages.
func checkRedis(ctx context.Context, c *settings.Config, server *redisconn.Server) (redisconn.Report, error) {
	report, err := server.Check(ctx)
	if err != nil {
		return report, usage.Errorf("%s: %w", c.Label("redis_url"), err)
	}
	return report, nil
}

// redisServer reads the address of Redis. It does not connect.
func redisServer(c *settings.Config) (*redisconn.Server, error) {
	server, err := redisconn.Parse(redisconn.Config{
		URL: c.Redis.URL.Reveal(), CAFile: c.Redis.CA, CertFile: c.Redis.Cert, KeyFile: c.Redis.Key, ServerName: c.Redis.ServerName,
		Patience: c.Patience,
	})
	if err != nil {
		return nil, usage.Errorf("%s: %w", c.Label("redis_url"), err)
	}
	return server, nil
}

// wire builds an account from its settings. onToken may be nil.
func wire(rdb redis.UniversalClient, c *settings.Config, a *settings.Account, onToken func(tokenstore.Event)) (*account, error) {
	out := &account{
		Account: a, rdb: rdb, keys: apikey.NewStore(rdb, a.AppID), names: c.Names(a.AppID),
	}
	if err := out.wire(c, onToken); err != nil {
		return nil, usage.Errorf("account %s: %w", a.AppID, err)
	}
	return out, nil
}

func (a *account) wire(c *settings.Config, onToken func(tokenstore.Event)) (err error) {
	if a.gate, err = newGate(a.rdb, a.Account); err != nil {
		return err
	}
	a.wechat = wechat.Config{
		AppID: a.AppID, AppSecret: a.AppSecret, BaseURL: a.BaseURL, Proxy: a.Proxy,
	}
	var fetcher tokenstore.Fetcher = noSecret{}
	secret := ""
	if !a.AppSecret.IsZero() {
		secret = a.AppSecret.Fingerprint()
		if fetcher, err = wechat.NewTokenFetcher(a.wechat); err != nil {
			return err
		}
	}
	mode := map[string]tokenstore.Mode{"stable": tokenstore.Stable, "classic": tokenstore.Classic}[a.TokenMode]
	if a.tokens, err = tokenstore.New(a.rdb, fetcher, tokenstore.Config{
		AppID: a.AppID, Mode: mode, SecretFingerprint: secret, OnEvent: a.onToken(onToken),
	}); err != nil {
		return err
	}
	if a.client, err = wechat.NewClient(a.wechat, a.tokens); err != nil {
		return err
	}
	if !a.AppSecret.IsZero() {
		a.templates = &templates.Known{Ask: a.client.Templates}
	}
	if a.ledger, err = ledger.New(a.rdb, a.AppID, a.names, ledger.Config{Keep: c.Redis.Keep, Resend: a.Resend}); err != nil {
		return err
	}
	a.webhooks = webhook.NewStore(a.ledger, c.Redis.WebhookPrivate)
	if a.producer, err = newProducer(a.rdb, c, a.Account); err != nil {
		return err
	}
	a.codec = c.Codec(a.AppID)
	a.roster, err = enroll.NewRoster(enroll.RosterConfig{
		Redis: a.rdb, Account: a.AppID, Keep: c.Redis.Keep, Resend: a.Resend, Bind: enroll.BindPolicy(a.Bind), EraseUnsubscribed: a.EraseUnsubscribed,
		WeChat: a.client, SealKeys: c.Redis.SealKeys, SealNameKeys: c.Redis.SealNameKeys,
	})
	return err
}

// events reads the account's events.
func (a *account) events() *events.Reader {
	return events.NewReader(a.ledger, api.Describe(a.producer))
}

// onToken opens the gate when there is a token again: its next probe may be minutes away.
func (a *account) onToken(then func(tokenstore.Event)) func(tokenstore.Event) {
	return func(e tokenstore.Event) {
		if then != nil {
			then(e)
		}
		if !e.Recovered {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second) //nolint:forbidigo // the fetch that it follows outlives its caller, too
		defer cancel()
		_ = a.gate.Open(ctx, ratelimit.ReasonToken) // Redis fails: the probe opens it
	}
}

// newProducer opens the producer of one account.
func newProducer(rdb redis.UniversalClient, c *settings.Config, a *settings.Account) (*producer.Producer, error) {
	return producer.New(rdb, producer.Config{Account: a.AppID, Keep: c.Redis.Keep, SealKeys: c.Redis.SealKeys, SealNameKeys: c.Redis.SealNameKeys})
}

// checkNames refuses accounts whose openids and users are not sealed in Redis as this
// process seals them.
func checkNames(ctx context.Context, rdb redis.UniversalClient, c *settings.Config, appids ...string) error {
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

// newGate opens the gate of one account.
func newGate(rdb redis.UniversalClient, a *settings.Account) (*ratelimit.Gate, error) {
	return ratelimit.New(rdb, ratelimit.Config{
		Key: redisx.Prefix(a.AppID), Rate: a.Rate, DailyQuota: a.DailyQuota, Reserve: a.Reserve,
		UTCOffset: a.UTCOffset, Owner: owner(),
	})
}

// close releases what the account holds. Redis stays open.
func (a *account) close() error {
	return errors.Join(a.ledger.Close(), a.producer.Close(), a.roster.Close())
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
var errNoSecret = errors.New("appsecret is missing; set WXNOTIFY_APPSECRET or WXNOTIFY_APPSECRET_FILE")

type noSecret struct{}

func (noSecret) FetchClassic(context.Context) (wechat.Token, error) {
	return wechat.Token{}, errNoSecret
}

func (noSecret) FetchStable(context.Context, bool) (wechat.Token, error) {
	return wechat.Token{}, errNoSecret
}

// newCallback builds our half of the account's server configuration.
func newCallback(a *settings.Account) (*wechat.Callback, error) {
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
