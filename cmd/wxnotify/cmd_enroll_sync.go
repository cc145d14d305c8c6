package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/wechat"
)

func (a *app) enrollSync() *cobra.Command {
	var restart bool
	cmd := &cobra.Command{
		Use:   "sync",
		Short: "Read all followers from WeChat, and mark who follows and who left",
		Long: `sync reads the whole list of followers (user/get, 10000 a call) and marks on the roster
who follows and who has left: what events did not tell, because the callback was not
there yet or was down. It asks WeChat again (user/info/batchget) about each user that the
list lacks before it marks them.

A follower who was suppressed because they had left gets messages again; one who left is
suppressed, or erased with erase_unsubscribed. Refusals and an operator's suppressions stay.

WeChat allows 500 lists a day, which is 5 million followers. After a stop, run the same
command again within 7 days: it goes on where it stopped. It keeps one page in memory.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withRoster(cmd, func(ctx context.Context, roster *enroll.Roster, _ string) error {
				var p progress
				done, err := roster.Sync(ctx, restart, func(s enroll.Synced) {
					p.show(a, s, func() string { return fmt.Sprintf("sync: %d of %d followers", s.Listed, s.Total) })
				})
				if err != nil {
					return syncFailed(err, done)
				}
				return a.printSynced(done)
			})
		},
	}
	cmd.Flags().BoolVar(&restart, "restart", false, "begin anew, although an earlier run was stopped")
	return a.ofAccount(cmd, settings.Connecting|settings.Calling)
}

// syncFailed says when to go on.
func syncFailed(err error, done enroll.Synced) error {
	var refusal *wechat.Error
	when := "run the same command again"
	if errors.As(err, &refusal) && refusal.Code == wechat.CodeQuota {
		when = "WeChat's quota of this call is used up for today: run the same command again tomorrow"
	}
	return fmt.Errorf("%w; %s: it goes on after the %d followers that were read", err, when, done.Listed)
}

func (a *app) printSynced(s enroll.Synced) error {
	if a.output == "json" {
		return a.printJSON(s)
	}
	w := newTable(a.Stdout)
	row := func(name string, n int64, note string) { _, _ = fmt.Fprintf(w, "%s\t%d\t%s\n", name, n, note) }
	row(a.say("followers", "关注者"), s.Listed, a.say("read from WeChat", "从微信读取"))
	row(a.say("on the roster", "已绑定"), s.Bound, a.say("of those", "其中"))
	row(a.say("joined", "新关注"), s.Joined, a.say("on the roster, and not known to follow before", "已绑定，此前不知其关注"))
	row(a.say("left", "取消关注"), s.Left, a.say("on the roster, and do not follow any more", "已绑定，现已不再关注"))
	row(a.say("lifted", "解除"), s.Lifted, a.say("suppressions of followers who came back", "重新关注者的禁止发送"))
	row(a.say("foreign", "不属于该账号"), s.NotOurs, a.say("on the roster, and unknown to WeChat in this account: `wxnotify enroll list`", "已绑定，但微信在该账号下查无此 openid：见 wxnotify enroll list"))
	return w.Flush()
}
