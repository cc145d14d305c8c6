package ledger

import (
	"embed"
	"fmt"
	"strconv"
	"time"

	"github.com/wxnotify/wxnotify/internal/redisx"
)

//go:embed lua/*.lua
var luaFiles embed.FS

// script reads lua/name.lua, behind the functions that all scripts share.
func script(name string) *redisx.Script {
	text := func(name string) string {
		data, err := luaFiles.ReadFile("lua/" + name + ".lua")
		if err != nil {
			panic(err) // the name is wrong: every test finds it
		}
		return string(data)
	}
	return redisx.NewScript(text("prelude"), text(name))
}

// scripts of one ledger.
type scripts struct {
	begin, accepted, failed, undo, revive, cancel, release, restore *redisx.Script
	receipt, match, sweep, suppress, follow, erase                  *redisx.Script
}

func newScripts() scripts {
	return scripts{
		begin: script("begin"), accepted: script("accepted"), failed: script("failed"), undo: script("undo"),
		revive: script("revive"), cancel: script("cancel"), release: script("release"), restore: script("restore"),
		receipt: script("receipt"), match: script("match"), sweep: script("sweep"), suppress: script("suppress"),
		follow: script("follow"), erase: script("erase"),
	}
}

// stringList reads a script's list of texts, at least n of them.
func stringList(reply any, n int) ([]string, error) {
	list, ok := reply.([]any)
	if !ok || len(list) < n {
		return nil, fmt.Errorf("ledger: Redis answered %T where a list of %d was expected", reply, n)
	}
	out := make([]string, len(list))
	for i := range list {
		out[i], _ = list[i].(string)
	}
	return out, nil
}

// stringMap reads a script's flat list of fields and values.
func stringMap(reply any) map[string]string {
	list, _ := reply.([]any)
	out := make(map[string]string, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		name, _ := list[i].(string)
		out[name], _ = list[i+1].(string)
	}
	return out
}

// millis is a duration in milliseconds as Redis takes it.
func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}
