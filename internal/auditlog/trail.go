package auditlog

import (
	"context"
	"net/url"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/mask"
)

// writeLimit bounds the writing of one line of the trail.
const writeLimit = 5 * time.Second

// Trail writes changes to the places that tell who changed what. The console, the HTTP API
// and the command line write all of theirs here.
type Trail struct {
	File   *Log        // nil: there is none
	Logger *zap.Logger // nil: nothing is logged
}

// ID is what a line tells of an ID that a caller named. What is longer than one of ours may
// be a secret that was pasted in its place.
func ID(text string) string {
	const longest = 32
	if len(text) > longest {
		return "an ID that is not shown, of " + strconv.Itoa(len(text)) + " bytes"
	}
	return text
}

// Host is what a line tells of an address: the rest may be a credential.
func Host(address string) string {
	if u, err := url.Parse(address); err == nil && u.Hostname() != "" {
		return u.Hostname()
	}
	return "an address without a host"
}

// Note writes e to the account's audit trail in Redis, then to the file, then to the log.
// Call it before the change is made, and change nothing when it returns an error: there is
// no change without a line. It writes even when ctx is cancelled.
func (t Trail) Note(ctx context.Context, records *ledger.Ledger, e Entry) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeLimit)
	defer cancel()
	detail := mask.Text(e.Detail)
	if e.From != "" {
		detail += " (from " + e.From + ")"
	}
	if err := records.Audit(ctx, ledger.Entry{Action: e.Action, Actor: e.Actor, OpenID: e.OpenID, User: e.User, Detail: detail}); err != nil {
		return err
	}
	hash, err := t.File.Write(e)
	if err != nil {
		return err
	}
	if t.Logger != nil {
		t.Logger.Info("change audited", zap.String("account", e.Account), zap.String("action", e.Action), zap.String("operator", e.Actor),
			zap.String("remote", e.From), zap.String("detail", mask.Text(e.Detail)), zap.String("audit_hash", hash))
	}
	return nil
}
