package main

import (
	"io"
	"os"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/wxnotify/wxnotify/internal/settings"
)

// newLogger writes lines in cfg's format to out: "json", "console", or by
// default the console's form to a terminal and JSON elsewhere. Times are RFC 3339
// and durations seconds in JSON. Lines below cfg's level are dropped. Personal data
// and credentials are masked, see maskedCore.
func newLogger(out io.Writer, cfg settings.Log) *zap.Logger {
	level, err := zapcore.ParseLevel(cfg.Level)
	if err != nil {
		level = zapcore.InfoLevel
	}
	form := zap.NewProductionEncoderConfig()
	form.EncodeTime = zapcore.RFC3339TimeEncoder
	encoder := zapcore.NewJSONEncoder(form)
	terminal := isTerminal(out)
	if cfg.Format == "console" || cfg.Format == "" && terminal {
		form.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05")
		form.EncodeDuration = zapcore.StringDurationEncoder
		if terminal {
			form.EncodeLevel = zapcore.CapitalColorLevelEncoder
		}
		encoder = zapcore.NewConsoleEncoder(form)
	}
	return zap.New(newMaskedCore(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(out)), level)))
}

// repeatAfter is how long firstOfKind drops repetitions.
const repeatAfter = 10 * time.Second

// firstOfKind passes the first line of each level and message in repeatAfter, and
// drops the others. While Redis or WeChat is down, the same line would come
// several times a second. It keeps its own count: make one for each account, or
// one account hides another.
func firstOfKind(log *zap.Logger) *zap.Logger {
	return log.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(core, repeatAfter, 1, 0)
	}))
}

// isTerminal reports whether out is a character device, as a terminal is.
func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
