package main

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxnotify/wxnotify/internal/intake"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/usage"
	"github.com/wxnotify/wxnotify/internal/wiring"
	"github.com/wxnotify/wxnotify/producer"
)

// sendFlags are what `send` was told.
type sendFlags struct {
	to, user, template, link, mini string
	data                           []string
	id, class, notBefore, notAfter string
	json, encoding                 string
	samples                        int
	atLeastOnce, dryRun, wait      bool
	shadow                         bool
	goOn                           bool // --continue-on-error
	waitFor                        time.Duration
}

func (a *app) sendCommand() *cobra.Command {
	var f sendFlags
	cmd := &cobra.Command{
		Use:   "send",
		Short: "Enqueue one message, or many from JSON",
		Long: `Enqueue one message from flags, or the messages of a JSON file: one a line, one
array, or one document. A message is WeChat's body or
{"id":…,"account":…,"class":…,"user":…,"not_before":…,"not_after":…,"at_least_once":…,"message":{WeChat's body}}.

A file is checked as a whole before its first message is enqueued; with
--continue-on-error each line has its own result instead. A message without an id
gets one that is made from its recipient and content: the same file again sends
nothing twice. Two messages of a file with one id are refused. With --output json
each result, and each error on stderr, is one line of JSON.`,
		Example: `  wxnotify send --to oABC… --template TEMPLATE --data thing1=咖啡 --data amount2=¥10.00 --id order-1001-paid
  wxnotify send --id order-1002-paid --json - < body.json       # the body as WeChat takes it
  wxnotify send --json messages.ndjson                          # {"id":…,"class":…,"message":{…}} a line
  wxnotify send --json messages.ndjson --dry-run                # check, and show the cards
  tail -f calls.ndjson | wxnotify send --shadow --json -        # what would differ from the present system`,
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
	fs.StringVar(&f.id, "id", "", "your idempotency key; the same key is sent once. Default: a random one; of a file, one made from the content, but none with WXNOTIFY_SEAL_KEYS")
	fs.StringVar(&f.class, "class", "", strings.Join(job.ClassNames(), ", ")+" [default]; for the messages of a file that have none")
	fs.StringVar(&f.notBefore, "not-before", "", "RFC 3339 time, or a duration from now such as 10m")
	fs.StringVar(&f.notAfter, "not-after", "", "RFC 3339 time, or a duration from now; later it is not sent but expired")
	fs.BoolVar(&f.atLeastOnce, "at-least-once", false, "when an outcome stays unknown, send again and risk a duplicate")
	fs.StringVar(&f.json, "json", "", "read messages from this file, - for stdin")
	fs.StringVar(&f.encoding, "encoding", "", "of the file: "+strings.Join(intake.Encodings(), ", ")+" [utf-8]")
	fs.BoolVar(&f.goOn, "continue-on-error", false, "enqueue the messages of a file that are right, though others are not")
	fs.IntVar(&f.samples, "samples", 0, "enqueue this many sample messages for the simulator")
	fs.BoolVar(&f.dryRun, "dry-run", false, "check, and print the cards as followers see them, but enqueue nothing")
	fs.BoolVar(&f.shadow, "shadow", false, "send nothing, and tell what would become of each message: faults, suppressions, quota")
	fs.BoolVar(&f.wait, "wait", false, "wait until each message was accepted or ended")
	fs.DurationVar(&f.waitFor, "wait-for", 2*time.Minute, "how long --wait waits")
	return a.ofAccount(cmd, settings.Connecting)
}

func (a *app) send(cmd *cobra.Command, f sendFlags) error {
	if err := f.check(cmd.Flags()); err != nil {
		return usage.Wrap(err)
	}
	terms, err := f.terms()
	if err != nil {
		return usage.Wrap(err)
	}
	next, err := f.source(cmd.Context(), a, terms)
	if err != nil {
		return usage.Wrap(err)
	}
	c, err := a.load(cmd)
	if err != nil {
		return err
	}
	entry, err := c.Pick(a.account)
	if err != nil {
		return err
	}
	server, err := wiring.RedisServer(c)
	if err != nil {
		return err
	}
	rdb := server.Dial() // connects with its first command: Producer.Check has none
	defer func() { _ = rdb.Close() }()
	acct, err := wiring.Open(rdb, c, entry, nil)
	if err != nil {
		return err
	}
	defer func() { _ = acct.Close() }()
	s := &sendRun{
		app: a, flags: f, account: entry.AppID, sealed: acct.Codec.Keys().Seals(), terms: terms, check: acct.Producer.Check,
		seen: map[idHash]int{}, warned: map[warningKind]*warningCount{}, templates: map[string]bool{},
	}
	checked := s.checked(next)
	if f.dryRun {
		return s.dryRun(checked)
	}
	if !f.goOn && !f.shadow {
		kept := &spool{}
		defer kept.close()
		if err := s.checkAll(checked, kept); err != nil {
			return err
		}
		if checked, err = kept.source(); err != nil {
			return err
		}
	}
	report, err := wiring.CheckRedis(cmd.Context(), c, server)
	if err != nil {
		return err
	}
	a.warnOfRedis(report)
	if err := wiring.CheckNames(cmd.Context(), rdb, c, entry.AppID); err != nil {
		return err
	}
	if f.shadow {
		return s.shadow(cmd.Context(), acct, checked)
	}
	s.whyHeld = func(ctx context.Context) {
		a.warnWaiting(ctx, rdb, map[string][]string{entry.AppID: slices.Collect(maps.Keys(s.templates))})
	}
	return s.enqueueAll(cmd.Context(), acct.Producer, checked)
}

// checkAll keeps all messages, or prints the faults and returns an error.
func (s *sendRun) checkAll(next source, kept *spool) error {
	for {
		it, err := next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && it.err == nil && s.tally.Refused == 0 {
			err = kept.add(it)
		}
		if err != nil {
			s.moreRefused()
			s.flushWarnings()
			s.tally.NotTried = s.tally.Messages
			s.tally.NotTried -= s.tally.Refused
			s.summary()
			return err
		}
		if it.err != nil {
			s.refuse(it)
		}
	}
	s.flushWarnings()
	if s.tally.Refused == 0 {
		return nil
	}
	s.moreRefused()
	s.tally.NotTried = s.tally.Messages - s.tally.Refused
	s.summary()
	return errSilent
}

// sendChunk is how many messages share an EnqueueMany: enough to hide the round
// trip, few enough that a million of them stream through little memory.
const sendChunk = 1000

func (s *sendRun) enqueueAll(ctx context.Context, p *producer.Producer, next source) error {
	if !s.flags.goOn {
		s.tally = tally{Messages: s.tally.Messages, NotTried: s.tally.Messages}
	}
	var waiting []string
	var broken error // ends the input
	for broken == nil {
		var chunk []item
		chunk, broken = s.chunk(next)
		accepted, err := s.enqueueChunk(ctx, p, chunk)
		if s.flags.wait {
			waiting = append(waiting, accepted...)
		}
		if err != nil {
			broken = err
		}
	}
	if errors.Is(broken, io.EOF) {
		broken = nil
	}
	s.flushWarnings()
	s.unread = broken != nil && s.flags.goOn
	if s.tally.Enqueued > 0 && !s.flags.wait {
		s.whyHeld(ctx) // --wait says so only when nothing moves
	}
	s.summary()
	if s.flags.wait {
		if err := s.waitFor(ctx, p, waiting, s.flags.waitFor); err != nil {
			return errors.Join(broken, err)
		}
	}
	if broken == nil && s.tally.Refused+s.tally.Unanswered > 0 {
		return errSilent
	}
	return broken
}

// chunk reads messages to enqueue at once. The error comes with the last ones.
func (s *sendRun) chunk(next source) ([]item, error) {
	var chunk []item
	for len(chunk) < sendChunk {
		it, err := next()
		if err != nil {
			return chunk, err
		}
		chunk = append(chunk, it)
	}
	return chunk, nil
}

// enqueueChunk prints the result of each message, in their order, and returns the
// IDs that the queue has. The error ends the command: Redis does not answer, or
// cannot take more.
func (s *sendRun) enqueueChunk(ctx context.Context, p *producer.Producer, chunk []item) ([]string, error) {
	var messages []producer.Message
	for _, it := range chunk {
		if it.err == nil {
			messages = append(messages, it.request.Message)
		}
	}
	var results []producer.Result
	if len(messages) > 0 {
		results, _ = p.EnqueueMany(ctx, messages) // each result has its error
	}
	var accepted []string
	var stop error
	for _, it := range chunk {
		if it.err != nil {
			s.refuse(it)
			continue
		}
		r := results[0]
		results = results[1:]
		if !s.flags.goOn {
			s.tally.NotTried--
		}
		var reused *producer.IDReusedError
		switch {
		case r.Err == nil:
			accepted = append(accepted, it.request.ID)
			if err := s.enqueued(it, r.Ticket); err != nil {
				return accepted, err
			}
		case errors.As(r.Err, &reused), it.request.Faults(r.Err) != nil:
			it.err = r.Err
			s.refuse(it)
		default:
			it.err = r.Err
			s.unanswered(it)
			if stop == nil && !errors.Is(r.Err, producer.ErrBusy) {
				stop = errors.New(s.errorOf(it).String())
			}
		}
	}
	return accepted, stop
}
