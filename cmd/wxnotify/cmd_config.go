package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/wxnotify/wxnotify/wechat"
)

const everyGroup = connecting | calling | sending | operating | publishing | serving | logging

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Print the effective configuration, secrets redacted",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.load(cmd)
			if err != nil {
				return err
			}
			return a.printConfig(c)
		},
	}
	a.addSettings(cmd, everyGroup)
	check := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration without talking to anybody",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.load(cmd)
			if err != nil {
				return err
			}
			if len(c.accounts) == 0 {
				_, err := c.pick("")
				return err
			}
			if err := secretsMissing(c.accounts); err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.Stdout, "the configuration is fine: %d account(s): %s\n", len(c.accounts), strings.Join(c.appids(), ", "))
			return err
		},
	}
	a.addSettings(check, everyGroup)
	cmd.AddCommand(check)
	return cmd
}

// shownSetting is one row of the effective configuration.
type shownSetting struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Source string `json:"source"`
	Env    string `json:"env"`
	Usage  string `json:"usage"`
}

func (a *app) printConfig(c *config) error {
	var rows []shownSetting
	for _, s := range settings() {
		rows = append(rows, shownSetting{s.Name, redact(s, c.values[s.Name]), c.sources[s.Name], s.env(), s.Usage})
	}
	var accounts []map[string]string
	for _, entry := range c.accounts {
		shown := map[string]string{}
		for _, s := range settings() {
			if s.Account {
				shown[s.Name] = redact(s, entry[s.Name])
			}
		}
		accounts = append(accounts, shown)
	}
	if a.output == "json" {
		return a.printJSON(map[string]any{"settings": rows, "accounts": accounts})
	}
	w := tabwriter.NewWriter(a.Stdout, 0, 4, 2, ' ', 0)
	for _, r := range rows {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.Name, orDash(r.Value), r.Source, r.Env)
	}
	for _, entry := range accounts {
		_, _ = fmt.Fprintf(w, "\naccount %s\t\t\t\n", entry["appid"])
		for _, s := range settings() {
			if s.Account && s.Name != "appid" && entry[s.Name] != redact(s, c.values[s.Name]) {
				_, _ = fmt.Fprintf(w, "  %s\t%s\taccounts\t\n", s.Name, orDash(entry[s.Name]))
			}
		}
	}
	return w.Flush()
}

// redact shows that a secret is set and which one it is, never its text.
func redact(s setting, value string) string {
	if !s.Secret || value == "" {
		return value
	}
	if s.Name == "redis_url" {
		return redactRedis(value)
	}
	return "[redacted, sha256 " + wechat.NewSecret(value).Fingerprint() + "]"
}

const redacted = "[redacted]"

// redactRedis shows of an address what is known to be no password. It may be a
// list of hosts, which net/url does not read, and it may be wrong.
func redactRedis(address string) string {
	scheme, rest, ok := strings.Cut(address, "://")
	authority, tail := rest, ""
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		authority, tail = rest[:end], rest[end:]
	}
	if !ok || strings.Contains(tail, "@") {
		return redacted // a slash in the password: where it ends cannot be told
	}
	if at := strings.LastIndex(authority, "@"); at >= 0 {
		authority = redacted + authority[at:]
	}
	tail, _, _ = strings.Cut(tail, "#")
	path, query, asks := strings.Cut(tail, "?")
	if strings.Trim(path, "/0123456789") != "" {
		path = "/" + redacted
	}
	shown := scheme + "://" + authority + path
	if !asks {
		return shown
	}
	parameters := strings.Split(query, "&")
	for i, parameter := range parameters {
		switch name, _, _ := strings.Cut(parameter, "="); name {
		case "master", "tls", "sentinel_username":
		case "sentinel_password":
			parameters[i] = name + "=" + redacted
		default:
			parameters[i] = redacted
		}
	}
	return shown + "?" + strings.Join(parameters, "&")
}

func orDash(v string) string {
	if v == "" {
		return "-"
	}
	return v
}

func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.Stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			version, revision := "development", ""
			if info, ok := debug.ReadBuildInfo(); ok {
				if info.Main.Version != "" && info.Main.Version != "(devel)" {
					version = info.Main.Version
				}
				for _, s := range info.Settings {
					if s.Key == "vcs.revision" {
						revision = " " + s.Value
					}
				}
			}
			if a.output == "json" {
				return a.printJSON(map[string]string{"version": version, "revision": strings.TrimSpace(revision), "go": runtime.Version()})
			}
			_, err := fmt.Fprintf(a.Stdout, "wxnotify %s%s %s %s/%s\n", version, revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

// printLine prints v as one line of JSON, for lists that programs read.
func (a *app) printLine(v any) error {
	e := json.NewEncoder(a.Stdout)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
