package server

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
	"golang.org/x/crypto/bcrypt"

	"github.com/wxnotify/wxnotify/internal/console"
	"github.com/wxnotify/wxnotify/internal/ops"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/wiring"
)

func TestUsersFileGivesEachLoginItsRole(t *testing.T) {
	t.Parallel()
	hash, err := bcrypt.GenerateFromPassword([]byte("canary-password"), bcrypt.MinCost)
	check(t, err)
	file := filepath.Join(t.TempDir(), "users")
	read := func(text string) (map[string]console.Role, int, error) {
		t.Helper()
		check(t, os.WriteFile(file, []byte(text), 0o600))
		c, err := settings.Load("", nil, map[string]string{"appid": "wxa", "appsecret": canarySecret, "ops_login": "boss:pw", "ops_users_file": file}, settings.Everything)
		check(t, err)
		logins, byName, err := loginsOf(c)
		return byName, len(logins), err
	}
	byName, n, err := read("\ufeffli:support:" + string(hash) + "\r\n\nwang:view:" + string(hash) + "\nzhao:operate:" + string(hash) + "\nsun:admin:" + string(hash))
	check(t, err)
	for name, want := range map[string]console.Role{"boss": console.Admin, "li": console.Support, "wang": console.View, "zhao": console.Operate, "sun": console.Admin} {
		if got, known := byName[name]; !known || got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	if n != 5 {
		t.Errorf("%d logins", n)
	}
	if _, _, err := read("\xc0\xee:view:" + string(hash)); err == nil || !strings.Contains(err.Error(), "is not UTF-8: save it") {
		t.Errorf("a name in GBK: %v", err)
	}
	_, _, err = read("li\nli:root:" + string(hash) + "\nli:view:canary-password\nboss:view:" + string(hash) + "\n:view:" + string(hash))
	if err == nil {
		t.Fatal("a broken file is accepted")
	}
	for _, want := range []string{"line 1: is not name:role:hash", "line 2: the role is not one of", "line 3: the third part is not a bcrypt hash", "line 4: the name is listed twice", "line 5:"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), string(hash)) {
		t.Errorf("the error shows a password: %v", err)
	}
	check(t, os.Remove(file))
	c, err := settings.Load("", nil, map[string]string{"appid": "wxa", "appsecret": canarySecret, "ops_users_file": file}, settings.Everything)
	check(t, err)
	if _, _, err := loginsOf(c); err == nil || !strings.Contains(err.Error(), "ops-users-file") && !strings.Contains(err.Error(), "OPS_USERS_FILE") {
		t.Errorf("a file that does not exist: %v", err)
	}
}

func TestRolesOfTheUsersFileBoundTheConsole(t *testing.T) {
	t.Parallel()
	_, rdb := redistest.Mini(t)
	c, err := settings.Load("", nil, map[string]string{"appid": "wx1234567890abcdef", "appsecret": canarySecret}, settings.Everything)
	check(t, err)
	acct, err := wiring.Open(rdb, c, &c.Accounts[0], nil)
	check(t, err)
	t.Cleanup(func() { check(t, acct.Close()) })
	o, err := newConsole(rdb, c, []*wiring.Account{acct}, nil, zap.NewNop())
	check(t, err)
	t.Cleanup(o.console.Close)
	ask := func(name string) int {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/console/gate", strings.NewReader("do=pause"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		o.serve(w, r, ops.Operator{Name: name, Address: "192.0.2.7"})
		return w.Code
	}
	if got := ask(""); got != http.StatusOK {
		t.Errorf("without logins: %d", got)
	}
	o.guarded = true
	o.roles = map[string]console.Role{"li": console.Support, "zhao": console.Operate}
	for name, want := range map[string]int{"li": http.StatusForbidden, "zhao": http.StatusOK, "unknown": http.StatusForbidden, "": http.StatusForbidden} {
		if got := ask(name); got != want {
			t.Errorf("%q: %d, want %d", name, got, want)
		}
	}
}

