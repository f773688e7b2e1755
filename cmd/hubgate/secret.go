package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hubgate/hubgate/backend/embedded"
	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
)

// credentialsVariable is where systemd tells a service its credentials' files.
const credentialsVariable = "CREDENTIALS_DIRECTORY"

// readSecret reads a secret from where a configuration value says that it is:
// env:NAME, credential:NAME or a file's path. No error has any of its text.
func readSecret(where string, getenv func(string) string) (string, error) {
	if name, ok := strings.CutPrefix(where, "env:"); ok {
		value := strings.TrimSpace(getenv(name))
		if value == "" {
			return "", fmt.Errorf("the environment variable %s is not set, or empty", name)
		}
		return value, nil
	}
	path := where
	if name, ok := strings.CutPrefix(where, "credential:"); ok {
		dir := getenv(credentialsVariable)
		if dir == "" {
			return "", fmt.Errorf("there is no $%s: systemd sets it for a service with LoadCredential=%s or LoadCredentialEncrypted=", credentialsVariable, name)
		}
		if name == "" || name != filepath.Base(name) || name == ".." || name == "." {
			return "", fmt.Errorf("%q is not the name of a credential", name)
		}
		path = filepath.Join(dir, name)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		if path == where {
			err = unread(path, err)
		}
		return "", err
	}
	if content = bytes.TrimSpace(content); len(content) == 0 {
		return "", fmt.Errorf("%s is empty", path)
	}
	return string(content), nil
}

// unread hides the path of a file that is not there: it may be the secret, which
// somebody has put where only its place belongs. What begins with a slash is a path,
// unless it has an equals sign: a key as 'openssl rand -base64 32' prints it ends with one.
func unread(path string, err error) error {
	_, missing := os.Lstat(path)
	if missing == nil || filepath.IsAbs(path) && !strings.Contains(path, "=") {
		return err
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	return fmt.Errorf("what is given is neither env:NAME, credential:NAME nor the path of a file that is there (not shown: it may be the secret itself): %w", err)
}

// encryptionOf reads the key that the embedded server encrypts with.
func encryptionOf(c config.NATS, getenv func(string) string) (embedded.Encryption, error) {
	if c.EncryptionKey == "" {
		return embedded.Encryption{}, nil
	}
	key, err := readSecret(c.EncryptionKey, getenv)
	if err != nil {
		return embedded.Encryption{}, usagef("nats.encryption_key: %w", err)
	}
	return embedded.Encryption{Key: key, KeyName: c.EncryptionKey, Cipher: embedded.Cipher(c.EncryptionCipher)}, nil
}
