package main

import (
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/redistest"
)

// TestWrongUsage: one clear sentence with the remedy, the contract's exit code,
// no stack trace.
func TestWrongUsage(t *testing.T) {
	t.Parallel()
	account := map[string]string{"WXNOTIFY_APPID": "wxa"}
	servable := map[string]string{
		"WXNOTIFY_APPID": "wxa", "WXNOTIFY_APPSECRET": canarySecret, "WXNOTIFY_CALLBACK_TOKEN": "q7Zk29sLmP1vXw83",
		"WXNOTIFY_REDIS_URL": redistest.Start(t).URL(),
	}
	nowhere := map[string]string{"WXNOTIFY_APPID": "wxa", "WXNOTIFY_APPSECRET": canarySecret, "WXNOTIFY_REDIS_URL": "redis://:pw-canary@127.0.0.1:1/0"}
	for name, c := range map[string]struct {
		env  map[string]string
		args []string
		code int
		want []string
	}{
		"unknown command":     {account, []string{"sned"}, 2, []string{`"sned"`, "did you mean send?", "wxnotify --help"}},
		"its flags":           {account, []string{"sned", "--to", "x"}, 2, []string{`unknown command "sned"`, "did you mean send?"}},
		"unknown subcommand":  {account, []string{"queues", "puase", "bulk"}, 2, []string{`"puase"`, "did you mean pause?", "wxnotify queues --help"}},
		"unknown flag":        {account, []string{"worker", "--rtae", "5"}, 2, []string{"--rtae", "the nearest is --rate", "--help"}},
		"unknown letter":      {account, []string{"worker", "-z"}, 2, []string{"-z", "--help"}},
		"flag without value":  {account, []string{"worker", "--rate"}, 2, []string{"--rate", "--help"}},
		"number":              {nil, []string{"demo", "--messages", "many"}, 2, []string{`--messages: "many" is not a whole number`}},
		"duration":            {account, []string{"send", "--wait-for", "2 minutes"}, 2, []string{`--wait-for: "2 minutes" is not a duration such as 10m`}},
		"missing argument":    {account, []string{"status"}, 2, []string{"write: wxnotify status ID..."}},
		"too many arguments":  {account, []string{"worker", "now"}, 2, []string{"worker takes flags alone; see `wxnotify worker --help`"}},
		"class":               {account, []string{"queues", "pause", "urgent"}, 2, []string{"urgent", "critical"}},
		"link without a key":  {account, []string{"enroll", "link", "--user", "u"}, 2, []string{"WXNOTIFY_PUBLIC_URL and WXNOTIFY_ENROLL_KEY"}},
		"public address":      {servable, []string{"enroll", "--public-addr", "192.0.2.1:8080"}, 2, []string{"--public-addr", "choose another address"}},
		"unknown output":      {account, []string{"config", "--output", "xml"}, 2, []string{"--output", "json"}},
		"no account":          {nil, []string{"status", "x"}, 2, []string{"WXNOTIFY_APPID"}},
		"no secret":           {account, []string{"worker"}, 2, []string{"WXNOTIFY_APPSECRET"}},
		"bad value":           {map[string]string{"WXNOTIFY_RATE": "much"}, []string{"config"}, 2, []string{`WXNOTIFY_RATE: "much"`}},
		"redis unreachable":   {nowhere, []string{"worker"}, 2, []string{"redis", "127.0.0.1:1"}},
		"redis url":           {map[string]string{"WXNOTIFY_APPID": "wxa", "WXNOTIFY_REDIS_URL": "mysql://x"}, []string{"status", "x"}, 2, []string{"WXNOTIFY_REDIS_URL", "redis-sentinel"}},
		"send without fields": {account, []string{"send"}, 2, []string{"--to", "--template"}},
		"send bad data":       {account, []string{"send", "--to", "o", "--template", "t", "--data", "x"}, 2, []string{"--data", "key=value"}},
		"send bad class":      {account, []string{"send", "--to", "o", "--template", "t", "--class", "urgent"}, 2, []string{"--class", "critical"}},
		"send bad time":       {account, []string{"send", "--to", "o", "--template", "t", "--not-after", "noon"}, 2, []string{"--not-after", "noon"}},
		"send beside a file":  {account, []string{"send", "--json", "-", "--to", "o", "--url", "https://h/", "--user", "u"}, 2, []string{"--to beside --json", "--url beside", "--user beside"}},
		"samples beside":      {account, []string{"send", "--samples", "1", "--id", "x", "--json", "-"}, 2, []string{"--id beside --samples", "--samples beside --json"}},
		"send waits dryly":    {account, []string{"send", "--dry-run", "--wait"}, 2, []string{"--wait beside --dry-run"}},
		"send of an empty id": {account, []string{"send", "--id", "", "--not-after", " "}, 2, []string{"--id is empty", "--not-after is empty"}},
		"encoding of flags":   {account, []string{"send", "--encoding", "gbk", "--continue-on-error", "--wait-for", "1m"}, 2, []string{"--encoding needs --json", "--continue-on-error needs --json", "--wait-for needs --wait"}},
		"data twice":          {account, []string{"send", "--to", "o", "--template", "t", "--data", "a=1", "--data", "a=2"}, 2, []string{"--data", "twice"}},
		"mini program":        {account, []string{"send", "--to", "o", "--template", "t", "--miniprogram", "foo"}, 2, []string{`--miniprogram "foo"`, "appid:path"}},
		"no path":             {account, []string{"send", "--to", "o", "--template", "t", "--miniprogram", "foo:"}, 2, []string{`--miniprogram "foo:"`, "appid:path"}},
		"no path of an appid": {account, []string{"send", "--to", "o", "--template", "t", "--miniprogram", "wx0123456789abcdef:"}, 2, []string{"or the appid alone"}},
		"file missing":        {account, []string{"send", "--json", "/no/such.json"}, 2, []string{"--json", "/no/such.json"}},
		"stream empty":        {account, []string{"send", "--json", "-"}, 2, []string{"--json: standard input has no messages"}},
		"encoding unknown":    {account, []string{"send", "--json", "-", "--encoding", "latin1"}, 2, []string{"latin1", "gb18030"}},
		"config file missing": {account, []string{"config", "--config", "/no/such.yaml"}, 2, []string{"/no/such.yaml"}},
		"send no samples":     {account, []string{"send", "--samples", "-3"}, 2, []string{"--samples", "1 or more"}},
		"redis named":         {nowhere, []string{"status", "x"}, 2, []string{"WXNOTIFY_REDIS_URL", "127.0.0.1:1"}},
		"fault over one":      {nil, []string{"simulate", "--fault-busy", "3"}, 2, []string{"--fault-busy", "0 to 1"}},
		"demo too many":       {nil, []string{"demo", "--messages", "1000000"}, 2, []string{"--messages"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := inProcess(t, c.env, c.args...)
			if r.code != c.code {
				t.Errorf("exit %d, want %d", r.code, c.code)
			}
			for _, w := range c.want {
				if !strings.Contains(r.stderr, w) {
					t.Errorf("stderr does not mention %q:\n%s", w, r.stderr)
				}
			}
			for _, never := range []string{"goroutine", "pw-canary", canarySecret, "strconv", "Config.", "Enrollment.", "main.", "arg(s)"} {
				if strings.Contains(r.stderr, never) {
					t.Errorf("stderr shows %q: a stack, a secret or a name of Go:\n%s", never, r.stderr)
				}
			}
			if r.stdout != "" {
				t.Errorf("stdout is for data, got:\n%s", r.stdout)
			}
		})
	}
}

