// Package logging makes the log of a process: lines in which personal data and credentials
// are masked, and repetitions that are dropped.
package logging

import (
	"io"
	"os"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// New writes lines to out, in the format "json", "console", or for empty text the
// console's form to a terminal and JSON elsewhere. Times are RFC 3339 and durations seconds
// in JSON. Lines below level are dropped: "debug", "info", "warn" or "error"; another text
// is info. Personal data and credentials are masked.
func New(out io.Writer, level, format string) *zap.Logger {
	least, err := zapcore.ParseLevel(level)
	if err != nil {
		least = zapcore.InfoLevel
	}
	form := zap.NewProductionEncoderConfig()
	form.EncodeTime = zapcore.RFC3339TimeEncoder
	encoder := zapcore.NewJSONEncoder(form)
	terminal := IsTerminal(out)
	if format == "console" || format == "" && terminal {
		form.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05")
		form.EncodeDuration = zapcore.StringDurationEncoder
		if terminal {
			form.EncodeLevel = zapcore.CapitalColorLevelEncoder
		}
		encoder = zapcore.NewConsoleEncoder(form)
	}
	return zap.New(newMaskedCore(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(out)), least)))
}

// repeatAfter is how long FirstOfKind drops repetitions.
const repeatAfter = 10 * time.Second

// FirstOfKind passes the first line of each level and message in ten seconds, and
// drops the others. While Redis or WeChat is down, the same line would come
// several times a second. It keeps its own count: make one for each account, or
// one account hides another.
func FirstOfKind(log *zap.Logger) *zap.Logger {
	return log.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(core, repeatAfter, 1, 0)
	}))
}

// IsTerminal reports whether out is a character device, as a terminal is.
func IsTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
