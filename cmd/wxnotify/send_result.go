package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

// tally counts the messages of one run.
type tally struct {
	Messages   int `json:"messages"` // that were read
	Enqueued   int `json:"enqueued"`
	Known      int `json:"known"`      // under the same ID before: nothing was enqueued
	Refused    int `json:"refused"`    // have faults, or the ID of another message
	Unanswered int `json:"unanswered"` // Redis did not say whether it has them
	NotTried   int `json:"not_tried"`
}

// sendResult is the result of one message, as JSON.
type sendResult struct {
	Line      int                `json:"line,omitempty"` // of the file
	ID        string             `json:"id"`
	Class     producer.ClassName `json:"class,omitempty"`
	State     producer.State     `json:"state"` // or refused, unanswered, not-tried
	Duplicate bool               `json:"duplicate"`
	Truncated []string           `json:"truncated,omitempty"`
	Error     *errorView         `json:"error,omitempty"`
	Warnings  []wechat.Fault     `json:"warnings,omitempty"`
}

// errorView is an error as JSON: within a result, or alone in a line of stderr under
// the name "error".
type errorView struct {
	Message string         `json:"message"`
	Line    int            `json:"line,omitempty"` // of the file
	ID      string         `json:"id,omitempty"`   // of the message
	Faults  []wechat.Fault `json:"faults,omitempty"`
}

// printLine writes v as one line of JSON.
func printLine(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// printError writes an error to stderr, as JSON with --output json.
func (a *app) printError(view errorView) { a.tell("error", view, view.String()) }

// String reads "line 2 (order-1): data.thing1.value is empty: …" or "line 2 is not
// UTF-8: …".
func (v errorView) String() string {
	before := where(v.Line, v.ID)
	if len(v.Faults) > 0 && v.Faults[0].Path == "" && v.Line > 0 {
		before = strings.TrimSuffix(before, ": ") + " "
	}
	return before + v.Message
}

// where names a message at the start of a line.
func where(line int, id string) string {
	id = shownID(id)
	switch {
	case line > 0 && id != "":
		return fmt.Sprintf("line %d (%s): ", line, id)
	case line > 0:
		return fmt.Sprintf("line %d: ", line)
	case id != "":
		return id + ": "
	default:
		return ""
	}
}

// shownID is an ID that may have faults, for a person.
func shownID(id string) string {
	if len(id) > 128 || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\uFFFD' }) {
		return fmt.Sprintf("%.40q", id)
	}
	return id
}

// nameOf is the ID of a message, or empty where that is random: it would say
// nothing.
func (s *sendRun) nameOf(it item) string {
	if it.line == 0 && s.flags.id == "" {
		return ""
	}
	return it.request.ID
}

// viewOf makes an error readable: a fault after the other. named says that the line or
// the message is named before it.
func (a *app) viewOf(err error, named bool) errorView {
	view := errorView{Message: a.errorText(err)}
	var invalid *wechat.InvalidError
	if !errors.As(err, &invalid) {
		return view
	}
	for _, f := range invalid.Faults {
		view.Faults = append(view.Faults, f.Translated(a.lang))
	}
	view.Message = strings.TrimPrefix(strings.TrimPrefix(invalid.In(a.lang), "wechat: message refused: "), "wechat: 消息被拒绝：")
	if named && invalid.Faults[0].Path == "" {
		view.Message = strings.TrimPrefix(view.Message, "message ")
	}
	return view
}

// errorOf is the error of a message.
func (s *sendRun) errorOf(it item) errorView {
	view := s.viewOf(it.err, it.line > 0)
	view.Line, view.ID = it.line, s.nameOf(it)
	return view
}

// refusedShown is how many refused messages of a file are printed in full.
const refusedShown = 100

// refuse prints why a message is not enqueued: as the result of its line with
// --continue-on-error, else on stderr.
func (s *sendRun) refuse(it item) {
	s.tally.Refused++
	s.fail(it, "refused")
}

// unanswered counts a message that Redis could not take, or of which it is not known
// whether it did. Those end the command with their error; only with
// --continue-on-error each has its own line.
func (s *sendRun) unanswered(it item) {
	state := producer.State("unanswered")
	if errors.Is(it.err, producer.ErrRedisFull) {
		s.tally.NotTried++
		state = "not-tried"
	} else {
		s.tally.Unanswered++
	}
	if s.flags.goOn || errors.Is(it.err, producer.ErrBusy) {
		s.fail(it, state)
	}
}

