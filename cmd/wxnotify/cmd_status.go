package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/wiring"
	"github.com/wxnotify/wxnotify/producer"
)

func (a *app) statusCommand() *cobra.Command {
	var whole bool
	cmd := &cobra.Command{
		Use:   "status ID...",
		Short: "What became of a message",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, ids []string) error {
			return a.withAccounts(cmd, func(ctx context.Context, list []*wiring.Account) error {
				waiting, err := a.showStatus(ctx, list, ids, whole)
				a.warnWaiting(ctx, list[0].Redis, waiting)
				return err
			})
		},
	}
	looks(cmd)
	cmd.Flags().BoolVar(&whole, "unmasked", false, "print the whole openid")
	return a.ofAccounts(cmd, settings.Connecting)
}

func (a *app) cancelCommand() *cobra.Command {
	return a.changeMessages("cancel", "Cancel messages that have not been sent", func(ctx context.Context, acct *wiring.Account, ids []string) error {
		failed := false
		for _, id := range ids {
			if err := acct.Producer.Cancel(ctx, id); err != nil {
				failed = true
				a.printError(errorView{Message: a.errorText(err)})
				continue
			}
			if err := a.printCancelled(ctx, acct.Producer, id); err != nil {
				return err
			}
		}
		if failed {
			return errSilent
		}
		return nil
	})
}

// printCancelled prints, as JSON, the message as it now is.
func (a *app) printCancelled(ctx context.Context, p *producer.Producer, id string) error {
	if a.output == "json" {
		s, err := p.Status(ctx, id, producer.In(a.lang))
		if err != nil {
			return err
		}
		return a.printJSON(s)
	}
	_, err := fmt.Fprintf(a.Stdout, "%s\t%s\n", id, producer.Cancelled.In(a.lang))
	return err
}

// showStatus prints the messages of these IDs: an ID may be one of several accounts.
// It returns the accounts of messages that a worker must still send.
func (a *app) showStatus(ctx context.Context, list []*wiring.Account, ids []string, whole bool) (waiting map[string][]string, err error) {
	waiting = map[string][]string{}
	views := []producer.View{producer.In(a.lang), producer.Story()}
	if whole {
		views = append(views, producer.Unmasked())
	}
	failed, printed := false, false
	for _, id := range ids {
		var missing error
		found := false
		for _, acct := range list {
			s, err := acct.Producer.Status(ctx, id, views...)
			if errors.Is(err, producer.ErrNotFound) {
				missing = err
				continue
			} else if err != nil {
				return waiting, err
			}
			found = true
			if !settled(s.State) {
				waiting[s.Account] = append(waiting[s.Account], s.TemplateID)
			}
			if printed && a.output != "json" {
				_, _ = fmt.Fprintln(a.Stdout)
			}
			printed = true
			if err := a.printStatus(s); err != nil {
				return waiting, err
			}
		}
		if !found {
			failed = true
			a.printError(errorView{Message: a.errorText(missing)})
		}
	}
	if failed {
		return waiting, errSilent
	}
	return waiting, nil
}

// printStatus leaves out what does not apply.
func (a *app) printStatus(s *producer.Status) error {
	var rows [][2]string
	row := func(name, value string) { rows = append(rows, [2]string{name, value}) }
	row("id", s.ID)
	row(a.say("state", "状态"), s.State.In(a.lang))
	row(a.say("reason", "原因"), s.Reason)
	row(a.say("remedy", "处理办法"), s.Remedy)
	if s.Errcode != 0 {
		row(a.say("errcode", "返回码"), strconv.Itoa(int(s.Errcode)))
	}
	row("rid", s.RID)
	row(a.say("account", "账号"), s.Account)
	row(a.say("class", "类别"), string(s.Class))
	row(a.say("to", "收件人"), s.To)
	row(a.say("template", "模板"), s.TemplateID)
	if s.MsgID != 0 {
		row("msgid", s.MsgID.String())
	}
	if s.Attempts > 0 {
		row(a.say("attempts", "尝试次数"), strconv.Itoa(s.Attempts))
	}
	if s.PossibleDuplicate {
		row(a.say("possible duplicate", "可能重复"), a.say("yes", "是"))
	}
	row(a.say("queued", "入队"), timeText(s.QueuedAt))
	row(a.say("not before", "不早于"), timeText(s.NotBefore))
	row(a.say("not after", "不晚于"), timeText(s.NotAfter))
	row(a.say("sent", "发送"), timeText(s.SentAt))
	row(a.say("ended", "结束"), timeText(s.EndedAt))
	if s.OperatorRetries > 0 {
		row(a.say("sent again by an operator", "运维人员重发"), fmt.Sprintf(a.say("%d ×, last %s", "%d 次，最近 %s"), s.OperatorRetries, timeText(s.OperatorRetriedAt)))
	}
	row(a.say("receipt", "回执"), s.Receipt)
	for i := range s.Story {
		if len(s.Story) == 1 && s.Story[i].Accepted {
			break // told by the time of sending
		}
		row(fmt.Sprintf(a.say("attempt %d", "第 %d 次尝试"), s.Story[i].N), a.attemptText(&s.Story[i]))
	}
	return a.printRows(s, rows...)
}

