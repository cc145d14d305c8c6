package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/internal/seal"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/usage"
	"github.com/wxnotify/wxnotify/internal/wiring"
)

const (
	// rotateTime bounds the passes of a rotation after the first one, which waits for
	// messages that are being sent: an attempt and its write take less.
	rotateTime = 90 * time.Second
	rotateWait = time.Second
)

func (a *app) sealCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "seal", Short: "Keys that messages and names are sealed with in Redis: status (also without a subcommand), rotate, names", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.sealed(cmd, (*settings.Config).Chosen, a.sealStatus)
		},
	}
	status := &cobra.Command{Use: "status", Short: "Count the messages by key", Args: cobra.NoArgs, RunE: cmd.RunE}
	rotate := &cobra.Command{
		Use: "rotate", Short: "Seal what waits and what is kept with the first key",
		Long: `rotate seals each message that waits, each dead letter and each message kept until its
receipt with the first key of WXNOTIFY_SEAL_KEYS: those of other keys, and those in clear.

1. Put the new key behind the present ones, in every process: all can open it then.
2. Put it first, in every process: all seal with it then.
3. Run rotate. It is repeated without harm.
4. When seal status lists nothing under a key, remove it after WXNOTIFY_KEEP: until then
   a repeated call is compared with a fingerprint made with it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			choose := func(c *settings.Config, appid string) ([]*settings.Account, error) {
				keys := c.Codec(appid).Keys()
				if !keys.Seals() {
					return nil, usage.Errorf("there is no key: set WXNOTIFY_SEAL_KEYS")
				}
				a.change.detail = "with key " + keys.Current()
				return c.Chosen(appid)
			}
			return a.sealed(cmd, choose, a.sealRotate)
		},
	}
	looks(cmd, status)
	cmd.AddCommand(a.ofAccounts(status, settings.Connecting), a.ofAccounts(rotate, settings.Connecting), a.ofAccounts(a.sealNamesCommand(), settings.Connecting))
	return a.ofAccounts(cmd, settings.Connecting)
}

// sealStore is where the messages of one account wait and are kept.
type sealStore struct {
	codec   job.Codec
	tasks   *queue.Inspector
	records *ledger.Ledger
	column  string // of a list of several accounts
}

func (a *app) sealed(cmd *cobra.Command, choose chooser, do func(context.Context, sealStore) error) error {
	return a.withChosen(cmd, choose, func(ctx context.Context, list []*wiring.Account) error {
		for _, acct := range list {
			if err := do(ctx, sealStore{acct.Codec, queue.NewInspector(acct.Redis), acct.Ledger, column(acct.AppID, len(list) > 1)}); err != nil {
				return err
			}
		}
		return nil
	})
}

// each calls change for each payload, those that wait first: a worker writes what is kept
// before its task is done.
func (s sealStore) each(ctx context.Context, waiting, kept func(id string, payload []byte) []byte) (written, left int, err error) {
	written, left, err = s.tasks.Each(ctx, s.codec.Account(), func(t queue.Ref, payload []byte) []byte { return waiting(t.ID, payload) })
	if err != nil {
		return written, left, err
	}
	more, changed, err := s.records.RewritePayloads(ctx, kept)
	return written + more, left + changed, err
}

// keyCount is how many messages are sealed with one key. Its JSON is a contract.
type keyCount struct {
	Account string `json:"account"`
	Key     string `json:"key"` // empty: in clear
	Use     string `json:"use"` // seals, opens, missing; clear
	Waiting int    `json:"waiting"`
	Kept    int    `json:"kept"` // dead letters, and messages until their receipt
}

func (s sealStore) count(ctx context.Context) ([]*keyCount, error) {
	rows := map[string]*keyCount{}
	row := func(key string) *keyCount {
		if rows[key] == nil {
			rows[key] = &keyCount{Account: s.codec.Account(), Key: key, Use: "missing"}
		}
		return rows[key]
	}
	row("").Use = "clear"
	for i, key := range s.codec.Keys().IDs() {
		row(key).Use = "opens"
		if i == 0 {
			row(key).Use = "seals"
		}
	}
	_, _, err := s.each(ctx,
		func(_ string, payload []byte) []byte { row(job.SealedWith(payload)).Waiting++; return nil },
		func(_ string, payload []byte) []byte { row(job.SealedWith(payload)).Kept++; return nil })
	order := map[string]int{"seals": 0, "opens": 1, "missing": 2, "clear": 3}
	return slices.SortedFunc(maps.Values(rows), func(a, b *keyCount) int {
		if a.Use != b.Use {
			return order[a.Use] - order[b.Use]
		}
		return strings.Compare(a.Key, b.Key)
	}), err
}

func (a *app) sealStatus(ctx context.Context, s sealStore) error {
	rows, err := s.count(ctx)
	if err != nil {
		return err
	}
	uses := map[string]string{
		"seals": a.say("seals", "用于加密"), "opens": a.say("opens", "用于解密"),
		"missing": a.say("is not in WXNOTIFY_SEAL_KEYS", "不在 WXNOTIFY_SEAL_KEYS 中"), "clear": a.say("in clear", "明文"),
	}
	out := newTable(a.Stdout)
	for _, r := range rows {
		if a.output == "json" {
			err = errors.Join(err, a.printJSON(r))
			continue
		}
		_, failed := fmt.Fprintf(out, a.say("%s%s\t%s\t%d waiting\t%d kept\n", "%s%s\t%s\t等待 %d\t保留 %d\n"),
			s.column, orDash(r.Key), uses[r.Use], r.Waiting, r.Kept)
		err = errors.Join(err, failed)
	}
	return errors.Join(err, out.Flush())
}

// rotation is the outcome of a rotation. Its JSON is a contract.
type rotation struct {
	Account string `json:"account"`
	Key     string `json:"key"`    // that seals
	Sealed  int    `json:"sealed"` // by this run
	// Unreadable were left as they are: they were changed, or a newer version wrote them.
	Unreadable int `json:"unreadable"`
}

func (a *app) sealRotate(ctx context.Context, s sealStore) error {
	done := rotation{Account: s.codec.Account(), Key: s.codec.Keys().Current()}
	var missing *seal.UnknownKeyError
	change := func(id string, payload []byte) []byte {
		out, err := s.codec.Reseal(id, payload)
		if err != nil && !errors.As(err, &missing) {
			done.Unreadable++
		}
		return out
	}
	var end time.Time
	for {
		done.Unreadable, missing = 0, nil
		written, left, err := s.each(ctx, change, change)
		done.Sealed += written
		if err != nil {
			return err
		}
		if written == 0 && left == 0 {
			break
		}
		if end.IsZero() {
			end = time.Now().Add(rotateTime)
		}
		if time.Now().After(end) {
			return errors.New(a.say("messages are still being sent, or come in under another key: put the key first in every process, and repeat the command",
				"仍有消息正在发送，或以其他密钥入队：请在每个进程中把该密钥放在最前，然后重复本命令"))
		}
		if left > 0 {
			if err := redisx.Sleep(ctx, rotateWait); err != nil {
				return err
			}
		}
	}
	if err := a.printRotation(s, done); err != nil {
		return err
	}
	if missing != nil {
		return fmt.Errorf(a.say("some messages were left: they are %w", "有消息未处理：%w"), missing)
	}
	return nil
}

func (a *app) printRotation(s sealStore, done rotation) error {
	text := fmt.Sprintf(a.say("%smessages sealed with key %s: %d", "%s已用密钥 %s 加密的消息：%d"), s.column, done.Key, done.Sealed)
	if done.Unreadable > 0 {
		text += fmt.Sprintf(a.say("\n%sunreadable messages, left as they are: %d", "\n%s无法读取、保持原样的消息：%d"), s.column, done.Unreadable)
	}
	return a.print(done, "%s", text)
}
