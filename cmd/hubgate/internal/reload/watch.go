package reload

import (
	"context"
	"crypto/sha256"
	"os"
	"time"
)

// Files are looked at, and not watched by the notices of the operating system:
// those tell of one inode or directory, and what is seen through the symbolic
// links of a Kubernetes volume, a bind mount, an overlay or a network file
// system changes without one. A handful of files costs a few stats a second.

// Interval is how often files are looked at. A change is applied when two looks
// in a row find the same: a file that is being written may be shorter and
// valid, such as a list of policies without its end.
const Interval = 500 * time.Millisecond

// The reasons of reloads that nobody asked for.
const (
	fileChanged = "a file has changed"
	timeHasCome = "something is valid now that was not before"
)

// young is how long after its last modification a file is read at every look:
// within the resolution of a file system's clock it may change and keep its
// time.
const young = 5 * time.Second

// Watch reloads when the configuration file or a file that a part reads has
// changed, and when a part has asked for it, until ctx ends.
func (r *Reloader) Watch(ctx context.Context) {
	l := &look{seen: map[string]fingerprint{}}
	files := r.files()
	applied := l.at(files)
	r.catchUp(ctx)
	applied = r.after(l, files, applied)
	before := applied
	tick := time.NewTicker(Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		files = r.files()
		now := l.at(files)
		switch {
		case now != applied && now == before:
			r.Reload(ctx, fileChanged)
			applied = r.after(l, files, now)
			now = applied
		case now == applied && r.due():
			r.Reload(ctx, timeHasCome)
		}
		before = now
	}
}

// after returns what the files that are named after a reload were like when it
// read them, if that is sure: files have not changed since seen. Else it returns
// seen, and the next looks show the difference.
func (r *Reloader) after(l *look, files []string, seen [sha256.Size]byte) [sha256.Size]byte {
	if l.at(files) != seen {
		return seen
	}
	return l.at(r.files())
}

// due reports whether a part is to be applied again now.
func (r *Reloader) due() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.again.IsZero() && !time.Now().Before(r.again)
}

// catchUp applies what has changed since the start of the node read it. There is
// nothing to say if nothing has.
func (r *Reloader) catchUp(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if report := r.apply(ctx); len(report.Applied)+len(report.Errors) > 0 {
		r.tell(fileChanged, &report)
	}
}

// files are those that are watched now.
func (r *Reloader) files() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var files []string
	if r.File != "" {
		files = append(files, r.File)
	}
	for _, p := range r.Parts {
		if p.Files != nil {
			files = append(files, p.Files(r.current)...)
		}
	}
	return files
}

// fingerprint is what a file was like at the last look.
type fingerprint struct {
	info os.FileInfo
	sum  [sha256.Size]byte
}

// look remembers files, so that one that has not been touched is not read.
type look struct{ seen map[string]fingerprint }

// at returns a digest of the names and the content of files.
func (l *look) at(files []string) [sha256.Size]byte {
	next := make(map[string]fingerprint, len(files))
	all := sha256.New()
	for _, file := range files {
		f := l.file(file)
		next[file] = f
		all.Write([]byte(file))
		all.Write([]byte{0})
		all.Write(f.sum[:])
	}
	l.seen = next
	return [sha256.Size]byte(all.Sum(nil))
}

// file looks at one file; what can't be read has the sum of its error.
func (l *look) file(path string) fingerprint {
	info, err := os.Stat(path) // follows links
	if err != nil {
		return fingerprint{sum: sha256.Sum256([]byte(err.Error()))}
	}
	if old, ok := l.seen[path]; ok && old.info != nil && os.SameFile(old.info, info) && old.info.Size() == info.Size() &&
		old.info.ModTime().Equal(info.ModTime()) && time.Since(info.ModTime()) > young {
		return fingerprint{info, old.sum}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fingerprint{sum: sha256.Sum256([]byte(err.Error()))}
	}
	return fingerprint{info, sha256.Sum256(text)}
}
