//! Who may ask: pages of this server, and programs that are no browser.
//!
//! A browser sends any page's requests to any address, a loopback one included. Three checks keep other pages out:
//! an `Origin` must be the host that was asked, a `Sec-Fetch-Site` no other site, and where only this machine may connect, that host must be a name
//! of this machine (a page may have its own name point here).

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderValue, header};
use deltaic_protocol::ErrorBody;

/// Refuses what comes from a foreign page.
pub(crate) fn check(headers: &HeaderMap, loopback: bool) -> Result<(), ErrorBody> {
    let text = |value: &HeaderValue| value.to_str().unwrap_or("?").to_ascii_lowercase();
    let host = headers.get(header::HOST).map(text).unwrap_or_default();
    if loopback && !is_local(&host) {
        let message = format!("\"{host}\" is not a name of this machine: ask for localhost");
        return Err(ErrorBody::new("28000", message));
    }
    // A page may ask without an origin, for an image say; the browser tells. A link that somebody followed is fine.
    let told = |name: &str| headers.get(name).map(text).unwrap_or_default();
    if matches!(told("sec-fetch-site").as_str(), "cross-site" | "same-site")
        && told("sec-fetch-dest") != "document"
    {
        return Err(ErrorBody::new("28000", "pages of other sites may not use this server"));
    }
    match headers.get(header::ORIGIN).map(text) {
        Some(origin) if origin.split_once("://").is_none_or(|(_, origin)| origin != host) => {
            let message = format!("pages of {origin} may not use this server");
            Err(ErrorBody::new("28000", message))
        }
        _ => Ok(()),
    }
}

/// Whether a host, with or without a port, is this machine.
fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(host: &'static str, origin: Option<&'static str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static(host));
        headers.extend(origin.map(|origin| (header::ORIGIN, HeaderValue::from_static(origin))));
        headers
    }

    #[test]
    fn own_pages_and_programs_pass() {
        for (host, origin) in [
            ("127.0.0.1:7400", None),
            ("localhost:7400", Some("http://localhost:7400")),
            ("[::1]:7400", Some("http://[::1]:7400")),
        ] {
            assert_eq!(check(&headers(host, origin), true), Ok(()), "{host}");
        }
        assert_eq!(check(&headers("db.example:7400", Some("http://db.example:7400")), false), Ok(()));
    }

    #[test]
    fn foreign_pages_do_not() {
        for (host, origin) in [
            ("127.0.0.1:7400", Some("http://evil.example")),
            ("127.0.0.1:7400", Some("http://127.0.0.1:7401")),
            ("127.0.0.1:7400", Some("null")),
            ("evil.example:7400", Some("http://evil.example:7400")),
            ("evil.example:7400", None),
            ("127.0.0.1.evil.example", None),
        ] {
            assert!(check(&headers(host, origin), true).is_err(), "{host} {origin:?}");
        }
        for (site, destination, passes) in [
            ("cross-site", "image", false),
            ("same-site", "empty", false),
            ("cross-site", "iframe", false),
            ("cross-site", "document", true),
            ("same-origin", "empty", true),
            ("none", "document", true),
        ] {
            let mut headers = headers("localhost:7400", None);
            headers.insert("sec-fetch-site", HeaderValue::from_static(site));
            headers.insert("sec-fetch-dest", HeaderValue::from_static(destination));
            assert_eq!(check(&headers, true).is_ok(), passes, "{site} {destination}");
        }
    }
}
