package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/events"
	"github.com/wxnotify/wxnotify/internal/heartbeat"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/names"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/seal"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/usage"
	"github.com/wxnotify/wxnotify/internal/wiring"
)

func (a *app) sealNamesCommand() *cobra.Command {
	var back bool
	cmd := &cobra.Command{
		Use: "names", Short: "Seal openids and users in Redis, with the first key of WXNOTIFY_SEAL_NAME_KEYS",
		Long: `names converts all that Redis has of openids and users of an account: from clear to
sealed with the first key of WXNOTIFY_SEAL_NAME_KEYS, from another key of the setting to
the first one, or with --clear back to clear. Messages that wait are sealed with the first
key of WXNOTIFY_SEAL_KEYS before.

1. Stop all processes of the account: workers, enroll, api, serve, and your own programs.
2. Run this command with the setting that all processes will have; behind the first key,
   the key that names are sealed with now. To go back, with that key alone and --clear.
3. Start the processes, each with the setting (after --clear without it).

The command refuses while a worker or an enroll process is alive. If it is stopped, run it
again: until it is complete no process starts. It takes about a minute for a million records.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			choose := func(c *settings.Config, appid string) ([]*settings.Account, error) {
				if c.Redis.SealNameKeys.IsZero() {
					return nil, usage.Errorf("there is no key: set WXNOTIFY_SEAL_NAME_KEYS")
				}
				return c.Chosen(appid)
			}
			return a.withRedis(cmd, choose, func(rdb redis.UniversalClient, c *settings.Config, chosen []*settings.Account) error {
				for _, entry := range chosen {
					if err := a.sealNamesOf(cmd, rdb, c, entry, back); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&back, "clear", false, "back to clear")
	return cmd
}

// sealedNames is the outcome of a conversion. Its JSON is a contract.
type sealedNames struct {
	Account string `json:"account"`
	From    string `json:"from"` // ID of the key; empty: clear
	Key     string `json:"key"`  // ID of the key; empty: clear
	// Converted counts the names that this run wrote, one in several places as several.
	Converted int `json:"converted"`
}

func (a *app) sealNamesOf(cmd *cobra.Command, rdb redis.UniversalClient, c *settings.Config, entry *settings.Account, back bool) error {
	ctx := cmd.Context()
	from, to, err := conversionOf(ctx, rdb, c, entry.AppID, back)
	if err != nil {
		return err
	}
	records, err := ledger.New(rdb, entry.AppID, nil, ledger.Config{}) // reads no name
	if err != nil {
		return err
	}
	defer func() { _ = records.Close() }()
	if err := a.note(cmd, &wiring.Account{Account: entry, Ledger: records}); err != nil {
		return err
	}
	done := sealedNames{Account: entry.AppID, From: from.KeyID(), Key: to.KeyID()}
	if from.KeyID() == to.KeyID() {
		return a.printSealedNames(done)
	}
	if err := a.refuseWhileAlive(ctx, rdb, entry.AppID, from); err != nil {
		return err
	}
	if to != nil {
		if err := a.sealWaiting(ctx, sealStore{c.Codec(entry.AppID), queue.NewInspector(rdb), records, ""}); err != nil {
			return err
		}
	}
	conversion, err := names.Begin(ctx, rdb, entry.AppID, from, to)
	if err != nil {
		return err
	}
	settle := a.Settle
	if settle == nil {
		settle = names.Wait
	}
	if err := settle(ctx); err != nil {
		return err
	}
	if err := a.refuseWhileAlive(ctx, rdb, entry.AppID, from); err != nil {
		return err
	}
	if err := convertNames(ctx, rdb, entry.AppID, conversion); err != nil {
		return fmt.Errorf(a.say("the conversion is not complete, run the command again: %w", "转换尚未完成，请重新运行本命令：%w"), err)
	}
	done.Converted = conversion.Done
	return a.printSealedNames(done)
}

// conversionOf reads how names are sealed now. A conversion that was begun goes on with
// its own keys.
func conversionOf(ctx context.Context, rdb redis.UniversalClient, c *settings.Config, appid string, back bool) (from, to *seal.Names, err error) {
	keys, err := seal.New(c.Redis.SealNameKeys.Reveal())
	if err != nil {
		return nil, nil, err
	}
	now, begun, err := names.Read(ctx, rdb, appid)
	if err != nil {
		return nil, nil, err
	}
	target := keys.Current()
	if back {
		target = ""
	}
	if begun != "" && begun != target && (begun != "clear" || !back) {
		return nil, nil, usage.Errorf("account %s: a conversion to %s is not complete: run the command again with that key first in WXNOTIFY_SEAL_NAME_KEYS, or with --clear if that is where it goes", appid, begun)
	}
	if now != "" {
		if from, err = keys.NamesOf(now, appid); err != nil {
			return nil, nil, usage.Errorf("account %s: openids and users are sealed with key %s, which WXNOTIFY_SEAL_NAME_KEYS does not have: add it behind the first one", appid, now)
		}
	}
	if target != "" {
		to, err = keys.NamesOf(target, appid)
	}
	return from, to, err
}

// convertNames converts all that an account has of names.
func convertNames(ctx context.Context, rdb redis.UniversalClient, appid string, c *names.Conversion) error {
	if err := ledger.Convert(ctx, rdb, appid, c); err != nil {
		return err
	}
	if err := enroll.Convert(ctx, appid, c); err != nil {
		return err
	}
	if err := events.Convert(ctx, appid, c); err != nil {
		return err
	}
	moved := append(ledger.MovedKeys(appid), enroll.MovedKeys(appid)...)
	return c.End(ctx, append(moved, ledger.ClearEventsKey(appid))...)
}

// refuseWhileAlive refuses while a worker or an enroll process of the account is alive.
func (a *app) refuseWhileAlive(ctx context.Context, rdb redis.UniversalClient, appid string, n *seal.Names) error {
	workers, _, err := heartbeat.List(ctx, rdb, appid)
	if err != nil {
		return err
	}
	readers, err := enroll.Alive(ctx, rdb, appid, n)
	if err != nil {
		return err
	}
	var alive []string
	for _, w := range workers {
		alive = append(alive, "worker "+w.ID+" ("+w.Host+")")
	}
	for _, name := range readers {
		alive = append(alive, "enroll "+name)
	}
	if len(alive) == 0 {
		return nil
	}
	return fmt.Errorf(a.say("account %s: stop all its processes; alive are: %s (one that was killed counts for a minute)",
		"账号 %s：请停止其所有进程；仍在运行：%s（被杀死的进程会保留一分钟）"), appid, strings.Join(alive, ", "))
}

// sealWaiting seals the messages that wait or are kept in clear, while no process sends them.
func (a *app) sealWaiting(ctx context.Context, s sealStore) error {
	var failed error
	change := func(id string, payload []byte) []byte {
		out, err := s.codec.Reseal(id, payload)
		failed = errors.Join(failed, err)
		return out
	}
	_, left, err := s.each(ctx, change, change)
	if err == nil && failed != nil {
		err = fmt.Errorf("seal the messages that wait: %w", failed)
	}
	if err == nil && left > 0 {
		err = errors.New(a.say("messages are still being sent: stop all processes of the account, and repeat the command",
			"仍有消息正在发送：请停止该账号的所有进程，然后重复本命令"))
	}
	return err
}

func (a *app) printSealedNames(done sealedNames) error {
	word := done.Key
	if word == "" {
		word = a.say("in clear", "明文")
	}
	return a.print(done, a.say("%s: openids and users: %s; %d converted", "%s：openid 和用户：%s；已转换 %d 处"), done.Account, word, done.Converted)
}
