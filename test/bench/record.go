//go:build linux

package main

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
)

// Sizes and types of TLS 1.3 records (RFC 8446, 5.1 and 5.2).
const (
	recordHeader    = 5
	maxPlaintext    = 1 << 14
	maxRecord       = recordHeader + maxPlaintext + 256
	recordHandshake = 22
	recordAppData   = 23
)

// records seals and opens TLS 1.3 application records of one connection whose
// handshake crypto/tls has done. A connection of crypto/tls costs a goroutine
// and two buffers; this costs one cipher call, so that the generator stays
// cheaper than the server in the TLS cells too.
type records struct {
	out, in         cipher.AEAD
	outIV, inIV     [12]byte
	outSeq, inSeq   uint64
	nonce           [12]byte
	plain, combined []byte
}

// newRecords derives the keys of a finished handshake from its key log
// (the lines CLIENT_TRAFFIC_SECRET_0 and SERVER_TRAFFIC_SECRET_0).
func newRecords(suite uint16, keyLog []byte) (*records, error) {
	newHash, keySize, err := suiteOf(suite)
	if err != nil {
		return nil, err
	}
	r := &records{}
	if r.out, r.outIV, err = trafficKey(newHash, keySize, keyLog, "CLIENT_TRAFFIC_SECRET_0 "); err != nil {
		return nil, err
	}
	r.in, r.inIV, err = trafficKey(newHash, keySize, keyLog, "SERVER_TRAFFIC_SECRET_0 ")
	return r, err
}

func suiteOf(suite uint16) (func() hash.Hash, int, error) {
	switch suite {
	case tls.TLS_AES_128_GCM_SHA256:
		return sha256.New, 16, nil
	case tls.TLS_AES_256_GCM_SHA384:
		return sha512.New384, 32, nil
	}
	return nil, 0, fmt.Errorf("cipher suite %s is not one of the generator's", tls.CipherSuiteName(suite))
}

func trafficKey(newHash func() hash.Hash, keySize int, keyLog []byte, label string) (cipher.AEAD, [12]byte, error) {
	var iv [12]byte
	secret, err := secretOf(keyLog, label)
	if err != nil {
		return nil, iv, err
	}
	key, err := expandLabel(newHash, secret, "key", keySize)
	if err != nil {
		return nil, iv, err
	}
	nonce, err := expandLabel(newHash, secret, "iv", len(iv))
	if err != nil {
		return nil, iv, err
	}
	copy(iv[:], nonce)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, iv, fmt.Errorf("make traffic cipher: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	return aead, iv, err
}

// secretOf finds a secret in an NSS key log: label, client random, secret.
func secretOf(keyLog []byte, label string) ([]byte, error) {
	for line := range bytes.Lines(keyLog) {
		rest, found := bytes.CutPrefix(line, []byte(label))
		if !found {
			continue
		}
		_, text, _ := bytes.Cut(bytes.TrimSpace(rest), []byte(" "))
		return hex.DecodeString(string(text))
	}
	return nil, fmt.Errorf("no %sin the key log: the handshake is not TLS 1.3", label)
}

// expandLabel is HKDF-Expand-Label with an empty context (RFC 8446, 7.1).
func expandLabel(newHash func() hash.Hash, secret []byte, label string, size int) ([]byte, error) {
	label = "tls13 " + label
	info := binary.BigEndian.AppendUint16(nil, uint16(size))
	info = append(append(info, byte(len(label))), label...)
	info = append(info, 0)
	return hkdf.Expand(newHash, secret, string(info), size)
}

// seal appends data to dst as one or more records.
func (r *records) seal(dst, data []byte) []byte {
	for len(data) > 0 {
		part := data[:min(len(data), maxPlaintext)]
		data = data[len(part):]
		r.plain = append(append(r.plain[:0], part...), recordAppData)
		size := len(r.plain) + r.out.Overhead()
		start := len(dst)
		dst = append(dst, recordAppData, 3, 3, byte(size>>8), byte(size))
		dst = r.out.Seal(dst, r.at(r.outIV, r.outSeq), r.plain, dst[start:start+recordHeader])
		r.outSeq++
	}
	return dst
}

// open decrypts the whole records at the start of b in place. It returns their
// application data joined, valid until the next call, and how many bytes of b
// it used up; session tickets are passed over.
func (r *records) open(b []byte) (data []byte, used int, err error) {
	r.combined = r.combined[:0]
	for {
		rest := b[used:]
		if len(rest) < recordHeader {
			return r.combined, used, nil
		}
		size := recordHeader + int(binary.BigEndian.Uint16(rest[3:]))
		if size > maxRecord {
			return nil, used, errors.New("record is longer than TLS 1.3 allows")
		}
		if len(rest) < size {
			return r.combined, used, nil
		}
		plain, err := r.in.Open(rest[recordHeader:recordHeader], r.at(r.inIV, r.inSeq), rest[recordHeader:size], rest[:recordHeader])
		if err != nil {
			return nil, used, fmt.Errorf("open record: %w", err)
		}
		r.inSeq++
		used += size
		if err := r.keep(plain); err != nil {
			return nil, used, err
		}
	}
}

// keep adds the content of an inner plaintext, whose last byte before the zero
// padding is its type.
func (r *records) keep(plain []byte) error {
	plain = bytes.TrimRight(plain, "\x00")
	if len(plain) == 0 {
		return errors.New("record without a type")
	}
	content, kind := plain[:len(plain)-1], plain[len(plain)-1]
	switch kind {
	case recordAppData:
		r.combined = append(r.combined, content...)
		return nil
	case recordHandshake:
		return nil
	}
	return fmt.Errorf("server sent a record of type %d: %x", kind, content)
}

// at is the nonce of record seq.
func (r *records) at(iv [12]byte, seq uint64) []byte {
	r.nonce = iv
	var s [8]byte
	binary.BigEndian.PutUint64(s[:], seq)
	for i, x := range s {
		r.nonce[4+i] ^= x
	}
	return r.nonce[:]
}
