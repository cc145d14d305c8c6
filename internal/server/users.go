package server

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"

	"github.com/wxnotify/wxnotify/internal/console"
	"github.com/wxnotify/wxnotify/internal/ops"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/textfile"
	"github.com/wxnotify/wxnotify/internal/usage"
	"github.com/wxnotify/wxnotify/wechat"
)

// oidcName is the key of a person who logs in by OIDC. No other login has a colon: an
// issuer cannot name the role of a login with a password.
func oidcName(name string) string { return "oidc:" + strings.ToLower(name) }

// byOIDC stands in ops_users_file in place of the hash of a person who logs in by OIDC.
const byOIDC = "oidc"

// roles are what ops_users_file may name.
func roles() map[string]console.Role {
	return map[string]console.Role{"view": console.View, "support": console.Support, "operate": console.Operate, "admin": console.Admin}
}

// loginsOf reads the operators' logins, and the role of each. ops_login is an admin.
func loginsOf(c *settings.Config) (logins []ops.Login, byName map[string]console.Role, err error) {
	byName = map[string]console.Role{}
	if user, password, ok := strings.Cut(c.Ops.Login.Reveal(), ":"); ok {
		logins, byName[user] = append(logins, ops.Login{Name: user, Password: wechat.NewSecret(password)}), console.Admin
	}
	if c.Ops.UsersFile == "" {
		return logins, byName, checkTwoPersons(c, byName)
	}
	text, err := textfile.Read(c.Ops.UsersFile)
	if err != nil {
		return nil, nil, usage.Errorf("%s: %w", c.Label("ops_users_file"), err)
	}
	if !utf8.Valid(text) {
		return nil, nil, usage.Errorf("%s: is not UTF-8: save it as UTF-8", c.Label("ops_users_file"))
	}
	var faults []error
	for i, line := range strings.Split(strings.TrimPrefix(string(text), "\ufeff"), "\n") {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		login, role, err := parseUser(line)
		if _, twice := byName[login.Name]; err == nil && twice {
			err = errors.New("the name is listed twice, or is that of WXNOTIFY_OPS_LOGIN")
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: line %d: %w", c.Label("ops_users_file"), i+1, err))
			continue
		}
		byName[login.Name] = role
		if login.Password.Reveal() != "" {
			logins = append(logins, login)
		}
	}
	if len(faults) > 0 {
		return nil, nil, usage.Wrap(errors.Join(faults...))
	}
	return logins, byName, checkTwoPersons(c, byName)
}

// checkTwoPersons refuses ops_two_persons where no second admin could confirm.
func checkTwoPersons(c *settings.Config, byName map[string]console.Role) error {
	admins, single := 0, oidcOf(c, nil) != nil
	for name, role := range byName {
		if role == console.Admin && (single || !strings.HasPrefix(name, oidcName(""))) {
			admins++
		}
	}
	if c.Ops.TwoPersons && admins < 2 && (c.Ops.RoleClaim == "" || !single) {
		return usage.Errorf("%s: needs two logins of role admin, and there are %d: add lines to WXNOTIFY_OPS_USERS_FILE", c.Label("ops_two_persons"), admins)
	}
	return nil
}

// parseUser reads name:role:hash. Its error shows none of them: the line may hold a
// password in the wrong place.
func parseUser(line string) (ops.Login, console.Role, error) {
	parts := strings.SplitN(line, ":", 3)
	if len(parts) != 3 || parts[0] == "" {
		return ops.Login{}, 0, errors.New("is not name:role:hash, such as li:support:$2y$…")
	}
	role, known := roles()[parts[1]]
	if !known {
		return ops.Login{}, 0, errors.New("the role is not one of view, support, operate, admin")
	}
	if parts[2] == byOIDC {
		return ops.Login{Name: oidcName(parts[0])}, role, nil
	}
	if _, err := bcrypt.Cost([]byte(parts[2])); err != nil {
		return ops.Login{}, 0, errors.New("the third part is not a bcrypt hash: make one with `htpasswd -nB NAME`; and not oidc")
	}
	return ops.Login{Name: parts[0], Password: wechat.NewSecret(parts[2])}, role, nil
}

// oidcOf is the login by OIDC; nil: there is none.
func oidcOf(c *settings.Config, byName map[string]console.Role) *ops.OIDC {
	o := &c.Ops
	if o.Issuer == "" && o.ClientID == "" && o.ClientSecret.Reveal() == "" && o.RedirectURL == "" {
		return nil
	}
	return &ops.OIDC{
		Issuer: o.Issuer, ClientID: o.ClientID, ClientSecret: o.ClientSecret, RedirectURL: o.RedirectURL,
		Admit: func(claims map[string]any) (string, string) { return admit(claims, o.RoleClaim, byName) },
	}
}

// admit names a person by the verified email, else by the subject. The role is the highest
// of the claim; without a claim's name it is that of ops_users_file.
func admit(claims map[string]any, roleClaim string, byName map[string]console.Role) (name, role string) {
	name, _ = claims["sub"].(string)
	if email, _ := claims["email"].(string); email != "" && claims["email_verified"] == true {
		name = strings.ToLower(email)
	}
	var found []string
	switch v := claims[roleClaim].(type) {
	case string:
		found = []string{v}
	case []any:
		for _, one := range v {
			text, _ := one.(string)
			found = append(found, text)
		}
	}
	best := console.Role(-1)
	for title, r := range roles() {
		listed, known := byName[oidcName(name)]
		if r > best && (roleClaim != "" && slices.Contains(found, title) || roleClaim == "" && known && listed == r) {
			best, role = r, title
		}
	}
	return name, role
}
