package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/server"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/usage"
	"github.com/wxnotify/wxnotify/internal/wiring"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

func (a *app) enrollCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "enroll",
		Short: "Serve followers and WeChat's callback; make links, look at the roster",
		Long: `enroll serves the public endpoint: links by which users enrol (OAuth, QR code) and
the address that WeChat pushes events and receipts to. Run any number of them
behind TLS. Its subcommands look at the roster and change it.`,
	}
	a.serverCommand(cmd, server.Publishes, settings.Connecting|settings.Calling|settings.Publishing|settings.Operating|settings.Logging)
	audit := a.accountCommand("audit", "List who was bound, unbound and erased, when and how; users and openids masked", cobra.NoArgs, a.showAudit)
	looks(audit)
	cmd.AddCommand(a.enrollLink(), a.enrollList(), a.enrollExport(), a.enrollUnbind(), a.enrollErase(), audit)
	cmd.AddCommand(a.enrollImport(), a.enrollSync(), a.enrollMigrate())
	return cmd
}

// linkFlags describe an enrolment link.
type linkFlags struct {
	user, returnTo, handOff string
	expires                 time.Duration
	consent, withoutConfirm bool
}

func (a *app) enrollLink() *cobra.Command {
	var f linkFlags
	cmd := &cobra.Command{
		Use:   "link",
		Short: "Make the link by which one of your users enrols",
		Long: `link prints the address by which one user enrols: for one person, once. A page asks the
person who opens it whether to receive the notices of that user, shown masked.

With --hand-off it is good only together with the claim of the data in that file, which
is printed too: the program that opens the link adds &claim=… to it. There is no question
then. The file holds {"data": {"phone": "13800000000"}}, and
"unionid" when the follower must have that one. Data of a person are never a flag, since
every user of the machine can list those; a claim is personal data too.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.makeLink(cmd, f) },
	}
	looks(cmd)
	fs := cmd.Flags()
	fs.StringVar(&f.user, "user", "", "your own id of the user")
	fs.DurationVar(&f.expires, "expires", 24*time.Hour, "how long the link is good, at most 720h")
	fs.BoolVar(&f.consent, "consent", false, "ask the follower for consent (snsapi_userinfo), which tells the unionid")
	fs.BoolVar(&f.withoutConfirm, "without-confirm", false, "do not ask for which user; only where your own page has just asked this person")
	fs.StringVar(&f.returnTo, "return-to", "", "where the follower goes afterwards; one of return_urls")
	fs.StringVar(&f.handOff, "hand-off", "", "file with the data that must match, - for standard input")
	return a.ofAccount(cmd, settings.Connecting|settings.Publishing)
}

func (a *app) makeLink(cmd *cobra.Command, f linkFlags) error {
	c, err := a.load(cmd)
	if err != nil {
		return err
	}
	entry, err := c.Pick(a.account)
	if err != nil {
		return err
	}
	if err := c.LinksMissing(); err != nil {
		return err
	}
	if f.user == "" {
		return usage.Errorf("--user is missing: your own id of the user")
	}
	if err := a.checkNames("", f.user, ""); err != nil {
		return err
	}
	e := producer.Enrollment{
		PublicURL: c.Public.URL, Account: entry.AppID, Key: c.Public.EnrollKey,
		User: f.user, Life: f.expires, UserInfo: f.consent, ReturnTo: f.returnTo, WithoutConfirm: f.withoutConfirm,
	}
	link, err := producer.EnrollURL(e)
	switch {
	case err != nil:
		return usage.Wrap(err)
	case f.expires == 0:
		return usage.Errorf("--expires: 0s is no time in which the link could be opened: give how long, such as 24h")
	case f.returnTo != "" && !slices.Contains(c.Public.ReturnURLs, f.returnTo):
		return usage.Wrap(errors.New("--return-to: not one of return_urls (WXNOTIFY_RETURN_URLS), so enroll would refuse the link"))
	case f.handOff == "":
		return a.printLink(linkView{URL: link})
	}
	h, err := a.readHandOff(cmd.Context(), f.handOff)
	if err != nil {
		return usage.Wrap(fmt.Errorf("--hand-off: %w", err))
	}
	return a.withAccount(cmd, func(ctx context.Context, acct *wiring.Account) error {
		link, err := acct.Producer.HandOff(ctx, e, h)
		if err != nil {
			return err
		}
		return a.printLink(linkView{URL: link, Claim: producer.Claim(e.Key, link, h.Data)})
	})
}

// readHandOff reads {"data": {…}, "unionid": "…"} from a file, or from standard input.
// Its errors show none of it.
func (a *app) readHandOff(ctx context.Context, name string) (producer.HandOff, error) {
	const most = 64 << 10
	in, _, err := a.open(ctx, name)
	if err != nil {
		return producer.HandOff{}, err
	}
	defer func() { _ = in.Close() }()
	text, err := io.ReadAll(io.LimitReader(in, most+1))
	switch {
	case err != nil:
		return producer.HandOff{}, err //nolint:wrapcheck // it names the file
	case len(text) > most:
		return producer.HandOff{}, fmt.Errorf("has more than %d bytes", most)
	}
	return parseHandOff(text)
}

// parseHandOff reads the data of --hand-off strictly: a claim of damaged data would match
// no user.
func parseHandOff(text []byte) (producer.HandOff, error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	var h struct {
		Data    map[string]*string `json:"data"`
		UnionID string             `json:"unionid"`
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	err := d.Decode(&h)
	if err == nil && !errors.Is(d.Decode(&struct{}{}), io.EOF) {
		err = errors.New("more than one value")
	}
	if err != nil || len(h.Data) == 0 {
		return producer.HandOff{}, errors.New(`is not JSON of the form {"data": {"phone": "13800000000"}, "unionid": "…"}; data are required, unionid is not`)
	}
	if err := wechat.CheckJSON(text); err != nil {
		return producer.HandOff{}, err
	}
	out := producer.HandOff{Data: map[string]string{}, UnionID: h.UnionID}
	for name, value := range h.Data {
		if value == nil {
			return producer.HandOff{}, fmt.Errorf("data.%s is null: write its value, or leave the field out", name)
		}
		out.Data[name] = *value
	}
	return out, nil
}

// linkView is `enroll link --output json`.
type linkView struct {
	URL   string `json:"url"`
	Claim string `json:"claim,omitempty"`
}

func (a *app) printLink(v linkView) error {
	if v.Claim == "" {
		return a.print(v, "%s", v.URL)
	}
	return a.print(v, "%s\nclaim\t%s", v.URL, v.Claim)
}

func (a *app) enrollList() *cobra.Command {
	var user string
	cmd := a.accountCommand("list", "List who has enrolled, openids masked", cobra.NoArgs, func(ctx context.Context, acct *wiring.Account, _ []string) error {
		if user == "" {
			none := true
			err := a.eachBinding(ctx, acct.Roster, func(b enroll.Binding) error {
				none = false
				return a.printBinding(b)
			})
			if err == nil && none {
				a.none(a.say("no user has enrolled", "还没有用户登记"))
			}
			return err
		}
		list, err := acct.Roster.Of(ctx, user)
		if err == nil && len(list) == 0 {
			err = errors.New(a.say("this user has not enrolled; `wxnotify enroll link --user …` makes the link for it",
				"该用户尚未登记；用 `wxnotify enroll link --user …` 为其生成链接"))
		}
		for _, b := range list {
			if err == nil {
				err = a.printBinding(b)
			}
		}
		return err
	})
	looks(cmd)
	cmd.PreRunE = func(*cobra.Command, []string) error { return a.checkNames("", user, "") }
	cmd.Flags().StringVar(&user, "user", "", "only this user")
	return cmd
}

func (a *app) enrollExport() *cobra.Command {
	return a.accountCommand("export", "Print the whole roster as lines of JSON, openids whole: for programs", cobra.NoArgs,
		func(ctx context.Context, acct *wiring.Account, _ []string) error {
			return a.eachBinding(ctx, acct.Roster, func(b enroll.Binding) error { return printLine(a.Stdout, viewOf(b, false)) })
		})
}

func (a *app) eachBinding(ctx context.Context, r *enroll.Roster, do func(enroll.Binding) error) error {
	const users = 500
	for cursor := ""; ; {
		list, next, err := r.Page(ctx, cursor, users)
		if err != nil {
			return err
		}
		for _, b := range list {
			if err := do(b); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		cursor = next
	}
}

// bindingView is a row of the roster in JSON.
type bindingView struct {
	User    string    `json:"user"`
	OpenID  string    `json:"openid"` // masked in `list`
	UnionID string    `json:"unionid,omitempty"`
	Follows *bool     `json:"follows,omitempty"`
	BoundAt time.Time `json:"bound_at"`
	How     string    `json:"how"`
}

func viewOf(b enroll.Binding, masked bool) bindingView {
	v := bindingView{b.User, b.OpenID, b.UnionID, b.Follows, b.BoundAt, b.How}
	if masked {
		v.OpenID = wechat.MaskOpenID(v.OpenID)
		if v.UnionID != "" {
			v.UnionID = wechat.MaskOpenID(v.UnionID)
		}
	}
	return v
}

func (a *app) printBinding(b enroll.Binding) error {
	v := viewOf(b, true)
	follows := a.say("not known", "未知")
	if v.Follows != nil {
		follows = map[bool]string{true: a.say("follows", "已关注"), false: a.say("does not follow", "未关注")}[*v.Follows]
	}
	return a.print(v, a.say("%s\t%s\t%s\tby %s\t%s", "%s\t%s\t%s\t方式 %s\t%s"), v.User, v.OpenID, timeText(v.BoundAt), v.How, follows)
}

func (a *app) enrollUnbind() *cobra.Command {
	var who enroll.Person
	cmd := audited(a.accountCommand("unbind", "Take one openid, or all, from a user", cobra.NoArgs, func(ctx context.Context, acct *wiring.Account, _ []string) error {
		n, err := acct.Roster.By(operator()).Unbind(ctx, who.User, who.OpenID)
		if err == nil && n == 0 {
			err = errors.New(a.say("nothing was bound; `wxnotify enroll list` shows what is", "没有可解除的绑定；用 `wxnotify enroll list` 查看"))
		}
		if err != nil {
			return err
		}
		return a.print(map[string]int{"bindings": n}, a.say("%d unbound", "已解除 %d 个绑定"), n)
	}), "unbind")
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) (err error) {
		if who.User == "" {
			return usage.Errorf("--user is missing: your own id of the user")
		}
		if who.OpenID, err = a.fromStdin(cmd.Context(), who.OpenID); err != nil {
			return err
		}
		a.change = change{openid: who.OpenID, user: who.User}
		return a.checkNames(who.OpenID, who.User, "")
	}
	cmd.Long = `unbind takes an openid from a user: no message of that user goes to it any more. The
links by which it was bound stay spent. The audit trail has a line of it.`
	personFlags(cmd, &who, "one openid of the user; all")
	return cmd
}

// personFlags are the flags by which a command names a person.
func personFlags(cmd *cobra.Command, who *enroll.Person, openid string) {
	cmd.Flags().StringVar(&who.OpenID, "openid", "", openid+"; - reads it from stdin")
	cmd.Flags().StringVar(&who.User, "user", "", "your own id of the user")
}

func (a *app) enrollErase() *cobra.Command {
	var who enroll.Person
	cmd := &cobra.Command{
		Use:   "erase",
		Short: "Erase a person: roster, tickets, records, waiting messages, suppressions",
		Long: `erase forgets a person everywhere in one account: an openid, or a user with all
openids that no other user has, also those that only messages to the user name.
Messages that wait for them are cancelled; erase waits up to 30s for those that are
being sent. IDs, states and times of messages stay, and a line in the audit trail.
When nothing of the person is found, erase fails.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (who.OpenID == "") == (who.User == "") {
				return usage.Wrap(errors.New("name the person by either --openid or --user"))
			}
			var err error
			if who.OpenID, err = a.fromStdin(cmd.Context(), who.OpenID); err != nil {
				return err
			}
			if err := a.checkNames(who.OpenID, who.User, ""); err != nil {
				return err
			}
			a.change = change{openid: who.OpenID, user: who.User}
			return a.withAccount(cmd, func(ctx context.Context, acct *wiring.Account) error {
				found, err := acct.Roster.Erase(ctx, who)
				if err != nil {
					return fmt.Errorf("%w; the person is off the roster, repeat the command to erase the rest", err)
				}
				return a.printErased(found, who)
			})
		},
	}
	audited(cmd, "erase")
	personFlags(cmd, &who, "the follower's openid")
	return a.ofAccount(cmd, settings.Connecting)
}

