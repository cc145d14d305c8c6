package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
)

// config is the effective configuration: settings by name, and the same per
// account. Values are text until a room asks for them.
type config struct {
	values   map[string]string
	sources  map[string]string // where a value came from: default, file, environment, flag
	accounts []map[string]string
}

// loadConfig reads file < environment < flags and names every fault at once.
func loadConfig(path string, getenv func(string) string, flags map[string]string) (*config, error) {
	if path == "" {
		path = getenv("WXNOTIFY_CONFIG")
	}
	c := &config{values: map[string]string{}, sources: map[string]string{}}
	file, list, faults := readFile(path)
	layers := []struct {
		name   string
		values map[string]string
	}{{"default", defaults()}, {"file", file}, {"environment", fromEnvironment(getenv)}, {"flag", flags}}
	k := koanf.New(".")
	for _, l := range layers {
		flat := map[string]any{}
		for name, v := range l.values {
			flat[name] = v
			c.sources[strings.TrimSuffix(name, "_file")] = l.name
			// A later layer's value beats an earlier layer's file, and the other way round.
			if base, isFile := strings.CutSuffix(name, "_file"); isFile {
				k.Delete(base)
			} else {
				k.Delete(name + "_file")
			}
		}
		if err := k.Load(confmap.Provider(flat, ""), nil); err != nil {
			return nil, fmt.Errorf("load %s: %w", l.name, err)
		}
	}
	for _, s := range settings() {
		v, err := resolve(s, k.String(s.Name), k.String(s.Name+"_file"), getenv)
		if err != nil {
			faults = append(faults, err)
		}
		c.values[s.Name] = v
	}
	for i, entry := range list {
		account, errs := c.account(i, entry, getenv)
		c.accounts = append(c.accounts, account)
		faults = append(faults, errs...)
	}
	faults = append(faults, c.crossCheck()...)
	if len(faults) > 0 {
		return c, &usageError{fmt.Errorf("configuration: %w", errors.Join(faults...))}
	}
	return c, nil
}

func defaults() map[string]string {
	m := map[string]string{}
	for _, s := range settings() {
		m[s.Name] = s.Default
	}
	return m
}

func fromEnvironment(getenv func(string) string) map[string]string {
	m := map[string]string{}
	for _, s := range settings() {
		if v := getenv(s.env()); v != "" {
			m[s.Name] = v
		}
		if v := getenv(s.env() + "_FILE"); s.Secret && v != "" {
			m[s.Name+"_file"] = v
		}
	}
	return m
}

// readFile splits the file into plain settings and the accounts list.
func readFile(path string) (values map[string]string, accounts []map[string]string, faults []error) {
	values = map[string]string{}
	if path == "" {
		return values, nil, nil
	}
	text, err := os.ReadFile(path) // #nosec G304 -- the operator names the file
	if err != nil {
		return values, nil, []error{fmt.Errorf("file %s: %w; give --config a file that can be read", path, err)}
	}
	tree, err := yaml.Parser().Unmarshal(text)
	if err != nil {
		return values, nil, []error{fmt.Errorf("file %s is not YAML: %w", path, err)}
	}
	for name, v := range tree {
		if name == "accounts" {
			continue
		}
		if err := known(name, false); err != nil {
			faults = append(faults, fmt.Errorf("file %s: %w", path, err))
			continue
		}
		values[name] = scalar(v)
	}
	list, ok := tree["accounts"].([]any)
	if tree["accounts"] != nil && !ok {
		faults = append(faults, fmt.Errorf("file %s: accounts: must be a list", path))
	}
	for i, item := range list {
		fields, ok := item.(map[string]any)
		if !ok {
			faults = append(faults, fmt.Errorf("file %s: accounts[%d]: must hold settings such as appid", path, i))
			continue
		}
		entry := map[string]string{}
		for name, v := range fields {
			if err := known(name, true); err != nil {
				faults = append(faults, fmt.Errorf("file %s: accounts[%d]: %w", path, i, err))
				continue
			}
			entry[name] = scalar(v)
		}
		accounts = append(accounts, entry)
	}
	return values, accounts, faults
}

