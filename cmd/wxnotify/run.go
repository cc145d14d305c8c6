package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/wxnotify/wxnotify/internal/intake"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/usage"
	"github.com/wxnotify/wxnotify/wechat"
)

// Exit codes, a contract with scripts.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2 // wrong usage or configuration
)

// environment is what the program gets from outside, so that a test can replace it.
type environment struct {
	Program        string            // as it was started, for lines that are printed to be run
	Env            map[string]string // the environment variables
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// HangUp gets each SIGHUP: a server reads its configuration again, another command
	// ends. Nil: none comes.
	HangUp <-chan os.Signal
	// Settle waits until producers that run have seen that names are converted. Nil: names.Wait.
	Settle func(context.Context) error
}

// errSilent fails without a message: the command has printed it already.
var errSilent = errors.New("failed")

// run is the program. It returns the exit code.
func run(ctx context.Context, args []string, env environment) int {
	a := &app{environment: env}
	root := a.command() //nolint:contextcheck // cobra hands it over
	root.SetArgs(args)
	err := checkArguments(args)
	if err == nil {
		err = root.ExecuteContext(ctx)
	}
	if err == nil {
		return exitDone
	}
	if asksForJSON(args) {
		a.output = "json"
	}
	if !errors.Is(err, errSilent) {
		a.printError(errorView{Message: settings.WithNames(a.errorText(err))})
	}
	if usage.Is(err) {
		return exitUsage
	}
	return exitFailed
}

// app is one run of the program.
type app struct {
	environment
	configPath  string
	account     string
	output      string
	langFlag    string
	change      change      // of the audit trail
	redisFaults bool        // the command tells all that is wrong with Redis
	lang        wechat.Lang // of texts about messages, see chooseLang
}

// command builds the tree of commands.
func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "wxnotify",
		Short: "Send WeChat template messages: none lost, none twice, never over the quota",
		Long: `wxnotify sends WeChat Official Account template messages (微信公众号模板消息).

Try it with nothing installed:   wxnotify demo
Configure it by environment:     WXNOTIFY_APPID, WXNOTIFY_APPSECRET, WXNOTIFY_REDIS_URL
See what it would use:           wxnotify config

Exit codes: 0 done; 1 failed: a message was refused, was not found, has not ended or
did not arrive, or WeChat refused; 2 wrong usage or configuration, or Redis cannot be
used. Data goes to stdout, messages and logs to stderr. Times in text are RFC 3339 in
the zone of this machine (TZ); in JSON they may be in UTC.`,
		Version:       versionText(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetUsageFunc(printUsage)
	root.SetVersionTemplate("{{.Version}}\n")
	root.PersistentFlags().StringVar(&a.configPath, "config", "", "configuration file (WXNOTIFY_CONFIG)")
	root.PersistentFlags().StringVarP(&a.output, "output", "o", "text", "text or json")
	root.PersistentFlags().StringVar(&a.langFlag, "lang", "", "zh or en: language of what is said about messages (WXNOTIFY_LANG, else LC_ALL, LC_MESSAGES, LANG)")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if cmd.Annotations[reloads] == "" {
			a.endOnHangUp(cmd)
		}
		if err := emptyFlags(cmd.Flags()); err != nil {
			return err
		}
		if a.output != "text" && a.output != "json" {
			return usage.Errorf("--output: %s is not one of text, json", usage.Quote(a.output))
		}
		return a.chooseLang()
	}
	root.AddCommand(
		a.initCommand(), a.demoCommand(), a.serveCommand(), a.workerCommand(), a.enrollCommand(), a.apiCommand(),
		a.sendCommand(), a.statusCommand(), a.messagesCommand(), a.cancelCommand(),
		a.queuesCommand(), a.quotaCommand(), a.tokenCommand(), a.templatesCommand(), a.ridCommand(), a.suppressCommand(), a.deadCommand(), a.sealCommand(), a.auditCommand(),
		a.eventsCommand(), a.statsCommand(), a.webhooksCommand(), a.simulateCommand(), a.doctorCommand(), a.healthcheckCommand(), a.configCommand(), a.versionCommand(), a.manCommand(),
	)
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "serve", "worker", "enroll", "api", "send", "doctor", "config":
			looks(cmd) // what runs, with what it sends and finds, is told by records and logs
		}
	}
	root.SetIn(a.Stdin)
	root.SetOut(a.Stdout) // before the completion command, which keeps it
	root.SetErr(a.Stderr)
	root.SetHelpCommand(helpCommand())
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	if shells, _, err := root.Find([]string{"completion"}); err == nil {
		shells.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() } // so that its arguments are checked
	}
	markUsage(root)
	return root
}

