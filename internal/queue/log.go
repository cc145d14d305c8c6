package queue

import (
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// asynqLog is asynq's Logger on zap. asynq logs IDs and errors, never payloads. While
// Redis is away each of its goroutines complains several times a second, so that one
// line of a kind is logged in 10 s.
type asynqLog struct{ log *zap.Logger }

func newAsynqLog(log *zap.Logger) asynqLog { return asynqLog{sampled(log)} }

// sampled logs the first line of each message in 10 s.
func sampled(log *zap.Logger) *zap.Logger {
	return log.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(core, 10*time.Second, 1, 0)
	}))
}

func (l asynqLog) Debug(args ...any) { l.write(zap.DebugLevel, args) }
func (l asynqLog) Info(args ...any)  { l.write(zap.InfoLevel, args) }
func (l asynqLog) Warn(args ...any)  { l.write(zap.WarnLevel, args) }
func (l asynqLog) Error(args ...any) { l.write(zap.ErrorLevel, args) }

// Fatal does not end the process: its owner decides that.
func (l asynqLog) Fatal(args ...any) { l.write(zap.ErrorLevel, args) }

// write puts the first three words into the message, by which lines are counted:
// IDs and causes come later in asynq's texts.
func (l asynqLog) write(level zapcore.Level, args []any) {
	text := fmt.Sprint(args...)
	kind, _, _ := strings.Cut(text, "=")
	words := strings.SplitN(kind, " ", 4)
	line := l.log.Check(level, "asynq: "+strings.Join(words[:min(3, len(words))], " "))
	if line == nil {
		return
	}
	fields := []zap.Field{zap.String("detail", text)}
	if remedy := remedyOf(text); remedy != "" {
		fields = append(fields, zap.String("remedy", remedy))
	}
	line.Write(fields...)
}

// remedyOf is for causes that the operator has to act on.
func remedyOf(text string) string {
	switch {
	case strings.Contains(text, "OOM command not allowed"):
		return "Redis has used its maxmemory: raise it; sending then continues"
	case strings.Contains(text, "LOADING"):
		return "Redis is starting: wait"
	case strings.Contains(text, "dial tcp"), strings.Contains(text, "i/o timeout"):
		return "Redis does not answer: check that it runs and can be reached; sending then continues"
	default:
		return ""
	}
}
