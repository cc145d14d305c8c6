package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

// sendFlags are what `send` was told.
type sendFlags struct {
	to, user, template, link, mini string
	data                           []string
	id, class, notBefore, notAfter string
	json                           string
	samples                        int
	atLeastOnce, dryRun, wait      bool
	waitFor                        time.Duration
}

func (a *app) sendCommand() *cobra.Command {
	var f sendFlags
	cmd := &cobra.Command{
		Use:   "send",
		Short: "Enqueue one message, or many from JSON",
		Example: `  wxnotify send --to oABC… --template TEMPLATE --data thing1=咖啡 --data amount2=¥10.00 --id order-1001-paid
  wxnotify send --id order-1002-paid --json - < body.json       # the body as WeChat takes it
  wxnotify send --json messages.ndjson                          # {"id":…,"class":…,"message":{…}} a line`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.send(cmd, f) },
	}
	fs := cmd.Flags()
	fs.StringVar(&f.to, "to", "", "recipient's openid")
	fs.StringVar(&f.user, "user", "", "recipient as a user of the roster, instead of --to")
	fs.StringVar(&f.template, "template", "", "template id")
	fs.StringArrayVar(&f.data, "data", nil, "key=value for each placeholder, such as thing1=咖啡")
	fs.StringVar(&f.link, "url", "", "opens when the message is tapped")
	fs.StringVar(&f.mini, "miniprogram", "", "appid:path of a mini program that opens instead")
	fs.StringVar(&f.id, "id", "", "your idempotency key; the same key is sent once. Default: a random one")
	fs.StringVar(&f.class, "class", "", strings.Join(classNames(), ", ")+" [default]")
	fs.StringVar(&f.notBefore, "not-before", "", "RFC 3339 time, or a duration from now such as 10m")
	fs.StringVar(&f.notAfter, "not-after", "", "RFC 3339 time, or a duration from now; later it is not sent but expired")
	fs.BoolVar(&f.atLeastOnce, "at-least-once", false, "when an outcome stays unknown, send again and risk a duplicate")
	fs.StringVar(&f.json, "json", "", "read messages from this file, - for stdin")
	fs.IntVar(&f.samples, "samples", 0, "enqueue this many sample messages for the simulator")
	fs.BoolVar(&f.dryRun, "dry-run", false, "check and print, but enqueue nothing")
	fs.BoolVar(&f.wait, "wait", false, "wait until each message was accepted or ended")
	fs.DurationVar(&f.waitFor, "wait-for", 2*time.Minute, "how long --wait waits")
	a.addAccount(cmd)
	a.addSettings(cmd, connecting)
	return cmd
}

// addAccount gives cmd the flag that picks one of several accounts.
func (a *app) addAccount(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.account, "account", "", "appid, when several accounts are configured")
}

func (a *app) send(cmd *cobra.Command, f sendFlags) error {
	next, err := f.messages(a.Stdin)
	if err != nil {
		return &usageError{err}
	}
	c, err := a.load(cmd)
	if err != nil {
		return err
	}
	entry, err := c.pick(a.account)
	if err != nil {
		return err
	}
	if f.dryRun {
		return a.dryRun(c, entry, next)
	}
	rdb, err := connect(cmd.Context(), c, zap.NewNop())
	if err != nil {
		return err
	}
	defer func() { _ = rdb.Close() }()
	p, err := newProducer(rdb, c, entry)
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }()
	return a.enqueueAll(cmd.Context(), p, next, f)
}

// sendChunk is how many messages share an EnqueueMany: enough to hide the round
// trip, few enough that a million of them stream through little memory.
const sendChunk = 1000

func (a *app) enqueueAll(ctx context.Context, p *producer.Producer, next messageReader, f sendFlags) error {
	failed := false
	var waiting []string
	for end := false; !end; {
		chunk, err := next(sendChunk)
		if end = errors.Is(err, io.EOF); err != nil && !end {
			return &usageError{err}
		}
		accepted, err := a.enqueueChunk(ctx, p, chunk, f.wait)
		if err != nil {
			return err
		}
		failed = failed || len(accepted) < len(chunk)
		if f.wait {
			waiting = append(waiting, accepted...)
		}
	}
	if f.wait {
		if err := a.waitFor(ctx, p, waiting, f.waitFor); err != nil {
			return err
		}
	}
	if failed {
		return errSilent
	}
	return nil
}

