package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
)

// group says which commands have use for a setting.
type group int

const (
	connecting group = 1 << iota // whatever talks to Redis
	calling                      // whatever calls WeChat
	sending                      // worker
	operating                    // the operators' listener
	publishing                   // enroll: links, OAuth, WeChat's callback
	serving                      // api
	logging
)

// setting is one row of the only table of settings: the file's key, the
// environment variable WXNOTIFY_<KEY> and the flag --<key> all come from Name.
type setting struct {
	Name     string
	Default  string
	Usage    string
	Group    group
	Secret   bool // may be read from <NAME>_FILE or <name>_file; never printed
	Account  bool // may differ per account in the file's accounts list
	Validate func(string) error
}

func (s setting) env() string  { return "WXNOTIFY_" + strings.ToUpper(s.Name) }
func (s setting) flag() string { return strings.ReplaceAll(s.Name, "_", "-") }

// settings lists every setting in the order in which `config` prints them.
func settings() []setting {
	return slices.Concat(sendingSettings(), publishingSettings(), listeningSettings())
}

func sendingSettings() []setting {
	return []setting{
		{
			Name: "redis_url", Group: connecting, Secret: true, Default: "redis://127.0.0.1:6379/0",
			Usage: "redis://, rediss://, redis-sentinel://host1,host2/?master=name or redis-cluster://host1,host2",
		},
		{Name: "appid", Group: connecting, Account: true, Validate: appidShape, Usage: "the account's appid"},
		{Name: "appsecret", Group: calling, Account: true, Secret: true, Usage: "the account's AppSecret"},
		{
			Name: "token_mode", Group: calling, Account: true, Default: "stable", Validate: oneOf("stable", "classic"),
			Usage: "which token endpoint: stable or classic",
		},
		{
			Name: "wechat_base_url", Group: calling, Account: true, Default: "https://api.weixin.qq.com", Validate: httpURL,
			Usage: "WeChat's API host; a simulator or proxy takes http://",
		},
		{
			Name: "wechat_authorize_url", Group: publishing, Account: true, Validate: httpURL,
			Default: "https://open.weixin.qq.com/connect/oauth2/authorize", Usage: "WeChat's OAuth page",
		},
		{
			Name: "daily_quota", Group: sending, Account: true, Default: "100000", Validate: wholeNumber(0),
			Usage: "sends a day; 0 asks WeChat's quota API",
		},
		{
			Name: "reserve_critical", Group: sending, Account: true, Default: "0.02", Validate: share,
			Usage: "share of the quota that only class critical may use",
		},
		{
			Name: "rate", Group: sending, Account: true, Default: "50", Validate: positive,
			Usage: "sends a second, all workers together",
		},
		{
			Name: "concurrency", Group: sending, Default: "64", Validate: wholeNumber(1),
			Usage: "sends in flight per process and account; at most 500 is sensible",
		},
		{
			Name: "fetchers", Group: sending, Default: "4", Validate: wholeNumber(1),
			Usage: "tasks fetched at once; raise it when Redis is far away",
		},
		{
			Name: "quota_utc_offset", Group: sending, Account: true, Default: "+08:00", Validate: utcOffset,
			Usage: "where the quota's day turns",
		},
		{
			Name: "keep", Group: sending | connecting, Default: "72h", Validate: duration(time.Minute),
			Usage: "how long a record stays after its message ended",
		},
		{
			Name: "drain_timeout", Group: sending, Default: "15s", Validate: duration(time.Second),
			Usage: "how long a stop waits for sends in flight",
		},
	}
}

func publishingSettings() []setting {
	return []setting{
		{Name: "callback_token", Group: publishing, Account: true, Secret: true, Usage: "Token of the server configuration"},
		{Name: "encoding_aes_key", Group: publishing, Account: true, Secret: true, Usage: "EncodingAESKey of the server configuration"},
		{
			Name: "callback_mode", Group: publishing, Account: true, Validate: oneOf("", "plain", "compat", "secure"),
			Usage: "plain, compat or secure; secure when a key is set",
		},
		{
			Name: "callback_token_previous", Group: publishing, Account: true, Secret: true,
			Usage: "the Token before, taken until callback_previous_until",
		},
		{
			Name: "encoding_aes_key_previous", Group: publishing, Account: true, Secret: true,
			Usage: "the EncodingAESKey before, taken until callback_previous_until",
		},
		{
			Name: "callback_previous_until", Group: publishing, Account: true, Validate: moment,
			Usage: "when the previous ones end, such as 2026-12-01T00:00:00+08:00",
		},
		{
			Name: "forward_url", Group: publishing, Account: true, Validate: anyHTTP,
			Usage: "your own server for what followers say and do: it sees WeChat's pushes in plain mode, and its replies go to the follower",
		},
		{Name: "public_url", Group: publishing, Validate: httpURL, Usage: "base of the links that users open"},
		{Name: "public_addr", Group: publishing, Default: ":8080", Validate: address, Usage: "where enroll listens"},
		{Name: "enroll_key", Group: publishing, Secret: true, Usage: "signs enrolment tickets, 32 bytes or more"},
		{
			Name: "return_urls", Group: publishing, Validate: addressList,
			Usage: "addresses that a link may send the follower to afterwards, separated by commas",
		},
		{Name: "account_name", Group: publishing, Account: true, Usage: "the account's name on the pages that followers see"},
		{
			Name: "erase_unsubscribed", Group: publishing, Account: true, Default: "false", Validate: oneOf("true", "false"),
			Usage: "forget who unfollows: roster, records, waiting messages",
		},
		{
			Name: "resend", Group: sending | publishing, Account: true, Default: "critical", Validate: classList,
			Usage: "classes whose messages are sent again when the receipt says that WeChat failed; - for none",
		},
	}
}

