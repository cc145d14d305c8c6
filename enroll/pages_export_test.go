package enroll

import "net/http"

// Page is one answer to a follower, for tests.
type Page = page

// PageNames are all pages, in the order a follower may meet them.
func PageNames() []string {
	return []string{
		string(pageScan), string(pageConfirm), string(pageBound), string(pageEnrolled), string(pageTaken), string(pageTooMany), string(pageFollow), string(pageSpent), string(pageInvalid), string(pageMismatch),
		string(pageSnapshot), string(pageBusy), string(pageRefused), string(pageMissing), string(pageNotFound), string(pageError),
	}
}

// PageForm is the question of a page, for tests.
type PageForm = pageForm

// MaskUser masks a user, for tests.
func MaskUser(user string) string { return maskUser(user) }

// NamedPage starts a page, for tests.
func NamedPage(name string) Page { return page{Name: pageName(name)} }

// NewShow returns what answers with a page.
func NewShow() (func(http.ResponseWriter, *http.Request, Page), error) {
	p, err := newPages()
	if err != nil {
		return nil, err
	}
	return p.show, nil
}

// ReadsChinese reads Accept-Language, for tests.
func ReadsChinese(accept string) bool { return readsChinese(accept) }

// InWeChat looks at a request, for tests.
func InWeChat(r *http.Request) bool { return inWeChat(r) }

// PageLink says where a button may lead, for tests.
func PageLink(link string) string { return pageLink(link) }

// PageLine makes one line of any text, for tests.
func PageLine(s string) string { return pageLine(s) }

// AllWords is every text of every page in both languages.
func AllWords() []string {
	var all []string
	for _, t := range []*pageWords{pageChinese(), pageEnglish()} {
		all = append(all, t.Picture, t.Waiting, t.Support, t.User)
		for _, text := range t.Pages {
			all = append(all, text.Title, text.Lead, text.More, text.Button, text.No)
		}
		for _, steps := range t.Bare {
			all = append(all, steps.List...)
		}
		for _, where := range t.Steps {
			for _, steps := range where {
				all = append(all, steps.List...)
			}
		}
	}
	return all
}
