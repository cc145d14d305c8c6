package console_test

import (
	"fmt"
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/apikey"
	"github.com/wxnotify/wxnotify/internal/ledger"
)

func (b *bundle) bind(t *testing.T, user, openid string) {
	t.Helper()
	if _, err := b.account.Roster.Bind(t.Context(), enroll.Binding{User: user, OpenID: openid, BoundAt: time.Now(), How: "import"}, nil); err != nil {
		t.Fatal(err)
	}
}

func TestPeopleAreFoundUnboundAndErased(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.bind(t, user, openid)
	b.bind(t, "patient-402-other", "oOTHER0x7Qk_4-pLmNb0TzYw8dEf")
	b.get(t, "/roster").must(t, "the list", http.StatusOK, "Users who have enrolled: 2", "pati…ry", "oCAN…Ef", "import")
	for _, fields := range [][]string{{"user", user}, {"openid", openid}} {
		page := b.post(t, "/roster", fields...)
		page.must(t, fields[0], http.StatusOK, "Bindings of", "pati…ry")
		if strings.Contains(page.url.String(), fields[1]) || strings.Contains(page.body, "oOTH") {
			t.Errorf("%s: %s\n%s", fields[0], page.url, page.body)
		}
	}
	b.post(t, "/roster").must(t, "neither", http.StatusBadRequest, "one of the two")
	b.post(t, "/roster", "user", "x", "openid", "y").must(t, "both", http.StatusBadRequest, "one of the two")

	page := b.post(t, "/roster", "user", "patient-402-other")
	question := b.post(t, "/person", append(page.hidden(t, "/console/person"), "do", "unbind")...)
	question.must(t, "unbind", http.StatusOK, "Take the openid from the user: pati…er oOTH…Ef?")
	b.confirm(t, question, "/person").must(t, "unbound", http.StatusOK, "Unbound.", "Users who have enrolled: 1")

	b.enqueue(t, "erase-1")
	page = b.post(t, "/roster", "user", user)
	question = b.post(t, "/person", append(page.hidden(t, "/console/person"), "do", "erase")...)
	question.must(t, "erase", http.StatusOK, "Erase all data of pati…ry oCAN…Ef?", "It cannot be undone")
	b.confirm(t, question, "/person").must(t, "erased", http.StatusOK, "Erased.", "Users who have enrolled: 0")
	if got := b.state(t, "erase-1"); got != ledger.Cancelled {
		t.Errorf("the message of the erased person: %s", got)
	}
	b.confirm(t, question, "/person").must(t, "once more", http.StatusNotFound, "Nothing of this person was found")
	b.post(t, "/person", append(page.hidden(t, "/console/person"), "do", "promote")...).must(t, "an unknown action", http.StatusBadRequest)
	if trail := b.trail(t); !strings.Contains(trail, "li (console) unbind") || !strings.Contains(trail, "li (console) erase") ||
		!strings.Contains(trail, "operator erased ") || !strings.Contains(trail, " by-admin\n") || strings.Contains(trail, "wechat erased") || strings.Contains(trail, user) {
		t.Errorf("trail:\n%s", trail)
	}
}

// The links of a long roster have no user in them, and lead to all users.
func TestPagesOfTheRosterNameNobody(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const users = 130
	for i := range users {
		b.bind(t, fmt.Sprintf("patient-secret-%03d", i), fmt.Sprintf("oSECRET%021d", i))
	}
	rows, pages := 0, 0
	for path := "/roster"; path != "" && pages < 10; pages++ {
		page := b.get(t, path)
		page.must(t, path, http.StatusOK)
		if strings.Contains(page.body, "secret") || strings.Contains(page.body, "SECRET") || strings.Contains(page.url.String(), "secret") {
			t.Fatalf("a user is shown at %s:\n%s", page.url, page.body)
		}
		rows += strings.Count(page.body, "pati…")
		path = ""
		if more := regexp.MustCompile(`class="button" href="/console(/roster[^"]*cursor=[^"]*)"`).FindStringSubmatch(page.body); more != nil {
			path = html.UnescapeString(more[1])
		}
	}
	if rows != users || pages != 3 {
		t.Errorf("%d users on %d pages, want %d on 3", rows, pages, users)
	}
	b.get(t, "/roster?cursor=1%20x").must(t, "a cursor of another program", http.StatusGone)
}

