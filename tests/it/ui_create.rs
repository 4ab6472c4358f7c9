//! Step 2 of the page: a Neon project that fits the source, or a database that exists.

use serde_json::json;

use crate::support::browser::Ui;
use crate::support::cluster::Cluster;
use crate::support::neon::{FakeNeon, Fault, KEY, PASSWORD};
use crate::support::page::Page;

/// Pauses, the limit of a call and that of operations, in milliseconds.
const PACE: &str = "5,1500,20000";
/// The password of the source's role.
const SOURCE_PASSWORD: &str = "plantedSourcePw3305";

/// A source, a small Neon whose computes are a local server, and a state directory.
struct House {
    source: Cluster,
    neon: FakeNeon,
    home: tempfile::TempDir,
}

impl House {
    async fn new() -> House {
        let (source, neon) = (Cluster::start(17).await, FakeNeon::start().await);
        let sql = format!("create role app login superuser password '{SOURCE_PASSWORD}'");
        source.psql("postgres", &sql).await;
        source.psql("postgres", "create database shop owner app").await;
        source.psql("shop", "create table orders (id int primary key)").await;
        // Nothing answers there; and nothing is looked for at Neon.
        neon.with(|state| state.compute = Some("127.0.0.1:1".to_owned()));
        House { source, neon, home: tempfile::tempdir().unwrap() }
    }

    /// With a server where Neon's computes would be.
    async fn with_compute() -> (House, Cluster) {
        let (house, compute) = (House::new().await, Cluster::start(17).await);
        compute.psql("postgres", &format!("create role app login superuser password '{PASSWORD}'")).await;
        compute.psql("postgres", "create database shop owner app").await;
        house.neon.with(|state| state.compute = Some(format!("127.0.0.1:{}", compute.port)));
        (house, compute)
    }

    fn source_url(&self) -> String {
        self.source.url("app", SOURCE_PASSWORD, "shop")
    }

    fn state(&self) -> std::path::PathBuf {
        self.home.path().join("state")
    }

    async fn page(&self, more: &[(&str, &str)]) -> Page {
        let (state, source) = (self.state(), self.source_url());
        let args = ["--api-url", &self.neon.url, "--state-dir", state.to_str().unwrap()];
        let environment = [("NEON_MIGRATE_SOURCE", source.as_str()), ("NEON_MIGRATE_API_PACE", PACE)];
        let environment: Vec<_> = environment.into_iter().chain(more.iter().copied()).collect();
        Page::open(&args, &environment).await
    }

    /// What is on the disk after a run.
    fn assert_nothing_secret_is_kept(&self) {
        for entry in std::fs::read_dir(self.state().join("projects")).into_iter().flatten().flatten() {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            assert!(!text.contains(PASSWORD) && !text.contains(KEY), "{}", entry.path().display());
        }
    }
}

fn assert_never_said(page: &Page) {
    for secret in [KEY, PASSWORD, SOURCE_PASSWORD] {
        page.assert_never_said(secret);
    }
}

/// The form as the page has it, with other values in some fields.
fn form(page: &str, changed: &[(&str, &str)]) -> Vec<(String, String)> {
    let attribute = |tag: &str, name: &str| -> Option<String> {
        let (_, after) = tag.split_once(&format!(" {name}=\""))?;
        after.split('"').next().map(|value| value.replace("&#34;", "\""))
    };
    let (_, form) = page.split_once("action=\"/create/review\"").expect("the form is there");
    let form = form.split("</form>").next().unwrap();
    let mut fields = Vec::new();
    let mut select = String::new();
    for tag in form.split('<').skip(1) {
        match tag.split([' ', '>']).next().unwrap() {
            "input" if attribute(tag, "type").as_deref() == Some("text") => {
                fields.push((attribute(tag, "name").unwrap(), attribute(tag, "value").unwrap()));
            }
            "select" => select = attribute(tag, "name").unwrap(),
            "option" if tag.contains(" selected") => fields.push((select.clone(), attribute(tag, "value").unwrap())),
            _ => (),
        }
    }
    for (name, value) in changed {
        fields.retain(|(field, _)| field != name);
        fields.push(((*name).to_owned(), (*value).to_owned()));
    }
    fields
}

