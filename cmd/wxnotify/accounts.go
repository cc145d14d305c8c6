package main

import (
	"context"
	"strconv"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
)

// addAccounts gives cmd the flag of a command that looks at all accounts unless one is
// named.
func (a *app) addAccounts(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.account, "account", "", "appid of one account; all that are configured")
}

// chosen returns the account named appid, or all when appid is empty.
func (c *config) chosen(appid string) ([]*accountConfig, error) {
	if appid != "" || len(c.Accounts) == 0 {
		one, err := c.pick(appid)
		return []*accountConfig{one}, err
	}
	list := make([]*accountConfig, len(c.Accounts))
	for i := range c.Accounts {
		list[i] = &c.Accounts[i]
	}
	return list, nil
}

// withRedis loads, connects, and calls do with the account named by --account, or with
// the only one.
func (a *app) withRedis(cmd *cobra.Command, do func(context.Context, *config, *accountConfig, redis.UniversalClient) error) error {
	return withChosen(a, cmd, (*config).pick, do)
}

// withAccounts loads, connects, and calls do once with the account named by
// --account, or with all.
func (a *app) withAccounts(cmd *cobra.Command, do func(context.Context, *config, []*accountConfig, redis.UniversalClient) error) error {
	return withChosen(a, cmd, (*config).chosen, do)
}

func withChosen[T any](
	a *app, cmd *cobra.Command, choose func(*config, string) (T, error),
	do func(context.Context, *config, T, redis.UniversalClient) error,
) error {
	c, err := a.load(cmd)
	if err != nil {
		return err
	}
	chosen, err := choose(c, a.account)
	if err != nil {
		return err
	}
	rdb, err := connect(cmd.Context(), c, zap.NewNop())
	if err != nil {
		return err
	}
	defer func() { _ = rdb.Close() }()
	return do(cmd.Context(), c, chosen, rdb)
}

// eachAccount is withAccounts that wires the accounts and calls do for one after the
// other.
func (a *app) eachAccount(cmd *cobra.Command, do func(ctx context.Context, acct *account, several bool) error) error {
	return a.withAccounts(cmd, func(ctx context.Context, c *config, list []*accountConfig, rdb redis.UniversalClient) error {
		one := func(entry *accountConfig) error {
			acct, err := wire(rdb, c, entry, nil)
			if err != nil {
				return err
			}
			defer func() { _ = acct.close() }()
			return do(ctx, acct, len(list) > 1)
		}
		for _, entry := range list {
			if err := one(entry); err != nil {
				return err
			}
		}
		return nil
	})
}

// readOnly makes cmd read only the secrets of these groups, though it has the flags of
// more: its RunE calls it when it will not call WeChat.
func readOnly(cmd *cobra.Command, groups group) {
	cmd.Annotations[usedGroups] = strconv.Itoa(int(groups))
}

// column is the first column of a list of several accounts; empty for one.
func column(appid string, several bool) string {
	if !several {
		return ""
	}
	return appid + "\t"
}
