package redisconn

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// These patterns are what wxnotify and asynq name their keys and
// channels.
const (
	ourPattern   = "wxn:*"
	asynqPattern = "asynq:*"
)

// The keys of the check lie in one cluster slot. Nothing is written to them.
const (
	ourKey     = "wxn:{check}:rights"
	asynqKey   = "asynq:{check}:rights"
	ourChannel = "wxn:{check}:rights"
)

// commands lists every command that wxnotify and asynq call, each with arguments that
// Redis accepts, K for a key. docs/redis.md has the same list.
func commands() []string {
	return []string{
		"ping", "time", "wait 0 0", "scan 0", "script exists 0", // of the connection and the keyspace
		"eval x 1 K", "evalsha x 1 K", "publish C x", "subscribe C", "unsubscribe C",
		"exists K", "expire K 1", "expireat K 1", "pexpire K 1", "pexpireat K 1", "pttl K", "ttl K", "type K", "del K",
		"get K", "set K x", "setex K 1 x", "incr K", "incrby K 1",
		"hget K x", "hset K x x", "hdel K x", "hmget K x", "hgetall K", "hexists K x", "hincrby K x 1", "hkeys K", "hlen K", "hscan K 0", "hvals K",
		"lindex K 0", "llen K", "lpos K x", "lpush K x", "lrange K 0 1", "lrem K 1 x", "lset K 0 x", "ltrim K 0 1", "rpop K", "rpush K x", "rpoplpush K K",
		"sadd K x", "sismember K x", "smembers K", "srem K x",
		"zadd K 1 x", "zcard K", "zincrby K 1 x", "zrange K 0 1", "zrangebyscore K 0 1", "zrem K x", "zremrangebyrank K 0 1",
		"zremrangebyscore K 0 1", "zrevrange K 0 1", "zscore K x",
		"xack K x 0-1", "xadd K * x x", "xclaim K x x 1 0-1", "xdel K 0-1", "xgroup create K x 0", "xinfo consumers K x",
		"xlen K", "xpending K x", "xrange K - +", "xrevrange K + -", "xtrim K maxlen 1", "xread streams K 0", "xreadgroup group x x streams K >",
	}
}

// checkRights asks whether the user may run every command, on every key and channel.
// Redis checks the rights when it queues a command of a transaction, so the
// commands are queued and discarded. refused is what stops writes for the moment,
// such as a full disk.
func checkRights(ctx context.Context, rdb redis.UniversalClient) (refused, err error) {
	node, ok := rdb.(*redis.Client)
	if cluster, isCluster := rdb.(*redis.ClusterClient); isCluster {
		if node, err = cluster.MasterForKey(ctx, ourKey); err != nil {
			return nil, fmt.Errorf("no node serves the slot of a key: %w", err)
		}
		ok = true
	}
	if !ok {
		return nil, nil
	}
	conn := node.Conn()
	defer func() { _ = conn.Close() }()
	missing := &lack{user: node.Options().Username}
	if missing.note("multi", conn.Do(ctx, "multi").Err()); len(missing.commands) > 0 {
		missing.early = true
		return nil, missing.err()
	}
	queued := map[string]*redis.Cmd{}
	pipe := conn.Pipeline()
	for _, line := range commands() {
		queued[line] = pipe.Do(ctx, words(line, ourKey, ourChannel)...)
	}
	for _, line := range []string{"get K", "set K x", "publish C x"} {
		queued["asynq "+line] = pipe.Do(ctx, words(line, asynqKey, "asynq:cancel")...)
	}
	discard := pipe.Do(ctx, "discard")
	_, _ = pipe.Exec(ctx) // each command keeps its error
	for line, cmd := range queued {
		missing.note(line, cmd.Err())
	}
	missing.note("discard", discard.Err())
	if err := missing.err(); err != nil {
		return nil, err
	}
	return missing.refused, checkUndeclared(ctx, conn)
}

