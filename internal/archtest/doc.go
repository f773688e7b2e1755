// Package archtest keeps the package map of ARCHITECTURE.md true. It has tests
// only: they read every Go file of the module, whatever its build tags, and
// fail on an import that the map does not allow, on a package that the map does
// not know, and on a dependency in the wrong place. Run it with -count=1: the
// cache of go test does not see a new package.
package archtest
