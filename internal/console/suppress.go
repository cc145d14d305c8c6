package console

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/mask"
)

// suppressionRef names a suppression, sealed.
type suppressionRef struct{ OpenID, Template string }

// suppressionsView is the page of suppressions.
type suppressionsView struct {
	Rows []suppressionRow
	Next string
	Of   string // the masked openid that was looked for
}

type suppressionRow struct {
	To, Template, Reason string
	Since, Until         time.Time
	ByAdmin              bool
	What                 string // sealed
}

// suppressions lists some, in no order, or those of one openid.
func (c *Console) suppressions(r *request) error {
	cursor, _ := strconv.ParseUint(r.Form.Get("cursor"), 10, 64)
	var of suppressionRef
	if sealed := r.Form.Get("what"); sealed != "" {
		if err := c.seals.open(sealedRef, sealed, &of); err != nil {
			return err
		}
	}
	v := suppressionsView{Of: mask.Name(of.OpenID)}
	for {
		found, next, err := r.account.Ledger.Suppressions(r.ctx(), cursor)
		if err != nil {
			return err
		}
		if err := c.addSuppressions(r, &v, found, of.OpenID); err != nil {
			return err
		}
		if cursor = next; cursor == 0 || (of.OpenID == "" && len(v.Rows) >= pageSize) {
			break
		}
	}
	if cursor != 0 {
		v.Next = strconv.FormatUint(cursor, 10)
	}
	return c.render(r, http.StatusOK, "suppressions", r.text("Suppressions"), v)
}

func (c *Console) addSuppressions(r *request, v *suppressionsView, found []ledger.Suppression, openid string) error {
	for _, s := range found {
		if openid != "" && s.OpenID != openid {
			continue
		}
		what, err := c.seals.seal(sealedRef, suppressionRef{s.OpenID, s.Template})
		if err != nil {
			return err
		}
		v.Rows = append(v.Rows, suppressionRow{
			To: mask.Name(s.OpenID), Template: s.Template, Reason: mask.Text(ledger.ReasonText(s.Reason, r.lang)),
			Since: s.Since, Until: s.Until, ByAdmin: s.ByAdmin, What: what,
		})
	}
	return nil
}

// findSuppression leads to those of one openid.
func (c *Console) findSuppression(r *request) error {
	openid := strings.TrimSpace(r.PostForm.Get("openid"))
	if openid == "" {
		return wrong("Name an openid.")
	}
	if err := checkPerson("", openid); err != nil {
		return err
	}
	what, err := c.seals.seal(sealedRef, suppressionRef{OpenID: openid})
	if err != nil {
		return err
	}
	c.redirect(r, "/suppressions", map[string]string{"what": what}, "")
	return nil
}

// lift ends one suppression.
func (c *Console) lift(r *request) error {
	var of suppressionRef
	if err := c.seals.open(sealedRef, r.PostForm.Get("what"), &of); err != nil {
		return err
	}
	q := confirmation{
		Text: r.text("Lift the suppression of %s?", mask.Name(of.OpenID)), Button: r.text("Lift it"), Action: "/lift", Back: "/suppressions?account=" + r.account.AppID,
		Details: []string{r.text("Messages to this recipient are sent again. A person who unfollowed must follow again before WeChat delivers anything.")},
	}
	return c.ask(r, q, change{action: "lift", openid: of.OpenID, detail: strings.TrimSpace("suppression " + of.Template)}, func() error {
		lifted, err := r.account.Ledger.Lift(r.ctx(), of.OpenID, of.Template)
		switch {
		case err != nil:
			return err
		case !lifted:
			return &faultError{status: http.StatusConflict, text: "There is no such suppression any more."}
		}
		c.redirect(r, "/suppressions", nil, "lifted")
		return nil
	})
}