/// Sends the form of the page.
async fn review(page: &Page, changed: &[(&str, &str)]) {
    let shown = page.until("/create", "action=\"/create/review\"").await;
    let fields = form(&shown, changed);
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    page.post("/create/review", &fields).await.expect(303);
}

/// Agrees to the summary that a page shows.
async fn agree(page: &Page, shown: &str) {
    let (_, after) = shown.split_once("name=\"number\" value=\"").expect("there is a summary");
    page.post("/create/project", &[("number", after.split('"').next().unwrap())]).await.expect(303);
}

#[tokio::test]
async fn a_project_is_proposed_with_reasons_agreed_to_and_becomes_the_target() {
    let (house, compute) = House::with_compute().await;
    let page = house.page(&[]).await;
    let filled = page.until("/create", "Filled in from the source").await;
    assert!(filled.contains("The owner of the source&#39;s database.") && filled.contains("As the source."), "{filled}");
    assert!(filled.contains("name=\"name\" type=\"text\" value=\"shop\"") && filled.contains("value=\"app\""), "{filled}");
    assert!(filled.contains("<option value=\"17\" selected>") && filled.contains("as of 20"), "{filled}");
    assert!(!filled.contains("--region"), "the page has no flags");

    // Without a key it is said at the key's field, and a wrong one is refused and not kept.
    review(&page, &[]).await;
    page.until("/create", "enter it first").await;
    page.post("/create/key", &[("key", "napi_wrong")]).await.expect(303);
    let refused = page.until("/create", "neon-key-refused").await;
    assert!(!refused.contains("napi_wrong") && refused.contains("name=\"key\""), "{refused}");
    page.post("/create/key", &[("key", &format!(" {KEY}\n"))]).await.expect(303);
    let known = page.until("/create", "Neon knows the API key").await;
    assert!(known.contains("AWS US East 2 (Ohio)") && !known.contains("as of 20"), "the regions are the account's: {known}");

    review(&page, &[("region", "aws-eu-central-1"), ("max_cu", "4"), ("name", "Shop <b>\"new\"</b>")]).await;
    let summary = page.until("/create", "This is what will be created").await;
    assert!(
        summary.contains("Shop &#60;b&#62;") && summary.contains("aws-eu-central-1") && summary.contains("0.25 to 4"),
        "{summary}"
    );
    assert_eq!(house.neon.projects(), 0, "nothing is created before somebody agrees");
    agree(&page, &summary).await;
    page.post("/create/project", &[("number", "1")]).await.expect(303);
    let ready = page.until("/create", "is ready</h2>").await;
    assert!(ready.contains("calm-lake-1") && ready.contains("never suspended"), "{ready}");
    assert_eq!(house.neon.projects(), 1, "a second click creates no second project");
    let created = &house.neon.creations()[0];
    assert_eq!((&created["name"], &created["region_id"]), (&json!("Shop <b>\"new\"</b>"), &json!("aws-eu-central-1")));
    assert_eq!(created["default_endpoint_settings"]["autoscaling_limit_max_cu"], json!(4.0));
    assert_eq!(created["branch"], json!({ "database_name": "shop", "role_name": "app" }));

    // It is the target, and was looked at with the source.
    let label = format!("app@127.0.0.1:{}/shop", compute.port);
    let checked = page.until("/create", "nothing stands in the way").await;
    assert!(checked.contains(&label) && checked.contains("The target is chosen"), "{checked}");
    assert_never_said(&page);
    house.assert_nothing_secret_is_kept();
}

#[tokio::test]
async fn operations_are_shown_as_they_finish_and_closing_the_page_stops_nothing() {
    let house = House::new().await;
    house.neon.with(|state| state.polls = u32::MAX);
    let page = house.page(&[("NEON_API_KEY", KEY)]).await;
    page.until("/create", "Neon knows the API key").await;
    page.until("/create", "Filled in from the source").await;
    review(&page, &[]).await;
    agree(&page, &page.until("/create", "This is what will be created").await).await;
    let shown = page.stream_until("/live/create?way=new", None, "0 of 2 operations").await;
    assert!(shown.contains("Neon is creating shop"), "{shown}");
    page.until("/create", "warm up the sofa").await;
    house.neon.with(|state| state.polls = 1);
    page.until("/create", "is ready</h2>").await;
    // It is the target, though nothing answers there in this test.
    let home = page.until("/create", "Not reached").await;
    assert!(home.contains("in the memory of neon-migrate") && home.contains("The target is chosen"), "{home}");
    assert_never_said(&page);
}

