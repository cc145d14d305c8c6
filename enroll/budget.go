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

// The budget of one link is counted in its ticket's hash. Enrolling takes one state, one
// exchange and one QR code; the rest is for retries. The budget also bounds what a link
// stores: the sealed ticket of at most 512 bytes, four numbers, and the outcome of each
// exchange for half an hour.
const (
	mostStates    = 20
	mostExchanges = 10
	mostCodes     = 3
)

// The limits of an account per minute, over all its links. With them a flood needs at
// least five hours to use up the 100 000 QR codes of a day (docs: 生成带参数的二维码), and the
// outcomes of exchanges take at most 15 MB of Redis.
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

// ticketStatus says whether a ticket can be used.
type ticketStatus string

const (
	ticketOpen       ticketStatus = "ok"
	ticketUsed       ticketStatus = "used"  // it has bound an openid
	ticketVoid       ticketStatus = "void"  // its binding was undone, or it is not stored any more
	ticketOverBudget ticketStatus = "limit" // its budget is used up
)

// issueState counts one state and stores the ticket for it. It writes nothing if the
// ticket is used, void or over its budget.
func (a *account) issueState(ctx context.Context, p openedTicket) (ticketStatus, error) {
	reply, err := openScript.Run(ctx, a.Roster.rdb, []string{a.keys.ticket(p.ticket.ID)},
		p.text, ticketEnds(p.ticket).UnixMilli(), mostStates).Text()
	return ticketStatus(reply), wrap(err, "open the ticket")
}

// openedTicket is a ticket that was opened, its text and its status.
type openedTicket struct {
	ticket ticket.Ticket
	text   string
	status ticketStatus
}

// storedTicket reads the ticket that a state or a scene names. A ticket that expired after it
// was opened is still valid. One that is not stored any more is void and has only its ID.
func (a *account) storedTicket(ctx context.Context, id ticket.ID) (openedTicket, error) {
	p := openedTicket{ticket: ticket.Ticket{ID: id}, status: ticketVoid}
	v, err := a.Roster.rdb.HMGet(ctx, a.keys.ticket(id), "s", "u").Result()
	if err != nil {
		return p, wrap(err, "read the ticket")
	}
	text, _ := v[0].(string)
	opened, err := a.tickets.Open(text, time.Now())
	if err != nil && !errors.Is(err, ticket.ErrExpired) {
		return p, nil // it is gone, or its key was changed
	}
	p.ticket, p.text, p.status = opened, text, ticketStatusOf(v[1])
	return p, nil
}

// statusOf reads the status of a ticket and writes nothing.
func (a *account) statusOf(ctx context.Context, id ticket.ID) (ticketStatus, error) {
	mark, err := a.Roster.rdb.HGet(ctx, a.keys.ticket(id), "u").Result()
	if errors.Is(err, redis.Nil) {
		return ticketOpen, nil
	}
	return ticketStatusOf(mark), wrap(err, "read the ticket")
}

// ticketStatusOf reads field u of a ticket.
func ticketStatusOf(mark any) ticketStatus {
	switch mark {
	case nil:
		return ticketOpen
	case voidMark:
		return ticketVoid
	}
	return ticketUsed
}

// ticketError says why a ticket cannot be used.
type ticketError struct{ status ticketStatus }

func (e *ticketError) Error() string {
	return "the enrolment ticket cannot be used: " + string(e.status)
}

// waitError says that the account's limit per minute is reached.
type waitError struct{ left time.Duration }

func (e *waitError) Error() string {
	return fmt.Sprintf("too many followers enrol at once; there is room in %s", e.left)
}