// helpCommand is cobra's, but it refuses an unknown command.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Help about any command",
		Args:  cobra.ArbitraryArgs,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
			parent, _, err := cmd.Root().Find(args)
			if err == nil {
				for _, child := range parent.Commands() {
					if child.IsAvailableCommand() {
						names = append(names, child.Name()+"\t"+child.Short)
					}
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			if err != nil {
				return usage.Wrap(err)
			}
			if unknown := unknownCommand(found, rest); unknown != nil {
				return unknown
			}
			if len(rest) > 0 {
				return usage.Errorf("%s has no subcommand %q; see `%s --help`", found.CommandPath(), rest[0], found.CommandPath())
			}
			found.InitDefaultHelpFlag()
			return found.Help()
		},
	}
}

// completeValues lets shells complete the values of flags that have few.
func completeValues(cmd *cobra.Command) {
	for name, values := range map[string][]string{
		"output": {"text", "json"}, "lang": {"zh", "en"}, "class": job.ClassNames(), "encoding": intake.Encodings(),
		"by": {"minute", "hour", "day"},
	} {
		if cmd.Flags().Lookup(name) != nil || cmd.PersistentFlags().Lookup(name) != nil {
			_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) // fails for a second one only
		}
	}
	for _, s := range settings.Table() {
		if rule, values, _ := strings.Cut(s.Rule, " "); rule == "oneof" && cmd.Flags().Lookup(s.Flag()) != nil {
			_ = cmd.RegisterFlagCompletionFunc(s.Flag(), cobra.FixedCompletions(strings.Fields(values), cobra.ShellCompDirectiveNoFileComp))
		}
	}
}

// markUsage makes usage errors, in plain words, of what cobra finds wrong with
// the flags and arguments of each command.
func markUsage(cmd *cobra.Command) {
	cmd.SuggestionsMinimumDistance = 2 // as cobra's own default
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		if unknown := unknownCommand(c, c.Flags().Args()); unknown != nil {
			return unknown // its flags are unknown, too
		}
		return usage.Errorf("%s; see `%s --help`", flagFault(c, err), c.CommandPath())
	})
	if check := cmd.Args; check != nil {
		cmd.Args = func(c *cobra.Command, args []string) error {
			if check(c, args) == nil {
				return nil
			}
			if unknown := unknownCommand(c, args); unknown != nil {
				return unknown
			}
			if !strings.Contains(c.Use, " ") {
				return usage.Errorf("%s takes flags alone; see `%s --help`", c.Name(), c.CommandPath())
			}
			return usage.Errorf("wrong number of arguments; write: %s", c.UseLine())
		}
	}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		f.Usage = strings.ReplaceAll(f.Usage, "`", "'") // pflag takes a backquoted word for the type
		takeOnce(f)
	})
	cmd.PersistentFlags().VisitAll(takeOnce)
	completeValues(cmd)
	for _, child := range cmd.Commands() {
		markUsage(child)
	}
}

// unknownCommand returns nil where args do not begin with the name of a command.
func unknownCommand(parent *cobra.Command, args []string) error {
	if len(args) == 0 || !parent.HasAvailableSubCommands() {
		return nil
	}
	hint := ""
	if near := parent.SuggestionsFor(args[0]); len(near) > 0 {
		hint = fmt.Sprintf("; did you mean %s?", strings.Join(near, " or "))
	}
	return usage.Errorf("unknown command %q%s; see `%s --help`", args[0], hint, parent.CommandPath())
}

