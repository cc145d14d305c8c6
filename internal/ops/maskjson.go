package ops

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/mask"
)

// leafFunc masks the string or json.Number that a field holds.
type leafFunc func(field string, v any) any

// json masks a JSON document: its leaves by leaf, the names of its fields as text.
func (m *masker) json(doc []byte, leaf leafFunc) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("read JSON: %w", err)
	}
	if dec.More() {
		return nil, errors.New("read JSON: more than one value")
	}
	return m.walk("", v, leaf), nil
}

func (m *masker) walk(field string, v any, leaf leafFunc) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, inner := range v {
			out[m.text(name)] = m.walk(name, inner, leaf)
		}
		return out
	case []any:
		for i := range v {
			v[i] = m.walk(field, v[i], leaf)
		}
		return v
	case string, json.Number:
		return leaf(field, v)
	default: // true, false, null
		return v
	}
}

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
	message, err := m.json(e.Body, m.messageLeaf)
	if err != nil {
		return unreadable(data)
	}
	shown, err := encodeJSON(map[string]any{"envelope": m.terms(e), "message": message, "bytes": len(data)})
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
			terms[field.Name] = m.id(v) // the ID among them
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
	masked, err := m.json(data, m.messageLeaf)
	shown, encodeErr := encodeJSON(masked)
	if errors.Join(err, encodeErr) != nil {
		return unreadable(data)
	}
	return string(shown)
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
		return m.id(text)
	case "template_id", "appid", "color":
		return m.text(text)
	case "url":
		return maskURL(text)
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
		return m.id(text)
	default:
		return m.text(text)
	}
}

// encodeJSON leaves & < > unescaped: asynqmon encodes the text as JSON once more.
func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("write JSON: %w", err)
	}
	return bytes.TrimSpace(b.Bytes()), nil
}
