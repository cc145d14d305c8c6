package enroll

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/names"
	"github.com/wxnotify/wxnotify/internal/seal"
)

// MovedKeys are the keys that Convert copies, as they are named in clear.
func MovedKeys(account string) []string {
	prefix := keys{account: account}.prefix()
	out := []string{}
	for _, name := range []string{rosterKey, inboxKey, changesKey, erasingKey, syncKey} {
		out = append(out, prefix+name)
	}
	return out
}

// Convert converts the names of the roster, the followers, the inbox and what else this
// package keeps of the account.
func Convert(ctx context.Context, account string, c *names.Conversion) error {
	prefix := keys{account: account}.prefix()
	moves := map[string]names.Change{
		rosterKey:  func(user, value string) (string, string) { return c.Name(seal.User, user), value },
		inboxKey:   func(field, value string) (string, string) { return field, convertEvent(value, c) },
		changesKey: func(field, value string) (string, string) { return field, convertChange(field, value, c) },
		erasingKey: func(name, note string) (string, string) { return convertPerson(name, c), note },
		syncKey:    func(field, value string) (string, string) { return field, convertSync(field, value, c) },
	}
	for name, change := range moves {
		if err := c.Move(ctx, prefix+name, change); err != nil {
			return fmt.Errorf("enroll: %w", err)
		}
	}
	for _, of := range []struct {
		prefix string
		kind   seal.Kind
		change names.Change
	}{
		{userPrefix, seal.User, func(openid, value string) (string, string) { return c.Name(seal.OpenID, openid), value }},
		{followerPrefix, seal.OpenID, func(field, value string) (string, string) {
			if user, ok := strings.CutPrefix(field, "u:"); ok {
				return "u:" + c.Name(seal.User, user), value
			}
			if field == "n" {
				value = c.Name(seal.UnionID, value)
			}
			return field, value
		}},
		{followedPrefix, seal.OpenID, nil},
		{ticketsPrefix, seal.OpenID, func(member, _ string) (string, string) {
			ticket, user, _ := strings.Cut(member, " ")
			return ticket + " " + c.Name(seal.User, user), ""
		}},
	} {
		if err := c.Keys(ctx, prefix+of.prefix, of.kind, of.change); err != nil {
			return fmt.Errorf("enroll: %w", err)
		}
	}
	return nil
}

// convertEvent converts an entry of the inbox. One that cannot be read stays, and is set
// aside when it is applied.
func convertEvent(text string, c *names.Conversion) string {
	var e entry
	if json.Unmarshal([]byte(text), &e) != nil {
		return text
	}
	out, err := json.Marshal(e.named(c.Name))
	if err != nil {
		return text
	}
	return string(out)
}

func convertChange(field, value string, c *names.Conversion) string {
	switch field {
	case "user":
		return c.Name(seal.User, value)
	case "openid", "previous":
		return c.Name(seal.OpenID, value)
	}
	return value
}

// convertPerson converts the name of a note of Roster.noteErasure.
func convertPerson(name string, c *names.Conversion) string {
	if openid, ok := strings.CutPrefix(name, "o:"); ok {
		return "o:" + c.Name(seal.OpenID, openid)
	}
	return "u:" + c.Name(seal.User, strings.TrimPrefix(name, "u:"))
}

func convertSync(field, value string, c *names.Conversion) string {
	switch field {
	case "next":
		return c.Name(seal.OpenID, value)
	case "cursor":
		return c.Cursor(seal.User, value)
	}
	return value
}

// aliveFor is how long a process counts that reads the inbox: it does every two seconds.
const aliveFor = 15 * time.Second

// Alive lists the processes that read the account's inbox.
func Alive(ctx context.Context, rdb redis.UniversalClient, account string, n *seal.Names) ([]string, error) {
	readers, err := rdb.XInfoConsumers(ctx, keys{account, n}.inbox(), inboxGroup).Result()
	if err != nil && (strings.HasPrefix(err.Error(), "NOGROUP") || strings.Contains(err.Error(), "no such key")) {
		return nil, nil
	}
	var alive []string
	for _, r := range readers {
		if r.Idle < aliveFor {
			alive = append(alive, r.Name)
		}
	}
	return alive, wrap(err, "look for processes")
}
