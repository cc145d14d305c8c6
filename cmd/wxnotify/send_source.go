package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/wxnotify/wxnotify/internal/fault"
	"github.com/wxnotify/wxnotify/internal/intake"
	"github.com/wxnotify/wxnotify/internal/usage"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

// item is one message on its way from the input to Redis.
type item struct {
	line    int // of the file; 0: from flags
	request intake.Request
	err     error // why it is refused
}

// source returns one message after another, then io.EOF. Another error ends the
// input.
type source func() (item, error)

// source says where the messages come from.
func (f sendFlags) source(ctx context.Context, a *app, terms producer.Terms) (source, error) {
	switch {
	case f.samples > 0:
		return sampleSource(f.samples, terms), nil
	case f.json != "":
		return f.fileSource(ctx, a)
	}
	m, err := f.message()
	if err != nil {
		return nil, err
	}
	id := f.id
	if id == "" {
		id = "cli-" + strings.ToLower(rand.Text())
	}
	one := item{request: intake.Request{Bare: true, Message: producer.Message{ID: id, Message: m, Terms: terms}}}
	done := false
	return func() (item, error) {
		if done {
			return item{}, io.EOF
		}
		done = true
		return one, nil
	}, nil
}

func (f sendFlags) fileSource(ctx context.Context, a *app) (source, error) {
	in, name, err := a.open(ctx, f.json) // closed by the end of the process
	if err != nil {
		return nil, fmt.Errorf("--json: %w", err)
	}
	// On a terminal or a pipe this waits for the first line.
	reader, err := intake.NewReader(in, f.encoding)
	if err != nil {
		return nil, fmt.Errorf("--json: %s %w", name, err)
	}
	return func() (item, error) {
		line, err := reader.Next()
		if err != nil && !errors.Is(err, io.EOF) {
			err = usage.Wrap(fmt.Errorf("--json: %s %w", name, err))
		}
		return item{line: line.Number, request: line.Request, err: line.Err}, err
	}, nil
}

// sendRun is one run of `send`.
type sendRun struct {
	*app
	flags   sendFlags
	account string
	sealed  bool           // messages are sealed in Redis
	terms   producer.Terms // of the flags
	check   func(producer.Message) error
	seen    map[idHash]int // the line of each ID, to find IDs that stand twice
	tally   tally
	shown   int  // refused messages that were printed
	unread  bool // the input goes on
	warned  map[warningKind]*warningCount
	// templates are those of the messages that were enqueued.
	templates map[string]bool
	// whyHeld warns when no worker serves the account, or WeChat refuses one of templates.
	whyHeld func(context.Context)
}

// idHash is the start of an ID's SHA-256: a million of them take 50 MB.
type idHash [16]byte

// checked completes and checks each message of next. It counts them, and collects
// their warnings.
func (s *sendRun) checked(next source) source {
	return func() (item, error) {
		it, err := next()
		if err != nil {
			return it, err
		}
		s.tally.Messages++
		if it.err == nil {
			it.err = s.complete(&it)
		}
		if it.err == nil {
			s.warn(it)
		}
		return it, nil
	}
}

// complete gives the message its ID and terms, and returns all its faults as an
// *wechat.InvalidError.
func (s *sendRun) complete(it *item) error {
	r := &it.request
	var faults []wechat.Fault
	addTwice := func(path, message string) {
		faults = append(faults, wechat.Fault{Path: path, Code: wechat.FaultFieldTwice, Message: message})
	}
	if r.Account != "" && r.Account != s.account {
		faults = append(faults, wechat.NewFault("account", fault.OtherAccount,
			"is another account than that of this command: use --account, or send it apart", "不是本命令的账号：请使用 --account，或单独发送"))
	}
	if it.line > 0 {
		s.defaults(&r.Terms)
		switch given := s.flags.id; {
		case given == "":
		case r.ID != "" && r.ID != given:
			addTwice("id", "differs from --id: remove one")
		case s.tally.Messages > 1:
			addTwice("id", "--id names one message, and the file has more: give each its own id in the file")
		default:
			r.ID = given
		}
	}
	made := r.ID == ""
	if made {
		if s.sealed {
			faults = append(faults, wechat.NewFault("id", fault.IDMissing,
				"is missing: with WXNOTIFY_SEAL_KEYS give each message an id of your own; one made of its content would confirm a guess of it in Redis",
				"缺失：设置了 WXNOTIFY_SEAL_KEYS 时，请自行给每条消息一个 ID；由内容生成的 ID 会在 Redis 中泄露内容"))
		}
		id, err := r.ContentID()
		if err != nil {
			return err // text that is not UTF-8, in flags
		}
		r.ID = id
	}
	sum := sha256.Sum256([]byte(r.ID))
	hash := idHash(sum[:])
	if first, twice := s.seen[hash]; twice && made {
		addTwice("", fmt.Sprintf("is the same as on line %d: give each an id when the follower shall get both", first))
	} else if twice {
		addTwice("id", fmt.Sprintf("is that of line %d: give each message its own", first))
	} else {
		s.seen[hash] = it.line
	}
	if err := s.check(r.Message); err != nil {
		found := r.Faults(err)
		if found == nil {
			return err
		}
		faults = append(faults, found...)
	}
	if len(faults) > 0 {
		return &wechat.InvalidError{Faults: faults}
	}
	return nil
}

// defaults lays the terms of the flags below those of the message.
func (s *sendRun) defaults(t *producer.Terms) {
	if t.Class == "" {
		t.Class = s.terms.Class
	}
	if t.NotBefore.IsZero() {
		t.NotBefore = s.terms.NotBefore
	}
	if t.NotAfter.IsZero() {
		t.NotAfter = s.terms.NotAfter
	}
	t.AtLeastOnce = t.AtLeastOnce || s.terms.AtLeastOnce
}