// flagFault says what is wrong with a flag. pflag's own text of a wrong value
// names functions of Go.
func flagFault(cmd *cobra.Command, err error) string {
	var value *pflag.InvalidValueError
	var unknown *pflag.NotExistError
	switch {
	case errors.As(err, &value) && errors.Is(err, errTwice):
		return "--" + value.GetFlag().Name + " is given twice: give it once"
	case errors.As(err, &value):
		kinds := map[string]string{
			"int": "a whole number", "int64": "a whole number", "uint64": "a whole number", "float64": "a number",
			"duration": "a duration such as 10m", "bool": "true or false",
		}
		return fmt.Sprintf("--%s: %s is not %s", value.GetFlag().Name, usage.Quote(value.GetValue()), kinds[value.GetFlag().Value.Type()])
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "":
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		name := unknown.GetSpecifiedName()
		return fmt.Sprintf("unknown flag --%s; the nearest is --%s", name, usage.Nearest(name, slices.Values(names)))
	default:
		return err.Error()
	}
}

// usedGroups is the annotation of a command that holds its groups of settings.
const usedGroups = "settings"

// addSettings gives cmd a flag for each setting of the groups, and has it read
// the secrets of these groups.
func (a *app) addSettings(cmd *cobra.Command, groups settings.Group) {
	for _, s := range settings.Table() {
		if s.Group&groups == 0 || cmd.Flags().Lookup(s.Flag()) != nil {
			continue
		}
		text := fmt.Sprintf("%s (%s)", s.Usage, s.Env())
		if s.Secret() {
			cmd.Flags().String(s.Flag()+"-file", "", text+", read from this file")
		}
		if s.Secret() && s.Name != "redis_url" {
			continue // every user of the machine sees command lines
		}
		if s.Secret() {
			text += "; without a password"
		}
		if s.Default != "" {
			text += " [" + s.Default + "]"
		}
		cmd.Flags().String(s.Flag(), "", text)
	}
	annotate(cmd, usedGroups, strconv.Itoa(int(groupsOf(cmd)|groups)))
}

func groupsOf(cmd *cobra.Command) settings.Group {
	n, _ := strconv.Atoi(cmd.Annotations[usedGroups]) // none: 0
	return settings.Group(n)
}

// patience is settings.Config's, of all commands.
var patience time.Duration //nolint:gochecknoglobals // tests set it once, before the program runs

// read reads the configuration from cmd's flags, the environment and the file.
func (a *app) read(cmd *cobra.Command) (*settings.Config, error) {
	c, err := settings.Load(a.configPath, a.Env, settingFlags(cmd), groupsOf(cmd))
	if c != nil {
		c.Patience = patience
	}
	return c, err
}

// settingFlags are the flags of cmd that set settings, by the settings' keys.
func settingFlags(cmd *cobra.Command) map[string]string {
	flags := map[string]string{}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if key, ok := settings.FlagKey(f.Name); ok {
			flags[key] = f.Value.String()
		}
	})
	return flags
}

// load is read that prints the warnings.
func (a *app) load(cmd *cobra.Command) (*settings.Config, error) {
	c, err := a.read(cmd)
	a.warn(c)
	return c, err
}

func (a *app) warn(c *settings.Config) {
	if c == nil {
		return
	}
	for _, w := range c.Warnings {
		a.warning(w)
	}
}

// warning writes one warning to stderr, as JSON with --output json.
func (a *app) warning(text string) {
	a.tell("warning", errorView{Message: text}, "warning: "+text)
}

// tell writes text to stderr, or with --output json the view under its name.
func (a *app) tell(name string, view any, text string) {
	if a.output == "json" {
		_ = printLine(a.Stderr, map[string]any{name: view})
		return
	}
	_, _ = fmt.Fprintf(a.Stderr, "wxnotify: %s\n", text)
}