func (s *sendRun) fail(it item, state producer.State) {
	view := s.errorOf(it)
	if s.flags.goOn {
		if s.output == "json" {
			_ = printLine(s.Stdout, sendResult{Line: it.line, ID: it.request.ID, State: state, Error: &view})
			return
		}
		_, _ = fmt.Fprintf(s.Stdout, "line %d\t%s\t%s: %s\n", it.line, cmp.Or(shownID(it.request.ID), "-"), state, view.Message)
		return
	}
	if s.shown++; s.shown <= refusedShown {
		s.printError(view)
	}
}

// moreRefused says how many refused messages were not printed.
func (s *sendRun) moreRefused() {
	if more := s.shown - refusedShown; more > 0 {
		s.printError(errorView{Message: fmt.Sprintf(s.say("and %d more messages are refused", "另有 %d 条消息被拒绝"), more)})
	}
}

// enqueued prints the ticket of a message. With --wait only what was known already
// is printed now.
func (s *sendRun) enqueued(it item, t producer.Ticket) error {
	if t.Duplicate {
		s.tally.Known++
	} else {
		s.tally.Enqueued++
	}
	s.templates[it.request.Message.Message.TemplateID] = true
	if s.flags.wait {
		if t.Duplicate && s.output != "json" {
			_, err := fmt.Fprintf(s.Stderr, "wxnotify: %s%s\n", where(it.line, t.ID), s.knownText(t.State))
			return err
		}
		return nil
	}
	if s.output == "json" {
		return printLine(s.Stdout, sendResult{
			Line: it.line, ID: t.ID, Class: t.Class, State: t.State, Duplicate: t.Duplicate, Truncated: t.Truncated,
			Warnings: it.request.Warnings(),
		})
	}
	text := t.State.In(s.lang)
	if t.Duplicate {
		text = s.knownText(t.State)
	}
	prefix := ""
	if s.flags.goOn {
		prefix = fmt.Sprintf("line %d\t", it.line)
	}
	_, err := fmt.Fprintf(s.Stdout, "%s%s\t%s\n", prefix, t.ID, text)
	return err
}

// knownText says what became of a message that was enqueued before.
func (a *app) knownText(state producer.State) string {
	switch state {
	case producer.Delivered, producer.Rejected, producer.Expired, producer.Cancelled, producer.Unknown, producer.Dead:
		return fmt.Sprintf(a.say("known already: nothing was sent; it ended as %s; a new id sends it again",
			"已有此消息：未发送；它的最终状态是 %s；用新的 ID 才会再次发送"), state.In(a.lang))
	case producer.Accepted:
		return a.say("known already: nothing was sent; WeChat has accepted it; a new id sends it again",
			"已有此消息：未发送；微信已接受；用新的 ID 才会再次发送")
	case producer.Queued, producer.Scheduled, producer.Sending, producer.Retrying:
	}
	return fmt.Sprintf(a.say("known already: nothing was enqueued; it is %s", "已有此消息：未入队；它的状态是 %s"), state.In(a.lang))
}

// summary prints the counts of a file on stderr.
func (s *sendRun) summary() {
	if s.flags.json == "" || s.tally.Messages == 0 {
		return // no file, or it could not be read
	}
	t := s.tally
	text := fmt.Sprintf(s.say("messages read: %d; enqueued %d, known already %d, refused %d, not tried %d",
		"读取消息 %d 条；入队 %d，已有 %d，拒绝 %d，未尝试 %d"), t.Messages, t.Enqueued, t.Known, t.Refused, t.NotTried)
	if s.flags.dryRun {
		text = fmt.Sprintf(s.say("messages read: %d; refused %d; nothing was enqueued", "读取消息 %d 条；拒绝 %d；没有入队"), t.Messages, t.Refused)
	}
	if s.unread {
		text += s.say("; what follows was not read", "；其后的内容未读取")
	}
	if t.Unanswered > 0 {
		text += fmt.Sprintf(s.say(", without an answer of Redis %d: run the same command again, which enqueues nothing twice",
			"，Redis 未答复 %d：请再次运行同一命令，不会重复入队"), t.Unanswered)
	}
	if t.Refused > 0 && t.NotTried > 0 && !s.flags.dryRun {
		text += s.say("; correct the file and run the command again, or use --continue-on-error", "；请更正文件后再次运行，或使用 --continue-on-error")
	}
	s.tell("summary", t, text)
}