func listeningSettings() []setting {
	return []setting{
		{
			Name: "ops_addr", Group: operating, Default: "127.0.0.1:9090", Validate: address,
			Usage: "where /healthz /readyz /metrics /asynqmon/ listen; - for nowhere",
		},
		{Name: "ops_login", Group: operating, Secret: true, Usage: "user:password of the operators' listener; required beyond loopback"},
		{
			Name: "ops_read_only", Group: operating, Default: "false", Validate: oneOf("true", "false"),
			Usage: "refuse every change on the operators' listener",
		},
		{Name: "api_addr", Group: serving, Default: "127.0.0.1:8081", Validate: address, Usage: "where the HTTP API listens"},
		{Name: "api_keys", Group: serving, Secret: true, Usage: "keys of the HTTP API"},
		{
			Name: "log_level", Group: logging, Default: "info", Validate: oneOf("debug", "info", "warn", "error"),
			Usage: "debug, info, warn or error",
		},
	}
}

func appidShape(v string) error {
	if v == "" {
		return nil
	}
	if len(v) > 64 || strings.ContainsFunc(v, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-'
	}) {
		return fmt.Errorf("%q is no appid: letters, digits, - and _ only, as on WeChat's console under 基本配置", v)
	}
	return nil
}

func oneOf(allowed ...string) func(string) error {
	return func(v string) error {
		if slices.Contains(allowed, v) {
			return nil
		}
		return fmt.Errorf("%q is not one of %s", v, strings.Join(allowed, ", "))
	}
}

// moment is empty or a time with its offset.
func moment(v string) error {
	if _, err := time.Parse(time.RFC3339, v); v != "" && err != nil {
		return fmt.Errorf("%q is not a time such as 2026-12-01T00:00:00+08:00", v)
	}
	return nil
}

// classList is - or classes with commas between them.
func classList(v string) error {
	_, err := parseClasses(v)
	return err
}

func parseClasses(v string) ([]job.Class, error) {
	if v == "-" || v == "" {
		return []job.Class{}, nil
	}
	var out []job.Class
	for name := range strings.SplitSeq(v, ",") {
		class, err := job.ParseClass(strings.TrimSpace(name))
		if err != nil {
			return nil, fmt.Errorf("%q is not one of %s, and not - for none", name, strings.Join(classNames(), ", "))
		}
		out = append(out, class)
	}
	return out, nil
}

// addressList is empty or http(s) addresses with commas between them.
func addressList(v string) error {
	for _, one := range splitList(v) {
		if err := anyHTTP(one); err != nil {
			return err
		}
	}
	return nil
}

func splitList(v string) []string {
	var out []string
	for one := range strings.SplitSeq(v, ",") {
		if one = strings.TrimSpace(one); one != "" {
			out = append(out, one)
		}
	}
	return out
}

func wholeNumber(least int64) func(string) error {
	return func(v string) error {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < least {
			return fmt.Errorf("%q is not a whole number from %d on", v, least)
		}
		return nil
	}
}

func positive(v string) error {
	if f, err := strconv.ParseFloat(v, 64); err != nil || !(f > 0) || f > 1e6 {
		return fmt.Errorf("%q is not a number above 0", v)
	}
	return nil
}

func share(v string) error {
	if f, err := strconv.ParseFloat(v, 64); err != nil || !(f >= 0 && f < 1) {
		return fmt.Errorf("%q is not a share from 0 to below 1, such as 0.02", v)
	}
	return nil
}

func duration(least time.Duration) func(string) error {
	return func(v string) error {
		if d, err := time.ParseDuration(v); err != nil || d < least {
			return fmt.Errorf("%q is not a duration of at least %s, such as 90s or 72h", v, least)
		}
		return nil
	}
}

func utcOffset(v string) error {
	_, err := parseUTCOffset(v)
	return err
}

// parseUTCOffset reads +08:00 or -03:30.
func parseUTCOffset(v string) (time.Duration, error) {
	t, err := time.Parse("-07:00", v)
	if err != nil {
		return 0, fmt.Errorf("%q is not a UTC offset such as +08:00", v)
	}
	_, seconds := t.Zone()
	return time.Duration(seconds) * time.Second, nil
}
