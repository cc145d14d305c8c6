package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/auditlog"
	"github.com/wxnotify/wxnotify/internal/intake"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/usage"
	"github.com/wxnotify/wxnotify/internal/wiring"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

var _ enroll.FollowerAPI = (*wechat.Client)(nil)

// withRoster connects and opens the roster for changes by the command.
func (a *app) withRoster(cmd *cobra.Command, do func(ctx context.Context, r *enroll.Roster, appid string) error) error {
	return a.withAccount(cmd, func(ctx context.Context, acct *wiring.Account) error {
		return do(ctx, acct.Roster.By("wxnotify "+cmd.Parent().Name()+" "+cmd.Name()), acct.AppID)
	})
}

func (a *app) enrollImport() *cobra.Command {
	var encoding string
	var check bool
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Bind users from a CSV file user,openid[,unionid]",
		Long: `import binds the users of a CSV file, - for standard input: the columns user, openid
and, if you have it, unionid. A first line with these names says their order. UTF-8 with
or without a byte order mark; --encoding reads the GBK of Windows.

Each line has its own result, in the order of the file: bound, unchanged (it was bound
before), or why not. Lines with a fault do not stop the others. Run the same command
again after a stop or a correction: what is bound stays as it is, and is not asked for
again. Of a user with several openids, the last line is where messages go.

--check asks WeChat about each openid (100 a call): one of another account, or with
another unionid, is refused; one that does not follow is bound and suppressed.`,
		Example: "  wxnotify enroll import users.csv --check\n  wxnotify enroll import users.csv --encoding gbk -o json > results.ndjson",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if encoding != "" && !slices.Contains(intake.Encodings(), strings.ToLower(encoding)) {
				return usage.Errorf("--encoding: %s is not one of %s", usage.Quote(encoding), strings.Join(intake.Encodings(), ", "))
			}
			table, err := a.bindingTable(cmd.Context(), args[0], encoding)
			if err != nil {
				return usage.Wrap(err)
			}
			a.change.detail = auditlog.ID(filepath.Base(args[0]))
			if !check {
				readOnly(cmd, settings.Connecting)
			}
			return a.withRoster(cmd, func(ctx context.Context, roster *enroll.Roster, _ string) error {
				run := &importRun{app: a, name: args[0]}
				return run.all(ctx, roster, table, check)
			})
		},
	}
	cmd.Flags().StringVar(&encoding, "encoding", "", "of the file: "+strings.Join(intake.Encodings(), ", ")+" [utf-8]")
	cmd.Flags().BoolVar(&check, "check", false, "ask WeChat whether each openid is of this account and follows it")
	return a.ofAccount(cmd, settings.Connecting|settings.Calling)
}

// bindingTable opens a CSV file of bindings.
func (a *app) bindingTable(ctx context.Context, name, encoding string) (*intake.Table, error) {
	in, said, err := a.open(ctx, name) // closed by the end of the process
	if err != nil {
		return nil, err
	}
	table, err := intake.NewTable(in, encoding, []string{"user", "openid", "unionid"}, 2)
	if err != nil {
		return nil, fmt.Errorf("%s %w", said, err)
	}
	return table, nil
}

// importTally counts the lines of an import.
type importTally struct {
	Lines     int `json:"lines"` // that were read and are not empty
	Bound     int `json:"bound"`
	Unchanged int `json:"unchanged"` // were bound before
	Left      int `json:"not_following"`
	Refused   int `json:"refused"`
}

// importResult is the result of one line, as JSON.
type importResult struct {
	Line    int          `json:"line"`
	User    string       `json:"user,omitempty"`
	OpenID  string       `json:"openid,omitempty"` // masked
	Result  enroll.Bound `json:"result"`           // or refused
	Follows *bool        `json:"follows,omitempty"`
	Error   *errorView   `json:"error,omitempty"`
}

// importRun is one run of `enroll import`.
type importRun struct {
	*app
	name     string
	tally    importTally
	progress progress
}

// importLine is a line with its place among the bindings of a batch, or its fault.
type importLine struct {
	row     intake.Row
	binding enroll.Binding
	err     error
}

func (r *importRun) all(ctx context.Context, roster *enroll.Roster, table *intake.Table, check bool) error {
	var end error
	for end == nil {
		var lines []importLine
		lines, end = r.read(table)
		if err := r.batch(ctx, roster, lines, check); err != nil {
			r.summary("stopped")
			return fmt.Errorf("%w; run the same command again: it goes on where it stopped", err)
		}
		r.progress.show(r.app, r.tally, func() string { return "import: " + r.tally.String() })
	}
	if !errors.Is(end, io.EOF) {
		r.summary("stopped")
		return usage.Wrap(fmt.Errorf("%s %w", r.name, end))
	}
	r.summary("done")
	if r.tally.Refused > 0 {
		return errSilent
	}
	return nil
}

