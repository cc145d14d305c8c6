package console

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/wechat"
)

const sealedSelection = "selection"

// deadView is the page of dead letters.
type deadView struct {
	Rows        []messageRow
	Total       int
	Next        int // offset of the next page; 0: none
	All         string
	Groups      []groupView
	GroupsOfAll bool // else of the latest
}

// groupView is what can be done to all with one cause.
type groupView struct {
	failureView
	What string // the sealed selection
}

// deadLetters lists them by pages, and what can be done to all of one cause.
func (c *Console) deadLetters(r *request) error {
	offset, _ := strconv.Atoi(r.Form.Get("offset"))
	offset = max(offset, 0)
	found, total, err := r.account.Ledger.Dead(r.ctx(), offset, pageSize)
	if err != nil {
		return err
	}
	v := deadView{Total: total, GroupsOfAll: total <= latestFailures}
	for _, m := range found {
		row, err := c.rowOf(r, m)
		if err != nil {
			return err
		}
		v.Rows = append(v.Rows, row)
	}
	if offset+pageSize < total {
		v.Next = offset + pageSize
	}
	if v.All, err = c.seals.seal(sealedSelection, selection{Dead: true}); err != nil {
		return err
	}
	latest, _, err := r.account.Ledger.Dead(r.ctx(), 0, latestFailures)
	if err != nil {
		return err
	}
	if v.Groups, err = c.groupsOf(r, latest); err != nil {
		return err
	}
	return c.render(r, http.StatusOK, "dead", r.text("Dead letters"), v)
}

func (c *Console) groupsOf(r *request, dead []*ledger.Record) ([]groupView, error) {
	var out []groupView
	type cause struct {
		code   wechat.Code
		reason string
	}
	seen := map[cause]bool{}
	for _, d := range dead {
		k := cause{code: d.Errcode}
		if k.code == 0 {
			k.reason = d.Reason
		}
		if seen[k] {
			continue
		}
		seen[k] = true
		what, err := c.seals.seal(sealedSelection, selection{Dead: true, Narrow: true, Errcode: k.code, Reason: k.reason})
		if err != nil {
			return nil, err
		}
		of := failuresOf(r, slices.DeleteFunc(slices.Clone(dead), func(o *ledger.Record) bool {
			return o.Errcode != k.code || (k.code == 0 && o.Reason != k.reason)
		}))
		out = append(out, groupView{of[0], what})
	}
	slices.SortStableFunc(out, func(a, b groupView) int { return b.Count - a.Count })
	return out, nil
}
