package enroll

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/ticket"
)

const (
	// scenePrefix marks the QR codes whose scene is a ticket of ours; the
	// business may have others (docs: 生成带参数的二维码, at most 64 characters).
	scenePrefix = "wxn-"
	// sceneFollow is the scene of the code that a bound non-follower is shown.
	sceneFollow    = "wxn-follow"
	followCodeLife = 30 * 24 * time.Hour
	// leastCode is the least life of a code that is worth showing.
	leastCode = time.Minute
)

// errNoCode says that another request is waiting for WeChat's code, that WeChat refused
// one within the last minute, or that a limit of the link or the account is reached.
var errNoCode = errors.New("no QR code is requested from WeChat now")

// codeTerms describe a parametric QR code.
type codeTerms struct {
	name, scene string
	life        time.Duration
	against     *openedTicket // the ticket that the scene names and whose budget it counts against; nil: none
}

// code is the content of a parametric QR code. The code is made once for all
// processes and reloads of a page, since an account has 100 000 a day.
func (s *Service) code(ctx context.Context, a *account, c codeTerms) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*redisWait)
	defer cancel()
	key := a.keys.qr(c.name)
	content, err := a.Roster.rdb.Get(ctx, key).Result()
	if err == nil {
		return content, nil
	}
	if !errors.Is(err, redis.Nil) {
		return "", wrap(err, "read the QR code")
	}
	lock, mine := key+":lock", randomName()
	keys := []string{lock, a.keys.used("q")}
	args := []any{mine, leastCode.Milliseconds(), codesPerMinute, time.Minute.Milliseconds()}
	if c.against != nil {
		keys = append(keys, a.keys.ticket(c.against.ticket.ID))
		args = append(args, mostCodes, c.against.text, ticketEnds(c.against.ticket).UnixMilli())
	}
	reply, err := codeScript.Run(ctx, a.Roster.rdb, keys, args...).Text()
	if err != nil {
		return "", wrap(err, "ask for a QR code")
	}
	if reply != "yes" {
		return "", fmt.Errorf("%w: %s", errNoCode, reply)
	}
	life := min(max(c.life, 2*leastCode), ticket.MaxLife)
	made, err := a.Platform.CreateQR(ctx, c.scene, life.Truncate(time.Second))
	if err != nil {
		return "", err
	}
	// A moment less than WeChat remembers it, so that no dead code is shown.
	if err := a.Roster.rdb.Set(ctx, key, made.URL, life-leastCode).Err(); err != nil {
		return "", wrap(err, "keep the QR code")
	}
	a.Roster.unlock(ctx, lock, mine)
	return made.URL, nil
}

// ticketOfScene finds the ticket that a scene names.
func ticketOfScene(scene string) (ticket.ID, bool) {
	text, ours := strings.CutPrefix(scene, scenePrefix)
	if !ours {
		return ticket.ID{}, false
	}
	id, err := ticket.ParseID(text)
	return id, err == nil
}
