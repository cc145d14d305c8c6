package main

import (
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/gcpercent"
	"github.com/wxnotify/wxnotify/internal/logging"
	"github.com/wxnotify/wxnotify/internal/server"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/usage"
	"github.com/wxnotify/wxnotify/internal/wiring"
)

func (a *app) workerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Send what is enqueued; run any number of them",
		Long: `worker fetches messages as the rate and the quota permit, sends them, and records
the outcome of each. SIGTERM and SIGINT drain: sends in flight finish, the rest stays
queued. SIGHUP reads the configuration file and the files of secrets again. A closed log
pipe does not end it.`,
	}
	return a.serverCommand(cmd, server.Sends, settings.Connecting|settings.Calling|settings.Sending|settings.Operating|settings.Logging)
}

func (a *app) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Everything of production in one process: worker, enroll, HTTP API, operators' pages",
		Long: `serve is worker, enroll and api in one process. A larger installation runs any number
of each.`,
	}
	return a.serverCommand(cmd, server.Sends|server.Publishes|server.Answers, settings.Connecting|settings.Calling|settings.Sending|settings.Publishing|settings.Answering|settings.Operating|settings.Logging)
}

// serverCommand makes cmd run a process of these roles.
func (a *app) serverCommand(cmd *cobra.Command, roles server.Role, groups settings.Group) *cobra.Command {
	cmd.Args = cobra.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.runServer(cmd, roles) }
	a.addSettings(cmd, groups)
	cmd.Annotations[reloads] = "SIGHUP"
	return cmd
}

// readServer reads the configuration of a process of these roles. It is returned with an
// error, too.
func (a *app) readServer(cmd *cobra.Command, roles server.Role) (*settings.Config, error) {
	c, err := a.read(cmd)
	if err != nil {
		return c, err
	}
	if len(c.Accounts) == 0 {
		_, err := c.Pick("")
		return c, err
	}
	if err := settings.SecretsMissing(c.All()); err != nil && (roles != server.Answers || c.API.Gateway) {
		return c, err
	}
	return c, nil
}

// runServer runs a process of these roles until cmd's context ends.
func (a *app) runServer(cmd *cobra.Command, roles server.Role) error {
	c, err := a.readServer(cmd, roles)
	if err != nil {
		a.warn(c)
		return err
	}
	if roles == server.Answers && c.API.Addr == settings.Off {
		return usage.Errorf("%s: is - for nowhere, and api does nothing else", c.Label("api_addr"))
	}
	surviveClosedPipes()
	if roles&server.Sends != 0 {
		gcpercent.Set(a.Env)
	}
	log := logging.New(a.Stderr, c.Log.Level, c.Log.Format)
	defer func() { _ = log.Sync() }()
	for _, w := range c.Warnings {
		log.Warn("configuration", zap.String("warning", w))
	}
	ctx := cmd.Context()
	traces, flush, err := server.StartTracing(ctx, a.Env, programVersion(), log)
	if err != nil {
		return err
	}
	defer flush()
	rdb, report, err := wiring.Connect(ctx, c)
	if err != nil {
		return err
	}
	defer func() { _ = rdb.Close() }()
	for _, w := range report.Warnings {
		log.Warn(w)
	}
	if err := wiring.CheckNames(ctx, rdb, c, c.AppIDs()...); err != nil {
		return err
	}
	s, err := server.New(rdb, c, server.Options{
		Roles: roles, Version: programVersion(), Log: log, Stdout: a.Stdout, Traces: traces,
		Reloads: a.HangUp, Read: func() (*settings.Config, error) { return a.readServer(cmd, roles) },
	})
	if err != nil {
		return err
	}
	defer s.Close()
	return s.Run(ctx)
}
