//! Who is let in to the page, and whose requests are obeyed.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::{COOKIE, HOST, ORIGIN};

use crate::support::child::Run;
use crate::support::page::Page;
use crate::support::poll;

const LIMIT: Duration = Duration::from_secs(60);

async fn page(state: &tempfile::TempDir) -> Page {
    Page::open(&["--state-dir", state.path().to_str().unwrap()], &[]).await
}

const FORM: &str = "application/x-www-form-urlencoded";

#[tokio::test]
async fn a_link_lets_one_browser_in_once() {
    let state = tempfile::tempdir().unwrap();
    let page = page(&state).await;
    page.get("/check").await.expect(200);
    let link = page.process.stdout().trim().to_owned();
    assert_eq!(page.enter(&link).await, None, "the link worked twice");
    assert_eq!(page.enter(&format!("{}/open?token=", page.origin)).await, None);
    assert_eq!(page.enter(&format!("{}/open", page.origin)).await, None);
    for (name, cookie) in
        [("none", String::new()), ("a guess", format!("{}0", page.cookie)), ("another's", "neon-migrate-1=aa".to_owned())]
    {
        for path in ["/", "/check", "/live/check", "/finish"] {
            let answer = page.request(Method::GET, path).header(COOKIE, &cookie).send().await.unwrap();
            assert_eq!(answer.status(), 401, "{path} with {name}");
        }
    }
}

#[tokio::test]
async fn the_cookie_is_strict_and_every_answer_forbids_what_no_page_needs() {
    let state = tempfile::tempdir().unwrap();
    let page = page(&state).await;
    let share = page.post("/share", &[("role", "owner")]).await.expect(200).body;
    let link = share.split("<pre tabindex=\"0\">").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let entered = page.request(Method::GET, link.strip_prefix(page.origin.as_str()).unwrap()).send().await.unwrap();
    let cookie = entered.headers()["set-cookie"].to_str().unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && cookie.contains("Path=/"), "{cookie}");
    let answer = page.get("/check").await;
    let policy = &answer.headers["content-security-policy"];
    assert!(
        policy.contains("default-src 'none'") && !policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
}

#[tokio::test]
async fn foreign_hosts_origins_and_forms_are_refused() {
    let state = tempfile::tempdir().unwrap();
    let page = page(&state).await;
    let csrf = page.csrf().await;
    let port = page.origin.rsplit(':').next().unwrap().to_owned();
    for host in ["evil.example", &format!("evil.example:{port}"), "127.0.0.1:1", ""] {
        let answer = page.request(Method::GET, "/check").header(COOKIE, &page.cookie).header(HOST, host).send().await.unwrap();
        assert!(answer.status().is_client_error(), "the host {host:?} was answered");
    }
    let foreign =
        [Some("http://evil.example"), Some("null"), Some(&*format!("https://127.0.0.1:{port}")), Some("http://127.0.0.1:1"), None];
    for origin in foreign {
        let request = page.request(Method::POST, "/share").header(COOKIE, &page.cookie).header("content-type", FORM);
        let request = origin.iter().fold(request, |request, origin| request.header(ORIGIN, *origin));
        let answer = request.body(format!("role=owner&csrf={csrf}")).send().await.unwrap();
        assert_eq!(answer.status(), 403, "a form from {origin:?} was obeyed");
    }
    for token in ["", "csrf=", &format!("csrf={}", "0".repeat(64))] {
        let request = page.request(Method::POST, "/share").header(COOKIE, &page.cookie).header(ORIGIN, &page.origin);
        let answer = request.header("content-type", FORM).body(format!("role=owner&{token}")).send().await.unwrap();
        assert_eq!(answer.status(), 403, "a form with the token {token:?} was obeyed");
    }
    page.post("/share", &[("role", "owner")]).await.expect(200);
}

