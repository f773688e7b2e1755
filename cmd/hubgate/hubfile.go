package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// hubFile is {data-dir}/hub.json: how the commands of this program find a hub
// that runs on this machine. It holds paths, but no secrets.
type hubFile struct {
	HostName  string `json:"hostName"`
	NATSURL   string `json:"natsUrl"`
	NATSCreds string `json:"natsCreds"` // the operator's
	// BackendCreds is for back-end apps; nothing here uses them.
	BackendCreds string `json:"backendCreds"`
	CAFile       string `json:"caFile,omitempty"`
	HTTPURL      string `json:"httpUrl"`
	Prefix       string `json:"prefix"`
	PID          int    `json:"pid"`
	Ports        ports  `json:"ports"`
}

func hubFilePath(dataDir string) string { return filepath.Join(dataDir, "hub.json") }

// write stores the file whole or not at all.
func (h hubFile) write(dataDir string) error {
	text, err := json.MarshalIndent(h, "", "  ")
	if err != nil {
		return fmt.Errorf("encode hub.json: %w", err)
	}
	f, err := os.CreateTemp(dataDir, ".hub-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write hub.json: %w", err)
	}
	_, err = f.Write(append(text, '\n'))
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), hubFilePath(dataDir))
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("write hub.json: %w; remove what is in its place", err)
	}
	return nil
}

// readHubFile returns fs.ErrNotExist when no hub runs with the data directory.
func readHubFile(dataDir string) (hubFile, error) {
	var h hubFile
	path := hubFilePath(dataDir)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return h, fs.ErrNotExist
	}
	if err != nil {
		return h, fmt.Errorf("read %s: %w", path, err)
	}
	if err := json.Unmarshal(text, &h); err != nil {
		return h, fmt.Errorf("%s is damaged (%w): start the hub again, which writes it anew", path, err)
	}
	return h, nil
}