#[tokio::test]
async fn what_fails_is_a_report_and_a_project_that_is_there_is_named() {
    let house = House::new().await;
    let page = house.page(&[("NEON_API_KEY", KEY)]).await;
    page.until("/create", "Neon knows the API key").await;
    page.until("/create", "Filled in from the source").await;
    house.neon.fail("POST", "/projects", Fault::Refuse(422, "PROJECTS_LIMIT_EXCEEDED", "projects limit exceeded"));
    review(&page, &[]).await;
    agree(&page, &page.until("/create", "This is what will be created").await).await;
    let refused = page.until("/create", "neon-projects-limit").await;
    assert!(refused.contains("What to do") && refused.contains("Not created"), "{refused}");
    assert_eq!(house.neon.projects(), 0);

    // The form is still there, with what was typed; this time it is created, and cannot be made ready.
    house.neon.with(|state| state.ends_as = "failed");
    review(&page, &[]).await;
    agree(&page, &page.until("/create", "This is what will be created").await).await;
    let failed = page.until("/create", "neon-operation-failed").await;
    assert!(failed.contains("The project calm-lake-1 was created before that, and is in the account."), "{failed}");
    assert!(!failed.contains("The target is chosen"), "{failed}");

    // A second one of that name is warned about before it is created.
    review(&page, &[]).await;
    let summary = page.until("/create", "This is what will be created").await;
    assert!(
        summary.contains("There is a project named shop already: calm-lake-1.") && summary.contains("Create another project"),
        "{summary}"
    );
    assert_never_said(&page);
}

#[tokio::test]
async fn a_summary_that_is_not_shown_any_more_is_agreed_to_by_nobody() {
    let house = House::new().await;
    let page = house.page(&[("NEON_API_KEY", KEY)]).await;
    page.until("/create", "Neon knows the API key").await;
    page.until("/create", "Filled in from the source").await;
    review(&page, &[("name", "first")]).await;
    let old = page.until("/create", "This is what will be created").await;
    page.post("/create/change", &[]).await.expect(303);
    review(&page, &[("name", "second")]).await;
    let new = page.until("/create", "This is what will be created").await;
    agree(&page, &old).await;
    assert!(page.get("/create").await.body.contains("This is what will be created"));
    agree(&page, &new).await;
    page.until("/create", "is ready</h2>").await;
    let names: Vec<_> = house.neon.creations().iter().map(|created| created["name"].clone()).collect();
    assert_eq!(names, [json!("second")]);
}

#[tokio::test]
async fn what_neon_never_takes_is_said_at_its_field_and_several_organizations_are_asked_about() {
    let house = House::new().await;
    let orgs = json!([{ "id": "org-a", "name": "<i>A</i>", "plan": "scale" }, { "id": "org-b", "name": "B", "plan": "free_v3" }]);
    house.neon.with(|state| state.organizations = orgs);
    let page = house.page(&[("NEON_API_KEY", KEY)]).await;
    page.until("/create", "a person with 2 organizations").await;
    page.until("/create", "Filled in from the source").await;
    review(&page, &[("name", &"x".repeat(65)), ("database", "postgres"), ("min_cu", "8")]).await;
    let wrong = page.until("/create", "Something above has to be changed").await;
    for field in ["name", "database", "max_cu", "org"] {
        assert!(wrong.contains(&format!("id=\"{field}-error\"")), "{field} is not said to be wrong: {wrong}");
    }
    assert!(wrong.contains("1 to 64 characters") && wrong.contains("&#60;i&#62;A"), "{wrong}");
    assert_eq!(house.neon.requests("GET", "/projects"), 0, "Neon was asked all the same");

    review(&page, &[("name", "shop"), ("database", "shop"), ("min_cu", "0.25"), ("org", "org-b")]).await;
    let summary = page.until("/create", "This is what will be created").await;
    assert!(summary.contains("org-b, B") && summary.contains("The free plan does not let it be changed."), "{summary}");
    agree(&page, &summary).await;
    page.until("/create", "is ready</h2>").await;
    assert_eq!(house.neon.creations()[0]["org_id"], json!("org-b"));
    assert_never_said(&page);
}