func TestTwoPersonsNeedTwoAdmins(t *testing.T) {
	t.Parallel()
	hash, err := bcrypt.GenerateFromPassword([]byte("canary-password"), bcrypt.MinCost)
	check(t, err)
	file := filepath.Join(t.TempDir(), "users")
	for line, want := range map[string]string{"": "there are 1", "li:operate:": "there are 1", "li:admin:": ""} {
		flags := map[string]string{"appid": "wxa", "appsecret": canarySecret, "ops_login": "boss:pw", "ops_two_persons": "true"}
		if line != "" {
			check(t, os.WriteFile(file, []byte(line+string(hash)), 0o600))
			flags["ops_users_file"] = file
		}
		c, err := settings.Load("", nil, flags, settings.Everything)
		check(t, err)
		_, _, err = loginsOf(c)
		if (want == "") != (err == nil) || err != nil && (!strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "two-persons")) {
			t.Errorf("%q: %v, want %q", line, err, want)
		}
	}
}

// An admin who can log in by OIDC alone is none where OIDC is not set up: no one else could
// confirm.
func TestTwoPersonsCountThoseWhoCanLogIn(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "users")
	check(t, os.WriteFile(file, []byte("li@example.com:admin:oidc"), 0o600))
	single := map[string]string{
		"ops_oidc_issuer": "https://sso", "ops_oidc_client_id": "id", "ops_oidc_client_secret": canarySecret, "ops_oidc_redirect_url": "https://ops/oidc/callback",
	}
	for what, row := range map[string]struct {
		more  map[string]string
		right bool
	}{
		"a line for OIDC without OIDC": {map[string]string{"ops_users_file": file}, false},
		"a claim without OIDC":         {map[string]string{"ops_oidc_role_claim": "role"}, false},
		"OIDC and a line":              {map[string]string{"ops_users_file": file, "ops_oidc_issuer": ""}, true},
		"OIDC and a claim":             {map[string]string{"ops_oidc_role_claim": "role", "ops_oidc_issuer": ""}, true},
	} {
		flags := map[string]string{"appid": "wxa", "appsecret": canarySecret, "ops_login": "boss:pw", "ops_two_persons": "true"}
		if _, oidc := row.more["ops_oidc_issuer"]; oidc {
			maps.Copy(flags, row.more)
			maps.Copy(flags, single)
		}
		for name, value := range row.more {
			if value != "" {
				flags[name] = value
			}
		}
		c, err := settings.Load("", nil, flags, settings.Everything)
		check(t, err)
		if _, _, err := loginsOf(c); row.right != (err == nil) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestRolesOfOIDCComeFromTheClaimOrTheUsersFile(t *testing.T) {
	t.Parallel()
	listed := map[string]console.Role{"boss": console.Admin, oidcName("Li@Example.com"): console.Support}
	for what, row := range map[string]struct {
		claims     map[string]any
		claim      string
		name, role string
	}{
		"a listed email":                 {map[string]any{"sub": "1", "email": "li@example.com", "email_verified": true}, "", "li@example.com", "support"},
		"an email that is not verified":  {map[string]any{"sub": "1", "email": "li@example.com"}, "", "1", ""},
		"a subject named like a login":   {map[string]any{"sub": "boss"}, "", "boss", ""},
		"a role":                         {map[string]any{"sub": "1", "role": "operate"}, "role", "1", "operate"},
		"the highest of several":         {map[string]any{"sub": "1", "role": []any{"view", "admin", "x", 7}}, "role", "1", "admin"},
		"an unknown role":                {map[string]any{"sub": "1", "role": "root"}, "role", "1", ""},
		"a listed email without a claim": {map[string]any{"sub": "1", "email": "li@example.com", "email_verified": true}, "role", "li@example.com", ""},
		"a claim without a name":         {map[string]any{"sub": "1", "": "admin"}, "", "1", ""},
		"nothing":                        {map[string]any{}, "", "", ""},
	} {
		if name, role := admit(row.claims, row.claim, listed); name != row.name || role != row.role {
			t.Errorf("%s: %q %q, want %q %q", what, name, role, row.name, row.role)
		}
	}
	login, role, err := parseUser("Li@Example.com:support:oidc")
	if err != nil || login.Name != oidcName("li@example.com") || role != console.Support || login.Password.Reveal() != "" {
		t.Errorf("a line of the users file: %+v %v %v", login, role, err)
	}
}
