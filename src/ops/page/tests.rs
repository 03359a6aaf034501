use axum::{
    body::Body,
    http::{Request, Response, StatusCode},
};
use serde_json::Value;
use tower::ServiceExt;

use super::*;
use crate::{
    config::{Config, Role},
    ops::health::Health,
};

async fn asked(method: &str, path: &str) -> Response<Body> {
    let status = Status::new(&Config::default(), Role::Run, Health::new(["watcher"]));
    let request = Request::builder().method(method).uri(path).body(Body::empty());
    routes(status).oneshot(request.expect("a request")).await.expect("an answer")
}

async fn body(response: Response<Body>) -> String {
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.expect("a body");
    String::from_utf8(body.into()).expect("text")
}

#[tokio::test]
async fn nothing_but_looking_is_answered() {
    for path in ["/", "/status.json"] {
        for method in ["GET", "HEAD"] {
            assert_eq!(asked(method, path).await.status(), StatusCode::OK, "{method} {path}");
        }
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"] {
            let status = asked(method, path).await.status();
            assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        }
    }
    assert_eq!(asked("GET", "/page.js").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_policy_lets_this_script_and_this_style_run_and_nothing_else() {
    let page = asked("GET", "/").await;
    let header = |name: &str| page.headers()[name].to_str().expect("ASCII").to_owned();
    let policy = header("content-security-policy");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(header("content-type"), "text/html; charset=utf-8");
    let html = body(page).await;
    for (tag, directive) in [("style", "style-src"), ("script", "script-src")] {
        let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
        // What a browser takes for the element's text.
        let (_, rest) = html.split_once(&open).expect("the element");
        let (text, after) = rest.split_once(&close).expect("its end");
        assert!(!after.contains(&open), "there is one {tag}");
        assert!(
            policy.contains(&format!("{directive} '{}';", hash(text))),
            "{directive}: {policy}"
        );
    }
    for outside in ["http://", "https://", "//cdn", " src=", "@import", " style=", " onload="] {
        let found = html
            .match_indices(outside)
            .find(|(at, _)| !html[*at..].starts_with("http://www.w3.org/"));
        assert_eq!(found, None, "{outside}");
    }
    for markup in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
        assert!(!html.contains(markup), "{markup}");
    }
}

#[tokio::test]
async fn what_the_page_shows_is_json_that_nobody_else_may_read() {
    let answer = asked("GET", "/status.json").await;
    for (name, value) in [
        ("content-type", "application/json"),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(answer.headers()[name], value, "{name}");
    }
    assert!(!answer.headers().contains_key("access-control-allow-origin"));
    let document: Value = serde_json::from_str(&body(answer).await).expect("JSON");
    assert_eq!(document["schema"], 1);
}
