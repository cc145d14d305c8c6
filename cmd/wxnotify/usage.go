package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/wxnotify/wxnotify/internal/settings"
)

// usageWidth is the width of the terminal that flags are wrapped for.
const usageWidth = 80

// printUsage writes the usage of cmd as cobra does, with the flags of settings, which few
// calls need, behind its own.
func printUsage(cmd *cobra.Command) error {
	var b strings.Builder
	b.WriteString("Usage:\n")
	if cmd.Runnable() {
		b.WriteString("  " + cmd.UseLine() + "\n")
	}
	if cmd.HasAvailableSubCommands() {
		b.WriteString("  " + cmd.CommandPath() + " [command]\n")
	}
	if cmd.HasExample() {
		b.WriteString("\nExamples:\n" + cmd.Example + "\n")
	}
	if cmd.HasAvailableSubCommands() {
		b.WriteString("\nAvailable Commands:\n")
		for _, child := range cmd.Commands() {
			if child.IsAvailableCommand() || child.Name() == "help" {
				_, _ = fmt.Fprintf(&b, "  %-*s %s\n", child.NamePadding(), child.Name(), child.Short)
			}
		}
	}
	own, ofSettings := pflag.NewFlagSet("", pflag.ContinueOnError), pflag.NewFlagSet("", pflag.ContinueOnError)
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if _, ok := settings.FlagKey(f.Name); ok {
			ofSettings.AddFlag(f)
			return
		}
		own.AddFlag(f)
	})
	for _, group := range []struct {
		title string
		flags *pflag.FlagSet
	}{
		{"Flags", own},
		{"Settings, instead of the environment and the configuration file", ofSettings},
		{"Global Flags", cmd.InheritedFlags()},
	} {
		if group.flags.HasAvailableFlags() {
			b.WriteString("\n" + group.title + ":\n" + group.flags.FlagUsagesWrapped(usageWidth))
		}
	}
	if cmd.HasAvailableSubCommands() {
		_, _ = fmt.Fprintf(&b, "\nUse \"%s [command] --help\" for more information about a command.\n", cmd.CommandPath())
	}
	if _, err := io.WriteString(cmd.OutOrStderr(), b.String()); err != nil {
		return fmt.Errorf("print the usage: %w", err)
	}
	return nil
}
