package mask

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/wxnotify/wxnotify/internal/rawjson"
)

// JSON masks a JSON document: each string and json.Number by leaf, which gets the name of
// the nearest field around it, and the names of fields by [Text]. It leaves & < >
// unescaped. The error says that doc is not one JSON value.
func JSON(doc []byte, leaf func(field string, v any) any) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("read JSON: %w", err)
	}
	if d.More() {
		return nil, errors.New("read JSON: more than one value")
	}
	out, err := rawjson.Marshal(walk("", v, leaf))
	if err != nil {
		return nil, fmt.Errorf("write JSON: %w", err)
	}
	return out, nil
}

func walk(field string, v any, leaf func(field string, v any) any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, inner := range v {
			out[Text(name)] = walk(name, inner, leaf)
		}
		return out
	case []any:
		for i := range v {
			v[i] = walk(field, v[i], leaf)
		}
		return v
	case string, json.Number:
		return leaf(field, v)
	default: // true, false, null
		return v
	}
}
