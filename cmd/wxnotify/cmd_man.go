package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/wxnotify/wxnotify/internal/usage"
)

// manCommand is hidden: packagers call it, README names it.
func (a *app) manCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "man FOLDER",
		Short:  "Write the manual pages of all commands into a folder",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil { // #nosec G301 -- manual pages are public
				return usage.Wrap(err)
			}
			var date time.Time // the same pages from the same source
			version, _ := build()
			root := cmd.Root()
			root.DisableAutoGenTag = true
			err := doc.GenManTree(root, &doc.GenManHeader{Section: "1", Date: &date, Source: "wxnotify " + version, Manual: "wxnotify"}, args[0])
			if pathErr := (*os.PathError)(nil); errors.As(err, &pathErr) {
				return usage.Wrap(err)
			} else if err != nil {
				return fmt.Errorf("write the manual pages: %w", err)
			}
			_, err = fmt.Fprintf(a.Stderr, "written to %s; read one by `man %s/wxnotify.1`\n", args[0], args[0])
			return err
		},
	}
}
