package enroll

import (
	"context"
	"errors"
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

// errNoCode says that another request is asking WeChat for the code, or has failed to get it.
var errNoCode = errors.New("the QR code is being made, or WeChat gave none a moment ago")

// code is the picture of a parametric QR code. The code is made once for all
// processes and reloads of a page, since an account has 100 000 a day.
func (s *Service) code(ctx context.Context, a *account, name, scene string, life time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*redisWait)
	defer cancel()
	key := a.keys.qr(name)
	content, err := s.cfg.Redis.Get(ctx, key).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, wrap(err, "read the QR code")
	}
	if content == "" {
		// One request asks WeChat; when that fails, none asks for a minute.
		mine, err := s.cfg.Redis.SetNX(ctx, key+":lock", "1", leastCode).Result()
		if err != nil || !mine {
			return nil, errors.Join(errNoCode, wrap(err, "ask for a QR code"))
		}
		life = min(max(life, 2*leastCode), ticket.MaxLife)
		made, err := a.Platform.CreateQR(ctx, scene, life.Truncate(time.Second))
		if err != nil {
			return nil, err
		}
		content = made.URL
		// A moment less than WeChat remembers it, so that no dead code is shown.
		if err := s.cfg.Redis.Set(ctx, key, content, life-leastCode).Err(); err != nil {
			return nil, wrap(err, "keep the QR code")
		}
		s.cfg.Redis.Del(ctx, key+":lock")
	}
	return qrPNG(content)
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
