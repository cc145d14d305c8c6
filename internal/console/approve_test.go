package console_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/apikey"
	"github.com/wxnotify/wxnotify/internal/auditlog"
	"github.com/wxnotify/wxnotify/internal/console"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/testutil"
)

// pair is a console that has two people confirm, with an audit file.
func pair(t *testing.T) (b *bundle, lines func() string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "audit.ndjson")
	audit := must[*auditlog.Log](t)(auditlog.Open(path, nil, "test"))
	t.Cleanup(func() { _ = audit.Close() })
	b = setupWith(t, redistest.Start(t).Client(t), console.Config{TwoPersons: true, Audit: audit})
	return b, func() string { return string(must[[]byte](t)(os.ReadFile(path))) }
}

// askToDrop has li ask to drop all dead letters.
func (b *bundle) askToDrop(t *testing.T) shown {
	t.Helper()
	question := b.post(t, "/act-all", append(b.get(t, "/dead").hidden(t, "/console/act-all"), "do", "drop")...)
	return b.confirm(t, question, "/act-all")
}

// waiting is the ID of the request that waits; empty: there is none.
func (b *bundle) waiting(t *testing.T) string {
	t.Helper()
	role := b.role
	defer func() { b.role = role }()
	b.role = console.Admin
	_, rest, _ := strings.Cut(b.get(t, "/approvals").body, `name="id" value="`)
	id, _, _ := strings.Cut(rest, `"`)
	return id
}

func (b *bundle) answer(t *testing.T, do string) shown {
	t.Helper()
	return b.post(t, "/approvals", "do", do, "id", b.waiting(t))
}

// An API key that erases would do so without the second person: one admin gets its secret
// neither by making nor by rotating it.
func TestNoOneAloneGetsTheSecretOfAKeyThatErases(t *testing.T) {
	t.Parallel()
	b, _ := pair(t)
	b.role = console.Admin
	if page := b.get(t, "/keys"); strings.Contains(page.body, `value="erase"`) || !strings.Contains(page.body, `value="send"`) {
		t.Error("the form offers the scope erase, or none")
	}
	const why = "would erase a person without a second one"
	b.post(t, "/keys", "do", "create", "name", "crm", "kind", "live", "scope", "read", "scope", "erase").
		must(t, "made", http.StatusForbidden, why)
	key, _, err := b.account.Keys.Create(t.Context(), apikey.Key{Name: "crm", Kind: apikey.Live, Scopes: []apikey.Scope{apikey.Erase}})
	if err != nil {
		t.Fatal(err)
	}
	b.post(t, "/keys", "do", "rotate", "key", key.ID).must(t, "rotated", http.StatusForbidden, why)
	b.post(t, "/keys", "do", "create", "name", "shop", "kind", "live", "scope", "send").must(t, "another scope", http.StatusOK, "wxn_live_")
}

func TestDroppingAllNeedsASecondPerson(t *testing.T) {
	t.Parallel()
	b, lines := pair(t)
	b.dead(t, 47003, ids("bad-", 5)...)
	b.askToDrop(t).must(t, "asked", http.StatusOK, "It waits for a second person.", "Dead letters to drop: 5; dead letters with errcode 47003", "Withdraw")
	payload := func() bool {
		return must[[]byte](t)(b.account.Ledger.Payload(t.Context(), "bad-3")) != nil
	}
	b.answer(t, "approve").must(t, "confirmed by the same person", http.StatusForbidden, "another person must confirm it")
	b.name, b.role = "wang", console.Support
	b.answer(t, "approve").must(t, "by a lower role", http.StatusForbidden)
	b.role = console.Operate
	b.get(t, "/").must(t, "the overview shows that one waits", http.StatusOK, `<span class="badge warn">1</span>`)
	question := b.answer(t, "approve")
	question.must(t, "the question", http.StatusOK, "li asked for it at", "cannot be sent again")
	if !payload() {
		t.Error("a body was dropped before the second person confirmed")
	}
	b.confirm(t, question, "/approvals").must(t, "confirmed", http.StatusOK, "drop: dead letters with errcode 47003")
	testutil.Until(t, "all are dropped", func() bool { return !payload() && strings.Contains(b.get(t, "/runs").body, "5 of 5 done") })
	b.answer(t, "approve").must(t, "answered twice", http.StatusConflict, "does not wait any more")
	testutil.Until(t, "the file has each step", func() bool { return strings.Contains(lines(), `"action":"dropped all"`) })
	for _, want := range []string{`"action":"asked: drop all","actor":"li (console)"`, `"action":"confirmed: drop all","actor":"wang (console)"`, `"count":5`, "asked for by li (console)"} {
		if !strings.Contains(lines(), want) {
			t.Errorf("the audit file has no %s:\n%s", want, lines())
		}
	}
	var v auditlog.Verifier
	if _, err := v.Read(strings.NewReader(lines())); err != nil {
		t.Error(err)
	}
	if !strings.Contains(b.trail(t), "wang (console) confirmed: drop all") {
		t.Errorf("the trail: %s", b.trail(t))
	}
}

func TestErasingAPersonNeedsASecondAdmin(t *testing.T) {
	t.Parallel()
	b, lines := pair(t)
	b.bind(t, user, openid)
	ask := func() shown {
		t.Helper()
		person := b.post(t, "/roster", "user", user).hidden(t, "/console/person")
		return b.confirm(t, b.post(t, "/person", append(person, "do", "erase")...), "/person")
	}
	ask().must(t, "asked", http.StatusOK, "It waits for a second person.", "Erase all data of")
	bound := func() int64 { return must[int64](t)(b.account.Roster.Count(t.Context())) }
	b.name, b.role = "wang", console.Operate
	b.answer(t, "approve").must(t, "by an operator", http.StatusForbidden, "role")
	b.role = console.Admin
	question := b.answer(t, "approve")
	if bound() != 1 {
		t.Error("erased before the second person confirmed")
	}
	b.confirm(t, question, "/approvals").must(t, "confirmed", http.StatusOK, "Erased.")
	if bound() != 0 {
		t.Error("the person is still bound")
	}
	for _, canary := range canaries() {
		if strings.Contains(lines(), canary) || strings.Contains(b.trail(t), canary) {
			t.Errorf("the audit has %q", canary)
		}
	}
}

