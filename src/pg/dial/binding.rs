//! Channel binding data of type `tls-server-end-point`.
//!
//! RFC 5929, section 4.1: the hash of the server's certificate, by the hash function of the certificate's own signature; MD5 and SHA-1 are
//! replaced by SHA-256. Where the signature has no single hash function (Ed25519) the type is undefined.

use sha2::{Digest, Sha256, Sha384, Sha512};
use x509_cert::Certificate;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode, Encode};

/// The binding data of a certificate in DER.
pub(super) fn end_point(der: &[u8]) -> Option<Vec<u8>> {
    let certificate = Certificate::from_der(der).ok()?;
    let algorithm = &certificate.signature_algorithm;
    let hash = match algorithm.oid.to_string().as_str() {
        // RSASSA-PSS names its hash in its parameters; its default is SHA-1.
        "1.2.840.113549.1.1.10" => {
            let parameters = algorithm.parameters.as_ref().and_then(|parameters| parameters.to_der().ok()).unwrap_or_default();
            hash_named_in(&parameters)
        }
        oid => hash_of_signature(oid)?,
    };
    Some(match hash {
        Hash::Sha256 => Sha256::digest(der).to_vec(),
        Hash::Sha384 => Sha384::digest(der).to_vec(),
        Hash::Sha512 => Sha512::digest(der).to_vec(),
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

fn hash_of_signature(oid: &str) -> Option<Hash> {
    match oid {
        // MD5 and SHA-1 with RSA, SHA-1 with ECDSA and DSA; then SHA-256 with RSA, ECDSA and DSA.
        "1.2.840.113549.1.1.4" | "1.2.840.113549.1.1.5" | "1.2.840.10045.4.1" | "1.2.840.10040.4.3" => Some(Hash::Sha256),
        "1.2.840.113549.1.1.11" | "1.2.840.10045.4.3.2" | "2.16.840.1.101.3.4.3.2" => Some(Hash::Sha256),
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Some(Hash::Sha384),
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Some(Hash::Sha512),
        _ => None,
    }
}

/// The first hash function named in the parameters of RSASSA-PSS, in whose encoding it comes before that of the mask.
fn hash_named_in(parameters: &[u8]) -> Hash {
    let known = [
        ("2.16.840.1.101.3.4.2.1", Hash::Sha256),
        ("2.16.840.1.101.3.4.2.2", Hash::Sha384),
        ("2.16.840.1.101.3.4.2.3", Hash::Sha512),
    ];
    let position = |oid: &str| {
        let oid = ObjectIdentifier::new(oid).ok()?;
        parameters.windows(oid.as_bytes().len()).position(|window| window == oid.as_bytes())
    };
    let found = known.into_iter().filter_map(|(oid, hash)| Some((position(oid)?, hash))).min_by_key(|(position, _)| *position);
    found.map_or(Hash::Sha256, |(_, hash)| hash)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn certificate(algorithm: &'static rcgen::SignatureAlgorithm) -> Vec<u8> {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        rcgen::CertificateParams::new(vec!["db.example".to_owned()]).unwrap().self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_hash_is_that_of_the_signature() {
        let der = certificate(&rcgen::PKCS_ECDSA_P256_SHA256);
        assert_eq!(end_point(&der), Some(Sha256::digest(&der).to_vec()));
        let der = certificate(&rcgen::PKCS_ECDSA_P384_SHA384);
        assert_eq!(end_point(&der), Some(Sha384::digest(&der).to_vec()));
        assert_eq!(end_point(&certificate(&rcgen::PKCS_ED25519)), None);
        assert_eq!(end_point(b"no certificate"), None);
    }

    #[test]
    fn old_hashes_become_sha256_and_pss_names_its_own() {
        assert_eq!(hash_of_signature("1.2.840.113549.1.1.5"), Some(Hash::Sha256));
        let sha512 = ObjectIdentifier::new("2.16.840.1.101.3.4.2.3").unwrap();
        assert_eq!(hash_named_in(sha512.as_bytes()), Hash::Sha512);
        assert_eq!(hash_named_in(&[]), Hash::Sha256);
    }
}
