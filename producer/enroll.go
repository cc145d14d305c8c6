package producer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/wxnotify/wxnotify/internal/ticket"
	"github.com/wxnotify/wxnotify/wechat"
)

// defaultEnrollLife is how long a link is valid unless told otherwise.
const defaultEnrollLife = 24 * time.Hour

// openGrace is how much longer than its ticket the data handed off is kept: the
// way through WeChat's page takes a moment.
const openGrace = 15 * time.Minute

// Enrollment is a link by which one of your users enrols. The link holds an
// enrolment ticket: encrypted, signed, for one follower only. Nothing of the
// user can be read from it.
type Enrollment struct {
	// PublicURL is where `wxnotify enroll` is reached, WXNOTIFY_PUBLIC_URL.
	// Required.
	PublicURL string
	// Account is the appid that the user enrols with. Required.
	Account string
	// Key is WXNOTIFY_ENROLL_KEY, 32 bytes or more. Required.
	Key wechat.Secret
	// User is your own id of the user, as in ToUser: up to 128 printable
	// characters without spaces and braces. Required.
	User string
	// Life is how long the link is valid, at most 30 days. Zero: 24 h.
	Life time.Duration
	// UserInfo asks the follower for consent (snsapi_userinfo), so that WeChat
	// tells the unionid. False: silent, the openid alone.
	UserInfo bool
	// WithoutConfirm omits the page that asks "notices of ACCOUNT for p***401: yes or
	// no". Set it only if your own page has just shown this person for which user they
	// enrol: without the page, a forwarded link binds the person who opens it. A link of
	// HandOff has no such page either, because its claim was verified. False: the page
	// is shown.
	WithoutConfirm bool
	// ReturnTo is where the follower goes afterwards; one of the addresses in
	// WXNOTIFY_RETURN_URLS. Empty: a page that says it is done.
	ReturnTo string
}

// EnrollURL is a link by which e.User enrols: opened in WeChat it captures the
// openid by OAuth, elsewhere it shows a QR code. It makes no connection. The error
// names every fault of e.
func EnrollURL(e Enrollment) (string, error) {
	link, err := e.link(false)
	if err != nil {
		return "", err
	}
	return link.url, nil
}

// HandOff is what you know of the user already, such as the telephone number
// that a mini program verified.
type HandOff struct {
	// Data must come back with the link as its Claim. Required.
	Data map[string]string
	// UnionID, when it is given, must be that of the person who enrols: the same
	// person. It needs an Open Platform account and makes the link ask for
	// consent. Empty: not compared.
	UnionID string
}

// HandOff stores digests of h with us first and returns a link of one user that
// is good only together with the claim of the same data: add
// "&claim=" + Claim(key, link, data) where the link is opened. What does not match is
// refused and nothing is bound; five wrong claims end the link. e.Account may be
// empty: it is the producer's.
func (p *Producer) HandOff(ctx context.Context, e Enrollment, h HandOff) (string, error) {
	if e.Account == "" {
		e.Account = p.cfg.Account
	}
	if err := ticket.CheckData(h.Data); err != nil {
		return "", &EnrollmentError{"HandOff.Data", err.Error()}
	}
	if e.Account != p.cfg.Account {
		return "", fmt.Errorf("producer: Enrollment.Account %q is not this producer's account %s", e.Account, p.cfg.Account)
	}
	e.UserInfo = e.UserInfo || h.UnionID != ""
	link, err := e.link(true)
	if err != nil {
		return "", err
	}
	key := []byte(e.Key.Reveal())
	err = ticket.NewHandOffStore(p.rdb, p.cfg.Account, key).Save(ctx, link.id, ticket.Claim(key, link.text, h.Data), h.UnionID, e.life()+openGrace)
	if err != nil {
		return "", fmt.Errorf("producer: %w", err)
	}
	return link.url, nil
}

// Claim is the digest of data that a link from HandOff is opened with. key is
// WXNOTIFY_ENROLL_KEY, so a claim is made where that key may be: on a server. Any
// language can make it: HMAC-SHA-256 in lower-case hex, keyed by the enrolment key, of
// the lines "claim", the link's ticket parameter, and name=value for each datum, sorted
// by name; each line ends with a line feed. It is empty when link holds no ticket.
//
// A claim is personal data: with its link, its holder can enrol as that person. The data
// cannot be derived from it without the key. Do not log it.
func Claim(key wechat.Secret, link string, data map[string]string) string {
	u, err := url.Parse(link)
	if err != nil || u.Query().Get("ticket") == "" {
		return ""
	}
	return ticket.Claim([]byte(key.Reveal()), u.Query().Get("ticket"), data)
}

// EnrollmentError says which field of an Enrollment or HandOff is refused, and why. The
// error of EnrollURL and Producer.HandOff wraps one for each field.
type EnrollmentError struct {
	Field  string // such as Enrollment.User
	Detail string // begins with a verb
}

func (e *EnrollmentError) Error() string { return "producer: " + e.Field + " " + e.Detail }

// sealedLink is a link and the ticket in it.
type sealedLink struct {
	url, text string
	id        ticket.ID
}

func (e Enrollment) life() time.Duration { return cmp.Or(e.Life, defaultEnrollLife) }

func (e Enrollment) link(handOff bool) (sealedLink, error) {
	base, sealer, err := e.validate()
	if err != nil {
		return sealedLink{}, err
	}
	text, id := sealer.Seal(ticket.Ticket{
		User: e.User, ExpiresAt: time.Now().Add(e.life()), UserInfo: e.UserInfo, HandOff: handOff, WithoutConfirm: e.WithoutConfirm,
	})
	base.Path = strings.TrimRight(base.Path, "/") + "/enroll/" + e.Account
	q := url.Values{"ticket": {text}}
	if e.ReturnTo != "" {
		q.Set("return_to", e.ReturnTo)
	}
	base.RawQuery = q.Encode()
	return sealedLink{base.String(), text, id}, nil
}

func (e Enrollment) validate() (*url.URL, *ticket.Sealer, error) {
	var faults []error
	fault := func(bad bool, field, detail string) {
		if bad {
			faults = append(faults, &EnrollmentError{"Enrollment." + field, detail})
		}
	}
	base, err := url.Parse(e.PublicURL)
	fault(err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" || base.RawQuery != "" || base.Fragment != "",
		"PublicURL", "is not an http(s) address: give the one that users reach, such as https://notify.example.com")
	fault(e.Account == "", "Account", "is empty: give the appid")
	if strings.Contains(e.User, "…") {
		fault(true, "User", "is masked, as lists and pages show it: give the whole one, which your own system has")
	} else {
		fault(userFault(e.User) != nil, "User", "is empty, too long, . or .., or holds blanks, braces or invisible characters: use your own id of the user, up to 128 bytes")
	}
	fault(e.Life < 0 || e.Life > ticket.MaxLife, "Life", "must be above 0 and at most 30 days")
	if e.ReturnTo != "" {
		u, err := url.Parse(e.ReturnTo)
		fault(err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https", "ReturnTo", "is not an http(s) address")
	}
	sealer, err := ticket.NewSealer([]byte(e.Key.Reveal()), cmp.Or(e.Account, "-"))
	fault(err != nil, "Key", fmt.Sprintf("is refused: %v", err))
	return base, sealer, errors.Join(faults...)
}