func TestASuppressionIsFoundAndLifted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, s := range []ledger.Suppression{
		{OpenID: openid, Reason: "asked by phone", ByAdmin: true}, {OpenID: "oOTHER0x7Qk_4-pLmNb0TzYw8dEf", Template: template, Reason: "user-block"},
	} {
		if err := b.account.Ledger.Suppress(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	b.get(t, "/suppressions").must(t, "the list", http.StatusOK, "oCAN…Ef", "asked by phone", "by an operator", "oOTH…Ef", template)
	page := b.post(t, "/suppressions", "openid", openid)
	page.must(t, "of one", http.StatusOK, "Suppressions of oCAN…Ef")
	if strings.Contains(page.body, "oOTH…Ef") {
		t.Error("another one's suppression is shown")
	}
	question := b.post(t, "/lift", page.hidden(t, "/console/lift")...)
	question.must(t, "the question", http.StatusOK, "Lift the suppression of oCAN…Ef?")
	b.confirm(t, question, "/lift").must(t, "lifted", http.StatusOK, "The suppression is lifted.")
	b.confirm(t, question, "/lift").must(t, "once more", http.StatusConflict, "There is no such suppression any more.")
	b.post(t, "/suppressions").must(t, "of none", http.StatusBadRequest, "Name an openid.")
	b.post(t, "/lift", "what", "x").must(t, "a forged form", http.StatusGone)

	b.enqueue(t, "to-suppressed-1")
	b.end(t, "to-suppressed-1", ledger.Outcome{State: ledger.Rejected, To: openid, Reason: ledger.ReasonSuppressed})
	b.get(t, "/message?id=to-suppressed-1").must(t, "from the story", http.StatusOK, "Lift the suppression of the recipient")
}

func TestAPIKeysAreCreatedRotatedAndRevoked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	form := b.get(t, "/keys")
	for _, scope := range []string{"send", "read"} {
		if !strings.Contains(form.body, `name="scope" value="`+scope+`" checked`) {
			t.Errorf("a new key has not the scope %s unless another is chosen", scope)
		}
	}
	if strings.Contains(form.body, `value="erase" checked`) {
		t.Error("a new key has the scope erase")
	}
	created := b.post(t, "/keys", "do", "create", "name", "shop", "kind", "live", "scope", "send", "scope", "read")
	created.must(t, "created", http.StatusOK, "wxn_live_", "Copy it now", "send, read")
	if again := b.get(t, "/keys"); strings.Contains(again.body, "wxn_live_") || !strings.Contains(again.body, "shop") {
		t.Error("the secret is shown twice, or the key is not listed")
	}
	b.post(t, "/keys", "do", "create", "kind", "gold").must(t, "a bad key", http.StatusBadRequest)
	key := must[[]apikey.Key](t)(b.account.Keys.List(t.Context()))[0]
	question := b.post(t, "/keys", "do", "rotate", "key", key.ID)
	b.confirm(t, question, "/keys").must(t, "rotated", http.StatusOK, "wxn_live_")
	question = b.post(t, "/keys", "do", "revoke", "key", key.ID)
	b.confirm(t, question, "/keys").must(t, "revoked", http.StatusOK, "The key is revoked.")
	for _, do := range []string{"rotate", "revoke"} {
		b.confirm(t, b.post(t, "/keys", "do", do, "key", key.ID), "/keys").must(t, "a key that is gone", http.StatusNotFound, "There is no such key any more.")
	}
	b.post(t, "/keys", "do", "sell").must(t, "an unknown action", http.StatusBadRequest)
	for _, action := range []string{"create key", "rotate key", "revoke key"} {
		if trail := b.trail(t); !strings.Contains(trail, action) || strings.Contains(trail, "wxn_live_") {
			t.Errorf("%s: trail:\n%s", action, trail)
		}
	}
}
