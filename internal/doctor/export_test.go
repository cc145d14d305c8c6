package doctor

import "github.com/wxnotify/wxnotify/internal/redisx"

// NoteRedis notes what Server.Check and INFO told.
func NoteRedis(n *Notes, r redisx.Report, info string) {
	noteReport(n, r, nil)
	noteStorage(n, parseMemory(info))
}