// warningKind is what warnings of many messages have in common.
type warningKind struct {
	path string
	code wechat.FaultCode
}

type warningCount struct {
	fault wechat.Fault
	line  int    // of the first message
	id    string // of the first message
	count int
}

// warningKinds bounds the kinds that are kept.
const warningKinds = 200

// warn collects the warnings of a message. JSON has them in its result, too.
func (s *sendRun) warn(it item) {
	for _, w := range it.request.Warnings() {
		kind := warningKind{w.Path, w.Code}
		if c := s.warned[kind]; c != nil {
			c.count++
		} else if len(s.warned) < warningKinds {
			s.warned[kind] = &warningCount{w, it.line, s.nameOf(it), 1}
		}
	}
}

// flushWarnings prints each kind of warning once, with the first message that has
// it.
func (s *sendRun) flushWarnings() {
	if s.output == "json" {
		return
	}
	counts := make([]*warningCount, 0, len(s.warned))
	for _, c := range s.warned {
		counts = append(counts, c)
	}
	slices.SortFunc(counts, func(a, b *warningCount) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.id, b.id), cmp.Compare(a.fault.String(), b.fault.String()))
	})
	for _, c := range counts {
		more := ""
		if c.count > 1 {
			more = fmt.Sprintf(s.say("; also in other messages: %d", "；其他消息中还有 %d 处"), c.count-1)
		}
		_, _ = fmt.Fprintf(s.Stderr, "wxnotify: warning: %s%s%s\n", where(c.line, c.id), c.fault.In(s.lang), more)
	}
	clear(s.warned)
}

// plan is a message of --dry-run, as JSON.
type plan struct {
	Line       int                `json:"line,omitempty"`
	ID         string             `json:"id"`
	DryRun     bool               `json:"dry_run"`
	Account    string             `json:"account"`
	Class      producer.ClassName `json:"class,omitempty"`
	To         string             `json:"to,omitempty"` // masked
	User       string             `json:"user,omitempty"`
	TemplateID string             `json:"template_id"`
	Preview    wechat.Preview     `json:"preview"`
	Warnings   []wechat.Fault     `json:"warnings,omitempty"`
}

// dryRun checks all messages and prints those that are fit for the queue.
func (s *sendRun) dryRun(next source) error {
	for {
		it, err := next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		if it.err != nil {
			s.refuse(it)
			continue
		}
		if err := s.printPlan(it); err != nil {
			return err
		}
	}
	s.moreRefused()
	s.flushWarnings()
	s.tally.NotTried = s.tally.Messages - s.tally.Refused
	s.summary()
	if s.tally.Refused > 0 {
		return errSilent
	}
	return nil
}

// printPlan prints the card of a message as the follower sees it. The labels of the
// lines stand in the template, which only WeChat has.
func (s *sendRun) printPlan(it item) error {
	r := it.request
	m := r.Message.Message
	p := plan{
		Line: it.line, ID: r.ID, DryRun: true, Account: s.account, Class: cmp.Or(r.Terms.Class, producer.Default), User: r.Terms.User,
		TemplateID: m.TemplateID, Preview: m.Preview(""), Warnings: r.Warnings(),
	}
	if m.ToUser != "" {
		p.To = wechat.MaskOpenID(m.ToUser)
	}
	if s.output == "json" {
		return printLine(s.Stdout, p)
	}
	_, _ = fmt.Fprintf(s.Stdout, s.say("%s\twould be enqueued\n", "%s\t将会入队\n"), p.ID)
	w := newTable(s.Stdout)
	row := func(name, value string) {
		if value != "" {
			_, _ = fmt.Fprintf(w, "  %s\t%s\n", name, value)
		}
	}
	row(s.say("to", "收件人"), p.To)
	row(s.say("user", "用户"), p.User)
	row(s.say("template", "模板"), p.TemplateID)
	for _, line := range p.Preview.Lines {
		row("| "+line.Key, cmp.Or(line.Text, s.say("(nothing is shown)", "（不显示）")))
	}
	row(s.say("opens", "打开"), p.Preview.Opens)
	return w.Flush()
}
