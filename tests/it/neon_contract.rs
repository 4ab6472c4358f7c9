//! Every call of our client against Neon's own OpenAPI document: a mock made from it rejects every request that does not fit.
//!
//! The document is proprietary and not in this repository; `scripts/fetch-neon-api` fetches it, and a missing one fails the test.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use neon_migrate::neon::client::Client;
use neon_migrate::neon::error::ApiError;
use neon_migrate::neon::pace::Pace;
use neon_migrate::neon::types::{EndpointSettings, KeyKind, NewBranch, NewProject, ProjectUpdate};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

/// Reads the document, forbids in the bodies of requests what it does not name, and writes it as JSON: by itself it lets any field pass, so that
/// a slip in a field's name would go unnoticed.
const STRICT: &str = r"
const [modules, from, to] = process.argv.slice(1);
const document = require(modules + '/js-yaml').load(require('fs').readFileSync(from, 'utf8'));
const seen = new Set();
function close(schema) {
    if (schema.$ref) schema = document.components.schemas[schema.$ref.split('/').pop()];
    if (seen.has(schema)) return;
    seen.add(schema);
    if (schema.allOf) return;
    if (schema.properties && schema.additionalProperties === undefined) schema.additionalProperties = false;
    for (const inner of Object.values(schema.properties || {})) close(inner);
    if (schema.items) close(schema.items);
}
for (const path of Object.values(document.paths))
    for (const call of Object.values(path))
        if (call.requestBody && call.requestBody.content) close(call.requestBody.content['application/json']?.schema || {});
require('fs').writeFileSync(to, JSON.stringify(document));
";

/// The mock as a child, killed when it is dropped.
struct Mock {
    child: Child,
    url: String,
    _strict: tempfile::TempDir,
}

impl Mock {
    fn start() -> Mock {
        let modules = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".cache/neon-api/node_modules");
        let document = modules.join("@neondatabase/api-client/public-v2-for-users.gen.yaml");
        assert!(document.exists(), "the document of Neon's API is missing: run scripts/fetch-neon-api");
        let strict = tempfile::tempdir().unwrap();
        let closed = strict.path().join("neon.json");
        let made = Command::new("node").args(["-e", STRICT]).args([&modules, &document, &closed]).status().unwrap();
        assert!(made.success(), "the document could not be made strict");
        let mut child = Command::new("node")
            .arg(modules.join("@stoplight/prism-cli/dist/index.js"))
            .args(["mock", "--errors", "--host", "127.0.0.1", "--port", "0"])
            .arg(closed)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, told) = mpsc::channel();
        // Its output is read to the end, so that it never waits for us.
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if let Some((_, url)) = line.split_once("listening on ") {
                    let _ = sender.send(url.trim().to_owned());
                }
            }
        });
        let url = told.recv_timeout(Duration::from_secs(60)).expect("the mock says where it listens");
        Mock { child, url, _strict: strict }
    }

    fn client(&self) -> Client {
        let pace = Pace { attempts_max: 1, ..Pace::default() };
        Client::new(&self.url, SecretString::from("key"), pace, CancellationToken::new()).unwrap()
    }
}

impl Mock {
    /// The mock's answer to a creation with a field that the document does not have.
    async fn status_of_a_misspelt_creation(&self) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let address = self.url.trim_start_matches("http://");
        let body = r#"{"project":{"name":"shop","region":"aws-us-east-2"}}"#;
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let head =
            "POST /projects HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\ncontent-type: application/json\r\nconnection: close";
        stream.write_all(format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn new_project() -> NewProject {
    NewProject {
        name: "shop".to_owned(),
        region_id: "aws-us-east-2".to_owned(),
        pg_version: 17,
        org_id: Some("org-morning-bread-81040908".to_owned()),
        branch: NewBranch { database_name: "shop".to_owned(), role_name: "app".to_owned() },
        default_endpoint_settings: EndpointSettings {
            autoscaling_limit_min_cu: Some(0.25),
            autoscaling_limit_max_cu: Some(2.0),
            suspend_timeout_seconds: Some(-1),
        },
        history_retention_seconds: Some(3600),
        store_passwords: true,
    }
}

/// What the document's author and we agree on is accepted and understood: a request that does not fit gives an error, and so does an answer
/// that our types do not take.
#[tokio::test]
async fn every_call_fits_neons_own_document() {
    let mock = Mock::start();
    let client = mock.client();
    let (project, branch, endpoint) = ("calm-lake-1", "br-calm-1", "ep-calm-1");

    assert!(matches!(client.auth().await.unwrap().kind(), KeyKind::Personal | KeyKind::Organization));
    client.me().await.unwrap();
    client.organizations().await.unwrap();
    assert!(!client.regions(None).await.unwrap().is_empty());
    client.regions(Some("org-morning-bread-81040908")).await.unwrap();

    assert!(!client.projects("a b&c=d", Some("org-morning-bread-81040908")).await.unwrap().is_empty());
    let made = client.create_project(&new_project()).await.unwrap();
    let answer = made.answer.unwrap();
    assert!(!made.project.id.is_empty() && !answer.connection_uris.is_empty() && !answer.operations.is_empty());
    client.project(project).await.unwrap();
    let update = ProjectUpdate {
        name: Some("shop".to_owned()),
        history_retention_seconds: Some(86_400),
        default_endpoint_settings: Some(new_project().default_endpoint_settings),
    };
    client.update_project(project, &update).await.unwrap();

    client.operations(project).await.unwrap();
    client.operation(project, "d8ac46eb-a757-42b1-9907-f78322ee394e").await.unwrap();
    client.wait_for(answer.operations, &mut |_| ()).await.unwrap();

    assert!(!client.branches(project).await.unwrap().is_empty());
    assert!(!client.endpoints(project).await.unwrap().is_empty());
    client
        .update_endpoint(project, endpoint, &EndpointSettings { suspend_timeout_seconds: Some(0), ..EndpointSettings::default() })
        .await
        .unwrap();
    client.start_endpoint(project, endpoint).await.unwrap();
    client.roles(project, branch).await.unwrap();
    client.create_role(project, branch, "App \"owner\"").await.unwrap();
    client.databases(project, branch).await.unwrap();
    client.create_database(project, branch, "Odd \"shop\"", "App \"owner\"").await.unwrap();
    client.connection_uri(project, "Odd \"shop\"", "App \"owner\"").await.unwrap();
    client.delete_project(project).await.unwrap();

    // The mock does look: it refuses what the document forbids.
    let status = |error: ApiError| error.refusal().map(|refusal| refusal.status);
    assert_eq!(status(client.project("NO SUCH FORM").await.unwrap_err()), Some(422));
    let too_old = NewProject { pg_version: 9, ..new_project() };
    assert_eq!(status(client.create_project(&too_old).await.unwrap_err()), Some(422));
    assert_eq!(mock.status_of_a_misspelt_creation().await, "422");
}
