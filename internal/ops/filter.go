package ops

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// answer keeps what asynqmon writes until it has been looked through.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func newAnswer() *answer { return &answer{header: http.Header{}} }

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p) //nolint:wrapcheck // a buffer does not fail
}

func (a *answer) done() bool { return a.status < http.StatusMultipleChoices }

// send writes the body, masked: JSON stays JSON, an error stays one line.
func (a *answer) send(w http.ResponseWriter, f *filter) {
	a.WriteHeader(http.StatusOK) // asynqmon may have written nothing
	if a.status == http.StatusNoContent || a.body.Len() == 0 {
		w.WriteHeader(a.status)
		return
	}
	body, err := f.json(a.body.Bytes())
	if err != nil {
		say(w, a.status, f.mask.text(string(bytes.TrimSpace(a.body.Bytes()))))
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(a.status)
	_, _ = w.Write(body) // the reader may be gone: nothing to do about it
}

// filter masks asynqmon's JSON: what its formatters do not reach.
type filter struct {
	mask    *masker
	aliases *aliases
}

// json masks every string of a document, names of fields included.
func (f *filter) json(doc []byte) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if dec.More() {
		return nil, errors.New("read the answer: more than one value")
	}
	out, err := json.Marshal(f.walk("", v))
	if err != nil {
		return nil, fmt.Errorf("write the answer: %w", err)
	}
	return out, nil
}

func (f *filter) walk(name string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, inner := range v {
			out[f.mask.text(k)] = f.walk(k, inner)
		}
		return out
	case []any:
		for i := range v {
			v[i] = f.walk(name, v[i])
		}
		return v
	case string:
		if namesThing(name) {
			return f.aliases.hide(v)
		}
		return f.mask.text(v)
	default:
		return v
	}
}

// namesThing lists the fields in which asynqmon's page expects the name of a task
// or group, to send it back with the next action.
func namesThing(field string) bool {
	switch field {
	case "id", "task_id", "group", "deleted_ids", "failed_ids", "pending_ids", "error_ids", "archived_ids", "canceled_ids":
		return true
	default:
		return false
	}
}
