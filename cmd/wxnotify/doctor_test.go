package main

import (
	"encoding/json"
	"maps"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/doctor"
	"github.com/wxnotify/wxnotify/internal/heartbeat"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

const (
	doctorToken  = "CanaryTokenCanary7f3a"
	doctorAESKey = "CanaryAESKeyx0123456789abcdefghijklmnopqrst"
	doctorRedis  = "CanaryRedisx5b8e"
	doctorLogin  = "ops:CanaryPasswordx91"
	doctorEnroll = "CanaryEnrollKeyx8d1f7a2c9b3e4f5a6d7c8b9e0f1a2b3"
)

// clinic is an installation to break: a redis-server with a user that has the documented
// rights, a simulated WeChat, and a worker that has reported.
type clinic struct {
	t      *testing.T
	server *redistest.Server
	rdb    *redis.Client // of the user default
	wechat *wechattest.Platform
	env    map[string]string
	args   []string // of doctor
}

func newClinic(t *testing.T) *clinic {
	t.Helper()
	c := &clinic{
		t:      t,
		server: redistest.Start(t, append(redistest.AOF(), "--requirepass", doctorRedis)...), wechat: wechattest.New(wechattest.Config{}),
	}
	t.Cleanup(c.wechat.Close)
	platform := httptest.NewServer(c.wechat)
	t.Cleanup(platform.Close)
	c.rdb = redis.NewClient(&redis.Options{Addr: c.server.Addr, Protocol: 2, Password: doctorRedis})
	t.Cleanup(func() { _ = c.rdb.Close() })
	c.user("strict", redistest.Rights(t, doctorRedis)...)
	c.env = map[string]string{
		"WXNOTIFY_REDIS_URL": c.url("strict"), "WXNOTIFY_APPID": wechattest.AppID, "WXNOTIFY_APPSECRET": wechattest.AppSecret,
		"WXNOTIFY_WECHAT_BASE_URL": platform.URL, "WXNOTIFY_WECHAT_AUTHORIZE_URL": platform.URL + "/connect/oauth2/authorize",
		"WXNOTIFY_PUBLIC_URL": "http://127.0.0.1:8080", "WXNOTIFY_ENROLL_KEY": doctorEnroll,
		"WXNOTIFY_CALLBACK_TOKEN": doctorToken, "WXNOTIFY_ENCODING_AES_KEY": doctorAESKey, "WXNOTIFY_OPS_LOGIN": doctorLogin,
	}
	c.worker(wechattest.AppID, nil)
	return c
}

// user makes a user of Redis.
func (c *clinic) user(name string, rights ...string) {
	c.t.Helper()
	line := []any{"acl", "setuser", name}
	for _, right := range rights {
		line = append(line, right)
	}
	if err := c.rdb.Do(c.t.Context(), line...).Err(); err != nil {
		c.t.Fatal(err)
	}
}

func (c *clinic) url(user string) string {
	return "redis://" + user + ":" + doctorRedis + "@" + c.server.Addr + "/0"
}

// worker reports a worker of the account.
func (c *clinic) worker(appid string, suspended *heartbeat.Suspension) {
	c.t.Helper()
	r := heartbeat.NewReporter(c.rdb, appid, heartbeat.Worker{ID: "w-" + strconv.FormatBool(suspended != nil), Host: "host-of-worker", Version: "v1"})
	if _, err := r.Beat(c.t.Context(), suspended); err != nil {
		c.t.Fatal(err)
	}
}

func (c *clinic) set(name, value string) { c.env[name] = value }

// config sets a parameter of redis-server.
func (c *clinic) config(name, value string) {
	c.t.Helper()
	if err := c.rdb.ConfigSet(c.t.Context(), name, value).Err(); err != nil {
		c.t.Fatal(err)
	}
}

// command runs another command of wxnotify.
func (c *clinic) command(args ...string) {
	c.t.Helper()
	if r := inProcess(c.t, c.env, args...); r.code != 0 {
		c.t.Fatalf("wxnotify %s: exit %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
}

func (c *clinic) gate(p ratelimit.Pause) {
	c.t.Helper()
	g, err := ratelimit.New(c.rdb, ratelimit.Config{Key: "wxn:{" + wechattest.AppID + "}:", Rate: 50, DailyQuota: 100000, Owner: "test"})
	if err != nil {
		c.t.Fatal(err)
	}
	if err := g.Close(c.t.Context(), p); err != nil {
		c.t.Fatal(err)
	}
}

// examine runs doctor and checks what holds for every report: the exit code fits, no
// secret is shown, each text exists in both languages.
func (c *clinic) examine() doctor.Report {
	c.t.Helper()
	var reports [2]doctor.Report
	for i, lang := range []string{"en", "zh"} {
		r := inProcess(c.t, c.env, append([]string{"doctor", "--output", "json", "--lang", lang}, c.args...)...)
		if err := json.Unmarshal([]byte(r.stdout), &reports[i]); err != nil {
			c.t.Fatalf("exit %d, %v\n%s%s", r.code, err, r.stdout, r.stderr)
		}
		if want := map[bool]int{true: exitDone, false: exitFailed}[reports[i].OK]; r.code != want {
			c.t.Errorf("exit %d, want %d", r.code, want)
		}
		for _, secret := range []string{"Canary", wechattest.AppSecret, "of-the-reader"} {
			if strings.Contains(r.stdout+r.stderr, secret) {
				c.t.Errorf("shows the secret %s:\n%s%s", secret, r.stdout, r.stderr)
			}
		}
	}
	for _, f := range reports[0].Findings {
		if f.What == "" || f.Why == "" || f.Remedy == "" || strings.ContainsAny(f.What+f.Why+f.Remedy, "{}") {
			c.t.Errorf("a text is missing or not filled in: %+v", f)
		}
	}
	for _, f := range reports[1].Findings {
		if f.Code != "redis-refused" && !hasHan(f.Why) {
			c.t.Errorf("not in Chinese: %+v", f)
		}
	}
	return reports[0]
}

// TestDoctorOfAHealthyInstallation finds nothing.
func TestDoctorOfAHealthyInstallation(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	report := c.examine()
	if !report.OK || len(report.Findings) > 0 {
		t.Errorf("findings of a healthy installation: %+v", report.Findings)
	}
	for _, check := range report.Checks {
		if check.Outcome != doctor.Passed && !strings.Contains(check.Detail, "--public") {
			t.Errorf("%s %s: %s (%s)", check.Check, check.Account, check.Outcome, check.Detail)
		}
	}
	if denied, err := c.rdb.ACLLog(t.Context(), 10).Result(); err != nil || len(denied) > 0 {
		t.Errorf("doctor needs rights that docs/redis.md does not name: %+v, %v", denied, err)
	}
	r := inProcess(t, c.env, "doctor")
	if r.code != 0 || !strings.Contains(r.stdout, "0 fatal, 0 warnings") {
		t.Errorf("exit %d\n%s", r.code, r.stdout)
	}
}

// breakage is one way to break an installation, and the finding that names it.
type breakage struct {
	ruin func(c *clinic)
	code doctor.Code
	says string // part of What or Remedy
}

func (b breakage) run(t *testing.T) {
	t.Helper()
	c := newClinic(t)
	b.ruin(c)
	report := c.examine()
	found := slices.IndexFunc(report.Findings, func(f doctor.Finding) bool {
		return f.Code == b.code && strings.Contains(f.What+"\n"+f.Remedy, b.says)
	})
	if found < 0 {
		t.Fatalf("no finding %s that says %q: %+v", b.code, b.says, report)
	}
	if fatal := doctor.SeverityOf(b.code) == doctor.Fatal; fatal && report.OK {
		t.Errorf("a fatal finding, and the report is OK")
	}
	// What does not depend on the broken part was asked all the same.
	if asked := slices.ContainsFunc(report.Checks, func(r doctor.Result) bool { return r.Outcome == doctor.Passed }); !asked {
		t.Errorf("nothing else was asked: %+v", report.Checks)
	}
}

// variableIs breaks by one variable.
func variableIs(name, value string) func(*clinic) {
	return func(c *clinic) { c.set(name, value) }
}

func redisIs(name, value string) func(*clinic) {
	return func(c *clinic) { c.config(name, value) }
}

func accountIs(change func(*wechattest.Account)) func(*clinic) {
	return func(c *clinic) { change(c.wechat.Accounts()[0]) }
}

// TestDoctorNamesBrokenSettings and files.
func TestDoctorNamesBrokenSettings(t *testing.T) {
	t.Parallel()
	for name, b := range map[string]breakage{
		"a wrong value":        {variableIs("WXNOTIFY_RATE", "much"), "setting-fault", `WXNOTIFY_RATE: "much" is not a number`},
		"two wrong values":     {func(c *clinic) { c.set("WXNOTIFY_RATE", "x"); c.set("WXNOTIFY_BIND", "y") }, "setting-fault", `WXNOTIFY_BIND: "y"`},
		"an unknown setting":   {variableIs("WXNOTIFY_RAET", "5"), "setting-warning", "WXNOTIFY_RAET: has no effect, it is no setting; the nearest is WXNOTIFY_RATE"},
		"no account":           {func(c *clinic) { delete(c.env, "WXNOTIFY_APPID") }, "no-account", "wxnotify init"},
		"no AppSecret":         {func(c *clinic) { delete(c.env, "WXNOTIFY_APPSECRET") }, "appsecret-missing", "WXNOTIFY_APPSECRET_FILE"},
		"a file that is gone":  {variableIs("WXNOTIFY_CONFIG", "/no/such.yaml"), "setting-fault", "/no/such.yaml"},
		"a malformed Redis":    {variableIs("WXNOTIFY_REDIS_URL", "mysql://of-the-reader@h"), "setting-fault", "redis-sentinel"},
		"an http public URL":   {variableIs("WXNOTIFY_PUBLIC_URL", "http://notify.example.com"), "setting-warning", "WXNOTIFY_PUBLIC_URL: is http:// and not on this machine"},
		"no public URL":        {func(c *clinic) { delete(c.env, "WXNOTIFY_PUBLIC_URL") }, "links-missing", "WXNOTIFY_PUBLIC_URL is not set"},
		"no callback":          {func(c *clinic) { delete(c.env, "WXNOTIFY_CALLBACK_TOKEN") }, "callback-missing", "消息推送配置"},
		"a key of wrong form":  {variableIs("WXNOTIFY_ENCODING_AES_KEY", "Canary"), "setting-fault", "43 letters or digits"},
		"no verification file": {func(c *clinic) { c.set("WXNOTIFY_VERIFY_FILES", c.t.TempDir()) }, "setting-fault", "WXNOTIFY_VERIFY_FILES"},
		"a secret for all": {func(c *clinic) {
			path := testutil.File(c.t, "appsecret", wechattest.AppSecret)
			chmod(c.t, path, 0o644)
			delete(c.env, "WXNOTIFY_APPSECRET")
			c.set("WXNOTIFY_APPSECRET_FILE", path)
		}, "file-readable", "appsecret (mode 0644)"},
		"a configuration for all": {func(c *clinic) {
			path := testutil.File(c.t, "wxnotify.yaml", "ops_login: \""+doctorLogin+"\"\nenroll_key: env:WXNOTIFY_ENROLL_KEY\n")
			chmod(c.t, path, 0o604)
			c.set("WXNOTIFY_CONFIG", path)
		}, "file-readable", "holds ops_login (mode 0604)"},
		"a configuration that others change": {func(c *clinic) {
			path := testutil.File(c.t, "wxnotify.yaml", "rate: 5\n")
			chmod(c.t, path, 0o646)
			c.set("WXNOTIFY_CONFIG", path)
		}, "file-writable", "mode 0646"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b.run(t)
		})
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// TestDoctorNamesABrokenRedis of a real redis-server.
func TestDoctorNamesABrokenRedis(t *testing.T) {
	t.Parallel()
	wrongPassword := func(c *clinic) {
		c.set("WXNOTIFY_REDIS_URL", "redis://reader:of-the-reader@"+c.server.Addr+"/0")
	}
	lessRights := func(c *clinic) {
		c.user("less", "on", ">"+doctorRedis, "+@all", "-evalsha", "~*", "&*")
		c.set("WXNOTIFY_REDIS_URL", c.url("less"))
	}
	noInfo := func(c *clinic) {
		c.user("mute", "on", ">"+doctorRedis, "+@all", "-info", "~*", "&*")
		c.set("WXNOTIFY_REDIS_URL", c.url("mute"))
	}
	clock := func(c *clinic) {
		c.set("WXNOTIFY_REDIS_URL", strings.Replace(c.url("strict"), c.server.Addr, lateClock(c.t, c.server.Addr), 1))
	}
	for name, b := range map[string]breakage{
		"not running":                {func(c *clinic) { c.server.Kill() }, "redis-refused", "start it"},
		"wrong password":             {wrongPassword, "redis-refused", "refuses the user or the password"},
		"missing rights":             {lessRights, "redis-refused", "+evalsha"},
		"without INFO":               {noInfo, "redis-silent", "ACL SETUSER mute +info"},
		"no persistence":             {redisIs("appendonly", "no"), "redis-forgets", "CONFIG SET appendonly yes"},
		"evicting":                   {redisIs("maxmemory-policy", "allkeys-lru"), "redis-evicts", "allkeys-lru"},
		"full":                       {redisIs("maxmemory", "1mb"), "redis-full", "maxmemory"},
		"too small":                  {redisIs("maxmemory", "30mb"), "redis-small", "100000 more today"},
		"no replica":                 {redisIs("min-replicas-to-write", "1"), "redis-refuses-writes", "NOREPLICAS"},
		"default without a password": {func(c *clinic) { c.config("requirepass", "") }, "redis-any-password", "requirepass"},
		"clock":                      {clock, "redis-clock", "ahead of Redis'"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b.run(t)
		})
	}
}

// TestDoctorNamesWhatWeChatRefuses.
func TestDoctorNamesWhatWeChatRefuses(t *testing.T) {
	t.Parallel()
	for name, b := range map[string]breakage{
		"wrong AppSecret":  {variableIs("WXNOTIFY_APPSECRET", "fedcba9876543210fedcba9876543211"), "appsecret-wrong", "AppSecret"},
		"wrong appid":      {variableIs("WXNOTIFY_APPID", "wx00000000000000ff"), "appid-wrong", "40013"},
		"address":          {accountIs(func(a *wechattest.Account) { a.SetAllowedIPs("203.0.113.7") }), "ip-not-listed", "127.0.0.1"},
		"address of calls": {accountIs(func(a *wechattest.Account) { a.SetAllowedIPs("203.0.113.7"); a.SetIPCheck(wechattest.IPCheckAll) }), "ip-not-listed", "白名单"},
		"frozen":           {accountIs(func(a *wechattest.Account) { a.FreezeTokens(50007) }), "wechat-refuses", "50007"},
		"unreachable":      {variableIs("WXNOTIFY_WECHAT_BASE_URL", "http://127.0.0.1:1"), "wechat-unreachable", "refused"},
		"quota used up":    {accountIs(func(a *wechattest.Account) { a.SetUsed(100_000) }), "quota-used-up", "100000 of 100000"},
		"smaller quota":    {accountIs(func(a *wechattest.Account) { a.SetDailyQuota(500) }), "quota-setting", "WeChat's limit is 500"},
		"no templates": {accountIs(func(a *wechattest.Account) {
			for _, t := range a.Templates() {
				a.DeleteTemplate(t.ID)
			}
		}), "templates-none", "模板消息"},
		"a template that is gone": {func(c *clinic) {
			c.command(sendArgs("waits")...)
			c.wechat.Accounts()[0].DeleteTemplate(wechattest.TemplateOrderPaid)
		}, "template-unknown", wechattest.TemplateOrderPaid + ", which 1 waiting messages name"},
		"a template that was named": {func(c *clinic) { c.args = []string{"--template", "no-such-template"} }, "template-unknown", "no-such-template"},
		"no quota interface": {func(c *clinic) {
			c.wechat.Script(wechattest.Errcode(48001).On("/cgi-bin/openapi/quota/get").Forever())
		}, "wechat-not-told", "48001"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b.run(t)
		})
	}
}

// TestDoctorTellsOneAccountFromAnother: one is broken, the other is not.
func TestDoctorTellsOneAccountFromAnother(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	broken := "wx00000000000000ff"
	c.worker(broken, nil)
	common := maps.Clone(c.env)
	for _, name := range []string{"APPID", "APPSECRET"} {
		delete(c.env, "WXNOTIFY_"+name)
	}
	c.set("GOOD", common["WXNOTIFY_APPSECRET"])
	c.set("WXNOTIFY_CONFIG", testutil.File(t, "wxnotify.yaml", "accounts:\n- {appid: "+wechattest.AppID+", appsecret: 'env:GOOD'}\n- {appid: "+broken+", appsecret: 'env:GOOD'}\n"))
	report := c.examine()
	if len(report.Findings) != 1 || report.Findings[0].Code != "appid-wrong" || report.Findings[0].Account != broken {
		t.Errorf("%+v", report.Findings)
	}
	c.args = []string{"--account", wechattest.AppID}
	if report := c.examine(); len(report.Findings) > 0 {
		t.Errorf("--account: %+v", report.Findings)
	}
	if r := inProcess(t, c.env, "doctor", "--account", "wxother"); r.code != exitUsage || !strings.Contains(r.stderr, "no account wxother") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
}

func TestDoctorUsage(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"--public: is not an http:// or https:// address": {"doctor", "--public", "notify.example.com"},
		"--output": {"doctor", "--output", "xml"},
	} {
		if r := inProcess(t, nil, args...); r.code != exitUsage || !strings.Contains(r.stderr, want) {
			t.Errorf("%v: exit %d, %s", args, r.code, r.stderr)
		}
	}
}
