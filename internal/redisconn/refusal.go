package redisconn

import (
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/wechat"
)

// refusals are what a server that answers refuses writes with, and what to do. A script's
// error has the words in its middle before Redis 7.
func refusals() [][3]string {
	return [][3]string{
		{"OOM command not allowed", "Redis has no memory left and refuses every write. Raise its maxmemory, or wait until the queues are shorter", "Redis 内存已用完，拒绝一切写入。请调大 maxmemory，或等待队列变短"},
		{"MISCONF ", "Redis could not write to its disk and refuses every write. Free disk space and look at the log of Redis", "Redis 无法写入磁盘，拒绝一切写入。请清理磁盘并查看 Redis 日志"},
		{"NOREPLICAS ", "Redis has too few replicas and refuses every write. Bring them back, or change its setting min-replicas-to-write", "Redis 的副本不足，拒绝一切写入。请恢复副本，或修改其 min-replicas-to-write 设置"},
		{"READONLY ", "Redis is a read-only replica. Write the primary's address, or redis-sentinel:// with its Sentinels, in WXNOTIFY_REDIS_URL", "Redis 是只读副本。请在 WXNOTIFY_REDIS_URL 中填主节点地址，或用 redis-sentinel:// 填 Sentinel 地址"},
	}
}

// Refusal says in one sentence why the server refuses writes, with the remedy and the
// server's own words. Empty: err is not such a refusal.
func Refusal(err error, lang wechat.Lang) string {
	answer, answered := errors.AsType[redis.Error](err)
	if !answered {
		return ""
	}
	for _, row := range refusals() {
		if _, said, found := strings.Cut(answer.Error(), row[0]); found {
			said, _, _ = strings.Cut(row[0]+said, ". ")
			return lang.Choose(row[1], row[2]) + " (" + strings.TrimSuffix(said, ".") + ")"
		}
	}
	return ""
}
