package settings

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"

	"github.com/wxnotify/wxnotify/internal/textfile"
	"github.com/wxnotify/wxnotify/internal/usage"
)

// loader reads one configuration. It goes on after a fault, so that all faults
// are named at once.
type loader struct {
	complaints
	env      map[string]string
	uses     Group             // other secrets are not read
	origins  map[string]origin // of each setting
	referred map[string]bool   // variables that an env: reference names
	files    []File            // secrets' files
	inFile   []string          // secrets that stand in the configuration file
}

// origin is where the text of a setting came from.
type origin struct {
	layer string // default, file, environment or flag
	label string // the setting as it is written there: a variable, a flag, a file and its key
}

// Load reads file < environment < flags. path may be empty: then
// WXNOTIFY_CONFIG names the file. flags are by a setting's name, or <name>_file.
// Only the secrets of the groups in uses are read, so that looking at Redis needs
// no AppSecret. The configuration is returned with an error, too: its warnings
// may hold the cause.
func Load(path string, env, flags map[string]string, uses Group) (*Config, error) {
	if path == "" {
		path = env["WXNOTIFY_CONFIG"]
	}
	l := &loader{env: env, uses: uses, origins: map[string]origin{}, referred: map[string]bool{}}
	l.label = func(name string) string { return l.origins[name].label }
	file, entries := l.readFile(path)
	k := koanf.New(".")
	for _, layer := range []struct {
		name   string
		values map[string]string
		label  func(key string) string
	}{
		{"default", defaults(), variable},
		{"file", file, func(key string) string { return path + ": " + key }},
		{"environment", fromEnvironment(env), variable},
		{"flag", flags, func(key string) string { return "--" + Setting{Name: key}.Flag() }},
	} {
		values := l.references(layer.values, func(key string) origin { return origin{layer.name, layer.label(key)} }, l.origins)
		if err := k.Load(confmap.Provider(values, ""), nil); err != nil {
			return nil, fmt.Errorf("load %s: %w", layer.name, err)
		}
	}
	c := &Config{}
	typed := map[string]any{}
	c.Rows = l.read(k.All(), l.origins, typed)
	if err := unmarshal(typed, c); err != nil {
		return nil, err
	}
	if err := l.accounts(c, path, entries, typed); err != nil {
		return nil, err
	}
	c.validate(uses, &l.complaints)
	l.unknownVariables()
	l.proxyVariables()
	c.Warnings = l.warnings
	c.Files = l.readFiles(path, c)
	if len(l.faults) > 0 {
		return c, usage.Wrap(fmt.Errorf("configuration: %w", errors.Join(l.faults...)))
	}
	return c, nil
}

// unmarshal fills the tagged struct into.
func unmarshal(typed map[string]any, into any) error {
	k := koanf.New(".")
	err := k.Load(confmap.Provider(typed, ""), nil)
	if err == nil {
		err = k.Unmarshal("", into)
	}
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	return nil
}

// variable is the environment's name of a setting's key.
func variable(key string) string { return Setting{Name: key}.Env() }

func defaults() map[string]string {
	m := map[string]string{}
	for _, s := range table() {
		m[s.Name] = s.Default
	}
	return m
}

func fromEnvironment(env map[string]string) map[string]string {
	m := map[string]string{}
	for key := range keys(false) {
		if v := env[variable(key)]; v != "" {
			m[key] = v
		}
	}
	return m
}

// references turns <name>_file into a file: reference of <name>. It notes the
// origins, and the variables that env: references name.
func (l *loader) references(values map[string]string, from func(key string) origin, origins map[string]origin) map[string]any {
	out, known := map[string]any{}, keys(false)
	for _, key := range slices.Sorted(maps.Keys(values)) { // the name comes before its _file
		name, isFile := strings.CutSuffix(key, "_file")
		text := values[key]
		if isFile = isFile && !known[key].isPath(); !isFile {
			name = key
		} else {
			text = "file:" + text
		}
		if _, both := out[name]; both {
			l.faults = append(l.faults, fmt.Errorf("%s and %s are both set: remove one of them", from(name).label, from(key).label))
		}
		if variable, ok := strings.CutPrefix(text, "env:"); ok {
			l.referred[variable] = true
		}
		l.noteFile(known[name], text, from(key))
		out[name], origins[name] = text, from(key)
	}
	return out
}

