package ops

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/mask"
	"github.com/wxnotify/wxnotify/internal/rawjson"
)

// masker masks what asynqmon shows. asynqmon's page needs distinct row keys, which ids are.
type masker struct{ ids *mask.IDs }

func newMasker() *masker { return &masker{ids: mask.NewIDs()} }

// payload shows a task's payload as JSON with personal data masked. It is the
// only form in which a payload leaves this package.
func (m *masker) payload(taskType string, data []byte) string {
	switch {
	case len(data) == 0:
		return "(empty)"
	case taskType != job.TaskType:
		return fmt.Sprintf("(not a message of wxnotify, %d bytes)", len(data))
	}
	e, err := job.Parse(data)
	if newer := (*job.NewerVersionError)(nil); errors.As(err, &newer) {
		return fmt.Sprintf("(written by a newer version %d, %d bytes)", newer.Version, len(data))
	}
	if sealed := (*job.SealedError)(nil); errors.As(err, &sealed) {
		return fmt.Sprintf("(%s, %d bytes)", sealed, len(data))
	}
	if err != nil {
		return unreadable(data)
	}
	message, err := mask.JSON(e.Body, m.messageLeaf)
	if err != nil {
		return unreadable(data)
	}
	shown, err := encodeJSON(map[string]any{"envelope": m.terms(e), "message": json.RawMessage(message), "bytes": len(data)})
	if err != nil {
		return unreadable(data)
	}
	return string(shown)
}

// terms returns the delivery terms of an envelope that are set, by the names of
// job.Envelope. A field of another type than these is left out.
func (m *masker) terms(e job.Envelope) map[string]any {
	e.To, e.User = mask.Name(e.To), mask.Name(e.User)
	terms := map[string]any{}
	for field, v := range reflect.ValueOf(e).Fields() {
		if v.IsZero() {
			continue
		}
		switch v := v.Interface().(type) {
		case string:
			terms[field.Name] = m.ids.Mask(v) // the ID among them
		case time.Time, job.Class, bool:
			terms[field.Name] = v
		}
	}
	return terms
}

// result shows the result that a handler stored.
func (m *masker) result(_ string, data []byte) string {
	if len(data) == 0 {
		return ""
	}
	masked, err := mask.JSON(data, m.messageLeaf)
	if err != nil {
		return unreadable(data)
	}
	return string(masked)
}

func unreadable(data []byte) string { return fmt.Sprintf("(unreadable, %d bytes)", len(data)) }

// messageLeaf masks a message. Only what identifies a template or a mini program
// is shown; the value of any other field is hidden.
func (m *masker) messageLeaf(field string, v any) any {
	text, ok := v.(string)
	if !ok {
		return mask.Value(fmt.Sprint(v))
	}
	switch field {
	case "touser", "openid":
		return mask.Name(text)
	case "client_msg_id":
		return m.ids.Mask(text)
	case "template_id", "appid", "color":
		return mask.Text(text)
	case "url":
		return mask.URL(text)
	default:
		return mask.Value(text)
	}
}

// answerLeaf masks an answer of asynqmon's API, where PayloadFormatter has masked
// the payloads already.
func (m *masker) answerLeaf(field string, v any) any {
	text, ok := v.(string)
	switch {
	case !ok:
		return v
	case field == "id", field == "task_id", field == "group":
		return m.ids.Mask(text)
	default:
		return mask.Text(text)
	}
}

// encodeJSON leaves & < > unescaped: asynqmon encodes the text as JSON once more.
func encodeJSON(v any) ([]byte, error) {
	text, err := rawjson.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("write JSON: %w", err)
	}
	return text, nil
}