#[tokio::test]
async fn a_database_that_exists_is_checked_together_with_the_source() {
    let house = House::new().await;
    let page = house.page(&[]).await;
    let target = Cluster::start(17).await;
    target.create_database("full").await;
    target.create_database("empty").await;
    target.psql("full", "create table \"<script>alert(1)</script>\" (n int)").await;
    page.until("/create", "Filled in from the source").await;

    for (typed, expected) in [
        ("", "There is no connection string yet"),
        ("postgresql://app:plantedWrong5519@host:nope/x", "could not be"),
        ("host=a plantedWrong5519", "could not be"),
    ] {
        page.post("/create/target", &[("connection", typed)]).await.expect(303);
        let shown = page.get("/create").await.body;
        let (_, after) =
            shown.split_once("id=\"target-error\"").unwrap_or_else(|| panic!("{typed:?} is not said to be wrong: {shown}"));
        assert!(after.split("</div>").next().unwrap().contains(expected), "{typed:?}: {shown}");
    }
    page.post("/create/target", &[("connection", "postgresql://app@127.0.0.1:1/x?connect_timeout=5")]).await.expect(303);
    let unreachable = page.until("/create", "role=\"alert\"").await;
    assert!(unreachable.contains("Not usable") && !unreachable.contains("The target is chosen"), "{unreachable}");

    page.post("/create/target", &[("connection", &house.source_url())]).await.expect(303);
    let same = page.until("/create", "same-database").await;
    assert!(same.contains("create database") && !same.contains("The target is chosen"), "{same}");

    page.post("/create/target", &[("connection", &target.superuser_url("full"))]).await.expect(303);
    let full = page.until("/create", "something stands in the way").await;
    assert!(full.contains("Check I1") && full.contains("&#60;script&#62;alert(1)") && full.contains("1 blocker"), "{full}");
    assert!(!full.contains("Go on to moving the data"), "{full}");
    target.psql("full", "drop table \"<script>alert(1)</script>\"").await;
    page.post("/create/target/check", &[]).await.expect(303);
    page.until("/create", "nothing stands in the way").await;

    page.post("/create/target/forget", &[]).await.expect(303);
    assert!(!page.get("/create").await.body.contains("The target is chosen"));
    page.post("/create/target", &[("connection", &target.superuser_url("empty"))]).await.expect(303);
    let chosen = page.until("/create", "nothing stands in the way").await;
    assert!(chosen.contains(&format!(":{}/empty", target.port)) && chosen.contains("Go on to moving the data"), "{chosen}");
    page.assert_never_said("plantedWrong5519");
    page.assert_never_said("super-s3cret");
    assert_never_said(&page);
}