// attemptText is one line about an attempt.
func (a *app) attemptText(t *producer.Attempt) string {
	parts := []string{timeText(t.At)}
	add := func(value string) {
		if value != "" {
			parts = append(parts, value)
		}
	}
	if t.Accepted {
		add(a.say("accepted", "已接受"))
	}
	if t.Errcode != 0 {
		add(fmt.Sprintf(a.say("errcode %d", "返回码 %d"), int(t.Errcode)))
	}
	add(t.Reason)
	if t.LatencyMS > 0 {
		add(fmt.Sprintf("%d ms", t.LatencyMS))
	}
	if t.Worker != "" {
		add("worker " + t.Worker)
	}
	if t.RID != "" {
		add("rid " + t.RID)
	}
	return strings.Join(parts, " · ")
}

// settled reports whether waiting longer would only bring a receipt.
func settled(s producer.State) bool { return s.Ended() || s == producer.Accepted }

// hintAfter is how long --wait is silent before it says why messages wait. A worker that
// was started with the same paste has reported by then.
const hintAfter = 5 * time.Second

// waitFor polls until every message was accepted or ended. It prints each as it
// settles, and fails when one did not arrive. When some have not settled after hintAfter,
// or at the end, it says once why.
func (s *sendRun) waitFor(ctx context.Context, p *producer.Producer, ids []string, longest time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	poll := time.NewTicker(200 * time.Millisecond)
	defer poll.Stop()
	failed, hinted := false, false
	hint := time.NewTimer(hintAfter)
	defer hint.Stop()
	var states []*producer.Status
	late := func() error {
		if !hinted {
			s.whyWaiting(context.WithoutCancel(ctx), states)
		}
		return s.stillOnTheirWay(ids)
	}
	for len(ids) > 0 {
		found, err := p.StatusMany(ctx, ids, producer.In(s.lang))
		if err != nil && ctx.Err() == nil {
			return err
		}
		if err != nil {
			return late()
		}
		states = found
		left, lost, err := s.settle(ids, states)
		if err != nil {
			return err
		}
		failed = failed || lost
		if ids = left; len(ids) == 0 {
			break
		}
		select {
		case <-ctx.Done():
			return late()
		case <-hint.C:
			hinted = true
			s.whyWaiting(ctx, states)
		case <-poll.C:
		}
	}
	if failed {
		return errSilent
	}
	return nil
}

// whyWaiting warns when no worker sends or WeChat refuses a template, and tells the reason of the first message that
// was tried and waits for another attempt.
func (s *sendRun) whyWaiting(ctx context.Context, states []*producer.Status) {
	s.whyHeld(ctx)
	for _, m := range states {
		if m != nil && !settled(m.State) && m.Reason != "" {
			s.warning(strings.TrimRight(fmt.Sprintf("%s: %s: %s; %s", m.ID, m.State.In(s.lang), m.Reason, m.Remedy), "; "))
			return
		}
	}
}

func (a *app) stillOnTheirWay(ids []string) error {
	a.printError(errorView{Message: fmt.Sprintf(a.say(
		"%d message(s) still on their way; ask later with `wxnotify status %s`; `wxnotify queues` says what holds them",
		"%d 条消息仍在途中；稍后用 `wxnotify status %s` 查询；`wxnotify queues` 会说明消息为何等待"), len(ids), ids[0])})
	return errSilent
}

// settle prints what has settled and returns the IDs that have not, and whether
// one did not arrive.
func (a *app) settle(ids []string, states []*producer.Status) (left []string, lost bool, err error) {
	for i, s := range states {
		if s == nil || !settled(s.State) {
			left = append(left, ids[i])
			continue
		}
		lost = lost || s.State != producer.Accepted && s.State != producer.Delivered
		if err := a.printSettled(s); err != nil {
			return nil, lost, err
		}
	}
	return left, lost, nil
}

func (a *app) printSettled(s *producer.Status) error {
	parts := []string{s.ID, s.State.In(a.lang)}
	if s.MsgID != 0 {
		parts = append(parts, "msgid "+s.MsgID.String())
	}
	if s.Reason != "" {
		parts = append(parts, s.Reason)
	}
	if s.RID != "" {
		parts = append(parts, "rid "+s.RID)
	}
	return a.print(s, "%s", strings.Join(parts, "\t"))
}
