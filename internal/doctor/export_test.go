package doctor

import (
	"github.com/wxnotify/wxnotify/internal/redisconn"
	"github.com/wxnotify/wxnotify/internal/redisx"
)

// NoteRedis notes what Server.Check and INFO told.
func NoteRedis(n *Notes, r redisconn.Report, info string) {
	noteReport(n, r, nil)
	noteStorage(n, redisx.ParseState(info))
}
