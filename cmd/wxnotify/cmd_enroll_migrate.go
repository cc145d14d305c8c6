package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/usage"
	"github.com/wxnotify/wxnotify/wechat"
)

func (a *app) enrollMigrate() *cobra.Command {
	var mig enroll.Migration
	cmd := &cobra.Command{
		Use:   "migrate --from APPID",
		Short: "Take over the roster of an account that has moved to this one (帐号迁移)",
		Long: `migrate converts the openids on the roster of another account after WeChat has moved its
followers to this one: 100 a call (changeopenid), within 15 days after the migration. Of
each binding the new openid is bound to the user in this account, the old openid is
suppressed in both accounts, and the old binding is removed. Suppressions by an operator
and refusals go with the person.

What is left on the roster of --from is what could not be converted, such as people who had
left. Run the same command again after a stop: it goes on where it stopped.

The roster of --from is the one in this Redis. If the users are elsewhere, bring them
along first: wxnotify enroll import FILE --appid with the previous appid.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkMigration(mig); err != nil {
				return usage.Wrap(err)
			}
			a.change.detail = "from " + mig.From
			return a.withRoster(cmd, func(ctx context.Context, roster *enroll.Roster, appid string) error {
				if mig.From == appid {
					return usage.Errorf("--from: is this account itself; name the previous account's appid, and the new one by --account")
				}
				return a.migrate(ctx, roster, mig)
			})
		},
	}
	cmd.Flags().StringVar(&mig.From, "from", "", "appid of the previous account")
	cmd.Flags().StringVar(&mig.FromID, "from-id", "", "what WeChat is told instead, such as the original id gh_…")
	return a.ofAccount(cmd, settings.Connecting|settings.Calling)
}

var originalIDPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func checkMigration(mig enroll.Migration) error {
	switch {
	case mig.From == "":
		return errors.New("--from is missing: the appid of the previous account")
	case !originalIDPattern.MatchString(mig.From):
		return fmt.Errorf("--from: %s is not an appid, such as wx0123456789abcdef", usage.Quote(mig.From))
	case mig.FromID != "" && !originalIDPattern.MatchString(mig.FromID):
		return fmt.Errorf("--from-id: %s is neither an original id, such as gh_0123456789ab, nor an appid", usage.Quote(mig.FromID))
	}
	return nil
}

// migrateTally counts the bindings of a migration.
type migrateTally struct {
	Bindings     int `json:"bindings"`
	Moved        int `json:"moved"`
	NotConverted int `json:"not_converted"` // by WeChat
	Refused      int `json:"refused"`       // by the roster of this account
}

// migrateResult is the result of one binding, as JSON.
type migrateResult struct {
	User   string       `json:"user"`
	Old    string       `json:"old_openid"`           // masked
	New    string       `json:"new_openid,omitempty"` // masked
	Result enroll.Bound `json:"result"`               // or not-converted
	Error  string       `json:"error,omitempty"`
}

func (a *app) migrate(ctx context.Context, roster *enroll.Roster, mig enroll.Migration) error {
	var t migrateTally
	var p progress
	text := func() string {
		return fmt.Sprintf("migrate: bindings %d; moved %d, not converted %d, refused %d", t.Bindings, t.Moved, t.NotConverted, t.Refused)
	}
	err := roster.Migrate(ctx, mig, func(c enroll.Converted) error {
		defer func() { p.show(a, t, text) }()
		return a.printConverted(&t, c)
	})
	a.tell("summary", t, text())
	var refusal *wechat.Error
	switch {
	case errors.As(err, &refusal) && refusal.Code == codeNotConvertible && mig.FromID == "":
		return fmt.Errorf("%w; if the migration is done and not older than 15 days, name the previous account's original id by --from-id gh_…", err)
	case err != nil:
		return fmt.Errorf("%w; run the same command again: it goes on where it stopped", err)
	case t.Bindings == 0:
		return fmt.Errorf("the roster of %s is empty in this Redis: when a run before has moved all, there is nothing left to do; "+
			"else bring its users along: wxnotify enroll import FILE --appid %s", mig.From, mig.From)
	case t.Refused > 0:
		return errSilent
	}
	return nil
}

// codeNotConvertible is WeChat's refusal of a whole call of changeopenid.
const codeNotConvertible wechat.Code = 63178

func (a *app) printConverted(t *migrateTally, c enroll.Converted) error {
	t.Bindings++
	view := migrateResult{User: c.User, Old: wechat.MaskOpenID(c.Old), Result: c.Bound}
	if c.New != "" {
		view.New = wechat.MaskOpenID(c.New)
	}
	switch {
	case c.Moved():
		t.Moved++
	case c.New == "":
		t.NotConverted++
		view.Result = "not-converted"
		view.Error = c.Message
	default:
		t.Refused++
		view.Error = a.importRefusal(c.Bound)
	}
	said := string(view.Result)
	if view.Error != "" {
		said += ": " + view.Error
	}
	return a.printRow(view, "%s\t%s\t%s\t%s", view.User, view.Old, orDash(view.New), said)
}
