package settings

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wxnotify/wxnotify/internal/apikey"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/seal"
	"github.com/wxnotify/wxnotify/internal/ticket"
	"github.com/wxnotify/wxnotify/internal/usage"
	"github.com/wxnotify/wxnotify/wechat"
)

// Group is a set of what commands do. Each command names what it does, and so the settings
// that it takes as flags and the secrets that it reads.
type Group int

// What commands do.
const (
	Connecting Group = 1 << iota // connects to Redis
	Calling                      // calls WeChat
	Sending                      // worker
	Operating                    // the operators' listener
	Publishing                   // enroll: links, OAuth, WeChat's callback
	Logging                      // logs, on stderr
	Answering                    // the HTTP API

	Everything = Answering<<1 - 1
)

// parseGroups reads the tag, names with commas between them.
func parseGroups(tag string) Group {
	var all Group
	for name := range strings.SplitSeq(tag, ",") {
		all |= 1 << slices.Index([]string{"connecting", "calling", "sending", "operating", "publishing", "logging", "answering"}, name)
	}
	return all
}

// Setting is one row of the table: a tagged field of Config.
type Setting struct {
	Name    string       // the key in the file
	Default string       // empty: none
	Usage   string       // one line
	Rule    string       // how its text is read: the name of one of rules, and what follows it
	Group   Group        // who uses it
	Type    reflect.Type // of the field
	Account bool         // may differ per account
}

// Env is the name of its environment variable.
func (s Setting) Env() string { return "WXNOTIFY_" + strings.ToUpper(s.Name) }

// Flag is the name of its flag, without the dashes.
func (s Setting) Flag() string { return strings.ReplaceAll(s.Name, "_", "-") }

// Secret reports whether the text is never printed and may come from
// <NAME>_FILE or <name>_file.
func (s Setting) Secret() bool { return s.Type == reflect.TypeFor[wechat.Secret]() }

// isPath reports whether the setting itself is the path of a file, and not a
// reference to the file of a secret.
func (s Setting) isPath() bool { return strings.HasSuffix(s.Name, "_file") && s.Usage != "" }

// Table lists all settings in the order of Config's fields.
func Table() []Setting { return slices.Clone(table()) }

// Each of thirty commands asks for the table when the program starts.
//
//nolint:gochecknoglobals // read once, from Config's tags
var table = sync.OnceValue(func() (rows []Setting) {
	for area := range reflect.TypeFor[Config]().Fields() {
		if _, squashed := strings.CutPrefix(area.Tag.Get("koanf"), ","); !squashed {
			continue
		}
		for f := range area.Type.Fields() {
			tag := f.Tag.Get("group")
			if tag == "" {
				tag = area.Tag.Get("group")
			}
			rows = append(rows, Setting{
				Name: f.Tag.Get("koanf"), Default: f.Tag.Get("default"), Usage: f.Tag.Get("usage"), Rule: f.Tag.Get("rule"),
				Group: parseGroups(tag), Type: f.Type, Account: area.Type == reflect.TypeFor[Account](),
			})
		}
	}
	return rows
})

// keys lists the settings by their key in the file, or in an entry of its
// accounts list; a secret is there by <name>_file, too.
func keys(inAccount bool) map[string]Setting {
	out := map[string]Setting{}
	for _, s := range table() {
		if inAccount && !s.Account {
			continue
		}
		out[s.Name] = s
		if s.Secret() {
			out[s.Name+"_file"] = Setting{Name: s.Name + "_file", Type: reflect.TypeFor[string]()}
		}
	}
	return out
}

// Lookup returns the setting that has this key in the file; the zero Setting: there is none.
func Lookup(name string) Setting { return keys(false)[name] }

// FlagKey is the key that a flag sets: a setting's, or <name>_file of a secret.
func FlagKey(flag string) (key string, ok bool) {
	key = strings.ReplaceAll(flag, "-", "_")
	_, ok = keys(false)[key]
	return key, ok
}

// Check says what is wrong with text as the setting's value; nil: nothing. It does not name
// the setting, nor show the text of a secret.
func (s Setting) Check(text string) error {
	_, err := s.parse(text)
	return err
}

// parse reads the text of a setting by its rule, into what koanf converts to
// the field. Its errors do not show a secret's text.
func (s Setting) parse(text string) (any, error) {
	if text == "" {
		return reflect.Zero(s.Type).Interface(), nil
	}
	name, arg, _ := strings.Cut(s.Rule, " ")
	return rules()[name](text, arg)
}

