package main

import (
	"os"
	"os/user"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wxnotify/wxnotify/internal/auditlog"
	"github.com/wxnotify/wxnotify/internal/mask"
	"github.com/wxnotify/wxnotify/internal/wiring"
)

// trailAction is the annotation of a command that names its action in the audit trail.
// notAudited there means that the command writes no line.
const (
	trailAction = "trail-action"
	notAudited  = "-"
)

// audited has cmd name its action in the audit trail by the word that the console uses.
// Without it, and without looks, the action is the command's path: each command that works
// on accounts writes a line, so that a new one cannot forget it.
func audited(cmd *cobra.Command, action string) *cobra.Command {
	annotate(cmd, trailAction, action)
	return cmd
}

func annotate(cmd *cobra.Command, name, value string) {
	if cmd.Annotations == nil {
		cmd.Annotations = map[string]string{}
	}
	cmd.Annotations[name] = value
}

// looks has cmds write no line into the audit trail, since they change nothing that an
// operator decides.
func looks(cmds ...*cobra.Command) {
	for _, cmd := range cmds {
		audited(cmd, notAudited)
	}
}

// actionOf is the action of cmd in the audit trail, such as "dead retry"; empty: it writes
// no line.
func actionOf(cmd *cobra.Command) string {
	switch action := cmd.Annotations[trailAction]; action {
	case notAudited:
		return ""
	case "":
		_, path, _ := strings.Cut(cmd.CommandPath(), " ")
		return path
	default:
		return action
	}
}

// change is what the line of a command says beside its action. The command sets it before
// it connects.
type change struct {
	openid, user string // whose data it is about
	count        int    // of messages; 0: not known, or not about messages
	detail       string
}

// changeOf describes a change of messages.
func changeOf(ids []string) change {
	names := mask.NewIDs()
	shown := make([]string, len(ids))
	for i, id := range ids {
		shown[i] = names.Mask(id)
	}
	noun := " messages: "
	if len(ids) == 1 {
		noun = " message: "
	}
	return change{count: len(ids), detail: strconv.Itoa(len(ids)) + noun + strings.Join(shown, ", ")}
}

// note writes the line of cmd into the audit trail of the account before the change is
// made. WXNOTIFY_AUDIT_FILE belongs to a running server, so that the file has no line.
func (a *app) note(cmd *cobra.Command, acct *wiring.Account) error {
	action := actionOf(cmd)
	if action == "" {
		return nil
	}
	return auditlog.Trail{}.Note(cmd.Context(), acct.Ledger, auditlog.Entry{
		Account: acct.AppID, Action: action, Actor: operator(), OpenID: a.change.openid, User: a.change.user, Count: a.change.count, Detail: a.change.detail,
	})
}

// operator names the person who runs the command.
func operator() string {
	name := ""
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if host, err := os.Hostname(); err == nil && host != "" {
		name += "@" + host
	}
	return strings.TrimSpace(name + " (command line)")
}
