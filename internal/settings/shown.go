package settings

import (
	"regexp"
	"strings"

	"github.com/wxnotify/wxnotify/wechat"
)

// Row is one row of the effective configuration, as JSON has it.
type Row struct {
	Name   string `json:"name"`
	Value  string `json:"value"`  // of a secret: its fingerprint
	Source string `json:"source"` // default, file, environment or flag
	Env    string `json:"env"`
	Usage  string `json:"usage"`

	label string // see Config.Label
}

// AccountRows is what an entry of the file's accounts list sets itself. It
// inherits the rest.
type AccountRows struct {
	AppID    string `json:"appid"`
	Settings []Row  `json:"settings"`
}

// redact replaces a secret by its fingerprint, by which two processes can be
// compared.
func redact(s Setting, value string) string {
	if !s.Secret() || value == "" {
		return value
	}
	if s.Name == "redis_url" {
		return redactRedis(value)
	}
	return "[redacted, sha256 " + wechat.NewSecret(value).Fingerprint() + "]"
}

const redacted = "[redacted]"

// redactRedis shows the parts of an address that cannot be a password: scheme,
// hosts, database and some parameters. It shows nothing of an address in which
// the end of the password is unknown, such as one with a slash in it.
func redactRedis(address string) string {
	form := `^([a-z-]+://)([^/?#]*@)?([^@/?#]*)(/\d*)?(\?[^@#]*)?$`
	if strings.HasPrefix(address, "unix://") {
		form = `^(unix://)([^/?#]*@)?()(/[^@?#]*)(\?[^@#]*)?$`
	}
	parts := regexp.MustCompile(form).FindStringSubmatch(address)
	if parts == nil {
		return redacted
	}
	if parts[2] != "" {
		parts[2] = redacted + "@"
	}
	parts[5] = regexp.MustCompile(`[^?&]+`).ReplaceAllStringFunc(parts[5], func(parameter string) string {
		switch name, _, _ := strings.Cut(parameter, "="); name {
		case "db", "master", "tls", "sentinel_username":
			return parameter
		case "sentinel_password":
			return name + "=" + redacted
		}
		return redacted
	})
	return strings.Join(parts[1:], "")
}
