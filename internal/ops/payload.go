package ops

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
)

// shownEnvelope is what an admin sees of a payload.
type shownEnvelope struct {
	ID          string          `json:"id"`
	Class       job.Class       `json:"class"`
	To          string          `json:"to,omitempty"`
	User        string          `json:"user,omitempty"`
	Template    string          `json:"template,omitempty"`
	QueuedAt    string          `json:"queued_at,omitempty"`
	NotBefore   string          `json:"not_before,omitempty"`
	NotAfter    string          `json:"not_after,omitempty"`
	AtLeastOnce bool            `json:"at_least_once,omitempty"`
	Message     json.RawMessage `json:"message"`
	Bytes       int             `json:"bytes"`
}

// payload shows an envelope as JSON with everything personal masked. It is the
// only form in which a payload leaves this package.
func (m *masker) payload(taskType string, data []byte) string {
	if len(data) == 0 {
		return "(empty)"
	}
	if taskType != job.TaskType {
		return fmt.Sprintf("(not a message of wxnotify, %d bytes)", len(data))
	}
	e, err := job.Parse(data)
	if newer := (*job.NewerVersionError)(nil); errors.As(err, &newer) {
		return fmt.Sprintf("(written by a newer version %d, %d bytes)", newer.Version, len(data))
	}
	if err != nil {
		return unreadable(data)
	}
	message, err := m.message(e.Body)
	if err != nil {
		return unreadable(data)
	}
	shown, err := plainJSON(shownEnvelope{
		ID: m.text(e.ID), Class: e.Class, To: masked(e.To), User: masked(e.User), Template: m.text(e.Template),
		QueuedAt: moment(e.QueuedAt), NotBefore: moment(e.NotBefore), NotAfter: moment(e.NotAfter),
		AtLeastOnce: e.AtLeastOnce, Message: message, Bytes: len(data),
	})
	if err != nil {
		return unreadable(data)
	}
	return string(shown)
}

// result shows what a handler left behind: ours leaves nothing.
func (m *masker) result(_ string, data []byte) string {
	if len(data) == 0 {
		return ""
	}
	shown, err := m.message(data)
	if err != nil {
		return unreadable(data)
	}
	return string(shown)
}

func unreadable(data []byte) string { return fmt.Sprintf("(unreadable, %d bytes)", len(data)) }

// message masks a body. What it does not know it hides: only the names of fields
// and what identifies a template or a program is shown.
func (m *masker) message(body []byte) (json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("read the body: %w", err)
	}
	if dec.More() {
		return nil, errors.New("read the body: more than one value")
	}
	return plainJSON(m.hide("", v))
}

func (m *masker) hide(name string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, inner := range v {
			out[m.text(k)] = m.hide(k, inner)
		}
		return out
	case []any:
		for i := range v {
			v[i] = m.hide(name, v[i])
		}
		return v
	case string:
		return m.leaf(name, v)
	case json.Number:
		return m.value(v.String())
	default: // true, false, null
		return v
	}
}

func (m *masker) leaf(name, text string) string {
	switch name {
	case "touser", "openid":
		return masked(text)
	case "template_id", "appid", "color", "client_msg_id":
		return m.text(text)
	case "url":
		return place(text)
	default:
		return m.value(text)
	}
}

// masked is for a name that is personal whatever it looks like.
func masked(s string) string {
	if s == "" {
		return ""
	}
	return shorten(s)
}

// place keeps scheme and host of a link: path and query may name the customer.
func place(link string) string {
	u, err := url.Parse(link)
	if err != nil || u.Host == "" {
		return "…"
	}
	return u.Scheme + "://" + u.Hostname() + "/…"
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// plainJSON leaves & < > as they are: the text goes into JSON once more, and
// that one escapes them.
func plainJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("show as JSON: %w", err)
	}
	return bytes.TrimSpace(b.Bytes()), nil
}
