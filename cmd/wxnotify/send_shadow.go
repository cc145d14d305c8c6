package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/wxnotify/wxnotify/internal/shadow"
	"github.com/wxnotify/wxnotify/internal/wiring"
	"github.com/wxnotify/wxnotify/producer"
)

// shadowChunk is how many messages are looked up at once. A stream of messages that come
// one by one is told of in chunks of this size.
const shadowChunk = 100

// shadowResult is what would become of a message, as JSON.
type shadowResult struct {
	Line   int            `json:"line,omitempty"` // of the file
	ID     string         `json:"id"`
	Would  shadow.Would   `json:"would"`
	Reason string         `json:"reason,omitempty"` // of a suppression
	State  producer.State `json:"state,omitempty"`  // of a message that is known
	Error  *errorView     `json:"error,omitempty"`  // of a refused message
}

// shadow tells of each message what would become of it, and sends nothing.
func (s *sendRun) shadow(ctx context.Context, acct *wiring.Account, next source) error {
	look, err := shadow.New(ctx, acct.Ledger, acct.Gate)
	if err != nil {
		return err
	}
	var end error
	for end == nil {
		var items []item
		for len(items) < shadowChunk && end == nil {
			var it item
			if it, end = next(); end == nil {
				items = append(items, it)
			}
		}
		// What was read before Ctrl-C is told, too.
		if err := s.shadowItems(context.WithoutCancel(ctx), look, items); err != nil {
			return err
		}
	}
	s.flushWarnings()
	if err := s.printForecast(look.Forecast()); err != nil {
		return err
	}
	if errors.Is(end, io.EOF) || ctx.Err() != nil { // Ctrl-C ends a stream that does not end
		end = nil
	}
	return end
}

func (s *sendRun) shadowItems(ctx context.Context, look *shadow.Shadow, items []item) error {
	var messages []producer.Message
	for _, it := range items {
		if it.err == nil {
			messages = append(messages, it.request.Message)
		}
	}
	outcomes, err := look.Look(ctx, messages)
	if err != nil {
		return err
	}
	for _, it := range items {
		result := shadowResult{Line: it.line, ID: it.request.ID, Would: shadow.Refused}
		if it.err != nil {
			look.Refuse()
			view := s.errorOf(it)
			result.Error = &view
		} else {
			result.Would, result.Reason, result.State = outcomes[0].Would, outcomes[0].Reason, outcomes[0].State
			outcomes = outcomes[1:]
		}
		if err := s.printShadow(result); err != nil {
			return err
		}
	}
	return nil
}

// printShadow prints a message. Text has those only that would not simply be sent.
func (s *sendRun) printShadow(r shadowResult) error {
	if s.output == "json" {
		return printLine(s.Stdout, r)
	}
	text := ""
	switch r.Would {
	case shadow.Send:
		return nil
	case shadow.Refused:
		text = s.say("would be refused: ", "将被拒绝：") + r.Error.Message
	case shadow.Known:
		text = fmt.Sprintf(s.say("would not be sent again: its id is known, and the message is %s", "不会再次发送：其 id 已存在，消息状态为 %s"), r.State)
	case shadow.Suppressed:
		text = s.say("would not be sent: the recipient is suppressed: ", "不会发送：已禁止向该收件人发送：") + r.Reason
	case shadow.NoUser:
		text = s.say("would not be sent: the user has not enrolled", "不会发送：该用户没有绑定 openid")
	case shadow.Wait:
		text = s.say("would wait until the quota is reset", "将等到配额重置后发送")
	case shadow.Expire:
		text = s.say("would expire: the quota is reset after its not_after", "将会过期：配额重置晚于其 not_after")
	}
	_, err := fmt.Fprintf(s.Stdout, "%s%s\n", where(r.Line, r.ID), text)
	return err
}

func (s *sendRun) printForecast(f shadow.Forecast) error {
	if s.output == "json" {
		return printLine(s.Stderr, map[string]shadow.Forecast{"forecast": f})
	}
	quota := s.say("not known; `wxnotify quota --ask` asks WeChat", "未知；可用 wxnotify quota --ask 询问微信")
	if f.Quota >= 0 {
		quota = fmt.Sprintf(s.say("%d left today, reset at %s", "今日剩余 %d，重置于 %s"), f.Quota, timeText(f.ResetsAt))
	}
	n := f.Would
	_, err := fmt.Fprintf(s.Stderr, s.say(
		"wxnotify: shadow, nothing was sent: messages %d; would be sent %d, wait for quota %d, expire %d, refused %d, known already %d, suppressed %d, without a user %d\n",
		"wxnotify: 影子模式，没有发送任何消息：共 %d 条；将发送 %d，等待配额 %d，过期 %d，被拒绝 %d，已存在 %d，禁止发送 %d，用户未绑定 %d\n"),
		f.Messages, n[shadow.Send], n[shadow.Wait], n[shadow.Expire], n[shadow.Refused], n[shadow.Known], n[shadow.Suppressed], n[shadow.NoUser])
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Stderr, s.say("wxnotify: quota: %s; sending takes %s at the present rate\n", "wxnotify: 配额：%s；按当前速率发送需要 %s\n"),
		quota, time.Duration(f.Seconds*float64(time.Second)).Round(time.Second))
	for _, reason := range f.Closed {
		if err == nil {
			_, err = fmt.Fprintf(s.Stderr, s.say("wxnotify: the gate is closed now: %s\n", "wxnotify: 闸门目前关闭：%s\n"), s.closureName(reason))
		}
	}
	return err
}
