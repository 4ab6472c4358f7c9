//! Stories of the whole page in a real browser.

use std::time::Duration;

use crate::connect::Authority;
use crate::support::browser::{self, Ui};
use crate::support::cluster::Cluster;

#[tokio::test]
async fn attacks_are_refused() {
    let state = tempfile::tempdir().unwrap();
    let ui = Ui::start(Ui::command(state.path(), &[])).await;
    ui.tell("guard.mjs", &[], &[]).await;
}

#[tokio::test]
async fn every_step_is_presentable_before_anything_is_known() {
    let state = tempfile::tempdir().unwrap();
    let ui = Ui::start(Ui::command(state.path(), &[])).await;
    ui.tell("screens.mjs", &[], &[]).await;
}

#[tokio::test]
async fn two_browsers_at_once_and_a_program_that_is_killed_and_started_again() {
    let (state, cluster) = (tempfile::tempdir().unwrap(), Cluster::start(17).await);
    cluster.create_database("empty").await;
    let target = cluster.superuser_url("empty");
    let mut ui = Ui::start(Ui::command(state.path(), &[])).await;
    let (url, port) = (ui.url.clone(), ui.origin().rsplit(':').next().unwrap().to_owned());
    let act = async |cue: &str| match cue {
        "kill" => {
            ui.running.signal(libc::SIGKILL);
            ui.running.ends_within(Duration::from_secs(20)).await.expect("it was killed");
            String::new()
        }
        "start" => {
            ui = Ui::start(Ui::command(state.path(), &["--port", &port])).await;
            ui.url.clone()
        }
        other => panic!("the story asks for {other}"),
    };
    let given = [("UI_URL", url.as_str()), ("UI_SECRETS", "[\"super-s3cret\"]"), ("TARGET", target.as_str())];
    let told = browser::tell_with("together.mjs", &given, act).await;
    told.unwrap_or_else(|words| panic!("{words}"));
}

#[tokio::test]
async fn wrong_strings_and_a_check_that_is_mended_in_the_middle() {
    let (state, cluster) = (tempfile::tempdir().unwrap(), Cluster::start(17).await);
    cluster.psql("postgres", "create role app superuser login password 'plantedPw6603'").await;
    cluster.create_database("src").await;
    cluster.psql("src", "create table \"<b>no key</b>\" (n int)").await;
    let (source, wrong) = (cluster.url("app", "plantedPw6603", "src"), cluster.url("app", "plantedWrong1180", "src"));
    let given = [("SOURCE", source.as_str()), ("WRONG_PASSWORD", wrong.as_str())];
    let mend = async |_: &str| cluster.psql("src", "alter table \"<b>no key</b>\" add primary key (n)").await;
    let ui = Ui::start(Ui::command(state.path(), &[])).await;
    ui.tell_with("check.mjs", &given, &["plantedPw6603", "plantedWrong1180"], mend).await;
}

#[tokio::test]
async fn the_lines_to_run_by_hand() {
    let (state, cluster) = (tempfile::tempdir().unwrap(), Cluster::start(17).await);
    cluster.psql("postgres", "create role app superuser login password 'plantedPw6602'").await;
    cluster.create_database("src").await;
    cluster.create_database("dst").await;
    let url = |database: &str| cluster.url("app", "plantedPw6602", database);
    let run = Ui::command(state.path(), &[]).env("NEON_MIGRATE_SOURCE", url("src")).env("NEON_MIGRATE_TARGET", url("dst"));
    Ui::start(run).await.tell("byhand.mjs", &[("PASSWORD", "plantedPw6602")], &[]).await;
}

#[tokio::test]
async fn others_come_in_by_tls_and_a_password() {
    const PASSWORD: &str = "plantedUiPw7720";
    let state = tempfile::tempdir().unwrap();
    let certs = Authority::new("tests").server(&["127.0.0.1"]);
    let (cert, key) = (state.path().join("cert.pem"), state.path().join("key.pem"));
    std::fs::write(&cert, &certs.cert).unwrap();
    std::fs::write(&key, &certs.key).unwrap();
    let tls = ["--listen", "127.0.0.1:0", "--tls-cert", cert.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    let ui = Ui::start(Ui::command(state.path(), &tls).env("NEON_MIGRATE_UI_PASSWORD", PASSWORD)).await;
    assert!(ui.url.starts_with("https://127.0.0.1:"), "{}", ui.url);
    ui.tell("elsewhere.mjs", &[("PASSWORD", PASSWORD)], &[PASSWORD]).await;
}
