package main

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/mask"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/usage"
	"github.com/wxnotify/wxnotify/internal/wiring"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

// messageFlags are the flags of `messages`.
type messageFlags struct {
	openid, user, template string
	states                 []string
	errcode                int
	since, until           string
	limit                  int
	whole                  bool
}

func (a *app) messagesCommand() *cobra.Command {
	var f messageFlags
	cmd := &cobra.Command{
		Use:   "messages",
		Short: "Find messages by recipient, template, state, errcode and time, the newest first",
		Long: `messages lists the messages that match every flag that is given. A message is found as
long as its record is kept, WXNOTIFY_KEEP after its end. --openid finds what went to it
through a user, too. The JSON of each message is that of ` + "`status`" + `.

Openids are masked, and what looks like one or like a phone number in IDs.`,
		Example: `  wxnotify messages --state dead --since 24h
  wxnotify messages --user patient-401
  wxnotify messages --errcode 47003 --limit 0 --output json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("errcode") && f.errcode == 0 {
				return usage.Errorf("--errcode: 0 is not an errcode: leave the flag out, or use --state accepted,delivered")
			}
			q, err := a.messageQuery(cmd.Context(), f)
			if err != nil {
				return err
			}
			none := a.say("no message matches", "没有符合条件的消息")
			return a.list(cmd, none, func(ctx context.Context, acct *wiring.Account, several bool) (int, error) {
				return a.findIn(ctx, acct, q, f, several)
			})
		},
	}
	looks(cmd)
	fs := cmd.Flags()
	fs.StringVar(&f.openid, "openid", "", "recipient; - reads it from stdin")
	fs.StringVar(&f.user, "user", "", "your own id of the user, as the message named it")
	fs.StringVar(&f.template, "template", "", "template id")
	fs.StringSliceVar(&f.states, "state", nil, "states, with commas between them")
	fs.IntVar(&f.errcode, "errcode", 0, "errcode of the last attempt [any]")
	fs.StringVar(&f.since, "since", "", "enqueued since then: a time (RFC 3339) or how long ago (90m, 12h, 30d)")
	fs.StringVar(&f.until, "until", "", "enqueued before then: a time (RFC 3339) or how long ago (90m, 12h, 30d)")
	fs.IntVar(&f.limit, "limit", 50, "how many of each account at most; 0 is all")
	fs.BoolVar(&f.whole, "unmasked", false, "print whole openids and IDs")
	return a.ofAccounts(cmd, settings.Connecting)
}

// messageQuery reads the flags.
func (a *app) messageQuery(ctx context.Context, f messageFlags) (q ledger.Query, err error) {
	q = ledger.Query{User: f.user, Template: f.template, Errcode: wechat.Code(f.errcode)}
	if f.limit < 0 {
		return q, usage.Errorf("--limit: %d is not a number of messages", f.limit)
	}
	for _, name := range f.states {
		state := ledger.State(name)
		if !slices.Contains(ledger.States(), state) {
			return q, usage.Errorf("--state: %s is not one of %s", usage.Quote(name), strings.Join(texts(ledger.States()), ", "))
		}
		q.States = append(q.States, state)
	}
	for _, one := range []struct {
		flag, text string
		to         *time.Time
	}{{"--since", f.since, &q.Since}, {"--until", f.until, &q.Until}} {
		if one.text != "" {
			if *one.to, err = momentOrAgo(one.flag, one.text); err != nil {
				return q, err
			}
		}
	}
	if !q.Until.IsZero() && !q.Until.After(q.Since) {
		return q, usage.Errorf("--until: is not later than --since: no message is between them")
	}
	if q.To, err = a.fromStdin(ctx, f.openid); err != nil {
		return q, err
	}
	return q, a.checkNames(q.To, q.User, q.Template)
}

// findIn prints the messages of one account that match.
func (a *app) findIn(ctx context.Context, acct *wiring.Account, q ledger.Query, f messageFlags, several bool) (printed int, err error) {
	if q.To != "" {
		if q.BoundTo, err = acct.Roster.Users(ctx, q.To); err != nil {
			return 0, err
		}
	}
	show := a.foundPrinter(acct.Producer, f.whole, several)
	const page = 1000
	for {
		q.Limit = page
		if f.limit > 0 {
			q.Limit = min(page, f.limit-printed)
		}
		found, err := acct.Ledger.Find(ctx, q)
		if err != nil {
			return printed, err
		}
		n, err := show(ctx, found.Records)
		if printed += n; err != nil {
			return printed, err
		}
		if q.Cursor = found.Next; q.Cursor == "" || f.limit > 0 && printed >= f.limit {
			return printed, nil
		}
	}
}

// foundPrinter prints a page of messages, and returns how many still exist.
func (a *app) foundPrinter(p *producer.Producer, whole, several bool) func(context.Context, []*ledger.Record) (int, error) {
	views, ids := []producer.View{producer.In(a.lang)}, mask.NewIDs()
	if whole {
		views = append(views, producer.Unmasked())
	}
	return func(ctx context.Context, records []*ledger.Record) (printed int, err error) {
		names := make([]string, len(records))
		for i, r := range records {
			names[i] = r.ID
		}
		statuses, err := p.StatusMany(ctx, names, views...)
		if err != nil {
			return 0, err
		}
		for _, s := range statuses {
			if s == nil {
				continue // expired since
			}
			if !whole {
				s.ID = ids.Mask(s.ID)
			}
			if err := a.printFound(s, several); err != nil {
				return printed, err
			}
			printed++
		}
		return printed, nil
	}
}

func (a *app) printFound(s *producer.Status, several bool) error {
	errcode := ""
	if s.Errcode != 0 {
		errcode = strconv.Itoa(int(s.Errcode))
	}
	return a.printRow(s, "%s%s\t%s\t%s\t%s\t%s\t%s\t%s",
		column(s.Account, several), s.ID, s.State.In(a.lang), timeText(s.QueuedAt), orDash(timeText(s.EndedAt)), orDash(s.To), orDash(errcode), s.Reason)
}