// printErased says what was erased, and warns where the person may be known by more
// than was found.
func (a *app) printErased(found enroll.Erased, who enroll.Person) error {
	view := map[string]int{"bindings": found.Bindings, "messages": found.Messages, "unbound_openids": found.OpenIDs, "events": found.Events}
	err := a.print(view, a.say("erased: bindings %d, messages to the person %d", "已删除：%d 个绑定，%d 条消息的收件人"), found.Bindings, found.Messages)
	switch {
	case err != nil:
		return err
	case found.Nothing():
		return errors.New(a.say("nothing of this person was found: check the account, and the --user or --openid as it was sent to; it is case-sensitive",
			"没有找到此人的任何数据：请检查账号，以及发送时所用的 --user 或 --openid；区分大小写"))
	case who.User != "" && found.Bindings == 0:
		a.warning(fmt.Sprintf(a.say("the user was not bound. %d openids were found in messages to the user and erased too. "+
			"Messages that were sent straight to another openid of this person are found by --openid only.",
			"该用户没有绑定。在发给该用户的消息中找到 %d 个 openid，也已删除。直接发给此人其他 openid 的消息只能用 --openid 找到。"), found.OpenIDs))
	}
	return err
}

func (a *app) showAudit(ctx context.Context, acct *wiring.Account, _ []string) error {
	const page = 500
	for before := ""; ; {
		entries, err := acct.Ledger.Audited(ctx, before, page)
		if err != nil {
			return err
		}
		for _, e := range entries {
			before = e.ID
			if err := a.printRow(e, "%s\t%s\t%s\t%s\t%s\t%s", timeText(e.At), e.Action, orDash(e.Actor), orDash(e.OpenID), orDash(e.User), e.Detail); err != nil {
				return err
			}
		}
		if len(entries) == 0 && before == "" {
			a.none(a.say("nothing has been changed", "还没有更改的记录"))
		}
		if len(entries) < page {
			return err
		}
	}
}