// accounts reads the entries of the file's list; without a list, the common
// values are the only account.
func (l *loader) accounts(c *Config, path string, entries []map[string]string, common map[string]any) error {
	if entries == nil && c.Account.AppID != "" {
		c.Accounts = []Account{c.Account}
		c.Account.validate(l.uses, &l.complaints)
		return nil
	}
	l.warn(entries != nil && c.Account.AppID != "", "appid", "has no effect, since %s lists accounts: name one of them with --account", path)
	for i, entry := range entries {
		in := func(key string) origin { return origin{"file", fmt.Sprintf("%s: accounts[%d].%s", path, i, key)} }
		origins := maps.Clone(l.origins)
		typed := maps.Clone(common)
		own := l.read(l.references(entry, in, origins), origins, typed)
		if entry["appid"] == "" {
			l.faults = append(l.faults, fmt.Errorf("%s is missing", in("appid").label))
			typed["appid"] = ""
		}
		var a Account
		if err := unmarshal(typed, &a); err != nil {
			return err
		}
		found := &complaints{label: func(name string) string { return origins[name].label }}
		a.validate(l.uses, found)
		l.faults, l.warnings = append(l.faults, found.faults...), append(l.warnings, found.warnings...)
		c.Accounts, c.AccountRows = append(c.Accounts, a), append(c.AccountRows, AccountRows{a.AppID, own})
	}
	return nil
}

// read parses the texts of settings into typed, and returns the rows to print.
func (l *loader) read(texts map[string]any, origins map[string]origin, typed map[string]any) (rows []Row) {
	for _, s := range table() {
		if text, ok := texts[s.Name].(string); ok {
			from := origins[s.Name]
			text = l.readOne(s, text, from, typed)
			rows = append(rows, Row{s.Name, redact(s, text), from.layer, s.Env(), s.Usage, from.label})
		}
	}
	return rows
}

// readOne returns the text with its reference followed. After a fault the
// setting is empty.
func (l *loader) readOne(s Setting, text string, from origin, typed map[string]any) string {
	typed[s.Name] = reflect.Zero(s.Type).Interface()
	if s.Secret() {
		if s.Group&l.uses == 0 {
			return ""
		}
		var err error
		if text, err = l.follow(text); err != nil {
			l.faults = append(l.faults, fmt.Errorf("%s: %w", from.label, err))
			return ""
		}
	}
	value, err := s.parse(text)
	shape := text
	if s.Rule == "apikeys" || s.Rule == "sealkeys" {
		shape = strings.ReplaceAll(text, "\n", ",") // a file may have one a line
	}
	if trap := traps(shape); trap != "" {
		err = errors.New(trap)
	} else if err != nil && strings.Contains(text, " #") {
		err = fmt.Errorf("%w; a comment behind a value is read as part of it: remove it from the # on", err)
	}
	if err != nil {
		l.faults = append(l.faults, fmt.Errorf("%s: %w", from.label, err))
		return text
	}
	if from.label == "--redis-url" && holdsPassword(text) {
		l.faults = append(l.faults, errors.New("--redis-url: holds a password, which every user of this machine reads in its list of processes: "+
			"set WXNOTIFY_REDIS_URL, or name a file by --redis-url-file or WXNOTIFY_REDIS_URL_FILE"))
	}
	typed[s.Name] = value
	return text
}

// noteFile notes where a secret stands, also one that another layer overrides.
func (l *loader) noteFile(s Setting, text string, from origin) {
	path, isFile := strings.CutPrefix(text, "file:")
	switch {
	case !s.Secret():
	case isFile:
		l.files = append(l.files, File{path, s.Name})
	case text == "" || from.layer != "file" || strings.HasPrefix(text, "env:"):
	case s.Name != "redis_url" || holdsPassword(text):
		l.inFile = append(l.inFile, s.Name)
	}
}

