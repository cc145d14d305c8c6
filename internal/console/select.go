package console

import (
	"strconv"
	"strings"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/mask"
	"github.com/wxnotify/wxnotify/wechat"
)

// String describes the selection in the audit trail.
func (s selection) String() string {
	return s.In(&request{lang: wechat.English})
}

// In describes it for the operator.
func (s selection) In(r *request) string { return s.describe(r, filtersOf(r, s.Query)) }

func (s selection) describe(r *request, filters []string) string {
	switch {
	case s.Dead && s.Narrow && s.Errcode != 0:
		return r.text("dead letters with errcode %s", strconv.Itoa(int(s.Errcode)))
	case s.Dead && s.Narrow:
		return r.text("dead letters with the reason: %s", mask.Text(ledger.ReasonText(s.Reason, r.lang)))
	case s.Dead:
		return r.text("all dead letters")
	case len(filters) == 0:
		return r.text("all messages")
	}
	return r.text("messages with %s", strings.Join(filters, ", "))
}
