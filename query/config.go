package query

// Page sizes.
const (
	DefaultPage = 100
	MaxPage     = 1000
)

// defaultIndexes is how many indexes a collection has at most.
const defaultIndexes = 16

// Config says what a collection holds.
type Config struct {
	// Source is what its queries ask. Of Devices the key is the attribute
	// deviceId, of Modules deviceId/moduleId; of Jobs it may be anything.
	Source Source
	// Order is the root members in the order in which documents print them;
	// others stand behind, by name.
	Order []string
	// Aliases are other names of root members, for example id for deviceId.
	Aliases map[string]string
	// Defaults has the JSON of root members that no part has. JSON that is none
	// makes [NewCollection] panic.
	Defaults map[string]string
	// MaxIndexes is how many secondary indexes are made on demand; 0: 16.
	MaxIndexes int
}

// Page is which rows to return: Size of them, DefaultPage when it is 0 and at
// most MaxPage, from where Token says that the last page ended.
type Page struct {
	Size  int
	Token string
}

func (p Page) size() int {
	if p.Size <= 0 {
		return DefaultPage
	}
	return min(p.Size, MaxPage)
}

// Result is a page. Next is the token of the next page, and empty on the last.
type Result struct {
	Kind Kind
	Rows [][]byte
	Next string
	Plan Plan
}

// Stats is what a collection holds. Bytes counts documents and keys with what
// it takes to find them, and not the indexes.
type Stats struct {
	Documents        int     `json:"documents"`
	Bytes            int64   `json:"bytes"`
	BytesPerDocument float64 `json:"bytesPerDocument"`
	Indexes          []Index `json:"indexes"`
}

// Index is one secondary index.
type Index struct {
	Path   string `json:"path"`
	Values int    `json:"values"`
	Bytes  int64  `json:"bytes"`
}