// enqueueChunk returns the IDs that were accepted. It says why the others were
// not, and prints the tickets unless silent.
func (a *app) enqueueChunk(ctx context.Context, p *producer.Producer, chunk []producer.Message, silent bool) ([]string, error) {
	if len(chunk) == 0 {
		return nil, nil
	}
	tickets, err := p.EnqueueMany(ctx, chunk)
	if len(tickets) == 0 && err != nil {
		return nil, err
	}
	var accepted []string
	for i, t := range tickets {
		if t.Err != nil {
			_, _ = fmt.Fprintf(a.Stderr, "wxnotify: %s: %s\n", chunk[i].ID, t.Err)
			continue
		}
		accepted = append(accepted, chunk[i].ID)
		if silent {
			continue
		}
		if err := a.printTicket(t.Ticket); err != nil {
			return nil, err
		}
	}
	return accepted, nil
}

func (a *app) printTicket(t producer.Ticket) error {
	if a.output == "json" {
		line, err := json.Marshal(t)
		if err != nil {
			return fmt.Errorf("encode ticket: %w", err)
		}
		_, err = fmt.Fprintf(a.Stdout, "%s\n", line)
		return err
	}
	word := string(t.State)
	if t.Duplicate {
		word += " (known before, not sent again)"
	}
	_, err := fmt.Fprintf(a.Stdout, "%s\t%s\n", t.ID, word)
	return err
}

// messageReader returns up to n messages; io.EOF comes with the last ones.
type messageReader func(n int) ([]producer.Message, error)

// messages says where the messages come from.
func (f sendFlags) messages(stdin io.Reader) (messageReader, error) {
	terms, err := f.terms()
	if err != nil {
		return nil, err
	}
	switch {
	case f.samples < 0:
		return nil, errors.New("--samples: must be 1 or more")
	case f.samples > 0:
		return sampleReader(f.samples, terms), nil
	case f.json != "":
		return f.jsonReader(stdin, terms)
	default:
		m, err := f.message()
		if err != nil {
			return nil, err
		}
		one := producer.Message{ID: f.idOrRandom(), Message: m, Terms: terms}
		return func(int) ([]producer.Message, error) { return []producer.Message{one}, io.EOF }, nil
	}
}

func (f sendFlags) idOrRandom() string {
	if f.id != "" {
		return f.id
	}
	return "cli-" + strings.ToLower(rand.Text())
}

// message builds one from flags.
func (f sendFlags) message() (*wechat.TemplateMessage, error) {
	var faults []error
	if f.to == "" && f.user == "" {
		faults = append(faults, errors.New("--to is missing: whose openid? (or --user, or --json)"))
	}
	if f.template == "" {
		faults = append(faults, errors.New("--template is missing: the template id from the console's 我的模板"))
	}
	m := &wechat.TemplateMessage{ToUser: f.to, TemplateID: f.template, URL: f.link, Data: map[string]wechat.Field{}}
	for _, d := range f.data {
		key, value, ok := strings.Cut(d, "=")
		if !ok || key == "" {
			faults = append(faults, fmt.Errorf("--data %q: must be key=value, such as thing1=咖啡", d))
			continue
		}
		m.Data[key] = wechat.Field{Value: value}
	}
	if f.mini != "" {
		appid, path, _ := strings.Cut(f.mini, ":")
		m.MiniProgram = &wechat.MiniProgram{AppID: appid, PagePath: path}
	}
	return m, errors.Join(faults...)
}

func (f sendFlags) terms() (producer.Terms, error) {
	t := producer.Terms{User: f.user, AtLeastOnce: f.atLeastOnce}
	var faults []error
	if f.class != "" {
		if _, err := job.ParseClass(f.class); err != nil {
			faults = append(faults, fmt.Errorf("--class: %w", err))
		}
		t.Class = producer.ClassName(f.class)
	}
	for _, at := range []struct {
		flag, value string
		into        *time.Time
	}{{"--not-before", f.notBefore, &t.NotBefore}, {"--not-after", f.notAfter, &t.NotAfter}} {
		if at.value == "" {
			continue
		}
		var err error
		if *at.into, err = timeOrDuration(at.value); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", at.flag, err))
		}
	}
	return t, errors.Join(faults...)
}

func timeOrDuration(v string) (time.Time, error) {
	if d, err := time.ParseDuration(v); err == nil {
		return time.Now().Add(d), nil
	}
	t, err := time.Parse(time.RFC3339, v)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is neither a time such as 2026-11-22T09:00:00+08:00 nor a duration such as 10m", v)
	}
	return t, nil
}