func scalar(v any) string {
	if f, ok := v.(float64); ok {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

func known(name string, inAccount bool) error {
	var names []string
	for _, s := range settings() {
		if inAccount && !s.Account {
			continue
		}
		if name == s.Name || s.Secret && name == s.Name+"_file" {
			return nil
		}
		names = append(names, s.Name)
	}
	return fmt.Errorf("%q is no setting here; known are %s", name, strings.Join(names, ", "))
}

// resolve follows file: and env: references and the _file form of a secret, and
// validates. Its errors never show a secret's text.
func resolve(s setting, value, file string, getenv func(string) string) (string, error) {
	if file != "" {
		value = "file:" + file
	}
	if s.Secret {
		if path, ok := strings.CutPrefix(value, "file:"); ok {
			text, err := os.ReadFile(path) // #nosec G304 -- the operator names the file
			if err != nil {
				return "", fmt.Errorf("%s: %w", s.Name, err)
			}
			value = strings.TrimRight(string(text), "\r\n")
		} else if name, ok := strings.CutPrefix(value, "env:"); ok {
			if value = getenv(name); value == "" {
				return "", fmt.Errorf("%s: the environment variable %s is not set", s.Name, name)
			}
		}
	}
	if s.Validate != nil && (value != "" || s.Default != "") {
		if err := s.Validate(value); err != nil {
			return value, fmt.Errorf("%s (%s, --%s): %w", s.Name, s.env(), s.flag(), err)
		}
	}
	return value, nil
}

// account lays an entry of the accounts list over the common values.
func (c *config) account(i int, entry map[string]string, getenv func(string) string) (map[string]string, []error) {
	var faults []error
	out := map[string]string{}
	for _, s := range settings() {
		if !s.Account {
			continue
		}
		value, file := entry[s.Name], entry[s.Name+"_file"]
		if value == "" && file == "" {
			out[s.Name] = c.values[s.Name]
			continue
		}
		v, err := resolve(s, value, file, getenv)
		if err != nil {
			faults = append(faults, fmt.Errorf("accounts[%d]: %w", i, err))
		}
		out[s.Name] = v
	}
	if entry["appid"] == "" {
		faults = append(faults, fmt.Errorf("accounts[%d]: appid is missing", i))
	}
	return out, faults
}

// crossCheck finds what no setting can see alone.
func (c *config) crossCheck() []error {
	var faults []error
	if len(c.accounts) == 0 && c.values["appid"] != "" {
		only := map[string]string{}
		for _, s := range settings() {
			if s.Account {
				only[s.Name] = c.values[s.Name]
			}
		}
		c.accounts = []map[string]string{only}
	}
	var seen []string
	for _, a := range c.accounts {
		if a["appid"] != "" && slices.Contains(seen, a["appid"]) {
			faults = append(faults, fmt.Errorf("accounts: %s is listed twice", a["appid"]))
		}
		seen = append(seen, a["appid"])
		faults = append(faults, rotationFaults(a)...)
	}
	if key := c.values["enroll_key"]; key != "" && len(key) < 32 {
		faults = append(faults, errors.New("enroll_key: shorter than 32 bytes; make one with `openssl rand -hex 32`"))
	}
	if l := c.values["ops_login"]; l != "" {
		if user, password, ok := strings.Cut(l, ":"); !ok || user == "" || password == "" {
			faults = append(faults, errors.New("ops_login: must be user:password"))
		}
	}
	return faults
}

// rotationFaults finds a previous secret without an end.
func rotationFaults(a map[string]string) []error {
	if a["callback_token_previous"] == "" && a["encoding_aes_key_previous"] == "" || a["callback_previous_until"] != "" {
		return nil
	}
	return []error{fmt.Errorf("account %s: callback_previous_until is missing: say until when the previous ones are taken", a["appid"])}
}

func (c *config) text(name string) string { return c.values[name] }
func (c *config) number(name string) int  { n, _ := strconv.Atoi(c.values[name]); return n }
func (c *config) span(name string) time.Duration {
	d, _ := time.ParseDuration(c.values[name])
	return d
}

// pick returns the account named appid, or the only one when appid is empty.
func (c *config) pick(appid string) (map[string]string, error) {
	if appid == "" {
		switch len(c.accounts) {
		case 0:
			return nil, &usageError{errors.New("no account: set WXNOTIFY_APPID, or accounts in the file given by --config")}
		case 1:
			return c.accounts[0], nil
		default:
			return nil, &usageError{fmt.Errorf("several accounts: name one with --account (%s)", strings.Join(c.appids(), ", "))}
		}
	}
	for _, a := range c.accounts {
		if a["appid"] == appid {
			return a, nil
		}
	}
	return nil, &usageError{fmt.Errorf("no account %s is configured; configured are: %s", appid, strings.Join(c.appids(), ", "))}
}

func (c *config) appids() []string {
	var ids []string
	for _, a := range c.accounts {
		ids = append(ids, a["appid"])
	}
	return ids
}

func httpURL(v string) error {
	u, err := url.Parse(v)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return fmt.Errorf("%q is not an http:// or https:// address", v)
	}
	if u.User != nil || u.RawQuery != "" {
		return errors.New("the address must not hold a user or a query")
	}
	return nil
}

// anyHTTP is an http(s) address that may have a query.
func anyHTTP(v string) error {
	u, err := url.Parse(v)
	if v != "" && (err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil) {
		return errors.New("this is not an http:// or https:// address")
	}
	return nil
}

func address(v string) error {
	if v == "-" {
		return nil
	}
	if _, port, err := net.SplitHostPort(v); err != nil || port == "" {
		return fmt.Errorf("%q is not host:port, such as 127.0.0.1:9090 or :8080", v)
	}
	return nil
}