// TestQue08PolicyIsWarnedOf: another policy than noeviction is warned of.
func TestQue08PolicyIsWarnedOf(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
	w := newWorld(t, server.URL())
	p := start(t, w.env, "worker")
	p.says(t, "worker started")
	if !strings.Contains(p.stderr.String(), "noeviction") {
		t.Errorf("no warning names noeviction:\n%s", p.stderr)
	}
	if code := p.terminate(t); code != 0 {
		t.Errorf("exit %d after SIGTERM", code)
	}
}

func TestVersionAndHelp(t *testing.T) {
	t.Parallel()
	version := inProcess(t, nil, "version")
	if version.code != 0 || !strings.HasPrefix(version.stdout, "wxnotify ") {
		t.Errorf("version: %+v", version)
	}
	if r := inProcess(t, nil, "--version"); r != version {
		t.Errorf("--version: %+v, want what version prints", r)
	}
	r := inProcess(t, nil, "--help")
	for _, code := range []string{"0 done", "1 failed", "2 wrong usage"} {
		if !strings.Contains(r.stdout, code) {
			t.Errorf("help does not document exit code %q", code)
		}
	}
	if help := inProcess(t, nil, "suppress", "add", "--help").stdout; !strings.Contains(help, "--reason string") {
		t.Errorf("help shows a quoted word as the type of --reason:\n%s", help)
	}
	for _, name := range []string{"demo", "init", "doctor", "healthcheck", "templates", "rid", "serve", "worker", "enroll", "send", "status", "cancel", "quota", "token", "suppress", "queues", "simulate", "config", "version"} {
		if !strings.Contains(r.stdout, "  "+name) {
			t.Errorf("help does not list %s:\n%s", name, r.stdout)
		}
	}
}
