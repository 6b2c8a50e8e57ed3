package provider

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // the first version of Amazon SNS's signatures
	"crypto/sha256"
	"regexp"
	"time"

	"integration-gateway/platform/fault"
)

// NoCertificate refuses a request if the provider has no certificate at its address.
func NoCertificate() error {
	return refuse(UnknownKey, "the provider has no certificate at this address")
}

// certified verifies message's RSA signature (PKCS #1 v1.5) with the certificate at address.
// own matches the provider's addresses, since anybody can publish a certificate elsewhere.
// The certificate is downloaded last, after the checks that do not need it.
func certified(req Request, at time.Time, own *regexp.Regexp, address string, hash crypto.Hash, message, signature []byte) error {
	if !own.MatchString(address) {
		return refuse(UnknownKey, "the certificate's address is not one of the provider's")
	}
	if err := within(req.tolerance, req.ReceivedAt, at); err != nil {
		return err
	}
	if size := len(signature) * 8; size != 1024 && size != 2048 && size != 3072 && size != 4096 {
		return refuse(MalformedSignature, "the signature has %d bits, which fits no RSA key", size)
	}
	if req.Certificate == nil {
		return fault.Unavailable.New("no_certificates", "Provider certificates cannot be downloaded here.")
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
