package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/wxnotify/wxnotify/internal/auditlog"
	"github.com/wxnotify/wxnotify/internal/usage"
)

func (a *app) auditCommand() *cobra.Command {
	cmd := a.accountCommand("audit", "Who changed what: the account's audit trail; verify the files of WXNOTIFY_AUDIT_FILE", cobra.NoArgs, a.showAudit)
	looks(cmd)
	cmd.AddCommand(a.auditVerify())
	return cmd
}

func (a *app) auditVerify() *cobra.Command {
	var v auditlog.Verifier
	var expect string
	cmd := &cobra.Command{
		Use:   "verify FILE...",
		Short: "Check that no line of an audit file was changed, removed or added",
		Long: `verify reads files of WXNOTIFY_AUDIT_FILE, the oldest first, and names the first line
that does not continue its chain; - reads standard input. It prints each chain with its
first and last number and its last hash. A first number above 1 means that earlier lines
are in a file that was not named.

Lines that are missing at the end are not seen in the file itself: --expect names a hash
that one of its lines must have. The log has it as audit_hash.`,
		Example: `  wxnotify audit verify audit.ndjson.1 audit.ndjson
  wxnotify audit verify --expect 3f7a… audit.ndjson`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, paths []string) error {
			v.Expect(expect)
			for _, path := range paths {
				if err := a.verifyFile(cmd.Context(), &v, path); err != nil {
					return err
				}
			}
			if v.Missing() {
				return fmt.Errorf("no line has the hash %s: lines are missing, or it is one of another chain", expect)
			}
			return a.showChains(v.Chains())
		},
	}
	cmd.Flags().StringVar(&expect, "expect", "", "hash that one of the lines must have")
	return cmd
}

func (a *app) verifyFile(ctx context.Context, v *auditlog.Verifier, path string) error {
	in, _, err := a.open(ctx, path)
	if err != nil {
		return usage.Wrap(err)
	}
	defer func() { _ = in.Close() }()
	if _, err := v.Read(in); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func (a *app) showChains(chains []*auditlog.Chain) error {
	for _, c := range chains {
		if err := a.printRow(c, a.say("chain %s: lines %d to %d hold, %s to %s, last hash %s", "链 %s：第 %d 至 %d 行完整，%s 至 %s，最后的哈希 %s"),
			c.ID, c.First, c.Last, timeText(c.From), timeText(c.To), c.Hash); err != nil {
			return err
		}
	}
	if len(chains) == 0 {
		a.none(a.say("there are no lines", "没有任何行"))
	}
	return nil
}
