//! From the text of a connection string to pairs of keyword and value.
//!
//! An error never repeats the part of the text that it is about: where quoting went wrong, that part may be the password.

use super::ConninfoError;

/// Keyword and value, in the order of the text; the last of several wins, as in libpq.
type Pairs = Vec<(String, String)>;

/// Splits a connection string in whichever form it is; the second half are notices.
pub(super) fn pairs(text: &str) -> Result<(Pairs, Vec<String>), ConninfoError> {
    let mut notices = Vec::new();
    let text = unwrap_paste(text.trim());
    if text.contains('\0') {
        return Err(ConninfoError::syntax("the connection string holds a zero byte"));
    }
    let pairs = match scheme(text)? {
        Some((rest, notice)) => {
            notices.extend(notice);
            uri(rest)?
        }
        None if text.contains('=') => keywords(text)?,
        None if text.is_empty() => Vec::new(),
        None if text.contains('@') && text.contains([':', '/']) => {
            return Err(ConninfoError::syntax("the connection string does not start with postgres://; put that in front"));
        }
        None => vec![("dbname".to_owned(), text.to_owned())],
    };
    Ok((pairs, notices))
}

/// Takes off what consoles and `.env` files put around a URI: `psql 'postgres://…'`, `export DATABASE_URL="postgres://…"`.
fn unwrap_paste(text: &str) -> &str {
    let Some(start) = ["postgres://", "postgresql://"].iter().filter_map(|scheme| text.find(scheme)).min() else { return text };
    let quote = text[..start].chars().last().filter(|c| matches!(c, '\'' | '"'));
    let before = text[..start].trim_end_matches(['\'', '"']).trim_end();
    let is_name = |word: &str| {
        let name = word.trim_end_matches('=');
        !name.is_empty()
            && name.len() < word.len()
            && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    };
    if !before.split_whitespace().all(|word| matches!(word, "psql" | "export") || is_name(word)) {
        return text;
    }
    let uri = &text[start..];
    match quote {
        Some(quote) => uri.strip_suffix(quote).unwrap_or(uri),
        None => uri,
    }
}

/// What follows `postgres://`, or nothing if the text is no URI; schemes of other programs are understood or explained.
fn scheme(text: &str) -> Result<Option<(&str, Option<String>)>, ConninfoError> {
    if let Some(rest) = text.strip_prefix("postgresql://").or_else(|| text.strip_prefix("postgres://")) {
        return Ok(Some((rest, None)));
    }
    let Some((scheme, rest)) = text.split_once("://") else { return Ok(None) };
    let lower = scheme.to_ascii_lowercase();
    if !lower.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | ':' | '-' | '.')) {
        return Ok(None);
    }
    if lower == "jdbc:postgresql" || ["postgresql+", "postgres+"].iter().any(|prefix| lower.starts_with(prefix)) {
        return Ok(Some((rest, Some(format!("`{lower}://` was read as `postgresql://`.")))));
    }
    if lower == "postgres" || lower == "postgresql" {
        return Ok(Some((rest, None)));
    }
    if lower == "prisma+postgres" || lower == "prisma" {
        return Err(ConninfoError::syntax(
            "a prisma:// string leads to Prisma's proxy, which does not speak the Postgres protocol; use the direct string that starts with postgres://",
        ));
    }
    Err(ConninfoError::syntax(format!(
        "`{lower}://` is not a Postgres connection string; it must start with postgres:// or postgresql://"
    )))
}

