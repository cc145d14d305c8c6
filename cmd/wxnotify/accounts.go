package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"github.com/wxnotify/wxnotify/internal/auditlog"
	"github.com/wxnotify/wxnotify/internal/locale"
	"github.com/wxnotify/wxnotify/internal/redisconn"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/wiring"
)

// ofAccount gives cmd, and returns it with, the flag of one account and those of settings.
func (a *app) ofAccount(cmd *cobra.Command, groups settings.Group) *cobra.Command {
	cmd.Flags().StringVar(&a.account, "account", "", "appid, when several accounts are configured")
	a.addSettings(cmd, groups)
	return cmd
}

// ofAccounts is ofAccount for a command that looks at all accounts unless one is named.
func (a *app) ofAccounts(cmd *cobra.Command, groups settings.Group) *cobra.Command {
	cmd.Flags().StringVar(&a.account, "account", "", "appid of one account; all that are configured")
	a.addSettings(cmd, groups)
	return cmd
}

// accountCommand is a command on what Redis has of one account. The audit trail has its
// arguments, unless its PreRunE sets change.
func (a *app) accountCommand(use, short string, args cobra.PositionalArgs, do func(context.Context, *wiring.Account, []string) error) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: args}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if a.change == (change{}) {
			a.change.detail = auditlog.ID(strings.Join(args, " "))
		}
		return a.withAccount(cmd, func(ctx context.Context, acct *wiring.Account) error { return do(ctx, acct, args) })
	}
	return a.ofAccount(cmd, settings.Connecting)
}

// changeMessages is an accountCommand that changes messages.
func (a *app) changeMessages(use, short string, do func(ctx context.Context, acct *wiring.Account, ids []string) error) *cobra.Command {
	cmd := a.accountCommand(use+" ID...", short, cobra.MinimumNArgs(1), do)
	cmd.PreRun = func(_ *cobra.Command, ids []string) { a.change = changeOf(ids) }
	return cmd
}

// withAccount loads, connects, wires the account named by --account, or the only one, and
// writes the command's line into its audit trail before it calls do.
func (a *app) withAccount(cmd *cobra.Command, do func(context.Context, *wiring.Account) error) error {
	pick := func(c *settings.Config, appid string) ([]*settings.Account, error) {
		entry, err := c.Pick(appid)
		return []*settings.Account{entry}, err
	}
	return a.withChosen(cmd, pick, func(ctx context.Context, list []*wiring.Account) error { return do(ctx, list[0]) })
}

// withAccounts is withAccount for the account named by --account, or all.
func (a *app) withAccounts(cmd *cobra.Command, do func(context.Context, []*wiring.Account) error) error {
	return a.withChosen(cmd, (*settings.Config).Chosen, do)
}

// eachAccount is withAccounts that calls do for one account after the other.
func (a *app) eachAccount(cmd *cobra.Command, do func(ctx context.Context, acct *wiring.Account, several bool) error) error {
	return a.withAccounts(cmd, func(ctx context.Context, list []*wiring.Account) error {
		for _, acct := range list {
			if err := do(ctx, acct, len(list) > 1); err != nil {
				return err
			}
		}
		return nil
	})
}

// list is eachAccount for a command that lists: do returns how many rows it printed. none is
// said on stderr when there were none.
func (a *app) list(cmd *cobra.Command, none string, do func(ctx context.Context, acct *wiring.Account, several bool) (int, error)) error {
	printed := 0
	err := a.eachAccount(cmd, func(ctx context.Context, acct *wiring.Account, several bool) error {
		n, err := do(ctx, acct, several)
		printed += n
		return err
	})
	if err == nil && printed == 0 {
		a.none(none)
	}
	return err
}

// chooser returns the accounts that a command is for, by the one that --account names.
type chooser func(c *settings.Config, appid string) ([]*settings.Account, error)

func (a *app) withChosen(cmd *cobra.Command, choose chooser, do func(context.Context, []*wiring.Account) error) error {
	return a.withRedis(cmd, choose, func(rdb redis.UniversalClient, c *settings.Config, chosen []*settings.Account) error {
		var list []*wiring.Account
		for _, entry := range chosen {
			acct, err := wiring.Open(rdb, c, entry, nil)
			if err != nil {
				return err
			}
			defer func() { _ = acct.Close() }()
			list = append(list, acct)
		}
		for _, acct := range list {
			if err := wiring.CheckNames(cmd.Context(), rdb, c, acct.AppID); err != nil {
				return err
			}
			if err := a.note(cmd, acct); err != nil {
				return err
			}
		}
		return do(cmd.Context(), list)
	})
}

// withRedis loads and connects.
func (a *app) withRedis(cmd *cobra.Command, choose chooser, do func(redis.UniversalClient, *settings.Config, []*settings.Account) error) error {
	c, err := a.load(cmd)
	if err != nil {
		return err
	}
	chosen, err := choose(c, a.account)
	if err != nil {
		return err
	}
	if groupsOf(cmd)&settings.Calling != 0 {
		if err := settings.SecretsMissing(chosen); err != nil {
			return err
		}
	}
	rdb, report, err := wiring.Connect(cmd.Context(), c)
	if err != nil {
		return err
	}
	defer func() { _ = rdb.Close() }()
	a.warnOfRedis(report)
	return do(rdb, c, chosen)
}

// warnOfRedis says that Redis refuses writes and, where the command looks at what stops
// messages, all that is wrong with it.
func (a *app) warnOfRedis(r redisconn.Report) {
	if r.Refused != nil {
		a.warning(redisconn.Refusal(r.Refused, a.lang))
	}
	if !a.redisFaults {
		return
	}
	for _, f := range locale.RedisFaults(r.State, a.lang) {
		a.warning(f.Text)
	}
}

// readOnly makes cmd read only the secrets of these groups, though it has the flags of
// more: its RunE calls it when it will not call WeChat.
func readOnly(cmd *cobra.Command, groups settings.Group) {
	cmd.Annotations[usedGroups] = strconv.Itoa(int(groups))
}

// column is the first column of a list of several accounts; empty for one.
func column(appid string, several bool) string {
	if !several {
		return ""
	}
	return appid + "\t"
}
