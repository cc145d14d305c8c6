package wechattest

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"

	"github.com/wxnotify/wxnotify/wechat"
)

// The calls beside those that wxnotify makes: programs with an SDK make them through
// its gateway. Of a menu the form of its buttons is checked, and not what they do.

// maxButtons and maxSubButtons bound a menu.
const (
	maxButtons    = 3
	maxSubButtons = 5
)

type menuButton struct {
	Name string            `json:"name"`
	Type string            `json:"type"`
	Sub  []json.RawMessage `json:"sub_button"`
}

// serveMenuCreate is POST /cgi-bin/menu/create.
func serveMenuCreate(c *call) answer {
	var in struct {
		Buttons json.RawMessage `json:"button"`
	}
	if code := c.decode(&in); code != 0 {
		return refuse(code)
	}
	var buttons []menuButton
	if json.Unmarshal(in.Buttons, &buttons) != nil || len(buttons) == 0 || len(buttons) > maxButtons {
		return refuse(40016)
	}
	for _, b := range buttons {
		switch {
		case b.Name == "":
			return refuse(40018)
		case len(b.Sub) > maxSubButtons:
			return refuse(40023)
		case b.Type == "" && len(b.Sub) == 0:
			return refuse(40017)
		}
	}
	defer c.p.locked()()
	c.account.menu = slices.Clone(in.Buttons)
	return answer{}
}

// serveMenuGet is GET /cgi-bin/menu/get.
func serveMenuGet(c *call) answer {
	defer c.p.locked()()
	if c.account.menu == nil {
		return refuse(46003)
	}
	return object(map[string]map[string]json.RawMessage{"menu": {"button": c.account.menu}})
}

// serveMenuDelete is GET /cgi-bin/menu/delete.
func serveMenuDelete(c *call) answer {
	defer c.p.locked()()
	c.account.menu = nil
	return answer{}
}

// serveMediaUpload is POST /cgi-bin/media/upload. The file is not kept.
func serveMediaUpload(c *call) answer {
	kind := c.query().Get("type")
	if !slices.Contains([]string{"image", "voice", "video", "thumb"}, kind) {
		return refuse(40004)
	}
	c.r.Body = io.NopCloser(bytes.NewReader(c.body))
	file, _, err := c.r.FormFile("media")
	if err != nil {
		return refuse(41005)
	}
	defer func() { _ = file.Close() }()
	size, err := io.Copy(io.Discard, file)
	if err != nil || size == 0 {
		return refuse(wechat.Code(44001))
	}
	return object(struct {
		Type      string `json:"type"`
		MediaID   string `json:"media_id"`
		CreatedAt int64  `json:"created_at"`
	}{kind, randomText(64), c.now.Unix()})
}
