package main

import (
	"github.com/spf13/cobra"

	"github.com/wxnotify/wxnotify/internal/server"
	"github.com/wxnotify/wxnotify/internal/settings"
)

func (a *app) apiCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "api",
		Short: "Serve the HTTP API; make, list, rotate and revoke its keys",
		Long: `api serves the HTTP API (docs/api.md), for programs in any language; run any number of
them. It enqueues, and workers send. With --gateway true it serves WeChat's own paths, too
(docs/gateway.md), which needs the AppSecret. Beyond this machine put a proxy with TLS
before it. Its subcommands keep the keys.`,
	}
	a.serverCommand(cmd, server.Answers, settings.Connecting|settings.Calling|settings.Answering|settings.Operating|settings.Logging)
	cmd.AddCommand(a.keysCommand())
	return cmd
}
