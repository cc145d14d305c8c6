package server

import (
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/auditlog"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/usage"
)

// Check returns what New would refuse in the settings: files that cannot be read, logins
// that nobody could use, settings that need others. It opens no listener, writes no file
// and calls neither Redis nor WeChat. The public service is checked if one of its settings
// is there.
func Check(rdb redis.UniversalClient, c *settings.Config) error {
	s := &Server{rdb: rdb, log: zap.NewNop(), roles: Sends, operates: c.Ops.Addr != settings.Off, answers: c.API.Addr != settings.Off}
	s.publishes = c.LinksMissing() == nil || c.Public.VerifyFiles != ""
	for _, a := range c.Accounts {
		s.publishes = s.publishes || !a.CallbackToken.IsZero()
	}
	var err error
	if s.watch, err = newObserver(s.log); err != nil {
		return err
	}
	var faults []error
	if c.Ops.Audit != "" && c.Ops.Audit != "-" {
		if err := auditlog.CheckPath(c.Ops.Audit); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", c.Label("audit_file"), err))
		}
	}
	v, err := newService(s, c)
	if err != nil {
		faults = append(faults, err)
	} else {
		v.close()
	}
	if err := errors.Join(faults...); err != nil {
		return usage.Wrap(err)
	}
	return nil
}
