package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/wxnotify/wxnotify/internal/chaos/verdict"
	"github.com/wxnotify/wxnotify/wechat"
)

// The account of every world.
const (
	appid     = "wxchaos00000000001"
	appsecret = "chaos0123456789abcdef0123456789ab"
)

// simulator is a WeChat of its own: `wxnotify simulate` and its control API.
type simulator struct {
	proc *process
	base string
	http *http.Client
}

func newSimulator(ctx context.Context, path string, seed uint64, args ...string) (*simulator, error) {
	args = append([]string{
		"simulate", "--addr", "127.0.0.1:0", "--appid", appid, "--appsecret", appsecret,
		"--any-template", "--seed", strconv.FormatUint(seed, 10), "--daily-quota", "10000000", "--latency", "5ms",
	}, args...)
	p, err := launch("simulate", newTail(), nil, path, args...)
	if err != nil {
		return nil, err
	}
	s := &simulator{proc: p, http: &http.Client{Timeout: patience}}
	line, err := p.says(ctx, "listens on")
	if err != nil {
		p.kill()
		return nil, err
	}
	s.base = strings.TrimSuffix(regexp.MustCompile(`http://[^/\s]+`).FindString(line), "/")
	return s, nil
}

// set calls the control API.
func (s *simulator) set(ctx context.Context, path string, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("simulator: %w", err)
	}
	return s.call(ctx, http.MethodPost, path, bytes.NewReader(text), nil)
}

func (s *simulator) call(ctx context.Context, method, path string, body io.Reader, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, s.base+"/_sim/"+path, body)
	if err != nil {
		return fmt.Errorf("simulator: %w", err)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return fmt.Errorf("simulator: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("simulator: %s: %s %w: %s", path, resp.Status, err, text)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("simulator: %s: %w", path, err)
	}
	return nil
}

// seen lists what recipients saw; the body is named by the message's URL.
func (s *simulator) seen(ctx context.Context) ([]verdict.Seen, error) {
	var all []verdict.Seen
	for after := int64(0); ; {
		var page struct {
			Messages []struct {
				ClientMsgID string    `json:"client_msg_id"`
				URL         string    `json:"url"`
				At          time.Time `json:"at"`
			} `json:"messages"`
			Last int64 `json:"last"`
		}
		if err := s.call(ctx, http.MethodGet, fmt.Sprintf("messages?limit=1000&after=%d", after), nil, &page); err != nil {
			return nil, err
		}
		if len(page.Messages) == 0 {
			return all, nil
		}
		for _, m := range page.Messages {
			all = append(all, verdict.Seen{ClientMsgID: m.ClientMsgID, Body: bodyOf(m.URL), At: m.At})
		}
		after = page.Last
	}
}

// stats is what the simulator counted.
type stats struct {
	Seen  int `json:"seen"`
	Calls map[string]struct {
		Total     int            `json:"total"`
		OK        int            `json:"ok"`
		Lost      int            `json:"lost"`
		ByErrcode map[string]int `json:"by_errcode"`
	} `json:"calls"`
	TokenFetches int `json:"token_fetches"`
	Accounts     []struct {
		DailyLimit int64 `json:"daily_limit"`
		Used       int64 `json:"used"`
	} `json:"accounts"`
}

func (s *simulator) stats(ctx context.Context) (stats, error) {
	var out stats
	return out, s.call(ctx, http.MethodGet, "stats", nil, &out)
}

// refusedForQuota counts the sends answered 45009.
func (s stats) refusedForQuota() int64 {
	return int64(s.Calls[wechat.SendPath].ByErrcode["45009"])
}
