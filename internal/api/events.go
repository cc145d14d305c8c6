package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/wxnotify/wxnotify/internal/apikey"
	"github.com/wxnotify/wxnotify/internal/events"
	"github.com/wxnotify/wxnotify/internal/rawjson"
	"github.com/wxnotify/wxnotify/producer"
)

// Describe shows the messages of events as Status has them.
func Describe(p *producer.Producer) events.Describe {
	return func(ctx context.Context, ids []string, openids bool) ([]json.RawMessage, error) {
		var views []producer.View
		if openids {
			views = append(views, producer.Unmasked())
		}
		list, err := p.StatusMany(ctx, ids, views...)
		if err != nil {
			return nil, err
		}
		out := make([]json.RawMessage, len(list))
		for i, s := range list {
			if s == nil {
				continue
			}
			if out[i], err = json.Marshal(s); err != nil {
				return nil, fmt.Errorf("encode a message: %w", err)
			}
		}
		return out, nil
	}
}

// maxEventsWait is how long a call waits for events: less than a call may run.
const maxEventsWait = 25 * time.Second

// getEvents answers with the events after a cursor, one JSON object a line. The header
// Events-Cursor is where to go on, also when no event came.
func (s *server) getEvents(c *call) error {
	q, err := eventsQuery(c)
	if err != nil {
		return err
	}
	if q.After == "now" {
		if q.After, err = c.account.Events.Latest(c.r.Context()); err != nil {
			return err
		}
	}
	list, next, err := c.account.Events.Read(c.r.Context(), q)
	if errors.Is(err, events.ErrCursor) {
		return malformed(newFault("/after", "cursor-unknown", "is neither the id of an event nor now"))
	}
	if err != nil {
		return err
	}
	if q.Wait > 0 { // it may have been revoked since
		if _, err := c.server.keys.Verify(c.r.Context(), c.secret); errors.Is(err, apikey.ErrUnknown) {
			return errUnknownKey()
		} else if err != nil {
			return err
		}
	}
	var body []byte
	for i := range list {
		line, err := rawjson.Marshal(list[i])
		if err != nil {
			return fmt.Errorf("encode an event: %w", err)
		}
		body = append(append(body, line...), '\n')
	}
	c.w.Header().Set("Content-Type", "application/x-ndjson")
	c.w.Header().Set("Events-Cursor", next)
	c.write(http.StatusOK, body)
	return nil
}

func eventsQuery(c *call) (events.Query, error) {
	values, faults := parameters(c.r.URL.RawQuery, []string{"after", "types", "limit", "wait"}, "")
	q := events.Query{After: values.Get("after"), OpenIDs: c.key.May(apikey.ReadOpenID)}
	if types := values.Get("types"); types != "" {
		q.Types = strings.Split(types, ",")
		if events.CheckTypes(q.Types) != nil {
			faults = append(faults, newFault("/types", "value-form", events.NoType))
		}
	}
	if text := values.Get("limit"); text != "" {
		var err error
		if q.Limit, err = strconv.Atoi(text); err != nil || q.Limit < 1 || q.Limit > 1000 {
			faults = append(faults, newFault("/limit", "value-form", "is not a whole number from 1 to 1000"))
		}
	}
	if text := values.Get("wait"); text != "" {
		var err error
		if q.Wait, err = time.ParseDuration(text); err != nil || q.Wait < 0 {
			faults = append(faults, newFault("/wait", "value-form", "is not a duration such as 20s"))
		}
		q.Wait = min(q.Wait, maxEventsWait)
	}
	if len(faults) > 0 {
		return q, malformed(faults...)
	}
	return q, nil
}