// Off is the text of an address or a list that is switched off.
const Off = "-"

// reader reads the text of a setting. arg is what follows the rule's name in the
// tag. The result has the type of the field, or is text that the field's
// UnmarshalText reads: secrets and networks, since koanf copies values deeply,
// but not their unexported fields.
type reader func(text, arg string) (any, error)

func rules() map[string]reader {
	// The console's names since 2025-12-01; before, all of it was on mp.weixin.qq.com.
	const (
		developerInfo = "基础信息 > 开发信息 on developers.weixin.qq.com/platform (mp.weixin.qq.com until 2025-12)"
		copied        = ": copy it from 消息推送配置 under " + developerInfo
	)
	return map[string]reader{
		"":           func(text, _ string) (any, error) { return text, nil },
		"token":      form(`[A-Za-z0-9]{3,32}`, "3 to 32 letters or digits", copied),
		"aeskey":     form(`[A-Za-z0-9]{43}`, "43 letters or digits", copied),
		"key":        form(fmt.Sprintf(`.{%d,}`, ticket.MinKey), fmt.Sprint(ticket.MinKey, " bytes or more"), ": make one with `openssl rand -hex 32`"),
		"apikeys":    apiKeys,
		"sealkeys":   sealKeys,
		"login":      form(`[^:]+:.+`, "user:password", ""),
		"appid":      form(`[A-Za-z0-9_-]{1,64}`, "letters, digits, - and _", ": copy it from "+developerInfo),
		"path":       form(`(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+`, "a path such as /wxnotify", ", without a slash at its end"),
		"hosts":      listOf(form(`[^/ ]+`, "a name such as ops.example.com, without scheme and path", "")),
		"url":        calledURL,
		"urls":       listOf(httpURL),
		"proxy":      proxyURL,
		"address":    address,
		"networks":   networks,
		"oneof":      oneOf,
		"bool":       boolean,
		"whole":      wholeNumber,
		"rate":       number(func(f float64) bool { return f > 0 && f <= 1e6 }, "a number above 0"),
		"share":      number(func(f float64) bool { return f >= 0 && f < 1 }, "a share from 0 to below 1, such as 0.02"),
		"keep":       atLeast(time.Hour, "a record that ends before its task comes back lets the message go out twice"),
		"eventskeep": within(atLeast(time.Hour, "a reader that is away for a moment would miss events"), 7*24*time.Hour),
		"drain":      atLeast(11*time.Second, "a send may take 10s, and a stop must not cut it"),
		"offset":     func(text, _ string) (any, error) { return ParseUTCOffset(text) },
		"moment":     moment,
		"classes":    classes,
	}
}

// form accepts the texts that match pattern. Its error does not show the text.
func form(pattern, what, remedy string) reader {
	return func(text, _ string) (any, error) {
		if !regexp.MustCompile(`^(?s:` + pattern + `)$`).MatchString(text) {
			return nil, fmt.Errorf("is not %s but a text of %d bytes%s", what, len(text), remedy)
		}
		return text, nil
	}
}

func oneOf(text, allowed string) (any, error) {
	names := strings.Fields(allowed)
	if !slices.Contains(names, text) {
		return nil, fmt.Errorf("%s is not one of %s", usage.Quote(text), strings.Join(names, ", "))
	}
	return text, nil
}

func boolean(text, _ string) (any, error) {
	_, err := oneOf(text, "true false")
	return text == "true", err
}

func wholeNumber(text, least string) (any, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	lowest, _ := strconv.ParseInt(least, 10, 64)
	if err != nil || n < lowest {
		return nil, fmt.Errorf("%s is not a whole number of at least %d", usage.Quote(text), lowest)
	}
	return n, nil
}

func number(accepts func(float64) bool, what string) reader {
	return func(text, _ string) (any, error) {
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || !accepts(f) {
			return nil, fmt.Errorf("%s is not %s", usage.Quote(text), what)
		}
		return f, nil
	}
}

func atLeast(least time.Duration, reason string) reader {
	return func(text, _ string) (any, error) {
		d, err := time.ParseDuration(text)
		if err != nil {
			return nil, fmt.Errorf("%s is not a duration such as 90s or 72h", usage.Quote(text))
		}
		if d < least {
			return nil, fmt.Errorf("%s is too short: at least %s, since %s", usage.Quote(text), strings.TrimSuffix(least.String(), "0m0s"), reason)
		}
		return d, nil
	}
}

