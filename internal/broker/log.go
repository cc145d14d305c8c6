package broker

import "go.uber.org/zap"

// asynqLog is asynq's Logger on zap. asynq logs IDs and errors, never payloads.
type asynqLog struct{ log *zap.SugaredLogger }

func (l asynqLog) Debug(args ...any) { l.log.Debug(args...) }
func (l asynqLog) Info(args ...any)  { l.log.Info(args...) }
func (l asynqLog) Warn(args ...any)  { l.log.Warn(args...) }
func (l asynqLog) Error(args ...any) { l.log.Error(args...) }

// Fatal does not end the process: that is for who started it.
func (l asynqLog) Fatal(args ...any) { l.log.Error(args...) }
