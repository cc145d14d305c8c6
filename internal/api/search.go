package api

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

// maxListed is the most messages that one page has.
const maxListed = 1000

// listAnswer is a page of messages. Next is absent on the last one.
type listAnswer struct {
	Messages []*producer.Status `json:"messages"`
	Next     string             `json:"next,omitempty"`
}

// listMessages serves GET /v1/messages: the newest first.
func (s *server) listMessages(c *call) error {
	query, err := queryOf(c.r.URL.RawQuery)
	if err != nil {
		return err
	}
	page, err := c.account.Producer.Search(c.r.Context(), query, c.views()...)
	if errors.Is(err, producer.ErrCursor) {
		return malformed(newFault("/cursor", "value-form", "is not a cursor that was given out: begin without one"))
	}
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, listAnswer{page.Messages, page.Next})
}

// queryOf reads the parameters and names all that are wrong.
func queryOf(raw string) (q producer.Query, err error) {
	params, err := url.ParseQuery(raw)
	if err != nil {
		return q, malformed(newFault("", "value-form", "the query cannot be read"))
	}
	var faults []fault
	bad := func(name, code, detail string) { faults = append(faults, newFault(pointer(name), code, detail)) }
	for name, values := range params {
		if len(values) > 1 && name != "state" {
			bad(name, "field-repeated", "is there twice")
			continue
		}
		if code, detail := setParameter(&q, name, values); detail != "" {
			bad(name, code, detail)
		}
	}
	if !q.Until.IsZero() && !q.Until.After(q.Since) {
		bad("until", "window-empty", "is not later than since")
	}
	if len(faults) > 0 {
		slices.SortFunc(faults, func(a, b fault) int { return strings.Compare(a.Pointer, b.Pointer) })
		return q, malformed(faults...)
	}
	return q, nil
}

// setParameter reads one parameter into q, or returns what is wrong with it.
func setParameter(q *producer.Query, name string, values []string) (code, detail string) {
	value := values[0]
	if value == "" && name != "cursor" { // an empty cursor is that of the first page
		return "value-empty", "is empty: give a value, or leave it out"
	}
	var err error
	switch name {
	case "to":
		q.To = value
	case "user":
		q.User = value
	case "template_id":
		q.TemplateID = value
	case "cursor":
		q.Cursor = value
	case "state":
		for one := range strings.SplitSeq(strings.Join(values, ","), ",") {
			if !slices.Contains(ledger.States(), producer.State(one)) {
				return "value-form", "is not a state; see /docs"
			}
			q.States = append(q.States, producer.State(one))
		}
	case "errcode":
		n, err := strconv.Atoi(value)
		if err != nil || n == 0 {
			return "value-form", "is not an errcode such as 43004"
		}
		q.Errcode = wechat.Code(n)
	case "limit":
		if q.Limit, err = strconv.Atoi(value); err != nil || q.Limit < 1 || q.Limit > maxListed {
			return "value-form", "is not a number from 1 to 1000"
		}
	case "since", "until":
		at, err := time.Parse(time.RFC3339, value)
		if err != nil {
			return "value-form", "is not a time such as 2026-12-01T00:00:00Z"
		}
		if name == "since" {
			q.Since = at
		} else {
			q.Until = at
		}
	default:
		return "field-unknown", "is not a field of this call; see /docs"
	}
	return "", ""
}