func TestARequestIsRefusedOrWithdrawn(t *testing.T) {
	t.Parallel()
	b, _ := pair(t)
	b.dead(t, 47003, "bad-1")
	b.askToDrop(t)
	b.answer(t, "burn").must(t, "an unknown answer", http.StatusBadRequest)
	b.answer(t, "refuse").must(t, "withdrawn", http.StatusOK, "Refused: nothing was changed.", "Nothing waits for a second person.")
	b.askToDrop(t)
	b.name = "wang"
	id := b.waiting(t)
	b.post(t, "/approvals", "do", "refuse", "id", id).must(t, "refused", http.StatusOK, "Refused")
	b.post(t, "/approvals", "do", "refuse", "id", id).must(t, "twice", http.StatusConflict)
	if b.state(t, "bad-1") != ledger.Dead {
		t.Error("it was changed")
	}
	if trail := b.trail(t); !strings.Contains(trail, "li (console) refused: drop all") || !strings.Contains(trail, "wang (console) refused: drop all") {
		t.Errorf("the trail: %s", trail)
	}
}

// A request without a line in the audit waits on.
func TestNothingIsConfirmedWithoutTheAudit(t *testing.T) {
	t.Parallel()
	b, _ := pair(t)
	b.dead(t, 47003, "bad-1")
	b.askToDrop(t)
	b.name = "wang"
	question := b.answer(t, "approve")
	const key = "wxn:{" + account + "}:audit"
	if err := b.rdb.Set(t.Context(), key, "not a stream", 0).Err(); err != nil {
		t.Fatal(err)
	}
	b.confirm(t, question, "/approvals").must(t, "without a trail", http.StatusServiceUnavailable)
	if must[[]byte](t)(b.account.Ledger.Payload(t.Context(), "bad-1")) == nil {
		t.Error("it was dropped")
	}
	if err := b.rdb.Del(t.Context(), key).Err(); err != nil {
		t.Fatal(err)
	}
	b.get(t, "/approvals").must(t, "it waits", http.StatusOK, "Dead letters to drop: 1")
}

func TestWithoutTheOptionNoSecondPersonIsAsked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.get(t, "/approvals").must(t, "the page", http.StatusNotFound)
	b.dead(t, 47003, "bad-1")
	b.askToDrop(t).must(t, "dropped at once", http.StatusOK, "drop: dead letters")
	testutil.Until(t, "the trail tells what was done", func() bool { return strings.Contains(b.trail(t), "dropped all") })
}

// A second person has the question of one request open while a reload drops it, or asks
// another process behind the same address: what they confirm then is not what they saw.
func TestAQuestionConfirmsNoRequestOfAnotherConsole(t *testing.T) {
	t.Parallel()
	b, _ := pair(t)
	b.dead(t, 47003, "bad-1")
	b.askToDrop(t)
	b.name = "wang"
	question := b.answer(t, "approve")
	b.console.Close()
	b.console = must[*console.Console](t)(console.New(console.Config{Redis: b.rdb, Accounts: []console.Account{b.account}, TwoPersons: true}))
	b.dead(t, 40037, "other-1")
	b.name = "li"
	b.askToDrop(t).must(t, "asked", http.StatusOK, "It waits for a second person.")
	b.name = "wang"
	b.confirm(t, question, "/approvals").must(t, "the question of before", http.StatusConflict, "does not wait any more")
	if b.waiting(t) == "" {
		t.Error("the other request was answered")
	}
}

// The question stays good when the audit could not be written for a moment.
func TestAQuestionCanBeConfirmedOnceTheAuditIsBack(t *testing.T) {
	t.Parallel()
	b, _ := pair(t)
	b.dead(t, 47003, "bad-1")
	b.askToDrop(t)
	b.name = "wang"
	question := b.answer(t, "approve")
	const key = "wxn:{" + account + "}:audit"
	if err := b.rdb.Rename(t.Context(), key, key+"x").Err(); err != nil {
		t.Fatal(err)
	}
	if err := b.rdb.Set(t.Context(), key, "not a stream", 0).Err(); err != nil {
		t.Fatal(err)
	}
	b.confirm(t, question, "/approvals").must(t, "without a trail", http.StatusServiceUnavailable)
	if err := b.rdb.Rename(t.Context(), key+"x", key).Err(); err != nil {
		t.Fatal(err)
	}
	b.confirm(t, question, "/approvals").must(t, "with a trail", http.StatusOK, "drop: dead letters")
}

// The name of a login by OIDC is the email, which people can change.
func TestAPersonWithANewEmailIsNoSecondPerson(t *testing.T) {
	t.Parallel()
	b, _ := pair(t)
	b.dead(t, 47003, "bad-1")
	b.name, b.subject = "li@example.com", "7f3c"
	b.askToDrop(t)
	b.name = "li.new@example.com"
	b.answer(t, "approve").must(t, "by the same person", http.StatusForbidden, "another person must confirm it")
	b.get(t, "/approvals").must(t, "the page", http.StatusOK, "Withdraw")
	b.name, b.subject = "wang@example.com", "91aa"
	b.confirm(t, b.answer(t, "approve"), "/approvals").must(t, "by another one", http.StatusOK, "drop: dead letters")
}
