package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wxnotify/wxnotify/internal/server"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/wiring"
)

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
	a.addSettings(cmd, settings.Everything)
	check := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration without a connection to Redis or WeChat",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.checkConfig(cmd) },
	}
	looks(check)
	a.addSettings(check, settings.Everything)
	cmd.AddCommand(check)
	return cmd
}

func (a *app) checkConfig(cmd *cobra.Command) error {
	c, err := a.load(cmd)
	if err != nil {
		return err
	}
	if len(c.Accounts) == 0 {
		_, err := c.Pick("")
		return err
	}
	if err := settings.SecretsMissing(c.All()); err != nil {
		return err
	}
	redisServer, err := wiring.RedisServer(c)
	if err != nil {
		return err
	}
	rdb := redisServer.Dial() // connects with its first command, of which there is none
	defer func() { _ = rdb.Close() }()
	if err := server.Check(rdb, c); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.Stdout, "the configuration is valid; accounts: %s\n", strings.Join(c.AppIDs(), ", "))
	return err
}

func (a *app) printConfig(c *settings.Config) error {
	if a.output == "json" {
		return a.printJSON(map[string]any{"settings": c.Rows, "accounts": c.AccountRows})
	}
	w := newTable(a.Stdout)
	for _, r := range c.Rows {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.Name, orDash(r.Value), r.Source, r.Env)
	}
	for _, account := range c.AccountRows {
		_, _ = fmt.Fprintf(w, "\naccount %s\n", account.AppID)
		for _, r := range account.Settings {
			_, _ = fmt.Fprintf(w, "  %s\t%s\t%s\n", r.Name, orDash(r.Value), r.Source)
		}
	}
	return w.Flush()
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

// print prints what a command has found or done: view with --output json, else a line of
// text.
func (a *app) print(view any, format string, args ...any) error {
	if a.output == "json" {
		return a.printJSON(view)
	}
	_, err := fmt.Fprintf(a.Stdout, format+"\n", args...)
	return err
}

// none says that there is nothing to print. With --output json nothing on stdout says so,
// and stderr has JSON alone.
func (a *app) none(text string) {
	if a.output != "json" {
		_, _ = fmt.Fprintln(a.Stderr, text)
	}
}

// printRow is print for one of many: its JSON is one line.
func (a *app) printRow(view any, format string, args ...any) error {
	if a.output == "json" {
		return printLine(a.Stdout, view)
	}
	return a.print(view, format, args...)
}

// printRows prints view with --output json, else names and values. A row without a value
// is left out.
func (a *app) printRows(view any, rows ...[2]string) error {
	if a.output == "json" {
		return a.printJSON(view)
	}
	w := newTable(a.Stdout)
	for _, row := range rows {
		if row[1] != "" {
			_, _ = fmt.Fprintf(w, "%s\t%s\n", row[0], row[1])
		}
	}
	return w.Flush()
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			version, revision := build()
			return a.print(map[string]string{"version": version, "revision": revision, "go": runtime.Version()}, "%s", versionText())
		},
	}
}

// versionText is what `version` and --version print.
func versionText() string {
	version, revision := build()
	return strings.Join(strings.Fields(fmt.Sprintf("wxnotify %s %s %s %s/%s", version, revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)), " ")
}

// version is set by the linker: go build -ldflags "-X main.version=v1.2.3". Empty: the
// version that the go command recorded for the module. A build in an image has no git
// repository to take it from.
var version string

// build returns the version and the revision of the source; both may be unknown.
func build() (name, revision string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return buildOf(version, info)
}

func buildOf(stamped string, info *debug.BuildInfo) (name, revision string) {
	name = "development"
	if v := info.Main.Version; v != "" && v != "(devel)" {
		name = v
	}
	if stamped != "" {
		name = stamped
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			revision = s.Value
		}
	}
	return name, revision
}

// programVersion is what the registry of workers shows.
func programVersion() string {
	version, _ := build()
	return version
}
