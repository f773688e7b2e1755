package conformance

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// installing serialises the installations of one test run.
var installing sync.Mutex

// cache makes .cache/{name}-{hash of the files} by running fill in a new directory
// that then takes that name, unless an earlier run has made it.
func cache(t *testing.T, name string, files []string, fill func(dir string)) string {
	t.Helper()
	installing.Lock()
	defer installing.Unlock()
	sum := sha256.New()
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sum.Write(data)
	}
	root, err := filepath.Abs(".cache")
	if err != nil {
		t.Fatal(err)
	}
	final := filepath.Join(root, name+"-"+hex.EncodeToString(sum.Sum(nil))[:16])
	if _, err := os.Stat(final); err == nil {
		return final
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(root, "new-"+name+"-") //nolint:usetesting // a rename must stay on one file system
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	begin := time.Now()
	fill(dir)
	if err := os.Rename(dir, final); err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
	t.Logf("installed %s in %v", name, time.Since(begin).Round(time.Second))
	return final
}

// command runs a program of the installation.
func command(t *testing.T, dir, program string, args ...string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, tail(string(out), 2000))
	}
	return nil
}

// download runs a package manager, and skips t when that fails: without a network
// there are no SDKs.
func download(t *testing.T, dir, program string, args ...string) {
	t.Helper()
	if err := command(t, dir, program, args...); err != nil {
		t.Log(err)
		skip(t, filepath.Base(program)+" could not install what the suite needs")
	}
}

// copyFile copies one pinned file into an installation.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// installNode installs Microsoft's Node SDKs and returns how to start one of the
// drivers.
func installNode(t *testing.T, driver string) []string {
	t.Helper()
	require(t, "node", "npm")
	files := []string{"node/package.json", "node/package-lock.json"}
	dir := cache(t, "node", files, func(dir string) {
		for _, file := range files {
			copyFile(t, file, filepath.Join(dir, filepath.Base(file)))
		}
		download(t, dir, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	})
	return []string{"env", "NODE_PATH=" + filepath.Join(dir, "node_modules"), "node", "node/" + driver}
}

// installPython makes a virtual environment with Microsoft's Python SDKs and
// returns its interpreter.
func installPython(t *testing.T) string {
	t.Helper()
	require(t, "python3")
	if err := exec.Command("python3", "-c", "import venv, ensurepip").Run(); err != nil {
		skip(t, "python3 has no venv module")
	}
	dir := cache(t, "python", []string{"python/requirements.txt"}, func(dir string) {
		if err := command(t, dir, "python3", "-m", "venv", "venv"); err != nil {
			t.Fatal(err)
		}
		copyFile(t, "python/requirements.txt", filepath.Join(dir, "requirements.txt"))
		download(t, dir, filepath.Join(dir, "venv/bin/python"), "-m", "pip", "install",
			"--quiet", "--disable-pip-version-check", "-r", "requirements.txt")
	})
	return filepath.Join(dir, "venv/bin/python")
}

// installJava fetches Microsoft's Java SDKs, compiles the drivers and returns how to
// start one of them.
func installJava(t *testing.T, driver string) []string {
	t.Helper()
	require(t, "java", "javac", "mvn")
	dir := cache(t, "java", []string{"java/pom.xml"}, func(dir string) {
		copyFile(t, "java/pom.xml", filepath.Join(dir, "pom.xml"))
		download(t, dir, "mvn", "--batch-mode", "--quiet",
			"org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies", "-DoutputDirectory=lib")
	})
	jars := filepath.Join(dir, "lib", "*")
	sources := []string{"java/Driver.java", "java/TwinAnswer.java", "java/ServiceDriver.java", "java/ServiceShown.java"}
	classes := cache(t, "java-driver", append([]string{"java/pom.xml"}, sources...), func(classes string) {
		if err := command(t, ".", "javac", append([]string{"-d", classes, "-cp", jars}, sources...)...); err != nil {
			t.Fatal(err)
		}
	})
	return []string{"java", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-cp", classes + ":" + jars, driver}
}