func words(line, key, channel string) []any {
	var out []any
	for word := range strings.FieldsSeq(line) {
		switch word {
		case "K":
			word = key
		case "C":
			word = channel
		}
		out = append(out, word)
	}
	return out
}

// lack is what a user may not do.
type lack struct {
	user                     string
	commands, keys, channels []string
	unknown                  []string // commands that the server does not have
	early                    bool     // the other rights could not be checked
	refused                  error    // stops writes for the moment
	other                    error
}

// note sorts the server's answer to a queued command.
func (l *lack) note(line string, err error) {
	if err == nil {
		return
	}
	asynq, ours := strings.CutPrefix(line, "asynq ")
	pattern := ourPattern
	if ours {
		line, pattern = asynq, asynqPattern
	}
	name, rest, _ := strings.Cut(line, " ")
	if name == "xgroup" || name == "xinfo" || name == "script" {
		of, _, _ := strings.Cut(rest, " ")
		name += "|" + of
	}
	text := err.Error()
	switch {
	case undeclared(err):
		l.other = errUndeclared
	case strings.HasPrefix(text, "NOPERM") && strings.Contains(text, "' command"): // may name HKEYS
		l.commands = append(l.commands, "+"+name)
	case strings.HasPrefix(text, "NOPERM") && strings.Contains(text, "channel"):
		l.channels = append(l.channels, "&"+pattern)
	case strings.HasPrefix(text, "NOPERM") && strings.Contains(text, "key"):
		l.keys = append(l.keys, "~"+pattern)
	case strings.HasPrefix(text, "NOPERM"):
		l.commands = append(l.commands, "+"+name)
	case strings.Contains(strings.ToLower(text), "unknown command"):
		l.unknown = append(l.unknown, strings.ToUpper(name))
	case strings.HasPrefix(text, "MISCONF"), strings.HasPrefix(text, "NOREPLICAS"):
		l.refused = err
	case strings.HasPrefix(text, "OOM"), strings.HasPrefix(text, "MOVED"), strings.HasPrefix(text, "NOSUB"):
		// Full memory is warned of below, another node is asked for a key of its own, and
		// Valkey has nothing to unsubscribe from.
	default:
		l.other = err
	}
}

func (l *lack) err() error {
	for _, list := range []*[]string{&l.commands, &l.keys, &l.channels, &l.unknown} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	user := l.user
	if user == "" {
		user = "default"
	}
	rights := slices.Concat(l.keys, l.channels, l.commands)
	switch {
	case len(rights) > 0:
		list := strings.Join(rights, " ")
		text := "does not give the user " + user + " all rights that are needed: run ACL SETUSER " + user + " " + list + " there (docs/redis.md)"
		if l.early {
			text += ", and start again: the other rights are checked with it"
		}
		return verdict(text)
	case len(l.unknown) > 0:
		return verdict(noCommand(strings.Join(l.unknown, ", ")))
	case l.other != nil:
		return l.other
	}
	return nil
}

// errUndeclared is a server that refuses what Redis itself allows.
const errUndeclared verdict = "refuses scripts that use keys which they do not declare, and asynq has such scripts: " +
	"allow them there (Dragonfly: --default_lua_flags=allow-undeclared-keys; hosted clusters behind a proxy: script_check_enable 0), " +
	"or use a Redis without such a proxy, and write its address in WXNOTIFY_REDIS_URL"

// checkUndeclared runs a script that reads a key which it does not declare, in the slot
// of one that it does.
func checkUndeclared(ctx context.Context, conn *redis.Conn) error {
	err := conn.Eval(ctx, "return redis.call('EXISTS', ARGV[1])", []string{ourKey}, ourKey+":undeclared").Err()
	if undeclared(err) {
		return errUndeclared
	}
	if err != nil {
		return fmt.Errorf("a script fails: %w", err)
	}
	return nil
}

// undeclared knows the words of Dragonfly and of the proxies before hosted clusters.
func undeclared(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "undeclared key") || strings.Contains(err.Error(), "KEYS array"))
}
