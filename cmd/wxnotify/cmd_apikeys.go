package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxnotify/wxnotify/internal/apikey"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/mask"
	"github.com/wxnotify/wxnotify/internal/usage"
	"github.com/wxnotify/wxnotify/internal/wiring"
)

// keysCommand is `api keys`.
func (a *app) keysCommand() *cobra.Command {
	cmd := a.accountCommand("keys", "Keys of the HTTP API: list (also without a subcommand), create, rotate, revoke", cobra.NoArgs, a.listKeys)
	list := a.accountCommand("list", "The account's keys, without their secrets", cobra.NoArgs, a.listKeys)
	looks(cmd, list)
	cmd.AddCommand(a.createKeyCommand(), a.rotateKeyCommand(), list,
		audited(a.accountCommand("revoke ID", "End a key; running processes refuse it within a second", cobra.ExactArgs(1), a.revokeKey), "revoke key"))
	return cmd
}

func (a *app) createKeyCommand() *cobra.Command {
	var k apikey.Key
	var kind, class, guests string
	var scopes []string
	cmd := a.accountCommand("create", "Make a key; its secret is printed once", cobra.NoArgs, func(ctx context.Context, acct *wiring.Account, _ []string) error {
		k.Kind, k.Class = apikey.Kind(kind), job.Class(class)
		for _, s := range scopes {
			k.Scopes = append(k.Scopes, apikey.Scope(s))
		}
		var err error
		if k.Guests, err = a.readList(ctx, guests); err != nil {
			return err
		}
		made, secret, err := acct.Keys.Create(ctx, k)
		if err != nil {
			return usage.Wrap(err)
		}
		return a.showSecret(made, secret)
	})
	cmd.Example = `  wxnotify api keys create --name billing
  wxnotify api keys create --name first-try --kind test
  wxnotify api keys create --name staging --kind guest --guests-file colleagues.txt
  wxnotify api keys create --name newsletter --class bulk --share 0.5`
	audited(cmd, "create key").PreRun = func(*cobra.Command, []string) {
		a.change.detail = strings.TrimSpace(mask.Text(k.Name) + " " + kind + " " + strings.Join(scopes, ","))
	}
	fs := cmd.Flags()
	fs.StringVar(&k.Name, "name", "", "who uses it, such as billing")
	fs.StringVar(&kind, "kind", "live", "live: every follower; guest: its guest list; test: no follower, without WeChat and quota")
	fs.StringSliceVar(&scopes, "scopes", []string{"send", "read"}, "what it may do, of "+strings.Join(texts(apikey.Scopes()), ", "))
	fs.StringVar(&class, "class", "", "the most urgent class that it may use [critical]")
	fs.Float64Var(&k.Rate, "rate", 0, "calls a second, for each api process [100]")
	fs.Float64Var(&k.Share, "share", 0, "part of the day's quota that it may use, such as 0.3 [no bound]")
	fs.StringVar(&guests, "guests-file", "", "the openids or users of a guest key, one a line, at most 20; - for stdin")
	fs.StringSliceVar(&k.Paths, "paths", nil, "paths of WeChat that the gateway passes on for it, such as /cgi-bin/menu/")
	return cmd
}

// readList reads lines of a file, or of stdin for "-". Blank lines are left out.
func (a *app) readList(ctx context.Context, path string) (list []string, err error) {
	if path == "" {
		return nil, nil
	}
	in, _, err := a.open(ctx, path)
	if err != nil {
		return nil, usage.Wrap(err)
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if line := strings.Trim(lines.Text(), "\ufeff \t\r"); line != "" {
			list = append(list, line)
		}
	}
	return list, lines.Err() //nolint:wrapcheck // it names the file
}

// showSecret prints a key with its new secret: the secret to stdout, so that a
// script can take it, the rest to stderr.
func (a *app) showSecret(k apikey.Key, secret string) error {
	if a.output == "json" {
		return a.printJSON(struct {
			apikey.Key
			Secret string `json:"secret"`
		}{k, secret})
	}
	_, _ = fmt.Fprintf(a.Stderr, "key %s (%s, %s) of account %s; its secret is shown this once:\n", k.ID, k.Name, k.Kind, k.Account)
	_, err := fmt.Fprintln(a.Stdout, secret)
	return err
}

func (a *app) listKeys(ctx context.Context, acct *wiring.Account, _ []string) error {
	list, err := acct.Keys.List(ctx)
	if err != nil {
		return err
	}
	if a.output == "json" {
		return a.printJSON(list)
	}
	if len(list) == 0 {
		a.none(a.say("no keys: make one with `wxnotify api keys create`", "没有密钥：用 `wxnotify api keys create` 创建"))
		return err
	}
	w := newTable(a.Stdout)
	_, _ = fmt.Fprintln(w, "id\tname\tkind\tscopes\tclass\trate\tshare\tcreated\trotated")
	for _, k := range list {
		scopes := slices.Sorted(slices.Values(texts(k.Scopes)))
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Name, k.Kind, strings.Join(scopes, ","),
			orDash(string(k.Class)), numberOrDash(k.Rate), numberOrDash(k.Share), orDash(timeText(k.CreatedAt)), orDash(timeText(k.RotatedAt)))
	}
	return w.Flush()
}

func numberOrDash(f float64) string {
	if f == 0 {
		return "-"
	}
	return fmt.Sprint(f)
}

func (a *app) rotateKeyCommand() *cobra.Command {
	var overlap time.Duration
	cmd := a.accountCommand("rotate ID", "Give a key a new secret; the one before is accepted for a while", cobra.ExactArgs(1),
		func(ctx context.Context, acct *wiring.Account, args []string) error {
			k, secret, err := acct.Keys.Rotate(ctx, args[0], overlap)
			if err != nil {
				return err
			}
			return a.showSecret(k, secret)
		})
	audited(cmd, "rotate key")
	cmd.Flags().DurationVar(&overlap, "overlap", 24*time.Hour, "how long the secret before is accepted; 0s ends it at once")
	return cmd
}

func (a *app) revokeKey(ctx context.Context, acct *wiring.Account, args []string) error {
	if err := acct.Keys.Revoke(ctx, args[0]); err != nil {
		return err
	}
	return a.print(map[string]string{"id": args[0]}, "%s%s", a.say("revoked: ", "已作废："), args[0])
}
