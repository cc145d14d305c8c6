package ledger

import (
	"context"
	"crypto/sha1" //nolint:gosec // Redis names scripts by their SHA-1.
	_ "embed"
	"encoding/hex"

	"github.com/redis/go-redis/v9"
)

//go:embed lua/common.lua
var commonLua string

//go:embed lua/begin.lua
var beginLua string

//go:embed lua/accepted.lua
var acceptedLua string

//go:embed lua/failed.lua
var failedLua string

//go:embed lua/cancel.lua
var cancelLua string

//go:embed lua/park.lua
var parkLua string

//go:embed lua/release.lua
var releaseLua string

//go:embed lua/receipt.lua
var receiptLua string

//go:embed lua/match.lua
var matchLua string

//go:embed lua/sweep.lua
var sweepLua string

//go:embed lua/suppress.lua
var suppressLua string

//go:embed lua/follow.lua
var followLua string

//go:embed lua/erase.lua
var eraseLua string

// script is a Lua script that rides in pipelines: named by its hash, sent whole
// when Redis does not know it.
type script struct{ text, sha string }

func newScript(text string) script {
	sum := sha1.Sum([]byte(text)) //nolint:gosec // Redis names scripts by their SHA-1.
	return script{text: text, sha: hex.EncodeToString(sum[:])}
}

// scripts of one ledger.
type scripts struct {
	begin, accepted, failed, cancel, release, park, receipt script
	match, sweep, suppress, follow, erase                         script
}

func newScripts() scripts {
	return scripts{
		begin:    newScript(commonLua + beginLua),
		accepted: newScript(commonLua + acceptedLua),
		failed:   newScript(commonLua + failedLua),
		cancel:   newScript(commonLua + cancelLua),
		release:  newScript(releaseLua),
		park:     newScript(parkLua),
		receipt:  newScript(commonLua + receiptLua),
		match:    newScript(commonLua + matchLua),
		sweep:    newScript(commonLua + sweepLua),
		suppress: newScript(suppressLua),
		follow:   newScript(followLua),
		erase:    newScript(commonLua + eraseLua),
	}
}

// call is one run of a script, by hash or whole.
func (s script) call(ctx context.Context, whole bool, keys []string, args []any) *redis.Cmd {
	line := make([]any, 0, 3+len(keys)+len(args))
	if whole {
		line = append(line, "eval", s.text, len(keys))
	} else {
		line = append(line, "evalsha", s.sha, len(keys))
	}
	for _, k := range keys {
		line = append(line, k)
	}
	cmd := redis.NewCmd(ctx, append(line, args...)...)
	cmd.SetFirstKeyPos(3) // a cluster routes by it
	return cmd
}