// inputLine is one message of --json: our form, or WeChat's body itself.
type inputLine struct {
	ID          string                  `json:"id"`
	Class       string                  `json:"class"`
	User        string                  `json:"user"`
	NotBefore   time.Time               `json:"not_before"`
	NotAfter    time.Time               `json:"not_after"`
	AtLeastOnce bool                    `json:"at_least_once"`
	Message     *wechat.TemplateMessage `json:"message"`
}

// jsonReader reads JSON values one after another, so that a file of a million
// lines streams.
func (f sendFlags) jsonReader(stdin io.Reader, terms producer.Terms) (messageReader, error) {
	in := stdin
	if f.json != "-" {
		file, err := openFile(f.json)
		if err != nil {
			return nil, fmt.Errorf("--json: %w", err)
		}
		in = file
	}
	d := json.NewDecoder(bufio.NewReaderSize(in, 1<<16))
	count := 0
	return func(n int) ([]producer.Message, error) {
		var out []producer.Message
		for len(out) < n {
			var raw json.RawMessage
			if err := d.Decode(&raw); errors.Is(err, io.EOF) {
				return out, io.EOF
			} else if err != nil {
				return out, fmt.Errorf("--json: value %d: %w", count+1, err)
			}
			count++
			m, err := f.parseInput(raw, terms, count)
			if err != nil {
				return out, fmt.Errorf("--json: value %d: %w", count, err)
			}
			out = append(out, m)
		}
		return out, nil
	}, nil
}

func (f sendFlags) parseInput(raw []byte, terms producer.Terms, n int) (producer.Message, error) {
	var line inputLine
	var body wechat.TemplateMessage
	if err := json.Unmarshal(raw, &body); err == nil && body.TemplateID != "" {
		id := f.id
		if id == "" {
			id = f.idOrRandom()
		} else if n > 1 {
			return producer.Message{}, errors.New(`--id names one message; for many give {"id":…,"message":{…}}`)
		}
		body.ClientMsgID = "" // ours is made from the ID
		return producer.Message{ID: id, Message: &body, Terms: terms}, nil
	}
	strict := json.NewDecoder(bytes.NewReader(raw))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&line); err != nil {
		return producer.Message{}, fmt.Errorf("neither WeChat's body nor {\"id\":…,\"message\":{…}}: %w", err)
	}
	if line.Message == nil || line.ID == "" {
		return producer.Message{}, errors.New("id or message is missing")
	}
	line.Message.ClientMsgID = ""
	return producer.Message{ID: line.ID, Message: line.Message, Terms: line.terms(terms)}, nil
}

// terms lays the line's own over those of the flags.
func (l inputLine) terms(t producer.Terms) producer.Terms {
	if l.Class != "" {
		t.Class = producer.ClassName(l.Class)
	}
	if l.User != "" {
		t.User = l.User
	}
	if !l.NotBefore.IsZero() {
		t.NotBefore = l.NotBefore
	}
	if !l.NotAfter.IsZero() {
		t.NotAfter = l.NotAfter
	}
	t.AtLeastOnce = t.AtLeastOnce || l.AtLeastOnce
	return t
}

// dryRun checks and prints what would be enqueued.
func (a *app) dryRun(c *config, entry *accountConfig, next messageReader) error {
	rdb, err := dial(c) // not connected: Check does not need Redis
	if err != nil {
		return err
	}
	defer func() { _ = rdb.Close() }()
	p, err := newProducer(rdb, c, entry)
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }()
	bad := false
	for {
		chunk, err := next(sendChunk)
		if err != nil && !errors.Is(err, io.EOF) {
			return &usageError{err}
		}
		for _, m := range chunk {
			if checkErr := p.Check(m); checkErr != nil {
				bad = true
				_, _ = fmt.Fprintf(a.Stderr, "wxnotify: %s: %s\n", m.ID, checkErr)
				continue
			}
			if err := a.printPlan(m.ID); err != nil {
				return err
			}
		}
		if err != nil {
			break
		}
	}
	if bad {
		return errSilent
	}
	return nil
}

// printPlan says that a message is fit for the queue.
func (a *app) printPlan(id string) error {
	if a.output == "json" {
		return a.printJSON(map[string]any{"id": id, "dry_run": true})
	}
	_, err := fmt.Fprintf(a.Stdout, "%s\twould be enqueued\n", id)
	return err
}
