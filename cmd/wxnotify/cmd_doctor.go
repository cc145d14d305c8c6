package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/doctor"
	"github.com/wxnotify/wxnotify/internal/server"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/usage"
	"github.com/wxnotify/wxnotify/internal/wiring"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
)

// doctorFlags are those of doctor.
type doctorFlags struct {
	public    string
	templates []string
}

func (a *app) doctorCommand() *cobra.Command {
	var f doctorFlags
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Find out what is wrong with this installation, and how to mend it",
		Long: `doctor checks settings and files, Redis, WeChat, workers, queues and, with --public,
the public address. It asks all at once, each for at most 3 s, goes on after what
fails, and changes nothing. Each finding says what is wrong, why it hurts and what to
do; docs/doctor.md lists them all. It exits 1 when a finding is fatal.

It calls WeChat from this machine (stable_token without force, quota, templates): run
it where the workers run, and by hand rather than every minute.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.doctor(cmd, f) },
	}
	cmd.Flags().StringVar(&f.public, "public", "", "ask this address as WeChat and followers do, such as https://notify.example.com")
	cmd.Flags().StringSliceVar(&f.templates, "template", nil, "template ids that you use: say which of them WeChat does not list")
	return a.ofAccount(cmd, settings.Everything)
}

func (a *app) doctor(cmd *cobra.Command, f doctorFlags) error {
	if f.public != "" {
		if err := settings.Lookup("public_url").Check(f.public); err != nil {
			return usage.Errorf("--public: %w", err)
		}
	}
	if a.output != "text" && a.output != "json" {
		return usage.Errorf("--output: %s is not one of text, json", usage.Quote(a.output))
	}
	c, err := a.read(cmd)
	if c == nil {
		return err
	}
	in, faults, err := a.installation(c, f, settingFaults(err))
	if err != nil {
		return err
	}
	checks, rdb := doctor.Checks(in)
	if rdb != nil {
		defer func() { _ = rdb.Close() }()
	}
	checks = append([]doctor.Check{settingsCheck(c, faults), filesCheck(c)}, checks...)
	report := doctor.Run(cmd.Context(), checks, a.lang)
	for i := range report.Findings {
		report.Findings[i].What = settings.WithNames(report.Findings[i].What)
	}
	if err := a.printReport(report); err != nil {
		return err
	}
	if !report.OK {
		return errSilent
	}
	return nil
}

// settingFaults are the single faults of a configuration.
func settingFaults(err error) []string {
	if err == nil {
		return nil
	}
	var several interface{ Unwrap() []error }
	if !errors.As(err, &several) {
		return []string{err.Error()}
	}
	var out []string
	for _, one := range several.Unwrap() {
		out = append(out, one.Error())
	}
	return out
}

// installation is what doctor examines, and what is wrong with the settings. Settings
// that were refused are empty there.
func (a *app) installation(c *settings.Config, f doctorFlags, faults []string) (doctor.Installation, []string, error) {
	in := doctor.Installation{Outside: f.public, PublicURL: c.Public.URL, ErrorText: a.errorText, Within: c.Patience}
	if !c.Redis.URL.IsZero() {
		server, err := wiring.RedisServer(c)
		if err != nil {
			faults = append(faults, err.Error())
		}
		in.Redis = server
	}
	if c.Public.URL == "" {
		in.LinksMissing = append(in.LinksMissing, "WXNOTIFY_PUBLIC_URL")
	}
	if c.Public.EnrollKey.IsZero() {
		in.LinksMissing = append(in.LinksMissing, "WXNOTIFY_ENROLL_KEY")
	}
	if folder := c.Public.VerifyFiles; folder != "" {
		files, err := enroll.ReadVerifyFiles(folder)
		if err != nil {
			faults = append(faults, c.Label("verify_files")+": "+err.Error())
		}
		in.VerifyFiles = files
	}
	if len(faults) == 0 && len(c.Accounts) > 0 && in.Redis != nil {
		rdb := in.Redis.Dial()
		if err := server.Check(rdb, c); err != nil {
			faults = append(faults, settings.WithNames(err.Error()))
		}
		_ = rdb.Close()
	}
	for i := range c.Accounts {
		if entry := &c.Accounts[i]; entry.AppID != "" && (a.account == "" || a.account == entry.AppID) {
			in.Accounts = append(in.Accounts, examined(c, entry, f.templates))
		}
	}
	if a.account != "" && len(in.Accounts) == 0 {
		_, err := c.Pick(a.account)
		if err == nil {
			err = usage.Errorf("no account %s is configured", a.account)
		}
		return in, faults, err
	}
	return in, faults, nil
}

func examined(c *settings.Config, entry *settings.Account, templates []string) doctor.Account {
	out := doctor.Account{
		AppID: entry.AppID, Mode: tokenstore.Stable, CallbackMode: entry.Mode(), DailyQuota: entry.DailyQuota, Templates: templates, SealKeys: c.Codec(entry.AppID).Keys(), Names: c.Names(entry.AppID),
		WeChat: wechat.Config{AppID: entry.AppID, AppSecret: entry.AppSecret, BaseURL: entry.BaseURL, Proxy: entry.Proxy},
	}
	if entry.TokenMode == "classic" {
		out.Mode = tokenstore.Classic
	}
	if entry.Rate > 0 { // else the setting was refused
		out.Gate = func(rdb redis.UniversalClient) (*ratelimit.Gate, error) { return wiring.NewGate(rdb, entry) }
	}
	if !entry.CallbackToken.IsZero() {
		out.Callback, out.CallbackFault = wiring.NewCallback(entry)
	}
	return out
}

func settingsCheck(c *settings.Config, faults []string) doctor.Check {
	return doctor.Check{Name: "settings", Run: func(_ context.Context, n *doctor.Notes) {
		for _, fault := range faults {
			n.Add("setting-fault", "cause", fault)
		}
		for _, w := range c.Warnings {
			n.Add("setting-warning", "cause", w)
		}
		if len(c.Accounts) == 0 {
			n.Add("no-account")
		}
		n.Detail("accounts: {accounts}", "账号：{accounts}", "accounts", cmp.Or(strings.Join(c.AppIDs(), ", "), "-"))
	}}
}

// filesCheck finds files with secrets that other users of the machine can read, and
// settings that they can change.
func filesCheck(c *settings.Config) doctor.Check {
	return doctor.Check{Name: "files", Run: func(_ context.Context, n *doctor.Notes) {
		if runtime.GOOS == "windows" {
			n.Skip("Windows has no such permissions", "Windows 没有此类权限")
			return
		}
		for _, f := range c.Files {
			info, err := os.Stat(f.Path)
			if err != nil {
				continue // its setting is named as faulty
			}
			fields := []string{"path", f.Path, "what", f.Holds, "mode", fmt.Sprintf("%#o", info.Mode().Perm())}
			const othersRead, othersWrite fs.FileMode = 0o004, 0o002
			if info.Mode()&othersWrite != 0 {
				n.Add("file-writable", fields...)
			}
			if f.Holds != "" && info.Mode()&othersRead != 0 && !mountedSecret(f.Path) {
				n.Add("file-readable", fields...)
			}
		}
	}}
}

// mountedSecret reports the place where Docker mounts secrets: readable by all, but only
// inside the container.
func mountedSecret(path string) bool {
	return strings.HasPrefix(filepath.Clean(path), "/run/secrets/") || strings.HasPrefix(filepath.Clean(path), "/var/run/secrets/")
}

// printReport prints what was checked, then each finding, the fatal ones first.
func (a *app) printReport(r doctor.Report) error {
	if a.output == "json" {
		return a.printJSON(r)
	}
	var b strings.Builder
	names := map[doctor.Outcome]string{
		doctor.Passed: a.say("ok", "正常"), doctor.Warned: a.say("warning", "警告"),
		doctor.Failed: a.say("FATAL", "严重"), doctor.Skipped: a.say("skipped", "跳过"),
	}
	for _, c := range r.Checks {
		line := fmt.Sprintf("%-8s %s", names[c.Outcome], strings.TrimSpace(c.Check+" "+c.Account))
		if c.Detail != "" {
			line += ": " + c.Detail
		}
		fmt.Fprintln(&b, line)
	}
	counts := map[doctor.Severity]int{}
	for _, severity := range []doctor.Severity{doctor.Fatal, doctor.Warning} {
		for _, f := range r.Findings {
			if f.Severity != severity {
				continue
			}
			counts[severity]++
			name := names[doctor.Outcome(severity)]
			fmt.Fprintf(&b, "\n%s  %s  %s\n  %s\n  %s %s\n  %s %s\n", name, f.Code, strings.TrimSpace(f.Check+" "+f.Account), f.What,
				a.say("why:", "影响："), f.Why, a.say("do: ", "处理："), f.Remedy)
		}
	}
	fmt.Fprintf(&b, a.say("\n%d fatal, %d warnings\n", "\n%d 项严重，%d 项警告\n"), counts[doctor.Fatal], counts[doctor.Warning])
	_, err := fmt.Fprint(a.Stdout, b.String())
	return err
}
