package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/broker"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
	"github.com/wxnotify/wxnotify/worker"
)

// Where rooms meet: the interfaces that callers declared, and who fits them.
var (
	_ wechat.TokenSource = (*tokenstore.Store)(nil)
	_ tokenstore.Fetcher = (*wechat.TokenFetcher)(nil)
	_ worker.Sender      = (*wechat.Client)(nil)
	_ worker.QuotaReader = (*wechat.Client)(nil)
	_ broker.Gate        = (*ratelimit.Gate)(nil)
)

// account is one account's rooms, wired together.
type account struct {
	entry  map[string]string // its settings
	wechat wechat.Config
	appid  string
	tokens *tokenstore.Store
	client *wechat.Client
	gate   *ratelimit.Gate
	ledger *ledger.Ledger
}

// connect dials Redis and refuses one that would lose messages. What is only
// unwise is logged.
func connect(ctx context.Context, c *config, log *zap.Logger) (redis.UniversalClient, error) {
	rdb, err := broker.Dial(c.text("redis_url"))
	if err != nil {
		return nil, &usageError{fmt.Errorf("redis_url (WXNOTIFY_REDIS_URL): %w", err)}
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	report, err := broker.Check(ctx, rdb)
	if err != nil {
		_ = rdb.Close()
		return nil, &usageError{fmt.Errorf("redis_url (WXNOTIFY_REDIS_URL): %w", err)}
	}
	for _, w := range report.Warnings {
		log.Warn(w)
	}
	return rdb, nil
}

// wire builds an account from its settings. hooks may be zero.
func wire(rdb redis.UniversalClient, c *config, a map[string]string, hooks accountHooks) (*account, error) {
	appid := a["appid"]
	cfg := wechat.Config{
		AppID: appid, AppSecret: wechat.NewSecret(a["appsecret"]), BaseURL: a["wechat_base_url"],
		HTTPClient: hooks.httpClient,
	}
	gate, err := newGate(rdb, a)
	if err != nil {
		return nil, fmt.Errorf("account %s: %w", appid, err)
	}
	cfg.BeforeReplay = worker.ReplayPermit(gate)
	var fetcher tokenstore.Fetcher = noSecret{}
	if a["appsecret"] != "" {
		if fetcher, err = wechat.NewTokenFetcher(cfg); err != nil {
			return nil, &usageError{fmt.Errorf("account %s: %w", appid, err)}
		}
	}
	mode := tokenstore.Stable
	if a["token_mode"] == "classic" {
		mode = tokenstore.Classic
	}
	tokens, err := tokenstore.New(rdb, fetcher, tokenstore.Config{AppID: appid, Mode: mode, OnEvent: hooks.onToken})
	if err != nil {
		return nil, fmt.Errorf("account %s: %w", appid, err)
	}
	client, err := wechat.NewClient(cfg, tokens)
	if err != nil {
		return nil, &usageError{fmt.Errorf("account %s: %w", appid, err)}
	}
	resend, err := parseClasses(a["resend"])
	if err != nil {
		return nil, &usageError{fmt.Errorf("account %s: resend: %w", appid, err)}
	}
	records, err := ledger.New(rdb, ledger.Config{Account: appid, Keep: c.span("keep"), Resend: resend})
	if err != nil {
		return nil, fmt.Errorf("account %s: %w", appid, err)
	}
	return &account{entry: a, wechat: cfg, appid: appid, tokens: tokens, client: client, gate: gate, ledger: records}, nil
}

// errNoSecret is what a command meets that needs a token where no AppSecret is
// configured; looking at Redis alone needs none.
var errNoSecret = errors.New("appsecret is missing; set WXNOTIFY_APPSECRET or WXNOTIFY_APPSECRET_FILE")

type noSecret struct{}

func (noSecret) FetchClassic(context.Context) (wechat.Token, error) {
	return wechat.Token{}, errNoSecret
}

func (noSecret) FetchStable(context.Context, bool) (wechat.Token, error) {
	return wechat.Token{}, errNoSecret
}

func newGate(rdb redis.UniversalClient, a map[string]string) (*ratelimit.Gate, error) {
	rate, _ := strconv.ParseFloat(a["rate"], 64)
	quota, _ := strconv.ParseInt(a["daily_quota"], 10, 64)
	reserve, _ := strconv.ParseFloat(a["reserve_critical"], 64)
	offset, err := parseUTCOffset(a["quota_utc_offset"])
	if err != nil {
		return nil, err
	}
	return ratelimit.New(rdb, ratelimit.Config{
		Key: "wxn:{" + a["appid"] + "}:", Rate: rate, DailyQuota: quota, Reserve: reserve,
		UTCOffset: offset, Owner: owner(),
	})
}

// owner names this process in leases and pauses.
func owner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "host"
	}
	return host + ":" + strconv.Itoa(os.Getpid())
}

// close releases what the account holds; Redis stays open.
func (a *account) close() error { return a.ledger.Close() }

// newProducer opens the producer of one account.
func newProducer(rdb redis.UniversalClient, c *config, a map[string]string) (*producer.Producer, error) {
	return producer.New(rdb, producer.Config{Account: a["appid"], Keep: c.span("keep")})
}

// secretsMissing names the accounts that cannot call WeChat.
func secretsMissing(accounts []map[string]string) error {
	var faults []error
	for _, a := range accounts {
		if a["appsecret"] == "" {
			faults = append(faults, fmt.Errorf(
				"account %s: appsecret is missing; set WXNOTIFY_APPSECRET or WXNOTIFY_APPSECRET_FILE, or appsecret_file in the account's entry", a["appid"]))
		}
	}
	if len(faults) > 0 {
		return &usageError{errors.Join(faults...)}
	}
	return nil
}

func classNames() []string {
	var names []string
	for _, c := range job.Classes() {
		names = append(names, string(c))
	}
	return names
}
