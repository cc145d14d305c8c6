package settings

import (
	"regexp"
	"strings"
)

// goNames are names of Go fields in errors of our packages, and the setting or flag
// that an operator sets the field by. A trailing [ stands for any index.
//
//nolint:gochecknoglobals // never changed
var goNames = map[string]string{
	"Enrollment.PublicURL": "WXNOTIFY_PUBLIC_URL",
	"Enrollment.Account":   "--account",
	"Enrollment.User":      "--user",
	"Enrollment.Life":      "--expires",
	"Enrollment.ReturnTo":  "--return-to",
	"Enrollment.Key":       "WXNOTIFY_ENROLL_KEY",

	"Authorize.URL":           "WXNOTIFY_WECHAT_AUTHORIZE_URL",
	"Authorize.AppID":         "WXNOTIFY_APPID",
	"CallbackConfig.AppID":    "WXNOTIFY_APPID",
	"CallbackConfig.Mode":     "WXNOTIFY_CALLBACK_MODE",
	"CallbackConfig.Tokens":   "WXNOTIFY_CALLBACK_TOKEN",
	"CallbackConfig.AESKeys":  "WXNOTIFY_ENCODING_AES_KEY",
	"CallbackConfig.Tokens[":  "WXNOTIFY_CALLBACK_TOKEN or WXNOTIFY_CALLBACK_TOKEN_PREVIOUS",
	"CallbackConfig.AESKeys[": "WXNOTIFY_ENCODING_AES_KEY or WXNOTIFY_ENCODING_AES_KEY_PREVIOUS",

	"Config.AppID":        "WXNOTIFY_APPID",
	"Config.AppSecret":    "WXNOTIFY_APPSECRET",
	"Config.BaseURL":      "WXNOTIFY_WECHAT_BASE_URL",
	"Config.Concurrency":  "WXNOTIFY_CONCURRENCY",
	"Config.DrainTimeout": "WXNOTIFY_DRAIN_TIMEOUT",
	"Config.Rate":         "WXNOTIFY_RATE",
	"Config.DailyQuota":   "WXNOTIFY_DAILY_QUOTA",
	"Config.Reserve":      "WXNOTIFY_RESERVE_CRITICAL",
	"Config.UTCOffset":    "WXNOTIFY_QUOTA_UTC_OFFSET",
	"Config.PublicURL":    "WXNOTIFY_PUBLIC_URL",
	"Config.ReturnURLs[":  "WXNOTIFY_RETURN_URLS",
	"Config.PreviousKey":  "WXNOTIFY_ENROLL_KEY_PREVIOUS",
	"Config.VerifyFiles[": "WXNOTIFY_VERIFY_FILES",
	"Config.Proxy":        "WXNOTIFY_WECHAT_PROXY",
	"Config.SealKeys":     "WXNOTIFY_SEAL_KEYS",
	"Config.SealNameKeys": "WXNOTIFY_SEAL_NAME_KEYS",
	"config.Prefix":       "WXNOTIFY_OPS_PREFIX",
	"Config.Bind":         "WXNOTIFY_BIND",
	"Config.Accounts":     "accounts",
	"Config.Accounts[":    "accounts",

	"config.Addr":    "WXNOTIFY_OPS_ADDR",
	"config.Hosts[":  "WXNOTIFY_OPS_HOSTS",
	"config.Logins[": "WXNOTIFY_OPS_LOGIN",
	"config.OIDC":    "WXNOTIFY_OPS_OIDC_ISSUER, _CLIENT_ID, _CLIENT_SECRET, _REDIRECT_URL",
}

// goName matches what may be a key of goNames, with its index.
var goName = regexp.MustCompile(`\b((?:Enrollment|HandOff|Authorize|CallbackConfig|Config|config)\.[A-Z]\w*)(\[\d+\](?:\.(?:AppID|Until))?)?`)

// WithNames writes the names of settings and flags for those of Go fields, which the errors
// of our packages have.
func WithNames(text string) string {
	return goName.ReplaceAllStringFunc(text, func(found string) string {
		name, _, indexed := strings.Cut(found, "[")
		if indexed {
			name += "["
		}
		if setting := goNames[name]; setting != "" {
			return setting
		}
		return found
	})
}
