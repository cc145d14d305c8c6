package api

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

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

// parameters reads a query strictly: what cannot be read, a parameter that is not among
// names, and one that is there twice are faults. many may be there more than once.
func parameters(raw string, names []string, many string) (url.Values, []fault) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, []fault{newFault("", "value-form", "the query cannot be read: percent-encode the values, and separate parameters by &")}
	}
	var faults []fault
	for _, name := range slices.Sorted(maps.Keys(values)) {
		switch {
		case !slices.Contains(names, name):
			faults = append(faults, newFault(pointer(name), "field-unknown", "is not a parameter of this call; see /docs"))
		case slices.ContainsFunc(values[name], func(v string) bool { return !utf8.ValidString(v) }):
			faults = append(faults, newFault(pointer(name), "not-utf8", "is not UTF-8: percent-encode it as UTF-8"))
		case len(values[name]) > 1 && name != many:
			faults = append(faults, newFault(pointer(name), "field-repeated", "is there twice: give it once"))
		}
	}
	return values, faults
}

// queryOf reads the parameters and names all that are wrong.
func queryOf(raw string) (q producer.Query, err error) {
	names := []string{"to", "user", "template_id", "cursor", "state", "errcode", "limit", "since", "until"}
	values, faults := parameters(raw, names, "state")
	for _, name := range names {
		if len(values[name]) == 0 {
			continue
		}
		if code, detail := setParameter(&q, name, values[name]); detail != "" {
			faults = append(faults, newFault(pointer(name), code, detail))
		}
	}
	if !q.Until.IsZero() && !q.Until.After(q.Since) {
		faults = append(faults, newFault("/until", "window-empty", "is not later than since"))
	}
	if len(faults) > 0 {
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
		if wechat.ValidateOpenID(value) != nil {
			return "value-form", "is not an openid: give it whole, as WeChat returned it"
		}
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
	}
	return "", ""
}