// read reads the lines of a batch. The error comes with the last ones.
func (r *importRun) read(table *intake.Table) ([]importLine, error) {
	var lines []importLine
	for len(lines) < enroll.ImportBatch {
		row, err := table.Next()
		if err != nil {
			return lines, err
		}
		line := importLine{row: row, err: row.Err}
		if row.Err == nil {
			line.binding = enroll.Binding{User: row.Values[0], OpenID: row.Values[1], UnionID: row.Values[2], How: enroll.ByImport}
			line.err = bindingFault(line.binding)
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// rounded is what spreadsheets make of long numbers.
var rounded = regexp.MustCompile(`^\d(\.\d+)?[eE]\+\d+$`)

// bindingFault returns all faults of a line as an *wechat.InvalidError.
func bindingFault(b enroll.Binding) error {
	var faults []wechat.Fault
	take := func(path string, err error) {
		var invalid *wechat.InvalidError
		if errors.As(err, &invalid) {
			for _, f := range invalid.Faults {
				f.Path = path
				faults = append(faults, f)
			}
		}
	}
	if rounded.MatchString(b.User) {
		faults = append(faults, wechat.Fault{
			Path: "user", Code: producer.FaultUserInvalid,
			Message: "is a number that a spreadsheet has rounded: give the column the format of text and export the file again",
		})
	} else {
		take("user", producer.CheckUser(b.User))
	}
	take("openid", wechat.ValidateOpenID(b.OpenID))
	if b.UnionID != "" {
		take("unionid", wechat.ValidateOpenID(b.UnionID))
	}
	if len(faults) == 0 {
		return nil
	}
	return &wechat.InvalidError{Faults: faults}
}

// batch binds lines and prints the result of each.
func (r *importRun) batch(ctx context.Context, roster *enroll.Roster, lines []importLine, check bool) error {
	var list []enroll.Binding
	for _, l := range lines {
		if l.err == nil {
			list = append(list, l.binding)
		}
	}
	if len(lines) == 0 {
		return nil
	}
	results, err := roster.Import(ctx, list, check)
	if err != nil {
		return err
	}
	for _, l := range lines {
		var result enroll.Imported
		if l.err == nil {
			result, results = results[0], results[1:]
		}
		if err := r.print(l, result); err != nil {
			return err
		}
	}
	return nil
}

// importRefusals say why a line was not bound, and what to do.
func (a *app) importRefusal(bound enroll.Bound) string {
	switch bound {
	case enroll.NotOurs:
		return a.say("WeChat does not know this openid in this account: check that the file and --account belong together",
			"微信在该账号下没有此 openid：请确认文件与 --account 对应")
	case enroll.OtherUnionID:
		return a.say("WeChat knows this openid with another unionid: correct the line, or leave the unionid out",
			"微信中此 openid 的 unionid 不同：请更正该行，或去掉 unionid")
	case enroll.UserTaken:
		return a.say("the user has another openid, and WXNOTIFY_BIND is first: unbind that one by `wxnotify enroll unbind`",
			"该用户已绑定其他 openid，且 WXNOTIFY_BIND 为 first：请先用 wxnotify enroll unbind 解绑")
	case enroll.UserFull:
		return a.say("the user has 16 openids: unbind one by `wxnotify enroll unbind`", "该用户已有 16 个 openid：请先用 wxnotify enroll unbind 解绑一个")
	case enroll.BoundNow, enroll.BoundAgain, enroll.BoundBefore, enroll.TicketSpent: // no refusals
	}
	return string(bound)
}

func (r *importRun) print(l importLine, result enroll.Imported) error {
	r.tally.Lines++
	view := importResult{Line: l.row.Number, User: l.binding.User, Result: result.Bound, Follows: result.Follows}
	if l.binding.OpenID != "" {
		view.OpenID = wechat.MaskOpenID(l.binding.OpenID)
	}
	switch {
	case l.err != nil:
		view.Result = "refused"
		fault := r.viewOf(l.err, true)
		view.Error = &fault
	case result.Refused():
		view.Error = &errorView{Message: r.importRefusal(result.Bound)}
	}
	switch {
	case view.Error != nil:
		r.tally.Refused++
	case result.Bound == enroll.BoundBefore:
		r.tally.Unchanged++
	default:
		r.tally.Bound++
	}
	if view.Error == nil && result.Follows != nil && !*result.Follows {
		r.tally.Left++
	}
	text := string(view.Result)
	switch {
	case view.Error != nil:
		text += ": " + view.Error.Message
	case view.Follows != nil && !*view.Follows:
		text += r.say(", does not follow the account", "，未关注该账号")
	}
	return r.printRow(view, "line %d\t%s\t%s", view.Line, orDash(view.OpenID), text)
}

func (t importTally) String() string {
	return fmt.Sprintf("lines %d; bound %d, unchanged %d, refused %d; not following %d", t.Lines, t.Bound, t.Unchanged, t.Refused, t.Left)
}

func (r *importRun) summary(how string) {
	r.tell("summary", r.tally, "import "+how+": "+r.tally.String())
}

// progressEvery is how often a long command says how far it is.
const progressEvery = 2 * time.Second

// progress tells on stderr how far a long command is.
type progress struct{ last time.Time }

// show prints a line unless it printed one less than progressEvery ago.
func (p *progress) show(a *app, view any, text func() string) {
	now := time.Now()
	if p.last.IsZero() {
		p.last = now // short commands print none
	}
	if now.Sub(p.last) < progressEvery {
		return
	}
	p.last = now
	a.tell("progress", view, text())
}
