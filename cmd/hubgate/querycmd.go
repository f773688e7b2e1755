package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/query"
)

type queryCmd struct {
	clientFlags `embed:""`

	Query    []string `arg:"" help:"Query such as \"SELECT * FROM devices WHERE tags.plant = 'A'\"; @FILE reads a file and - the standard input."`
	Explain  bool     `name:"explain" xor:"how" help:"Only say what would serve the query."`
	Watch    bool     `name:"watch" short:"w" xor:"how" help:"Print the rows, and then what is added, changed and removed."`
	PageSize int      `name:"page-size" default:"1000" placeholder:"N" help:"Rows to fetch at a time, 1 to 1000."`
	Count    int      `name:"count" short:"n" placeholder:"N" help:"Stop after so many rows, or with --watch after so many events."`
}

// Run prints the rows of a query.
func (c *queryCmd) Run(ctx context.Context, a *app) error {
	if c.PageSize < 1 || c.PageSize > query.MaxPage {
		return usagef("--page-size is %d: give 1 to %d", c.PageSize, query.MaxPage)
	}
	text, err := c.text()
	if err != nil {
		return err
	}
	h, err := a.connect(c.clientFlags)
	if err != nil {
		return err
	}
	defer h.Close()
	switch {
	case c.Explain:
		err = a.explain(ctx, h, text)
	case c.Watch:
		err = untilSignal(ctx, c.watch(ctx, a, h, text))
	default:
		err = c.rows(ctx, a, h, text)
	}
	if a.format == formatJSON {
		return err
	}
	return pointAt(text, err)
}

// text is the query: one argument, or the words of a query that was not quoted.
func (c *queryCmd) text() (string, error) {
	if len(c.Query) > 1 {
		return strings.Join(c.Query, " "), nil
	}
	text, err := input(c.Query[0], os.Stdin)
	return strings.TrimRight(string(text), "\r\n"), err
}

func (a *app) explain(ctx context.Context, h *remote, text string) error {
	plan, err := h.ExplainQuery(ctx, text)
	if err != nil {
		return err
	}
	if a.format == formatJSON {
		return writeJSON(a.out, plan)
	}
	return a.say("%s", plan)
}

// rows prints all rows, page by page: a table, or a JSON object a line.
func (c *queryCmd) rows(ctx context.Context, a *app, h *remote, text string) error {
	table, left := &rowTable{w: a.out}, c.Count
	for page, err := range h.QueryPages(ctx, text, c.PageSize) {
		if err != nil {
			return err
		}
		rows := page.Items
		if c.Count > 0 && len(rows) >= left {
			rows = rows[:left]
		}
		if err := a.showRows(table, page.Type, rows); err != nil {
			return err
		}
		if left -= len(rows); c.Count > 0 && left == 0 {
			return nil
		}
	}
	return nil
}

func (a *app) showRows(table *rowTable, kind query.Kind, rows []json.RawMessage) error {
	if a.format != formatJSON {
		return table.page(kind, rows)
	}
	for _, row := range rows {
		if err := a.say("%s", row); err != nil {
			return err
		}
	}
	return nil
}

// watch prints events until ctx ends, or as many as are asked for.
func (c *queryCmd) watch(ctx context.Context, a *app, h *remote, text string) error {
	printed, rows := 0, 0
	return h.WatchQuery(ctx, text, func(e client.QueryEvent) error {
		var err error
		switch {
		case a.format == formatJSON:
			err = writeJSON(a.out, struct {
				Event query.EventKind `json:"event"`
				Key   string          `json:"key,omitempty"`
				Row   json.RawMessage `json:"row,omitempty"`
			}{e.Kind, e.Key, e.Row})
		case e.Kind == query.Loaded:
			err = a.say("%s  %-7s  rows: %d; what follows are changes", time.Now().Format("15:04:05.000"), e.Kind, rows)
		default:
			err = a.say("%s", strings.TrimRight(fmt.Sprintf("%s  %-7s  %-*s  %s", time.Now().Format("15:04:05.000"), e.Kind, minFrom, visible(e.Key), visible(string(e.Row))), " "))
		}
		rows++
		if printed++; err == nil && printed == c.Count {
			err = client.ErrStop
		}
		return err
	})
}

// pointAt adds to an error that names a place in a query the line with that
// place, and a mark below it.
func pointAt(text string, err error) error {
	if hub.CodeOf(err) != hub.ArgumentInvalid {
		return err
	}
	found := regexp.MustCompile(`line (\d+), column (\d+): `).FindStringSubmatch(err.Error())
	if found == nil {
		return err
	}
	number, _ := strconv.Atoi(found[1])
	column, _ := strconv.Atoi(found[2])
	lines := strings.Split(text, "\n")
	if number < 1 || number > len(lines) || column < 1 || column > len([]rune(lines[number-1]))+1 {
		return err
	}
	line := strings.Map(func(r rune) rune { // each character stays one
		if unprintable(r) {
			return ' '
		}
		return r
	}, lines[number-1])
	return fmt.Errorf("%w\n  %s\n  %*s", err, line, column, "^")
}
