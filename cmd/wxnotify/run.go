package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Exit codes, a contract with scripts.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2 // wrong usage or configuration
)

// environment is all that the program takes from outside, so that a test can
// be the outside.
type environment struct {
	Getenv         func(string) string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// usageError is wrong usage or configuration: exit code 2.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// errSilent fails without a further word: the command has said it all.
var errSilent = errors.New("failed")

// run is the program. It returns the exit code.
func run(ctx context.Context, args []string, env environment) int {
	a := &app{environment: env}
	root := a.command() //nolint:contextcheck // cobra hands it over
	root.SetArgs(args)
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	if !errors.Is(err, errSilent) {
		_, _ = fmt.Fprintf(env.Stderr, "wxnotify: %s\n", err)
	}
	var usage *usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

// app is one run of the program.
type app struct {
	environment
	configPath string
	account    string
	output     string
}

// command builds the tree of commands.
func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "wxnotify",
		Short: "Send WeChat template messages: none lost, none twice, never over the quota",
		Long: `wxnotify sends WeChat Official Account template messages (微信公众号模板消息).

Try it with nothing installed:   wxnotify demo
Configure it by environment:     WXNOTIFY_APPID, WXNOTIFY_APPSECRET, WXNOTIFY_REDIS_URL
See what it would use:           wxnotify config`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unknown command %q; `wxnotify help` lists the commands", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.PersistentFlags().StringVar(&a.configPath, "config", "", "configuration file (WXNOTIFY_CONFIG)")
	root.PersistentFlags().StringVarP(&a.output, "output", "o", "text", "text or json")
	root.AddCommand(
		a.demoCommand(), a.serveCommand(), a.workerCommand(), a.enrollCommand(), a.sendCommand(), a.statusCommand(), a.cancelCommand(),
		a.queuesCommand(), a.quotaCommand(), a.tokenCommand(), a.suppressCommand(), a.deadCommand(),
		a.simulateCommand(), a.configCommand(), a.versionCommand(),
	)
	markUsage(root)
	return root
}

// markUsage turns what cobra finds wrong with flags and arguments into usage
// errors, on every command.
func markUsage(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &usageError{fmt.Errorf("%w; see `%s --help`", err, c.CommandPath())}
	})
	if check := cmd.Args; check != nil {
		cmd.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return &usageError{fmt.Errorf("%w; see `%s --help`", err, c.CommandPath())}
			}
			return nil
		}
	}
	for _, child := range cmd.Commands() {
		markUsage(child)
	}
}

// addSettings gives cmd a flag for each setting of the groups.
func (a *app) addSettings(cmd *cobra.Command, groups group) {
	for _, s := range settings() {
		if s.Group&groups == 0 || cmd.Flags().Lookup(s.flag()) != nil {
			continue
		}
		usage := fmt.Sprintf("%s (%s)", s.Usage, s.env())
		if s.Secret && s.Name != "redis_url" {
			// A secret on the command line is seen by every user of the machine.
			cmd.Flags().String(s.flag()+"-file", "", usage+", read from this file")
			continue
		}
		cmd.Flags().String(s.flag(), "", usage+defaultText(s))
	}
}

func defaultText(s setting) string {
	if s.Default == "" {
		return ""
	}
	return fmt.Sprintf(" [%s]", s.Default)
}

// load reads the configuration as cmd's flags and the environment say.
func (a *app) load(cmd *cobra.Command) (*config, error) {
	if a.output != "text" && a.output != "json" {
		return nil, &usageError{fmt.Errorf("--output: %q is not one of text, json", a.output)}
	}
	flags := map[string]string{}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		name := strings.ReplaceAll(f.Name, "-", "_")
		for _, s := range settings() {
			if name == s.Name || name == s.Name+"_file" {
				flags[name] = f.Value.String()
			}
		}
	})
	return loadConfig(a.configPath, a.Getenv, flags)
}
