package console

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"

	"github.com/wxnotify/wxnotify/internal/ledger"
)

const sealedSelection = "selection"

// latestFailures is how many dead letters, the latest, are grouped by cause.
const latestFailures = 200

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
	if v.Rows, err = c.rowsOf(r, found); err != nil {
		return err
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
	counts := map[ledger.Cause]int64{}
	for _, d := range dead {
		cause := ledger.Cause{State: d.State, Errcode: d.Errcode}
		if d.Errcode == 0 {
			cause.Reason = d.Reason
		}
		counts[cause]++
	}
	out := make([]groupView, 0, len(counts))
	for cause, n := range counts {
		what, err := c.seals.seal(sealedSelection, selection{Dead: true, Narrow: true, Errcode: cause.Errcode, Reason: cause.Reason})
		if err != nil {
			return nil, err
		}
		cause.Count = n
		out = append(out, groupView{failureOf(r, &cause), what})
	}
	slices.SortFunc(out, func(a, b groupView) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Errcode, b.Errcode), cmp.Compare(a.Reason, b.Reason))
	})
	return out, nil
}
