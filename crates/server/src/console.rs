//! The console's files, part of the program.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

/// Path, type, content.
const FILES: [(&str, &str, &str); 16] = [
    ("", "text/html; charset=utf-8", include_str!("../console/index.html")),
    ("console.css", "text/css; charset=utf-8", include_str!("../console/console.css")),
    ("icon.svg", "image/svg+xml", include_str!("../console/icon.svg")),
    ("console.js", JAVASCRIPT, include_str!("../console/console.js")),
    ("allocations.js", JAVASCRIPT, include_str!("../console/allocations.js")),
    ("budgets.js", JAVASCRIPT, include_str!("../console/budgets.js")),
    ("circuit.js", JAVASCRIPT, include_str!("../console/circuit.js")),
    ("conflicts.js", JAVASCRIPT, include_str!("../console/conflicts.js")),
    ("dom.js", JAVASCRIPT, include_str!("../console/dom.js")),
    ("editor.js", JAVASCRIPT, include_str!("../console/editor.js")),
    ("examples.js", JAVASCRIPT, include_str!("../console/examples.js")),
    ("panes.js", JAVASCRIPT, include_str!("../console/panes.js")),
    ("result.js", JAVASCRIPT, include_str!("../console/result.js")),
    ("rows.js", JAVASCRIPT, include_str!("../console/rows.js")),
    ("sankey.js", JAVASCRIPT, include_str!("../console/sankey.js")),
    ("sync.js", JAVASCRIPT, include_str!("../console/sync.js")),
];

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// Everything from here, nothing from elsewhere.
const POLICY: &str = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// The file of a path.
pub(crate) fn file(path: &str) -> Response {
    let Some((_, media_type, content)) = FILES.iter().find(|(name, _, _)| *name == path) else {
        return (StatusCode::NOT_FOUND, "nothing is here; the console is at /\n").into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, *media_type),
        // The files belong to the program's version; a browser asks anew.
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, *content).into_response()
}
