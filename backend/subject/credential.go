package subject

// CredentialBucket is the KV bucket of renewals of certificates,
// hub_credentials.
func (n Names) CredentialBucket() string { return n.prefix() + "_credentials" }
