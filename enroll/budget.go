package enroll

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/ticket"
)

// The budget of one link lies in its ticket's hash. A person needs one state, one
// exchange and one QR code; the rest is for second tries. What a link may store is
// bounded by it: the sealed ticket of 512 bytes at most, four numbers, and the outcome
// of each exchange for half an hour.
const (
	mostStates    = 20
	mostExchanges = 10
	mostCodes     = 3
)

// The budget of an account in one minute, over all its links. It bounds what a flood of
// links costs: a day's 100 000 QR codes (docs: 生成带参数的二维码) last five hours at least,
// and the outcomes of exchanges take some 15 MB of Redis at most.
const (
	exchangesPerMinute = 3000
	codesPerMinute     = 300
)

//go:embed lua/open.lua
var openLua string

//go:embed lua/once.lua
var onceLua string

//go:embed lua/code.lua
var codeLua string

var (
	openScript = redis.NewScript(openLua)
	onceScript = redis.NewScript(onceLua)
	codeScript = redis.NewScript(codeLua)
)

// standing is what a ticket is good for.
type standing string

const (
	standsOpen  standing = "ok"
	standsUsed  standing = "used"  // it has bound an openid
	standsVoid  standing = "void"  // that binding was undone, or it has expired
	standsLimit standing = "limit" // its budget is used up
)

// spend takes a state out of the ticket's budget and keeps the ticket for it. A ticket
// without a budget costs no key.
func (a *account) spend(ctx context.Context, p parkedTicket) (standing, error) {
	said, err := openScript.Run(ctx, a.roster.rdb, []string{a.keys.ticket(p.ticket.ID)},
		p.text, ticketEnds(p.ticket).UnixMilli(), mostStates).Text()
	return standing(said), wrap(err, "open the ticket")
}

// parkedTicket is a ticket that was opened, and what it was opened with.
type parkedTicket struct {
	ticket ticket.Ticket
	text   string
	stands standing
}

// parked is the ticket that a state or a scene names. One that expired on the way is
// good still. One that is gone stands void, and has nothing but its ID.
func (a *account) parked(ctx context.Context, id ticket.ID) (parkedTicket, error) {
	p := parkedTicket{ticket: ticket.Ticket{ID: id}, stands: standsVoid}
	v, err := a.roster.rdb.HMGet(ctx, a.keys.ticket(id), "s", "u").Result()
	if err != nil {
		return p, wrap(err, "read the ticket")
	}
	text, _ := v[0].(string)
	opened, err := a.tickets.Open(text, time.Now())
	if err != nil && !errors.Is(err, ticket.ErrExpired) {
		return p, nil //nolint:nilerr // it is gone, or its key was changed
	}
	p.ticket, p.text, p.stands = opened, text, standingOf(v[1])
	return p, nil
}

// look is what an opened ticket is good for; it writes nothing.
func (a *account) look(ctx context.Context, id ticket.ID) (standing, error) {
	mark, err := a.roster.rdb.HGet(ctx, a.keys.ticket(id), "u").Result()
	if errors.Is(err, redis.Nil) {
		return standsOpen, nil
	}
	return standingOf(mark), wrap(err, "read the ticket")
}

// standingOf reads field u of a ticket.
func standingOf(mark any) standing {
	switch mark {
	case nil:
		return standsOpen
	case voidMark:
		return standsVoid
	}
	return standsUsed
}

// closedError says that a ticket stands no more.
type closedError struct{ stands standing }

func (e *closedError) Error() string {
	return "the enrolment ticket stands no more: " + string(e.stands)
}

// waitError says that the account's budget of this minute is used up.
type waitError struct{ left time.Duration }

func (e *waitError) Error() string {
	return fmt.Sprintf("too many followers enrol at once; there is room in %s", e.left)
}
