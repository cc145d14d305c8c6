package logging

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/wxnotify/wxnotify/internal/mask"
)

// maskedCore masks personal data and credentials in each line of the log: texts by
// mask.Text, the ID of a message by mask.IDs. Numbers and times are not changed. Each
// key is in a line once, the first of a name wins: readers such as Elasticsearch refuse
// a line with a key twice. A zero time is left out.
type maskedCore struct {
	zapcore.Core
	ids     *mask.IDs
	carried map[string]bool // keys of With
}

func newMaskedCore(core zapcore.Core) zapcore.Core {
	return maskedCore{core, mask.NewIDs(), map[string]bool{"level": true, "ts": true, "msg": true, "logger": true}}
}

// With masks the fields that a logger carries.
func (c maskedCore) With(fields []zapcore.Field) zapcore.Core {
	masked := c.masked(fields)
	carried := maps.Clone(c.carried)
	for _, f := range masked {
		carried[f.Key] = true
	}
	return maskedCore{c.Core.With(masked), c.ids, carried}
}

// Check adds this core, not the one inside.
func (c maskedCore) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return checked.AddCore(e, c)
	}
	return checked
}

// Write masks a line.
func (c maskedCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	e.Message, e.Stack = mask.Text(e.Message), mask.Text(e.Stack)
	return c.Core.Write(e, c.masked(fields)) //nolint:wrapcheck // zap prints it as it is
}

// masked returns fields whose texts are masked; fields itself is not changed.
func (c maskedCore) masked(fields []zapcore.Field) []zapcore.Field {
	out := make([]zapcore.Field, 0, len(fields))
	for _, f := range fields {
		if at, isTime := f.Interface.(time.Time); isTime && at.IsZero() {
			continue
		}
		if f.Key != "" && (c.carried[f.Key] || slices.ContainsFunc(out, func(o zapcore.Field) bool { return o.Key == f.Key })) {
			continue
		}
		out = append(out, c.field(f))
	}
	return out
}

func (c maskedCore) field(f zapcore.Field) zapcore.Field {
	switch f.Type {
	case zapcore.StringType:
		f.String = c.text(f.Key, f.String)
	case zapcore.ByteStringType:
		if text, ok := f.Interface.([]byte); ok {
			return zap.String(f.Key, c.text(f.Key, string(text)))
		}
	case zapcore.ErrorType, zapcore.StringerType:
		return zap.String(f.Key, c.text(f.Key, fmt.Sprint(f.Interface)))
	case zapcore.ArrayMarshalerType, zapcore.ObjectMarshalerType, zapcore.InlineMarshalerType, zapcore.ReflectType:
		values := zapcore.NewMapObjectEncoder()
		f.AddTo(values)
		if f.Type == zapcore.InlineMarshalerType {
			return zap.Inline(zapcore.ObjectMarshalerFunc(func(enc zapcore.ObjectEncoder) error {
				for key, v := range values.Fields {
					zap.Any(key, c.value(key, v)).AddTo(enc)
				}
				return nil
			}))
		}
		return zap.Any(f.Key, c.value(f.Key, values.Fields[f.Key]))
	case zapcore.UnknownType, zapcore.BinaryType, zapcore.BoolType, zapcore.Complex128Type, zapcore.Complex64Type,
		zapcore.DurationType, zapcore.Float64Type, zapcore.Float32Type, zapcore.Int64Type, zapcore.Int32Type, zapcore.Int16Type,
		zapcore.Int8Type, zapcore.TimeType, zapcore.TimeFullType, zapcore.Uint64Type, zapcore.Uint32Type, zapcore.Uint16Type,
		zapcore.Uint8Type, zapcore.UintptrType, zapcore.NamespaceType, zapcore.SkipType:
	}
	return f
}

// value masks what a marshaler wrote. A value of another type is shown as text.
func (c maskedCore) value(key string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, inner := range v {
			out[name] = c.value(name, inner)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, inner := range v {
			out[i] = c.value(key, inner)
		}
		return out
	case nil, bool, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, float32, float64:
		return v
	default:
		return c.text(key, fmt.Sprint(v))
	}
}

func (c maskedCore) text(key, text string) string {
	if key == "id" || key == "ids" {
		return c.ids.Mask(text)
	}
	return mask.Text(text)
}