#[tokio::test]
async fn a_project_that_was_created_for_this_source_is_offered_again() {
    let (house, compute) = House::with_compute().await;
    let page = house.page(&[("NEON_API_KEY", KEY)]).await;
    page.until("/create", "Neon knows the API key").await;
    page.until("/create", "Filled in from the source").await;
    review(&page, &[("keep", "1")]).await;
    agree(&page, &page.until("/create", "This is what will be created").await).await;
    let ready = page.until("/create", "is ready</h2>").await;
    assert!(ready.contains(".connection</span>, readable for you alone"), "{ready}");
    assert_never_said(&page);
    drop(page);

    // Another process knows of it, and has no key: the string was kept.
    let label = format!("app@127.0.0.1:{}/shop", compute.port);
    let again = house.page(&[]).await;
    let offered = again.until("/create", "A project was created for this source before").await;
    assert!(offered.contains("calm-lake-1") && offered.contains("Its connection string was kept"), "{offered}");
    again.post("/create/earlier", &[]).await.expect(303);
    let chosen = again.until("/create", "nothing stands in the way").await;
    assert!(chosen.contains(&label) && !chosen.contains("was created for this source before"), "{chosen}");
    assert_never_said(&again);
    drop(again);

    // Without the file, only the password has to be brought.
    std::fs::remove_file(house.state().join("projects/calm-lake-1.connection")).unwrap();
    let bare = house.page(&[]).await;
    bare.until("/create", "Its password was not kept").await;
    let shown = format!("postgresql://app@127.0.0.1:{}/shop?sslmode=disable", compute.port);
    assert!(bare.get("/create?way=existing").await.body.contains(&format!("value=\"{shown}\"")));
    bare.post("/create/target", &[("connection", &shown), ("password", PASSWORD)]).await.expect(303);
    assert!(bare.until("/create", "nothing stands in the way").await.contains(&label));
    assert_never_said(&bare);
    drop(bare);

    // Or Neon gives it for the key.
    let last = house.page(&[("NEON_API_KEY", KEY)]).await;
    last.until("/create", "Neon gives its connection string for the API key").await;
    last.post("/create/earlier", &[]).await.expect(303);
    assert!(last.until("/create", "nothing stands in the way").await.contains(&label));
    assert_eq!(house.neon.projects(), 1);
    assert_never_said(&last);
}

#[tokio::test]
async fn a_source_that_does_not_answer_is_asked_again() {
    let mut house = House::new().await;
    house.source.stop().await;
    let page = house.page(&[]).await;
    let failed = page.until("/create", "The source did not answer").await;
    assert!(failed.contains("role=\"alert\"") && failed.contains("Ask the source again"), "{failed}");
    assert!(failed.contains("value=\"neondb\""), "Neon's defaults are proposed: {failed}");
    house.source.start_again().await;
    page.post("/create/source", &[]).await.expect(303);
    page.until("/create", "Filled in from the source").await;
    assert_never_said(&page);
}

#[tokio::test]
async fn who_watches_sees_the_step_and_no_form() {
    let house = House::new().await;
    let mut page = house.page(&[("NEON_API_KEY", KEY)]).await;
    page.until("/create", "Neon knows the API key").await;
    page.until("/create", "Filled in from the source").await;
    let share = page.post("/share", &[("role", "watcher")]).await.expect(200).body;
    let link = share.split("<pre tabindex=\"0\">").nth(1).unwrap().split('<').next().unwrap().to_owned();
    page.cookie = page.enter(&link).await.unwrap();
    for path in ["/create", "/create?way=existing"] {
        let watched = page.get(path).await.expect(200).body;
        assert!(watched.contains("Watching only") && !watched.contains("<form"), "{watched}");
    }
    for path in ["/create/key", "/create/review", "/create/project", "/create/target", "/create/earlier", "/create/target/forget"] {
        page.post(path, &[("key", "x"), ("connection", "x"), ("number", "1")]).await.expect(403);
    }
}

#[tokio::test]
async fn clicked_through_in_a_browser() {
    let (house, compute) = House::with_compute().await;
    house.neon.with(|state| state.polls = u32::MAX);
    compute.create_database("other").await;
    compute.psql("other", "create table t (n int)").await;
    let source = house.source_url();
    let run = Ui::command(&house.state(), &["--api-url", &house.neon.url]);
    let ui = Ui::start(run.env("NEON_MIGRATE_SOURCE", &source).env("NEON_MIGRATE_API_PACE", PACE)).await;
    let other = compute.superuser_url("other");
    let given = [("KEY", KEY), ("SAME", source.as_str()), ("OTHER", other.as_str())];
    let secrets = [KEY, PASSWORD, SOURCE_PASSWORD, "super-s3cret"];
    // The story looks at the operations while they are under way, and then lets them end.
    let finish = async |_: &str| {
        house.neon.with(|state| state.polls = 1);
        String::new()
    };
    ui.tell_with("create.mjs", &given, &secrets, finish).await;
    assert_eq!(house.neon.projects(), 1);
}
