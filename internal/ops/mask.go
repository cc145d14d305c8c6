package ops

import (
	"net/url"

	"github.com/wxnotify/wxnotify/internal/mask"
)

// masker masks what asynqmon and our own pages show.
type masker struct{ ids *mask.IDs }

func newMasker() *masker { return &masker{ids: mask.NewIDs()} }

// text masks whatever looks like personal data or a credential.
func (m *masker) text(s string) string { return mask.Text(s) }

// id masks the ID of a task. asynqmon's page needs distinct row keys.
func (m *masker) id(s string) string { return m.ids.Mask(s) }

// maskURL keeps scheme and host: path and query may identify the customer.
func maskURL(link string) string {
	u, err := url.Parse(link)
	if err != nil || u.Host == "" {
		return "…"
	}
	return u.Scheme + "://" + u.Hostname() + "/…"
}
