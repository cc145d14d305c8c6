package queue

import (
	"github.com/hibiken/asynq"
	"go.uber.org/zap"
)

// NewAsynqLog is the bridge to a test of what asynq says: no Redis fails alike twice.
func NewAsynqLog(log *zap.Logger) asynq.Logger { return newAsynqLog(log) } //nolint:ireturn // the type is not exported
