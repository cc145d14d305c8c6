package mask_test

import (
	"encoding/json"
	"testing"

	"github.com/wxnotify/wxnotify/internal/mask"
)

func TestJSONMasksLeaves(t *testing.T) {
	t.Parallel()
	leaf := func(field string, v any) any {
		if n, ok := v.(json.Number); ok {
			return field + "#" + n.String()
		}
		return field + "=" + v.(string)
	}
	for doc, want := range map[string]string{
		`{"a":["x",{"b":12345678901234567890}],"c":null,"d":true}`: `{"a":["a=x",{"b":"b#12345678901234567890"}],"c":null,"d":true}`,
		` "<&>" `: `"=<&>"`,
	} {
		if got, err := mask.JSON([]byte(doc), leaf); err != nil || string(got) != want {
			t.Errorf("%s became %s, %v; want %s", doc, got, err, want)
		}
	}
	for _, doc := range []string{"", "{", "1 2", "not JSON"} {
		if got, err := mask.JSON([]byte(doc), leaf); err == nil {
			t.Errorf("%q became %s", doc, got)
		}
	}
}