// within refuses what is longer than most.
func within(read reader, most time.Duration) reader {
	return func(text, arg string) (any, error) {
		v, err := read(text, arg)
		if d, ok := v.(time.Duration); ok && err == nil && d > most {
			return nil, fmt.Errorf("%s is too long: at most %s", usage.Quote(text), strings.TrimSuffix(most.String(), "0m0s"))
		}
		return v, err
	}
}

// ParseUTCOffset reads +08:00 or -03:30.
func ParseUTCOffset(text string) (time.Duration, error) {
	t, err := time.Parse("-07:00", text)
	_, seconds := t.Zone()
	if offset := time.Duration(seconds) * time.Second; err == nil && offset.Abs() <= 14*time.Hour {
		return offset, nil
	}
	return 0, fmt.Errorf("%s is not a UTC offset such as +08:00", usage.Quote(text))
}

func moment(text, _ string) (any, error) {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return nil, fmt.Errorf("%s is not a time such as 2026-12-01T00:00:00+08:00", usage.Quote(text))
	}
	return t, nil
}

// classes reads "-", or classes with commas between them.
func classes(text, _ string) (any, error) {
	out := []job.Class{} // not nil, which would mean the default
	if text == Off {
		return out, nil
	}
	for _, name := range splitList(text) {
		class, err := job.ParseClass(name)
		if err != nil {
			return nil, fmt.Errorf("%s is not one of %s, and not - for none", usage.Quote(name), strings.Join(job.ClassNames(), ", "))
		}
		out = append(out, class)
	}
	return out, nil
}

func splitList(text string) []string {
	var out []string
	for one := range strings.SplitSeq(text, ",") {
		if one = strings.TrimSpace(one); one != "" {
			out = append(out, one)
		}
	}
	return out
}

func listOf(read reader) reader {
	return func(text, arg string) (any, error) {
		list := splitList(text)
		for _, one := range list {
			if _, err := read(one, arg); err != nil {
				return nil, err
			}
		}
		return list, nil
	}
}

// httpURL reads an address; with "query" it may have one.
func httpURL(text, arg string) (any, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("is not an http:// or https:// address") // not shown: it may hold a password
	}
	if u.User != nil || u.RawQuery != "" && arg != "query" {
		return nil, errors.New("must not hold a user or a query")
	}
	return text, nil
}

// calledURL reads an address that is called. What stands before the first /, ? or # and
// a later @ may be a part of a password.
func calledURL(text, arg string) (any, error) {
	if strings.Contains(text, "@") {
		return nil, errors.New("must not hold an @: remove user and password, or percent-encode it as %40")
	}
	return httpURL(text, arg)
}

// CheckURL checks an address that is called. It may have a query.
func CheckURL(text string) error {
	_, err := calledURL(text, "query")
	return err
}

// networks reads addresses and networks with commas between them.
func networks(text, _ string) (any, error) {
	var out []string
	for _, one := range splitList(text) {
		p, err := netip.ParsePrefix(one)
		if ip, errIP := netip.ParseAddr(one); errIP == nil {
			p, err = netip.PrefixFrom(ip, ip.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s is not an address or a network such as 10.0.0.0/8", usage.Quote(one))
		}
		out = append(out, p.String())
	}
	return out, nil
}

// address reads host:port; with "or -" it may be off.
func address(text, arg string) (any, error) {
	if text == Off && arg == "or -" {
		return text, nil
	}
	_, port, err := net.SplitHostPort(text)
	if err == nil && port != "" {
		_, err = net.DefaultResolver.LookupPort(context.Background(), "tcp", port) //nolint:forbidigo // it asks no server: a number, or a name of /etc/services
	}
	if err != nil || port == "" {
		return nil, fmt.Errorf("%s is not host:port, such as 127.0.0.1:9090 or :8080, with a port up to 65535", usage.Quote(text))
	}
	return text, nil
}

// apiKeys checks static keys of the HTTP API. Its errors do not show them.
func apiKeys(text, _ string) (any, error) { return text, apikey.CheckStatic(text) }

// sealKeys checks keys that seal what waits in Redis. Its errors do not show them.
func sealKeys(text, _ string) (any, error) {
	_, err := seal.New(text)
	return text, err
}
