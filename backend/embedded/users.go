package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// Rights are the subjects that a user may publish on and subscribe to;
// everything else is refused.
type Rights struct {
	Publish   []string
	Subscribe []string
}

func (r Rights) isSet() bool { return len(r.Publish)+len(r.Subscribe) > 0 }

// user is one that has a credentials file.
type user struct {
	name    string
	account nkeys.KeyPair
	signer  nkeys.KeyPair // nil: the account itself. Else the rights are the signer's.
	local   bool          // of use in this process only
}

// ensureUsers makes the credentials files that are missing.
func (k keyring) ensureUsers(dir string) error {
	users := []user{
		{name: "hub", account: k.accountKey},
		{name: "gateway", account: k.accountKey, local: true},
		{name: "system", account: k.systemKey},
	}
	if k.backendKey != nil {
		users = append(users, user{name: "backend", account: k.accountKey, signer: k.backendKey})
	}
	var errs []error
	for _, u := range users {
		errs = append(errs, u.ensureCreds(filepath.Join(dir, "nats", u.name+".creds")))
	}
	return errors.Join(errs...)
}

// scope tells the account what those may whom the back end's key has signed.
func (k keyring) scope(account *jwt.AccountClaims) {
	if k.backendKey == nil {
		return
	}
	public, err := k.backendKey.PublicKey()
	if err != nil {
		return // a seed that was read has one
	}
	scope := jwt.NewUserScope()
	scope.Key, scope.Role = public, "backend"
	scope.Template.Pub.Allow = slices.Clone(k.backend.Publish)
	scope.Template.Sub.Allow = slices.Clone(k.backend.Subscribe)
	account.SigningKeys.AddScopedSigner(scope)
}

// ensureCreds makes the credentials file unless it is there already and belongs
// to the account.
func (u user) ensureCreds(path string) error {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return u.write(path)
	}
	if err != nil {
		return fmt.Errorf("read NATS credentials: %w", err)
	}
	claims, err := u.check(content)
	if err != nil {
		return fmt.Errorf("%s: %w; remove the file to have it made again", path, err)
	}
	if u.local && !slices.Equal(claims.AllowedConnectionTypes, localOnly()) {
		return u.write(path) // of a version that let them in from everywhere
	}
	return nil
}

func localOnly() jwt.StringList { return jwt.StringList{jwt.ConnectionTypeInProcess} }

// issuer is who signs the user.
func (u user) issuer() nkeys.KeyPair {
	if u.signer != nil {
		return u.signer
	}
	return u.account
}

func (u user) check(content []byte) (*jwt.UserClaims, error) {
	token, err := jwt.ParseDecoratedJWT(content)
	if err != nil {
		return nil, errors.New("holds no NATS credentials")
	}
	claims, err := jwt.DecodeUserClaims(token)
	if err != nil {
		return nil, errors.New("holds no valid NATS user")
	}
	if _, err := jwt.ParseDecoratedUserNKey(content); err != nil {
		return nil, errors.New("holds no seed")
	}
	if public, err := u.issuer().PublicKey(); err != nil || claims.Issuer != public {
		return nil, errors.New("belongs to another data directory")
	}
	return claims, nil
}

func (u user) write(path string) error {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return fmt.Errorf("make NATS user %s: %w", u.name, err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		return fmt.Errorf("make NATS user %s: %w", u.name, err)
	}
	seed, err := pair.Seed()
	if err != nil {
		return fmt.Errorf("make NATS user %s: %w", u.name, err)
	}
	token, err := u.sign(public)
	if err != nil {
		return fmt.Errorf("sign NATS user %s: %w", u.name, err)
	}
	content, err := jwt.FormatUserConfig(token, seed)
	if err != nil {
		return fmt.Errorf("format NATS user %s: %w", u.name, err)
	}
	return writeSecret(path, content)
}

func (u user) sign(public string) (string, error) {
	claims := jwt.NewUserClaims(public)
	claims.Name = u.name
	if u.local {
		claims.AllowedConnectionTypes = localOnly()
	}
	if u.signer != nil {
		account, err := u.account.PublicKey()
		if err != nil {
			return "", err
		}
		claims.IssuerAccount = account
		claims.SetScoped(true)
	}
	return claims.Encode(u.issuer())
}