/// A URI without its scheme: `[user[:password]@][host[:port],…][/dbname][?keyword=value&…]`.
fn uri(rest: &str) -> Result<Pairs, ConninfoError> {
    let mut pairs = Vec::new();
    let mut add = |key: &str, value: &str| -> Result<(), ConninfoError> {
        pairs.push((key.to_owned(), percent_decode(value)?));
        Ok(())
    };
    // As libpq: there is user information if an @ comes before the first slash.
    let (userinfo, rest) = match rest.find(['@', '/']) {
        Some(at) if rest[at..].starts_with('@') => (Some(&rest[..at]), &rest[at + 1..]),
        _ => (None, rest),
    };
    if let Some(userinfo) = userinfo {
        let (user, password) = userinfo.split_once(':').map_or((userinfo, None), |(user, password)| (user, Some(password)));
        add("user", user)?;
        if let Some(password) = password {
            add("password", password)?;
        }
    }
    let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (hosts, ports) = authorities(authority, rest)?;
    add("host", &hosts)?;
    add("port", &ports)?;
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    add("dbname", path.strip_prefix('/').unwrap_or(path))?;
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let Some((key, value)) = part.split_once('=') else {
            return Err(ConninfoError::syntax("a parameter after the ? of the connection string has no = sign"));
        };
        add(&percent_decode(key)?, value)?;
    }
    Ok(pairs)
}

/// The hosts and ports of a URI, each as a list with commas, still percent-encoded.
fn authorities(authority: &str, rest: &str) -> Result<(String, String), ConninfoError> {
    // A further @ after the first, or before the query, means that a password was not percent-encoded.
    let path = rest.split('?').next().unwrap_or_default();
    if authority.contains('@') || path.contains('@') {
        return Err(ConninfoError::syntax(
            "there is an @ where the host or the database stands; an @, / or : in a password must be written as %40, %2F or %3A",
        ));
    }
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for part in authority.split(',') {
        let (host, port) = match part.strip_prefix('[') {
            Some(bracketed) => {
                let Some((host, after)) = bracketed.split_once(']') else {
                    return Err(ConninfoError::syntax("an IPv6 address in the connection string lacks its closing bracket ]"));
                };
                match after.strip_prefix(':') {
                    Some(port) => (host, port),
                    None if after.is_empty() => (host, ""),
                    None => return Err(ConninfoError::syntax("after an IPv6 address in brackets only :port may follow")),
                }
            }
            None => part.split_once(':').unwrap_or((part, "")),
        };
        if !port.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ConninfoError::syntax(
                "the port in the connection string is not a number; an @, / or : in a password must be written as %40, %2F or %3A, \
                 and an IPv6 address stands in brackets",
            ));
        }
        hosts.push(host);
        ports.push(port);
    }
    Ok((hosts.join(","), ports.join(",")))
}

fn percent_decode(text: &str) -> Result<String, ConninfoError> {
    let wrong = || {
        ConninfoError::syntax(
            "a % in the connection string is not followed by two hexadecimal digits; a % itself must be written as %25",
        )
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else { return Err(wrong()) };
        bytes.push((high * 16 + low) as u8);
    }
    if bytes.contains(&0) {
        return Err(ConninfoError::syntax("%00 is not allowed in a connection string"));
    }
    String::from_utf8(bytes).map_err(|_| ConninfoError::syntax("the percent-encoded text in the connection string is not UTF-8"))
}

/// `keyword = value` pairs; values may stand in single quotes; a backslash takes the next character as it is.
fn keywords(text: &str) -> Result<Pairs, ConninfoError> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = rest.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(rest.len());
        let key = &rest[..end];
        let Some(after) = rest[end..].trim_start().strip_prefix('=') else {
            return Err(ConninfoError::syntax(format!(
                "the word after {} keyword=value pairs of the connection string has no = sign; a value with spaces must stand in single quotes",
                pairs.len()
            )));
        };
        let (value, remainder) = value(after.trim_start())?;
        pairs.push((key.to_owned(), value));
        rest = remainder.trim_start();
    }
    Ok(pairs)
}

/// One value and what follows it.
fn value(text: &str) -> Result<(String, &str), ConninfoError> {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut chars = text.char_indices().skip(usize::from(quoted));
    while let Some((at, c)) = chars.next() {
        match c {
            // A lone backslash at the end stands for nothing, as in libpq.
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            '\'' if quoted => return Ok((value, &text[at + 1..])),
            c if !quoted && c.is_whitespace() => return Ok((value, &text[at..])),
            c => value.push(c),
        }
    }
    if quoted {
        return Err(ConninfoError::syntax("a value in the connection string has an opening quote without a closing one"));
    }
    Ok((value, ""))
}
