package main

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

const previousAppID = "wxsim000000000old"

// movein is a Redis with few rights and a platform with two accounts.
type movein struct {
	world
	platform *wechattest.Platform
}

func newMovein(t *testing.T, latency time.Duration) *movein {
	t.Helper()
	m := &movein{platform: wechattest.New(wechattest.Config{Strangers: true, Latency: latency, Accounts: []wechattest.AccountConfig{
		{AppID: wechattest.AppID, OpenIDPrefix: "oN"}, {AppID: previousAppID, OpenIDPrefix: "oP"},
	}})}
	t.Cleanup(m.platform.Close)
	server := httptest.NewServer(m.platform)
	t.Cleanup(server.Close)
	m.base = server.URL
	m.env = map[string]string{
		"WXNOTIFY_REDIS_URL": redistest.Start(t).UserURL(t), "WXNOTIFY_APPID": wechattest.AppID, "WXNOTIFY_APPSECRET": wechattest.AppSecret,
		"WXNOTIFY_WECHAT_BASE_URL": m.base, "WXNOTIFY_OPS_ADDR": "-",
	}
	return m
}

// file writes a file of the test.
func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "users.csv")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestEnrollImportTellsEachLineAndGoesOn(t *testing.T) {
	t.Parallel()
	m := newMovein(t, 0)
	m.platform.Account(wechattest.AppID).Follow("oN-follower-0000000001")
	users := file(t, "\ufeffuser,openid\r\n"+
		"patient-1,oN-follower-0000000001\r\n"+
		"patient-2,oN-left-000000000000001\r\n"+
		"patient-3,oP-foreign-00000000001\r\n"+
		"1.38E+10,oN-follower-0000000002\r\n"+
		"patient 5,\r\n")
	r := inProcess(t, m.env, "enroll", "import", users, "--check")
	want := []string{
		"line 2\toN-f…01\tbound",
		"line 3\toN-l…01\tbound, does not follow the account",
		"line 4\toP-f…01\tnot-of-this-account: WeChat does not know this openid in this account",
		"line 5\toN-f…02\trefused: user is a number that a spreadsheet has rounded",
		"line 6\t-\trefused: user ",
	}
	got := lines(r.stdout)
	for i, w := range want {
		if len(got) != len(want) || !strings.HasPrefix(got[i], w) {
			t.Fatalf("got\n%s\nwant\n%s", r.stdout, strings.Join(want, "\n"))
		}
	}
	if r.code != exitFailed || !strings.Contains(r.stderr, "lines 5; bound 2, unchanged 0, refused 3; not following 1") {
		t.Errorf("exit %d, %s", r.code, r.stderr)
	}
	again := inProcess(t, m.env, "enroll", "import", users, "--check", "-o", "json")
	var first struct {
		Line   int
		User   string
		OpenID string
		Result enroll.Bound
	}
	if err := json.Unmarshal([]byte(lines(again.stdout)[0]), &first); err != nil || first.Line != 2 || first.Result != enroll.BoundBefore || first.User != "patient-1" {
		t.Errorf("%s %v", again.stdout, err)
	}
	if strings.Contains(again.stdout+r.stdout, "oN-follower-0000000001") {
		t.Error("an openid is printed whole")
	}
}

func TestEnrollImportRefusesWrongFiles(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"no file":          {[]string{"/nonexistent/users.csv"}, "no such file"},
		"no argument":      {nil, "wrong number of arguments"},
		"unknown encoding": {[]string{file(t, "u,o\n"), "--encoding", "latin1"}, "--encoding: \"latin1\" is not one of"},
		"semicolons":       {[]string{file(t, "user;openid\n")}, "users.csv is separated by ';'"},
		"unknown column":   {[]string{file(t, "user,openid,phone\n")}, `the column "phone"`},
		"nothing":          {[]string{"-"}, "standard input has no lines"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := map[string]string{"WXNOTIFY_APPID": wechattest.AppID, "WXNOTIFY_REDIS_URL": "redis://127.0.0.1:1/0"}
			r := inProcess(t, env, append([]string{"enroll", "import"}, tt.args...)...)
			if r.code != exitUsage || !strings.Contains(r.stderr, tt.want) {
				t.Errorf("exit %d, %s; want %q", r.code, r.stderr, tt.want)
			}
		})
	}
}

