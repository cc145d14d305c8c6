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
		life = min(max(life, leastCode), ticket.MaxLife)
		made, err := a.Platform.CreateQR(ctx, scene, life.Truncate(time.Second))
		if err != nil {
			return nil, err
		}
		content = made.URL
		// A moment less than WeChat remembers it, so that no dead code is shown.
		if err := s.cfg.Redis.Set(ctx, key, content, max(life-leastCode, time.Second)).Err(); err != nil {
			return nil, wrap(err, "keep the QR code")
		}
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