#[tokio::test]
async fn a_watcher_sees_and_cannot_act() {
    let state = tempfile::tempdir().unwrap();
    let mut page = page(&state).await;
    let share = page.post("/share", &[("role", "watcher")]).await.expect(200).body;
    let link = share.split("<pre tabindex=\"0\">").nth(1).unwrap().split('<').next().unwrap().to_owned();
    page.cookie = page.enter(&link).await.expect("the link lets a watcher in");
    for path in ["/check", "/create", "/copy", "/replicate", "/finish"] {
        let body = page.get(path).await.expect(200).body;
        assert!(body.contains("You are watching") && !body.contains("<form"), "{path} offers a form:\n{body}");
    }
    page.post("/share", &[("role", "owner")]).await.expect(403);
}

#[tokio::test]
async fn it_is_not_served_to_others_in_the_clear_or_without_a_password() {
    let state = tempfile::tempdir().unwrap();
    let args = ["ui", "--no-open", "--listen", "0.0.0.0:0", "--state-dir", state.path().to_str().unwrap()];
    let refused =
        Run::new(args).env("NEON_MIGRATE_UI_PASSWORD", "long-enough").finish(Duration::from_secs(30)).await.expect_code(2);
    assert!(refused.stderr.contains("--tls-cert"), "{}", refused.stderr);
}

#[tokio::test]
async fn others_come_in_by_tls_and_with_the_password() {
    let state = tempfile::tempdir().unwrap();
    let (cert, key) = (state.path().join("cert.pem"), state.path().join("key.pem"));
    let made = rcgen::generate_simple_self_signed(vec!["migrate.test".to_owned()]).unwrap();
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let args = ["ui", "--listen", "0.0.0.0:0", "--name", "migrate.test", "--state-dir", state.path().to_str().unwrap()];
    let files = ["--tls-cert", cert.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    let process = Run::new(args.iter().chain(&files)).env("NEON_MIGRATE_UI_PASSWORD", "planted-password-7").start();
    let link = poll::until(LIMIT, "ui prints its link", async || {
        process.stdout().lines().find(|line| line.contains("/open?token=")).map(str::to_owned)
    })
    .await;
    let origin = link.split("/open").next().unwrap();
    let port: u16 = origin.rsplit(':').next().unwrap().parse().unwrap();
    assert_eq!(origin, format!("https://migrate.test:{port}"));
    let client = crate::support::page::client()
        .resolve("migrate.test", std::net::SocketAddr::from(([127, 0, 0, 1], port)))
        .tls_danger_accept_invalid_certs(true)
        .build()
        .unwrap();
    // The link alone is not enough, and a wrong password makes everybody wait.
    let opened = client.get(&link).send().await.unwrap();
    assert!(opened.headers().get("set-cookie").is_none());
    assert!(opened.text().await.unwrap().contains("Password"));
    let login = async |password: &str| {
        let request = client.post(format!("{origin}/login")).header(ORIGIN, origin).header("content-type", FORM);
        request.body(format!("password={password}")).send().await.unwrap()
    };
    assert_eq!(login("wrong").await.status(), 401);
    assert_eq!(login("planted-password-7").await.status(), 429);
    let cookie = poll::until(LIMIT, "the right password lets in after the pause", async || {
        let answer = login("planted-password-7").await;
        answer.headers().get("set-cookie").map(|cookie| cookie.to_str().unwrap().to_owned())
    })
    .await;
    assert!(cookie.contains("; Secure"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    assert_eq!(client.get(format!("{origin}/check")).header(COOKIE, cookie).send().await.unwrap().status(), 200);
    assert!(!process.stdout().contains("planted-password") && !process.stderr().contains("planted-password"));
}

#[tokio::test]
async fn the_first_view_of_a_step_is_small() {
    let state = tempfile::tempdir().unwrap();
    let page = page(&state).await;
    for step in ["check", "create", "copy", "replicate", "finish"] {
        let html = page.get(&format!("/{step}")).await.expect(200).body;
        let loaded: Vec<&str> = html.split(['"', '\'']).filter(|word| word.starts_with("/static/")).collect();
        assert!(loaded.iter().any(|path| path.ends_with("app.css")), "{html}");
        let mut bytes = html.len();
        for path in loaded {
            bytes += page.get(path).await.expect(200).body.len();
        }
        assert!(bytes < 100_000, "step {step} loads {bytes} bytes");
    }
}
