package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/apikey"
	"github.com/wxnotify/wxnotify/internal/auditlog"
	"github.com/wxnotify/wxnotify/internal/console"
	"github.com/wxnotify/wxnotify/internal/ops"
	"github.com/wxnotify/wxnotify/internal/webhook"
	"github.com/wxnotify/wxnotify/wechat"
)

// operators is the console of a process, with what it opened.
type operators struct {
	console *console.Console
	roles   map[string]console.Role // by the name of the login
	guarded bool                    // a login is required
	opened  []func() error
}

// openAudit opens WXNOTIFY_AUDIT_FILE. nil: there is none.
func openAudit(c *config, stdout io.Writer) (*auditlog.Log, error) {
	if c.Ops.Audit == "" {
		return nil, nil //nolint:nilnil // the documented meaning of a nil *auditlog.Log
	}
	audit, err := auditlog.Open(c.Ops.Audit, stdout, thisProcess())
	if err != nil {
		return nil, usagef("%s: %w", c.label("audit_file"), err)
	}
	return audit, nil
}

// newConsole builds the console of these accounts.
func newConsole(rdb redis.UniversalClient, c *config, accounts []*account, audit *auditlog.Log, log *zap.Logger) (*operators, error) {
	o := &operators{}
	cfg := console.Config{Redis: rdb, Prefix: c.Ops.Prefix, Logger: log, Audit: audit, TwoPersons: c.Ops.TwoPersons, LinkKey: c.Ops.LinkKey}
	for _, a := range accounts {
		p, err := newProducer(rdb, c, a.accountConfig)
		if err != nil {
			return nil, errors.Join(err, o.close())
		}
		o.opened = append(o.opened, p.Close)
		roster, err := enroll.NewRoster(rdb, a.AppID)
		if err != nil {
			return nil, errors.Join(err, o.close())
		}
		eraser, err := enroll.NewEraser(rdb, a.AppID)
		if err != nil {
			return nil, errors.Join(err, o.close())
		}
		cfg.Accounts = append(cfg.Accounts, console.Account{
			AppID: a.AppID, Name: a.Name, Ledger: a.ledger, Producer: p, Gate: a.gate, Tokens: a.tokens, Roster: roster, Eraser: eraser,
			Keys: apikey.NewStore(rdb, a.AppID), Webhooks: webhook.NewStore(rdb, a.AppID, c.Redis.WebhookPrivate), Templates: templatesOf(a),
		})
	}
	var err error
	if o.console, err = console.New(cfg); err != nil {
		return nil, errors.Join(err, o.close())
	}
	return o, nil
}

// templatesOf asks WeChat, where the account has an AppSecret.
func templatesOf(a *account) func(context.Context) ([]wechat.Template, error) {
	if a.AppSecret.Reveal() == "" {
		return nil
	}
	return a.client.Templates
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

// close ends what runs in the background first.
func (o *operators) close() error {
	if o.console != nil {
		o.console.Close()
	}
	var faults []error
	for _, end := range o.opened {
		faults = append(faults, end())
	}
	return errors.Join(faults...)
}

// thisProcess names the process in the first line of its audit log.
func thisProcess() string {
	version, _ := build()
	host, _ := os.Hostname()
	return fmt.Sprintf("version %s, host %s, process %d", version, host, os.Getpid())
}
