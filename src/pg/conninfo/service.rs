//! The connection service file, `pg_service.conf`.

use std::path::PathBuf;

use super::{ConninfoError, Environment};

/// The settings of a service. Looks into the named or the user's file first, then into the system's.
pub(super) fn settings(name: &str, file: Option<&str>, environment: &Environment) -> Result<Vec<(String, String)>, ConninfoError> {
    let refused = |why: String| ConninfoError::new("service-file", why);
    let first = match file {
        Some(path) => Some(environment.expand(path)),
        None => environment.in_home(".pg_service.conf").filter(|path| path.is_file()),
    };
    let system = environment.variable("PGSYSCONFDIR").unwrap_or("/etc/postgresql-common");
    let mut looked_at = Vec::new();
    for path in first.into_iter().chain([PathBuf::from(system).join("pg_service.conf")]) {
        let named = file.is_some() && looked_at.is_empty();
        looked_at.push(path.display().to_string());
        if !named && !path.is_file() {
            continue;
        }
        let text = std::fs::read_to_string(&path)
            .map_err(|error| refused(format!("The service file {} could not be read: {error}.", path.display())))?;
        if let Some(settings) =
            section(&text, name).map_err(|why| refused(format!("The service file {}: {why}.", path.display())))?
        {
            return Ok(settings);
        }
    }
    Err(refused(format!(
        "There is no service {name:?}: looked into {}. Check the name, or set PGSERVICEFILE to the file that defines it.",
        looked_at.join(" and ")
    )))
}

/// The settings below `[name]`, if the file has that section.
fn section(text: &str, name: &str) -> Result<Option<Vec<(String, String)>>, String> {
    let mut settings = None;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(rest) = line.strip_prefix('[') {
            if settings.is_some() {
                break;
            }
            if rest.strip_suffix(']') == Some(name) {
                settings = Some(Vec::new());
            }
            continue;
        }
        let Some(settings) = settings.as_mut() else { continue };
        let number = number + 1;
        if line.starts_with("ldap") && line.contains("://") {
            return Err(format!("line {number} asks an LDAP server for the settings, which is not supported"));
        }
        let Some((key, value)) = line.split_once('=') else { return Err(format!("line {number} has no = sign")) };
        if matches!(key, "service" | "servicefile") {
            return Err(format!("line {number} names another service, which libpq does not allow either"));
        }
        settings.push((key.to_owned(), value.to_owned()));
    }
    Ok(settings)
}
