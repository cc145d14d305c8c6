package broker

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

// sayAgain is the least between two warnings of one kind from asynq: while Redis
// is away, each of its goroutines complains several times a second.
const sayAgain = 10 * time.Second

// asynqLog is asynq's Logger on zap. asynq logs IDs and errors, never payloads.
type asynqLog struct {
	log *zap.SugaredLogger

	mu    sync.Mutex
	kinds map[string]*said // asynq has some thirty
}

// said is one kind of complaint.
type said struct {
	at   time.Time
	held int // not logged since
}

func newAsynqLog(log *zap.Logger) *asynqLog {
	return &asynqLog{log: log.Sugar(), kinds: map[string]*said{}}
}

func (l *asynqLog) Debug(args ...any) { l.log.Debug(args...) }
func (l *asynqLog) Info(args ...any)  { l.log.Info(args...) }
func (l *asynqLog) Warn(args ...any)  { l.complain(l.log.Warnw, args) }
func (l *asynqLog) Error(args ...any) { l.complain(l.log.Errorw, args) }

// Fatal does not end the process: that is for who started it.
func (l *asynqLog) Fatal(args ...any) { l.log.Error(args...) }

func (l *asynqLog) complain(log func(string, ...any), args []any) {
	text := fmt.Sprint(args...)
	held, ok := l.admit(text, time.Now())
	if !ok {
		return
	}
	var fields []any
	if held > 0 {
		fields = append(fields, "not_logged_since", held)
	}
	if remedy := remedyOf(text); remedy != "" {
		fields = append(fields, "remedy", remedy)
	}
	log(text, fields...)
}

// admit says how many of its kind were held back, or that this one is.
func (l *asynqLog) admit(text string, now time.Time) (held int, ok bool) {
	kind := kindOf(text)
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.kinds[kind]
	if s == nil {
		s = &said{}
		l.kinds[kind] = s
	}
	if !s.at.IsZero() && now.Sub(s.at) < sayAgain {
		s.held++
		return 0, false
	}
	held, s.at, s.held = s.held, now, 0
	return held, true
}

// kindOf is the first three words: IDs and causes come later.
func kindOf(text string) string {
	text, _, _ = strings.Cut(text, "=")
	words := strings.SplitN(text, " ", 4)
	return strings.Join(words[:min(3, len(words))], " ")
}

// remedyOf is for the causes that somebody has to do something about.
func remedyOf(text string) string {
	switch {
	case strings.Contains(text, "OOM command not allowed"):
		return "Redis has used its maxmemory: raise it; sending goes on by itself"
	case strings.Contains(text, "LOADING"):
		return "Redis is starting: wait"
	case strings.Contains(text, "dial tcp"), strings.Contains(text, "i/o timeout"):
		return "Redis does not answer: see that it runs and can be reached; sending goes on by itself"
	default:
		return ""
	}
}