// readFiles lists the files that settings come from; path is the configuration file.
func (l *loader) readFiles(path string, c *Config) []File {
	files := l.files
	if path != "" {
		files = append([]File{{path, strings.Join(slices.Compact(l.inFile), ", ")}}, files...)
	}
	if c.Redis.Key != "" {
		files = append(files, File{c.Redis.Key, "redis_key_file"})
	}
	return files
}

// holdsPassword reports whether the URL of a Redis may hold a password, also a
// malformed one: before the last @, or in a parameter such as sentinel_password.
func holdsPassword(url string) bool {
	rest := url
	if _, after, ok := strings.Cut(url, "://"); ok {
		rest = after
	}
	_, parameters, _ := strings.Cut(rest, "?")
	return strings.Contains(rest[:max(strings.LastIndex(rest, "@"), 0)], ":") || strings.Contains(strings.ToLower(parameters), "pass")
}

// follow reads what a secret's file: or env: reference names. The line end that
// editors put behind the last line of a file is no part of the secret.
func (l *loader) follow(text string) (string, error) {
	if path, ok := strings.CutPrefix(text, "file:"); ok {
		content, err := textfile.Read(path)
		secret := strings.TrimRight(string(content), "\r\n")
		switch {
		case errors.Is(err, fs.ErrNotExist) && !filepath.IsAbs(path): // the secret itself may stand there
			return "", fmt.Errorf("there is no file of that name, a text of %d bytes: name a file, from / on; the secret itself is set without _FILE (or file:)", len(path))
		case err != nil:
			return "", err
		case secret == "" && path != os.DevNull:
			return "", errors.New("the file is empty, the secret is missing: write it into the file")
		}
		return secret, nil
	}
	if name, ok := strings.CutPrefix(text, "env:"); ok {
		if l.env[name] == "" {
			return "", fmt.Errorf("the environment variable %s is not set", name)
		}
		return l.env[name], nil
	}
	return text, nil
}

// traps names what editors, shells and env files leave around a value; empty:
// nothing.
func traps(text string) string {
	var found []string
	add := func(bad bool, what string) {
		if bad {
			found = append(found, what)
		}
	}
	text, bom := strings.CutPrefix(text, "\ufeff")
	add(bom, "starts with a byte order mark (BOM): save the file as UTF-8 without one")
	rest := strings.TrimRight(text, "\r\n")
	add(strings.HasSuffix(text, "\n"), "ends with a line break: write it with printf, not echo")
	add(strings.Contains(text, "\r"), "holds a carriage return (CR): the file has the line ends of Windows")
	add(strings.Contains(rest, "\n"), "holds a line break: it has more than one line")
	add(strings.ContainsFunc(rest, func(r rune) bool { return unicode.IsControl(r) && !strings.ContainsRune("\r\n\t", r) }), "holds a control character: copy it anew")
	add(!utf8.ValidString(text), "is not UTF-8: convert it to UTF-8")
	first, _ := utf8.DecodeRuneInString(rest)
	last, size := utf8.DecodeLastRuneInString(rest)
	add(blank(first), "starts with a blank")
	add(len(rest) > size && blank(last), "ends with a blank")
	add(strings.ContainsRune("\"'“”‘’`", first) || strings.ContainsRune("\"'“”‘’`", last),
		"has a quote at its start or end: many readers of env files keep it as part of the value, remove it")
	return strings.Join(found, "; it ")
}

// blank reports spaces of any kind, also those of no width.
func blank(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) }

// readFile splits the file into common settings and the accounts list; without
// a list, entries is nil.
func (l *loader) readFile(path string) (common map[string]string, entries []map[string]string) {
	if path == "" {
		return nil, nil
	}
	tree, err := parseFile(path)
	if err != nil {
		l.faults = append(l.faults, err)
		return nil, nil
	}
	list, ok := tree["accounts"].([]any)
	if tree["accounts"] != nil && !ok {
		l.faults = append(l.faults, fmt.Errorf("%s: accounts: must be a list", path))
	}
	delete(tree, "accounts")
	for i, item := range list {
		fields, ok := item.(map[string]any)
		if !ok {
			l.faults = append(l.faults, fmt.Errorf("%s: accounts[%d]: must hold settings such as appid", path, i))
		}
		entries = append(entries, l.texts(fields, fmt.Sprintf("%s: accounts[%d].", path, i), true))
	}
	return l.texts(tree, path+": ", false), entries
}

