package main

import (
	"context"

	"github.com/spf13/cobra"
)

func (a *app) workerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Send what is enqueued; run any number of them",
		Long: `worker fetches messages as the gate permits, sends them, and records what became
of each. SIGTERM drains: sends in flight finish, the rest waits in its queue.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runServer(cmd, sends) },
	}
	a.addSettings(cmd, connecting|calling|sending|operating|logging)
	return cmd
}

func (a *app) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Everything of production in one process: worker, enroll, operators' pages",
		Long: `serve is worker and enroll in one process: the small shop's choice. A larger one
runs any number of workers and of enrolls.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runServer(cmd, sends|publishes) },
	}
	a.addSettings(cmd, connecting|calling|sending|publishing|operating|logging)
	return cmd
}

// runServer runs a process of these roles until its context ends.
func (a *app) runServer(cmd *cobra.Command, does role) error {
	c, err := a.load(cmd)
	if err != nil {
		return err
	}
	return a.serve(cmd.Context(), c, does)
}

func (a *app) serve(ctx context.Context, c *config, does role) error {
	if _, err := c.pick(firstAppID(c)); err != nil {
		return err
	}
	if err := secretsMissing(c.accounts); err != nil {
		return err
	}
	log := newLogger(a.Stderr, c.text("log_level"))
	defer func() { _ = log.Sync() }()
	rdb, err := connect(ctx, c, log)
	if err != nil {
		return err
	}
	defer func() { _ = rdb.Close() }()
	s, err := newServer(rdb, c, does, log, accountHooks{})
	if err != nil {
		return err
	}
	defer s.close()
	return s.run(ctx)
}

func firstAppID(c *config) string {
	if len(c.accounts) == 0 {
		return ""
	}
	return c.accounts[0]["appid"]
}
