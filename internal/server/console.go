package server

import (
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/auditlog"
	"github.com/wxnotify/wxnotify/internal/console"
	"github.com/wxnotify/wxnotify/internal/ops"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/usage"
	"github.com/wxnotify/wxnotify/internal/wiring"
)

// operators is the console of a process, with what it opened.
type operators struct {
	console *console.Console
	roles   map[string]console.Role // by the name of the login
	guarded bool                    // a login is required
}

// openAudit opens WXNOTIFY_AUDIT_FILE. nil: there is none.
func openAudit(c *settings.Config, stdout io.Writer, version string) (*auditlog.Log, error) {
	if c.Ops.Audit == "" {
		return nil, nil //nolint:nilnil // the documented meaning of a nil *auditlog.Log
	}
	audit, err := auditlog.Open(c.Ops.Audit, stdout, processName(version))
	if err != nil {
		return nil, usage.Errorf("%s: %w", c.Label("audit_file"), err)
	}
	return audit, nil
}

// newConsole builds the console of these accounts.
func newConsole(rdb redis.UniversalClient, c *settings.Config, accounts []*wiring.Account, audit *auditlog.Log, log *zap.Logger) (*operators, error) {
	cfg := console.Config{Redis: rdb, Prefix: c.Ops.Prefix, Logger: log, Audit: audit, TwoPersons: c.Ops.TwoPersons, LinkKey: c.Ops.LinkKey}
	for _, a := range accounts {
		cfg.Accounts = append(cfg.Accounts, console.Account{
			AppID: a.AppID, Name: a.Name, Ledger: a.Ledger, Producer: a.Producer, Gate: a.Gate, Tokens: a.Tokens, Roster: a.Roster,
			Keys: a.Keys, Webhooks: a.Webhooks, Templates: a.Templates, SealKeys: a.Codec.Keys(),
		})
	}
	con, err := console.New(cfg)
	if err != nil {
		return nil, err
	}
	return &operators{console: con}, nil
}

// serve is ops.Config.Console. Without logins, on the loopback, each operator is an admin.
func (o *operators) serve(w http.ResponseWriter, r *http.Request, who ops.Operator) {
	role := console.Admin
	switch {
	case who.Role != "":
		role = roles()[who.Role]
	case o.guarded:
		role = o.roles[who.Name]
	}
	o.console.ServeHTTP(w, console.WithOperator(r, console.Operator{Name: who.Name, Subject: who.Subject, LogOut: who.Role != "", Address: who.Address, Role: role, Stop: who.Stop}))
}

// processName names this one in the first line of its audit log.
func processName(version string) string {
	host, _ := os.Hostname()
	return fmt.Sprintf("version %s, host %s, process %d", version, host, os.Getpid())
}