func parseFile(path string) (map[string]any, error) {
	text, err := textfile.Read(path)
	if err != nil {
		return nil, fmt.Errorf("the configuration file cannot be read: %w", err)
	}
	tree, err := yaml.Parser().Unmarshal(bytes.TrimPrefix(text, []byte("\ufeff")))
	switch {
	case err == nil:
		return tree, nil
	case strings.Contains(err.Error(), "cannot unmarshal"): // it would show the text
		return nil, fmt.Errorf("%s: must hold settings, one a line, such as `appid: wx0123456789abcdef`", path)
	case !utf8.Valid(text) && !bytes.HasPrefix(text, []byte("\xFF\xFE")) && !bytes.HasPrefix(text, []byte("\xFE\xFF")): // YAML may be UTF-16
		return nil, fmt.Errorf("%s is not UTF-8: save it as UTF-8, not as GBK or ANSI", path)
	case bytes.Contains(text, []byte("\t")):
		return nil, fmt.Errorf("%s is not YAML: %w; it holds a tab, and YAML is indented by spaces", path, err)
	default:
		return nil, fmt.Errorf("%s is not YAML: %w", path, err)
	}
}

// texts makes text of the values of settings.
func (l *loader) texts(fields map[string]any, at string, inAccount bool) map[string]string {
	known := keys(inAccount)
	out := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		s, ok := known[name]
		if !ok {
			l.faults = append(l.faults, fmt.Errorf("%s%s: no such setting here, the nearest is %s", at, name, usage.Nearest(name, maps.Keys(known))))
			continue
		}
		text, err := scalar(s, fields[name])
		if err != nil {
			l.faults = append(l.faults, fmt.Errorf("%s%s: %w", at, name, err))
		} else if text != "" {
			out[name] = text
		}
	}
	return out
}

// scalar is the text of a YAML value. What YAML read as a number may have lost
// digits, so that text must be text.
func scalar(s Setting, v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case time.Time:
		return v.Format(time.RFC3339), nil
	case []any:
		if s.Type.Kind() != reflect.Slice {
			return "", errors.New("must be one value, not a list")
		}
		var parts []string
		for _, one := range v {
			parts = append(parts, fmt.Sprint(one))
		}
		return strings.Join(parts, ","), nil
	case map[string]any:
		return "", errors.New("must be one value, not a table")
	}
	if s.Secret() || s.Type.Kind() == reflect.String && s.Rule == "" {
		return "", errors.New("must be text: put it in quotes, YAML reads it as something else")
	}
	if f, ok := v.(float64); ok {
		return strconv.FormatFloat(f, 'f', -1, 64), nil
	}
	return fmt.Sprint(v), nil
}

// unknownVariables warns of WXNOTIFY_ variables that are no setting. Those that
// Kubernetes sets for a Service named wxnotify are left out.
func (l *loader) unknownVariables() {
	known := map[string]bool{"WXNOTIFY_CONFIG": true, "WXNOTIFY_LANG": true}
	for key := range keys(false) {
		known[variable(key)] = true
	}
	for _, name := range slices.Sorted(maps.Keys(l.env)) {
		if !strings.HasPrefix(name, "WXNOTIFY_") || known[name] || l.referred[name] || serviceLink(name, l.env[name]) {
			continue
		}
		if base, isFile := strings.CutSuffix(name, "_FILE"); isFile && known[base] {
			l.warnings = append(l.warnings, fmt.Sprintf("%s: has no effect, only secrets are read from a file: set %s", name, base))
			continue
		}
		l.warnings = append(l.warnings, fmt.Sprintf("%s: has no effect, it is no setting; the nearest is %s", name, usage.Nearest(name, maps.Keys(known))))
	}
}

func serviceLink(name, value string) bool {
	return strings.Contains(value, "://") && strings.Contains(name, "_PORT") ||
		strings.Contains(name, "_SERVICE_HOST") || strings.Contains(name, "_SERVICE_PORT") ||
		strings.Contains(name, "_TCP_") || strings.Contains(name, "_UDP_")
}
