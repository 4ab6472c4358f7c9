//! TLS as libpq means it, on rustls.
//!
//! Three things differ from what rustls does by itself. The name is compared only for `verify-full`, and a certificate without alternative
//! names is compared by its common name. A server's own certificate may stand in the file of roots: OpenSSL takes that as trust in
//! this one certificate, while rustls refuses a certificate authority's certificate as a server's. And without roots the certificate is not
//! checked, though the handshake's signature always is: channel binding rests on it.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, SupportedProtocolVersion, version,
};
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;

use super::DialError;
use crate::pg::conninfo::{ClientCertificate, Conninfo, Roots, SslMode, TlsVersion};

/// The configuration for a connection; made once for a [`Conninfo`] and its clones.
pub(super) fn config(info: &Conninfo) -> Result<Arc<ClientConfig>, DialError> {
    if let Some(config) = info.tls_cache.get() {
        return Ok(Arc::clone(config));
    }
    let made = Arc::new(make(info)?);
    Ok(Arc::clone(info.tls_cache.get_or_init(|| made)))
}

fn make(info: &Conninfo) -> Result<ClientConfig, DialError> {
    let tls = info.tls();
    let provider = Arc::new(ring::default_provider());
    let broken = |error: Error| {
        DialError::new("tls-setup", format!("TLS could not be set up: {error}. Check sslcert, sslkey and the protocol versions."))
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions(tls.min, tls.max))
        .map_err(broken)?
        .dangerous()
        .with_custom_certificate_verifier(verifier(info, &provider)?);
    let mut config = match &tls.client {
        Some(client) => {
            let (certificates, key) = client_certificate(client)?;
            builder.with_client_auth_cert(certificates, key).map_err(broken)?
        }
        None => builder.with_no_client_auth(),
    };
    config.enable_sni = tls.sni;
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(config)
}

fn versions(min: TlsVersion, max: TlsVersion) -> Vec<&'static SupportedProtocolVersion> {
    match (min, max) {
        (TlsVersion::V12, TlsVersion::V12) => vec![&version::TLS12],
        (TlsVersion::V13, _) => vec![&version::TLS13],
        (TlsVersion::V12, TlsVersion::V13) => vec![&version::TLS13, &version::TLS12],
    }
}

fn verifier(info: &Conninfo, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, DialError> {
    let (trusted, check) = match &info.tls().roots {
        Roots::System => {
            let system = rustls_platform_verifier::Verifier::new(Arc::clone(provider)).map_err(|error| {
                let message = format!(
                    "The system's certificate authorities could not be read: {error}. Install them (package ca-certificates), or give sslrootcert=FILE."
                );
                DialError::new("tls-no-system-roots", message)
            })?;
            return Ok(Arc::new(system));
        }
        Roots::Unchecked => (Vec::new(), Check::Nothing),
        Roots::File(path) if info.tls().mode == SslMode::VerifyFull => {
            (read_certificates(path, "sslrootcert")?, Check::AuthorityAndName)
        }
        Roots::File(path) => (read_certificates(path, "sslrootcert")?, Check::Authority),
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trusted.iter().cloned());
    Ok(Arc::new(Verifier { check, roots, trusted, algorithms: provider.signature_verification_algorithms }))
}

/// Reads a file of certificates in PEM; `key` is the parameter that named it.
fn read_certificates(path: &Path, key: &str) -> Result<Vec<CertificateDer<'static>>, DialError> {
    let unusable = |why: String| DialError::new("tls-file", format!("The file {} of {key} cannot be used: {why}.", path.display()));
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let certificates = certificates.map_err(|error| unusable(error.to_string()))?;
    if certificates.is_empty() {
        return Err(unusable("it holds no certificate in PEM form".to_owned()));
    }
    Ok(certificates)
}

fn client_certificate(client: &ClientCertificate) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), DialError> {
    let path = &client.key;
    let unusable = |why: &str| DialError::new("tls-file", format!("The file {} of sslkey cannot be used: {why}.", path.display()));
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let metadata = std::fs::metadata(path).map_err(|error| unusable(&error.to_string()))?;
        // The rule of libpq: the owner alone, or, for a key that root owns, also its group for reading.
        let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
        if metadata.mode() & forbidden != 0 {
            return Err(unusable(&format!("others may read it. Run `chmod 600 {}`", path.display())));
        }
    }
    let key = PrivateKeyDer::from_pem_file(path).map_err(|_| {
        unusable("it holds no private key in PEM form that is not encrypted. Decrypt it with `openssl pkey -in KEY -out PLAIN_KEY`")
    })?;
    Ok((read_certificates(&client.certificate, "sslcert")?, key))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    Nothing,
    Authority,
    AuthorityAndName,
}

#[derive(Debug)]
struct Verifier {
    check: Check,
    roots: RootCertStore,
    /// All certificates of the file: the server's own may be among them.
    trusted: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.check == Check::Nothing {
            return Ok(ServerCertVerified::assertion());
        }
        let parsed = ParsedCertificate::try_from(end_entity)?;
        if self.trusted.iter().any(|trusted| trusted.as_ref() == end_entity.as_ref()) {
            check_validity(end_entity, now)?;
        } else {
            verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, self.algorithms.all)?;
        }
        if self.check == Check::AuthorityAndName {
            verify_server_name(&parsed, server_name)
                .or_else(|error| if common_name_fits(end_entity, server_name) { Ok(()) } else { Err(error) })?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The dates of a certificate that is trusted by itself.
fn check_validity(der: &[u8], now: UnixTime) -> Result<(), Error> {
    let certificate = x509_cert::Certificate::from_der(der).map_err(|_| CertificateError::BadEncoding)?;
    let validity = certificate.tbs_certificate.validity;
    if now.as_secs() < validity.not_before.to_unix_duration().as_secs() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now.as_secs() > validity.not_after.to_unix_duration().as_secs() {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}

/// libpq compares the common name where the certificate has no alternative names (Postgres documentation, "Client Verification of Server
/// Certificates"); the documentation's own recipe makes such certificates.
fn common_name_fits(der: &[u8], server_name: &ServerName<'_>) -> bool {
    let ServerName::DnsName(wanted) = server_name else { return false };
    let Ok(certificate) = x509_cert::Certificate::from_der(der) else { return false };
    let certificate = certificate.tbs_certificate;
    if !matches!(certificate.get::<SubjectAltName>(), Ok(None)) {
        return false;
    }
    // The last common name counts, as in OpenSSL's most specific one; 2.5.4.3 is its object identifier.
    let mut parts = certificate.subject.0.iter().flat_map(|rdn| rdn.0.iter());
    let common_name =
        parts.rfind(|part| part.oid.to_string() == "2.5.4.3").and_then(|part| std::str::from_utf8(part.value.value()).ok());
    let Some(name) = common_name else { return false };
    let (name, wanted) = (name.to_ascii_lowercase(), wanted.as_ref().to_ascii_lowercase());
    match name.strip_prefix("*.") {
        Some(suffix) => wanted.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == suffix),
        None => name == wanted,
    }
}
