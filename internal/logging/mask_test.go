package logging_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/wxnotify/wxnotify/internal/logging"
)

// Whatever kind of field a package logs, no personal data reaches the log, and
// numbers stay numbers.
func TestLogsMaskPersonalData(t *testing.T) {
	t.Parallel()
	const phone, card, mail, openid = "13812345678", "11010119900307451X", "zhang@example.com", "oCANARYx7Qk_4-pLmNb0TzYw8dEf"
	all := phone + " " + card + " " + mail + " " + openid
	link, err := url.Parse("https://h.example/" + openid)
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"json", "console"} {
		var out bytes.Buffer
		log := logging.New(&out, "debug", format).With(zap.String("with", all)).Named("x")
		log.Warn("message of "+all,
			zap.String("id", "lab-"+phone), zap.Strings("ids", []string{"lab-" + card, "order-1"}), zap.Error(errors.New(all)),
			zap.NamedError("wrapped", fmt.Errorf("x: %w", errors.New(all))), zap.Errors("errors", []error{errors.New(all)}),
			zap.ByteString("bytes", []byte(all)), zap.Stringer("link", link), zap.Any("map", map[string]any{"a": all, "n": 1}),
			zap.Any("struct", struct{ A string }{all}), zap.Object("object", zapcore.ObjectMarshalerFunc(func(e zapcore.ObjectEncoder) error {
				e.AddString("to", all)
				return nil
			})), zap.Inline(zapcore.ObjectMarshalerFunc(func(e zapcore.ObjectEncoder) error {
				e.AddString("inline", all)
				return nil
			})), zap.Int64("msgid", 13812345678), zap.Duration("latency", 13812345678*time.Nanosecond), zap.Stack("stack"))
		text := out.String()
		for _, canary := range []string{card, mail, openid, "lab-" + phone, phone + " "} {
			if strings.Contains(text, canary) {
				t.Errorf("%s: the log shows %s:\n%s", format, canary, text)
			}
		}
		if !strings.Contains(text, "order-1") || strings.Count(text, "…@example.com") < 9 {
			t.Errorf("%s: the log lacks what may be shown:\n%s", format, text)
		}
		if format == "console" {
			continue
		}
		var line map[string]any
		if err := json.Unmarshal(out.Bytes(), &line); err != nil || line["msgid"] != 13812345678.0 || line["latency"] != 13.812345678 {
			t.Errorf("the line is no JSON, or its numbers changed: %v, %v", err, line)
		}
	}
}

// TestLogLinesHaveEachKeyOnceAndNoZeroTime: whatever a package hands over.
func TestLogLinesHaveEachKeyOnceAndNoZeroTime(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := logging.New(&out, "info", "json").With(zap.String("account", "wxa"), zap.Time("since", time.Time{}))
	at := time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC)
	log.With(zap.String("class", "bulk")).Info("m", zap.String("account", "wxb"), zap.Int("n", 1), zap.Int("n", 2), zap.String("msg", "other"),
		zap.Time("until", time.Time{}), zap.Timep("at", &at), zap.String("class", "default"))
	in := json.NewDecoder(&out)
	seen := map[string]any{}
	for depth := -1; ; {
		token, err := in.Token()
		if err != nil {
			break
		}
		if depth++; depth == 0 || depth%2 == 0 {
			continue
		}
		if key, isText := token.(string); isText {
			if _, twice := seen[key]; twice {
				t.Errorf("%s is in the line twice", key)
			}
			value, _ := in.Token()
			depth++
			seen[key] = value
		}
	}
	if seen["account"] != "wxa" || seen["class"] != "bulk" || seen["n"] != 1.0 || seen["msg"] != "m" || seen["until"] != nil || seen["since"] != nil || seen["at"] == nil {
		t.Errorf("the line has %v", seen)
	}
}