func TestEnrollSyncMarksAndGoesOnAfterTheQuota(t *testing.T) {
	t.Parallel()
	m := newMovein(t, 0)
	a := m.platform.Account(wechattest.AppID)
	a.Follow("oN-follower-0000000001")
	m.run(t, "enroll", "import", file(t, "u1,oN-follower-0000000001\nu2,oN-left-000000000000001\n"))
	m.platform.Script(wechattest.Errcode(45009).On("/cgi-bin/user/get"))
	if r := inProcess(t, m.env, "enroll", "sync"); r.code != exitFailed || !strings.Contains(r.stderr, "run the same command again tomorrow") {
		t.Errorf("exit %d, %s", r.code, r.stderr)
	}
	var done enroll.Synced
	if err := json.Unmarshal([]byte(m.run(t, "enroll", "sync", "-o", "json")), &done); err != nil {
		t.Fatal(err)
	}
	if want := (enroll.Synced{Total: 1, Listed: 1, Bound: 1, Joined: 1, Left: 1}); done != want {
		t.Errorf("%+v, want %+v", done, want)
	}
	text := m.run(t, "enroll", "list")
	if !strings.Contains(text, "u1\toN-f…01") || !strings.Contains(text, "does not follow") {
		t.Errorf("%s", text)
	}
	if text := m.run(t, "enroll", "sync", "--lang", "zh"); !strings.Contains(text, "关注者") {
		t.Errorf("%s", text)
	}
}

// Killed in the middle, and run again.
func TestEnrollMigrateGoesOnAfterSIGKILL(t *testing.T) {
	t.Parallel()
	m := newMovein(t, 200*time.Millisecond)
	const users = 500
	var csv strings.Builder
	for i := range users {
		openid := fmt.Sprintf("oP-follower-%04d", i)
		m.platform.Account(previousAppID).Follow(openid)
		fmt.Fprintf(&csv, "u%04d,%s\n", i, openid)
	}
	csv.WriteString("left,oP-left-0001\n")
	m.run(t, "enroll", "import", file(t, csv.String()), "--appid", previousAppID)

	early := inProcess(t, m.env, "enroll", "migrate", "--from", previousAppID)
	if early.code != exitFailed || !strings.Contains(early.stderr, "63178") || !strings.Contains(early.stderr, "--from-id gh_") {
		t.Errorf("before the migration: exit %d, %s", early.code, early.stderr)
	}
	m.platform.Account(wechattest.AppID).MigrateFrom(previousAppID)
	p := start(t, m.env, "enroll", "migrate", "--from", previousAppID)
	p.says(t, "u0150\t")
	p.kill()

	r := inProcess(t, m.env, "enroll", "migrate", "--from", previousAppID)
	if r.code != exitDone || !strings.Contains(r.stderr, "not converted 1, refused 0") || !strings.Contains(r.stdout, "left\toP-l…01\t-\tnot-converted: ori_openid error") {
		t.Errorf("exit %d, %s", r.code, r.stderr)
	}
	bound := lines(m.run(t, "enroll", "export"))
	seen := map[string]bool{}
	for _, line := range bound {
		var b bindingView
		if err := json.Unmarshal([]byte(line), &b); err != nil || !strings.HasPrefix(b.OpenID, "oN") || seen[b.User] || b.How != enroll.ByMigration {
			t.Errorf("%s %v", line, err)
		}
		seen[b.User] = true
	}
	if len(bound) != users {
		t.Errorf("%d of %d users are on the roster", len(bound), users)
	}
	if n := len(lines(m.run(t, "suppress", "list"))); n != users {
		t.Errorf("%d of %d old openids are suppressed", n, users)
	}
	if rest := lines(m.run(t, "enroll", "list", "--appid", previousAppID)); len(rest) != 1 {
		t.Errorf("on the previous roster: %v", rest)
	}
}

func TestEnrollMigrateNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	m := newMovein(t, 0)
	for name, tt := range map[string]struct {
		args []string
		want string
		code int
	}{
		"no account":      {nil, "--from is missing", exitUsage},
		"no appid":        {[]string{"--from", "a b"}, "--from: \"a b\" is not an appid", exitUsage},
		"no id":           {[]string{"--from", previousAppID, "--from-id", "原"}, "--from-id:", exitUsage},
		"the same":        {[]string{"--from", wechattest.AppID}, "--from: is this account itself", exitUsage},
		"an empty roster": {[]string{"--from", previousAppID}, "the roster of wxsim000000000old is empty", exitFailed},
	} {
		t.Run(name, func(t *testing.T) {
			r := inProcess(t, m.env, append([]string{"enroll", "migrate"}, tt.args...)...)
			if r.code != tt.code || !strings.Contains(r.stderr, tt.want) {
				t.Errorf("exit %d, %s; want %q", r.code, r.stderr, tt.want)
			}
		})
	}
}
