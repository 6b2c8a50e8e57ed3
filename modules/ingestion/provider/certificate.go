package provider

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // the first version of Amazon SNS's signatures
	"crypto/sha256"
	"regexp"

	"integration-gateway/platform/fault"
)

// NoCertificate is the refusal of a request whose certificate's address, though it is
// the provider's, has none.
func NoCertificate() error {
	return refuse(UnknownKey, "the provider has no certificate at this address")
}

// certified reports whether message was signed, with RSA (PKCS #1 v1.5), by the key of
// the certificate at address. own is what the provider's addresses look like: anybody
// can put a certificate somewhere.
func certified(req Request, own *regexp.Regexp, address string, hash crypto.Hash, message, signature []byte) error {
	if !own.MatchString(address) {
		return refuse(UnknownKey, "the certificate's address is not one of the provider's")
	}
	if req.Certificate == nil {
		return fault.Unavailable.New("no_certificates", "The provider's certificate cannot be fetched here.")
	}
	certificate, err := req.Certificate(address)
	if err != nil {
		return err
	}
	key, ok := certificate.PublicKey.(*rsa.PublicKey)
	if !ok || req.ReceivedAt.Before(certificate.NotBefore) || req.ReceivedAt.After(certificate.NotAfter) {
		return refuse(UnknownKey, "the provider's certificate is not valid at this time")
	}
	if rsa.VerifyPKCS1v15(key, hash, digest(hash, message), signature) != nil {
		return refuse(NoMatch, "the signature does not match the certificate")
	}
	return nil
}

func digest(hash crypto.Hash, message []byte) []byte {
	if hash == crypto.SHA1 {
		sum := sha1.Sum(message) //nolint:gosec // see above
		return sum[:]
	}
	sum := sha256.Sum256(message)
	return sum[:]
}
